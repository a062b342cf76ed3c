"""The DMA engines: data that moves, and casts on the way."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from halfulp.dtypes import FP32, Format
from halfulp.engines.activations import Activation
from halfulp.engines.arrays import apply_flat
from halfulp.engines.ledger import record
from halfulp.engines.operands import as_float_format, open_floats, size_bytes

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
        fmt = as_float_format(out_format, "out_format")
        self.core.check_result(fmt)
        rows, give = open_floats(table)
        if rows.ndim != 2:
            raise ValueError(f"table has shape {rows.shape}; needed: (rows, columns)")
        where = np.asarray(indices)
        if not where.size:
            where = where.astype(np.int64)
        if where.dtype.kind not in "iu":
            raise TypeError(f"indices are {where.dtype}; needed: integers")
        if where.size and not (0 <= where.min() and where.max() < rows.shape[0]):
            given = f"indices from {where.min()} to {where.max()}"
            raise ValueError(f"{given}; the table has {rows.shape[0]} rows")
        out, counts = apply_flat(rows[where], Activation.COPY, 1.0, -0.0, fmt)
        size = 4 * (out.size + where.size) + size_bytes(fmt, out.size)
        shapes = rows.shape, where.shape, out.shape
        formats = "fp32", "int32", fmt.name
        record("dma", "gather", shapes, formats, counts, size_bytes=size)
        return give(out)

    def transpose(self, x: Any, *, out_format: Format | str = FP32) -> Any:
        """x (..., P, F) as (..., F, P), rounded to `out_format`: no value is lost on the way.

        What the compiler calls a lossless transpose (documented: neuron-cc, no-fast-relayout; which
        engine moves the data is assumed). NaN are canonical, as in every cast.

        Raises ValueError for fewer than two axes.
        """
        fmt = as_float_format(out_format, "out_format")
        self.core.check_result(fmt)
        values, give = open_floats(x)
        if values.ndim < 2:
            raise ValueError(f"x has shape {values.shape}; needed: (..., P, F)")
        out, counts = apply_flat(values.swapaxes(-1, -2), Activation.COPY, 1.0, -0.0, fmt)
        size = 4 * values.size + size_bytes(fmt, out.size)
        shapes = values.shape, out.shape
        record("dma", "dma_transpose", shapes, ("fp32", fmt.name), counts, size_bytes=size)
        return give(out)
