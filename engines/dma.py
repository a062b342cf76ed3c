"""The DMA engines: data that moves, and casts on the way."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from halfulp.dtypes import FP32, FloatFormat, Format
from halfulp.engines.activations import Activation
from halfulp.engines.arrays import apply_flat, combine
from halfulp.engines.elementwise import AluOp
from halfulp.engines.ledger import record
from halfulp.engines.operands import Floats, as_float_format, open_floats, size_bytes
from halfulp.engines.outlines import is_outline, outline

if TYPE_CHECKING:
    from halfulp.engines.core import NeuronCore


@dataclass(frozen=True)
class DmaEngine:
    """Copies between memories. Source: nki.isa dma_copy (casts go through fp32: documented)."""

    core: "NeuronCore"

    def gather(self, table: Any, indices: Any, *, out_format: Format | str = FP32) -> Any:
        """table[indices], rounded to `out_format`: an embedding lookup (derived).

        table (rows, columns); indices: integers of any shape; returns (*indices.shape, columns).

        Raises TypeError for indices that are no integers, ValueError for one outside the table.
        """
        fmt = self._format(out_format)
        rows, give = open_floats(table)
        where = _places(rows, indices)
        moved = outline((*where.shape, rows.shape[1])) if is_outline(rows) else rows[where]
        out, counts = apply_flat(moved, Activation.COPY, 1.0, -0.0, fmt)
        size = 4 * (out.size + where.size) + size_bytes(fmt, out.size)
        shapes = rows.shape, where.shape, out.shape
        formats = "fp32", "int32", fmt.name
        record("dma", "gather", shapes, formats, counts, size_bytes=size)
        return give(out)

    def copy(self, x: Any, *, out_format: Format | str) -> Any:
        """x rounded to `out_format`, through fp32 (documented: nki.isa dma_copy)."""
        fmt = self._format(out_format)
        array, give = open_floats(x)
        out, counts = apply_flat(array, Activation.COPY, 1.0, -0.0, fmt)
        size = 4 * array.size + size_bytes(fmt, out.size)
        shapes = array.shape, out.shape
        record("dma", "dma_copy", shapes, ("fp32", fmt.name), counts, size_bytes=size)
        return give(out)

    def scatter(
        self, table: Any, indices: Any, values: Any, *, accumulate: bool = False,
        out_format: Format | str = FP32,
    ) -> Any:  # fmt: skip
        """`table` with its rows `indices` replaced by `values`, or with these added to them.

        table (rows, columns); indices: integers of any shape; values (*indices.shape, columns).
        What is added is added in fp32, in the order of the indices where one comes again (assumed);
        of values that replace each other the last stays. Returns a new table, rounded to
        `out_format`.

        Raises TypeError for indices that are no integers, ValueError for one outside the table and
        for shapes that do not match.
        """
        fmt = self._format(out_format)
        (rows, give), (moved, _) = open_floats(table), open_floats(values)
        where = _places(rows, indices)
        if moved.shape != (*where.shape, rows.shape[1]):
            needed = f"needed: {(*where.shape, rows.shape[1])}"
            raise ValueError(f"values have shape {moved.shape}; {needed}")
        result, places = rows.copy(), where.reshape(-1)
        flat = moved.reshape(places.size, rows.shape[1])
        for turn in _turns(places):
            found = flat[turn]
            if accumulate:
                found, _ = combine(result[places[turn]], found, AluOp.ADD, FP32)
            result[places[turn]] = found
        out, counts = apply_flat(result, Activation.COPY, 1.0, -0.0, fmt)
        size = 4 * (2 * flat.size + places.size) + size_bytes(fmt, flat.size)
        shapes = rows.shape, where.shape, moved.shape, out.shape
        formats = "fp32", "int32", "fp32", fmt.name
        name = "scatter_add" if accumulate else "scatter"
        record("dma", name, shapes, formats, counts, size_bytes=size)
        return give(out)

    def accumulate(self, target: Any, x: Any, *, out_format: Format | str = FP32) -> Any:
        """target + x in fp32, what a DMA writes that accumulates (assumed: one rounding).

        Raises ValueError for shapes that differ.
        """
        fmt = self._format(out_format)
        (left, give), (right, _) = open_floats(target), open_floats(x)
        if left.shape != right.shape:
            raise ValueError(f"x has shape {right.shape}, the target {left.shape}; needed: equal")
        out, counts = combine(left, right, AluOp.ADD, fmt)
        size = 4 * (left.size + right.size) + size_bytes(fmt, out.size)
        shapes, formats = (left.shape, right.shape, out.shape), ("fp32", "fp32", fmt.name)
        record("dma", "dma_accumulate", shapes, formats, counts, size_bytes=size)
        return give(out)

    def _format(self, out_format: Format | str) -> FloatFormat:
        fmt = as_float_format(out_format, "out_format")
        self.core.check_result(fmt)
        return fmt

    def transpose(self, x: Any, *, out_format: Format | str = FP32) -> Any:
        """x (..., P, F) as (..., F, P), rounded to `out_format`: no value is lost on the way.

        What the compiler calls a lossless transpose (documented: neuron-cc, no-fast-relayout; which
        engine moves the data is assumed). NaN are canonical, as in every cast.

        Raises ValueError for fewer than two axes.
        """
        fmt = self._format(out_format)
        values, give = open_floats(x)
        if values.ndim < 2:
            raise ValueError(f"x has shape {values.shape}; needed: (..., P, F)")
        out, counts = apply_flat(values.swapaxes(-1, -2), Activation.COPY, 1.0, -0.0, fmt)
        size = 4 * values.size + size_bytes(fmt, out.size)
        shapes = values.shape, out.shape
        record("dma", "dma_transpose", shapes, ("fp32", fmt.name), counts, size_bytes=size)
        return give(out)


def _places(table: Floats, indices: Any) -> npt.NDArray[np.integer[Any]]:
    """Indices of rows of a table."""
    if table.ndim != 2:
        raise ValueError(f"table has shape {table.shape}; needed: (rows, columns)")
    where = np.asarray(indices)
    if not where.size:
        where = where.astype(np.int64)
    if where.dtype.kind not in "iu":
        raise TypeError(f"indices are {where.dtype}; needed: integers")
    if where.size and not (0 <= where.min() and where.max() < table.shape[0]):
        given = f"indices from {where.min()} to {where.max()}"
        raise ValueError(f"{given}; the table has {table.shape[0]} rows")
    return where


def _turns(places: npt.NDArray[np.integer[Any]]) -> Iterator[npt.NDArray[np.intp]]:
    """Positions of the first occurrence of each place, then of the second, and so on."""
    order = np.argsort(places, kind="stable")
    ordered = places[order]
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))[: places.size]
    sizes = np.diff(np.append(first, places.size))
    rank = np.arange(places.size) - np.repeat(first, sizes)
    for turn in range(int(sizes.max()) if places.size else 0):
        yield order[rank == turn]
