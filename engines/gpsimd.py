"""The GPSIMD engine: integers computed as such, index patterns, gathers and selections."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from halfulp.dtypes import (
    INT8,
    INT16,
    INT32,
    UINT8,
    UINT16,
    UINT32,
    FloatFormat,
    Format,
    IntFormat,
    encode,
)
from halfulp.dtypes.checks import integer
from halfulp.dtypes.containers import is_tensor, open_source
from halfulp.dtypes.dtype_names import DTYPES, as_format, dtype_name
from halfulp.dtypes.rounding import choice
from halfulp.engines.activations import Activation
from halfulp.engines.arrays import apply_flat
from halfulp.engines.integer_lanes import Comparison, IntegerOp, affine, combine, holds
from halfulp.engines.ledger import record
from halfulp.engines.operands import Counts, UnsupportedFormat, filled, size_bytes

if TYPE_CHECKING:
    from halfulp.engines.core import NeuronCore

Array = npt.NDArray[Any]
Give = Callable[[Array], Any]
#: Types whose lanes are documented: 16 of 32 bits, 32 of 16, 64 of 8 in each of 8 processors.
INTEGERS: dict[str, IntFormat] = {
    fmt.name: fmt for fmt in (INT32, UINT32, INT16, UINT16, INT8, UINT8)
}
_ALLOWED = ", ".join(INTEGERS)
_PARTITIONS = 16  # of a processor
_NO_CASTS: Counts = np.zeros(4, np.int64)


class UnsupportedEngine(ValueError):
    """An engine that a core has not."""


@dataclass(frozen=True)
class GpSimdEngine:
    """Instructions of the GPSIMD engine; an array may be larger than what one instruction takes.

    Source: nki.isa. Integer arithmetic of its own, exact for int32 and uint32 in `tensor_tensor`:
    documented. Assumed: what overflows wraps around, two's complement; the other integer types and
    `tensor_scalar`, for which nki.isa documents fp32, are computed so too; operators on bits, which
    it documents for Vector, give the same bits here; a shift by the width or more, or by a negative
    number, leaves 0, an arithmetic one the sign.

    Raises UnsupportedEngine for a core without one: NeuronCore-v1 (documented).
    """

    core: "NeuronCore"

    def __post_init__(self) -> None:
        if not self.core.has_gpsimd:
            raise UnsupportedEngine(
                f"{self.core.name} has no GPSIMD engine ({self.core.source}); give NEURONCORE_V2"
            )

    def tensor_tensor(
        self, a: Any, b: Any, op: IntegerOp | str, *, out_format: Format | str | None = None
    ) -> Any:
        """a op b, element by element, of two arrays of one integer type; shapes broadcast.

        out_format  None for that type, or the other one of its width, with the same bits

        Raises TypeError for elements that are no integers of at most 32 bits, UnsupportedFormat for
        two types and for another width of the result, ValueError for an unknown operator and for
        shapes that do not broadcast.
        """
        operator = choice(IntegerOp, op, "op")
        (left, fmt, give), (right, other, _) = _open_integers(a, "a"), _open_integers(b, "b")
        if fmt != other:
            raise UnsupportedFormat(
                f"a is {fmt}, b {other}; both operands of an integer instruction have one type:"
                " convert one of them first"
            )
        found = _result_type(fmt, out_format)
        out = combine(left, right, operator).view(found.numpy)
        _record("tensor_tensor", (left.shape, right.shape, out.shape), (fmt, fmt, found))
        return give(out)

    def tensor_scalar(
        self, x: Any, scalar: int, op: IntegerOp | str, *, out_format: Format | str | None = None
    ) -> Any:
        """x op scalar, an integer of x's type; all else as in `tensor_tensor`.

        Raises ValueError for a scalar outside that type.
        """
        operator = choice(IntegerOp, op, "op")
        array, fmt, give = _open_integers(x, "x")
        found = _result_type(fmt, out_format)
        number = np.array(integer(scalar, "scalar", fmt.min, fmt.max), fmt.numpy)
        out = combine(array, number, operator).view(found.numpy)
        _record("tensor_scalar", (array.shape, out.shape), (fmt, found))
        return give(out)

    def iota(
        self, shape: Sequence[int], *, steps: Sequence[int], base: int = 0, dtype: Any = INT32
    ) -> Array:
        """base + sum of steps[i] * index[i] in 32-bit integers, which wrap around (assumed).

        steps  one an axis; the first is NKI's channel_multiplier
        dtype  an integer format, its name, or a type; a narrower one keeps the low bits (assumed)

        Raises TypeError, ValueError for what are no int32 and for not one step an axis,
        UnsupportedFormat for another type.
        """
        fmt = as_format(dtype)
        if not isinstance(fmt, IntFormat) or fmt.name not in INTEGERS:
            raise UnsupportedFormat(f"dtype={fmt}; iota writes integers: {_ALLOWED}")
        lengths = tuple(integer(n, "length of an axis", 0, INT32.max) for n in shape)
        out = affine(lengths, base, steps).astype(f"u{fmt.bits // 8}").view(fmt.numpy)
        _record("iota", (lengths,), (fmt,))
        return out

    def affine_select(
        self, x: Any, *, steps: Sequence[int], compare: Comparison | str, fill: float, base: int = 0
    ) -> Any:
        """x where base + sum of steps[i] * index[i] compares so with 0, else `fill`; x's format.

        x        float32, or another type of numpy, ml_dtypes or torch that has a format of the
                 core; what is kept keeps its bits
        compare  "equal", "greater_equal", ...: a `Comparison`
        fill     for floats rounded to fp32 (documented), then to x's format; for integers one

        Raises TypeError for elements without a format, ValueError for an unknown comparison, else
        as `iota`.
        """
        relation = choice(Comparison, compare, "compare")
        codes, fmt, give = _open_codes(self.core, x, "x")
        keeps = holds(affine(codes.shape, base, steps).view(np.int32), relation)
        code, counts = _filling(fill, fmt)
        out = np.where(keeps, codes, code)
        replaced = codes.size - int(np.count_nonzero(keeps))
        _record("affine_select", (codes.shape, out.shape), (fmt, fmt), counts * replaced)
        return give(out)

    def local_gather(self, src: Any, index: Any) -> Any:
        """Columns of src that 16 partitions choose together: a processor has 16 partitions.

        src      (P, F) of any type that has a format of the core, P a multiple of 16
        index    (P, n) integers; the 16 n of a group of partitions, column after column, are meant
                 for each of them
        returns  (P, 16 n), the same bits

        Raises ValueError for other shapes and for an index outside 0 to F - 1, TypeError for
        indices that are no integers. Source: nki.isa, with one element an index.
        """
        codes, fmt, give = _open_codes(self.core, src, "src")
        where = np.asarray(index)
        two = codes.ndim == where.ndim == 2
        if not two or len(codes) != len(where) or len(codes) % _PARTITIONS:
            raise ValueError(
                f"src has shape {codes.shape}, index {where.shape}; needed: (P, F) and (P, n), P a"
                " multiple of 16; in nc_n_gather each partition has indices of its own"
            )
        groups, each = len(codes) // _PARTITIONS, where.shape[1]
        cut = _checked(where, codes.shape[1]).reshape(groups, _PARTITIONS, each)
        shared = cut.swapaxes(1, 2).reshape(groups, _PARTITIONS * each)
        out = np.take_along_axis(codes, np.repeat(shared, _PARTITIONS, axis=0), axis=1)
        _record("local_gather", (codes.shape, where.shape, out.shape), (fmt, UINT16, fmt))
        return give(out)

    def nc_n_gather(self, data: Any, indices: Any) -> Any:
        """Elements of each partition of data, its other axes taken as one.

        data (P, ...), as src of `local_gather`; indices (P, ...); returns the shape of indices.

        Raises as `local_gather`. Source: nki.isa.
        """
        codes, fmt, give = _open_codes(self.core, data, "data")
        where = np.asarray(indices)
        if codes.ndim < 2 or where.ndim < 2 or len(codes) != len(where):
            raise ValueError(
                f"data has shape {codes.shape}, indices {where.shape};"
                " needed: (P, ...) and (P, ...), at least two axes each"
            )
        rows = codes.reshape(len(codes), prod(codes.shape[1:]))
        flat = _checked(where, rows.shape[1]).reshape(len(rows), prod(where.shape[1:]))
        out = np.take_along_axis(rows, flat, axis=1).reshape(where.shape)
        _record("nc_n_gather", (codes.shape, where.shape, out.shape), (fmt, UINT32, fmt))
        return give(out)


def _record(
    instruction: str,
    shapes: tuple[tuple[int, ...], ...],
    formats: tuple[Format, ...],
    counts: Counts = _NO_CASTS,
) -> None:
    size = sum(size_bytes(fmt, prod(shape)) for fmt, shape in zip(formats, shapes, strict=True))
    names = tuple(fmt.name for fmt in formats)
    record("gpsimd", instruction, shapes, names, counts, size_bytes=size)


def _open_integers(x: Any, argument: str) -> tuple[Array, IntFormat, Give]:
    source = open_source(x)
    # by the type that was given: 4 bits of ml_dtypes are opened as 8
    name = dtype_name(getattr(x, "dtype", None)) or source.array.dtype.name
    if name not in INTEGERS:
        raise TypeError(
            f"{argument} has elements of type {name}; integer instructions take {_ALLOWED}:"
            " convert them, or let core.vector compute in fp32"
        )
    return source.array, INTEGERS[name], source.give_back


def _result_type(fmt: IntFormat, given: Format | str | None) -> IntFormat:
    found = fmt if given is None else as_format(given)
    if not isinstance(found, IntFormat) or found.bits != fmt.bits:
        raise UnsupportedFormat(
            f"out_format={found} of {fmt} operands; allowed: int{fmt.bits}, uint{fmt.bits}."
            " Another width is a cast, an instruction of its own"
        )
    return found


def _filling(fill: float, fmt: Format) -> tuple[Array, Counts]:
    """The code of a filled element, and what its cast changed."""
    if isinstance(fmt, FloatFormat):
        value, counts = apply_flat(filled(1, fill), Activation.COPY, 1.0, -0.0, fmt)
        return encode(value, fmt).reshape(()), counts
    number = np.array(integer(fill, "fill", fmt.min, fmt.max), fmt.numpy)
    return number.view(f"u{number.itemsize}"), _NO_CASTS


def _open_codes(core: "NeuronCore", x: Any, argument: str) -> tuple[Array, Format, Give]:
    """The bits of the elements as unsigned integers, their format, and the way back."""
    source = open_source(x)
    name = dtype_name(getattr(x, "dtype", None)) or source.array.dtype.name
    fmt = DTYPES.get(name)
    if fmt is None or (isinstance(fmt, IntFormat) and name not in INTEGERS):
        raise TypeError(
            f"{argument} has elements of type {name}; needed: a type with a format of the core,"
            f" float32, float16, bfloat16, float8_..., {_ALLOWED}"
        )
    if isinstance(fmt, FloatFormat):
        core.check_result(fmt)

    def give(codes: Array) -> Any:
        if is_tensor(x):
            return source.give_back(codes).view(x.dtype)
        kind = np.asarray(x).dtype
        return source.give_back(codes.view(kind if kind.isnative else kind.newbyteorder("=")))

    return source.array.view(f"u{source.array.itemsize}"), fmt, give


def _checked(index: Array, length: int) -> npt.NDArray[np.int64]:
    """Indices from 0 to length - 1. Raises TypeError, ValueError for others."""
    if not index.size:
        return index.astype(np.int64)
    if index.dtype.kind not in "iu":
        raise TypeError(f"indices are {index.dtype}; needed: integers")
    low, high = index.min(), index.max()
    if not (0 <= low and high < length):
        raise ValueError(f"indices from {low} to {high}; a partition has {length} elements")
    return index.astype(np.int64)
