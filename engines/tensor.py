"""The Tensor Engine: matrix products as the systolic array adds them."""

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from halfulp.dtypes import FP32, TF32, FloatFormat, Format, IntFormat
from halfulp.engines.arrays import combine
from halfulp.engines.datapath import Datapath, datapath
from halfulp.engines.elementwise import AluOp
from halfulp.engines.general_products import fit, general_product
from halfulp.engines.ledger import is_recording, record
from halfulp.engines.memory import target
from halfulp.engines.operands import (
    Counts,
    Floats,
    UnsupportedFormat,
    as_float_format,
    as_format,
    broadcast_shape,
    filled,
    open_floats,
    size_bytes,
)
from halfulp.engines.products import (
    Exit,
    Packed,
    batched_product,
    cast_of,
    flat_product,
    pack,
)
from halfulp.engines.systolic import PSUM_FLOAT, PSUM_INTEGER, PSUM_PLAIN, PSUM_RAW

if TYPE_CHECKING:
    from halfulp.engines.core import NeuronCore

_NOTHING = np.zeros(1, np.float32)


@dataclass(frozen=True)
class TensorEngine:
    """128 x 128 systolic array: operands cast on their way in, sums in fp32, row after row.

    Source: neuron-core-v1.rst, neuron-core-v2.rst, trainium_inferentia2_arch.rst (shapes, formats,
    fp32 sums: documented); order and start of the sums, one rounding a step:
    docs/numerics.md, "Tensor Engine" (derived and assumed).
    """

    core: "NeuronCore"

    @property
    def formats(self) -> frozenset[Format]:
        """Operand formats, cFP8 aside."""
        return self.core.operands

    def check(self, a_format: Format | str, b_format: Format | str) -> None:
        """Raise UnsupportedFormat unless the array takes this pair of operand formats."""
        a, b = as_format(a_format), as_format(b_format)
        self._path(a, b)

    def _path(self, a: Format, b: Format) -> Datapath:
        """How this pair goes through the array."""
        known = self._paths.get((a, b))
        if known is not None:
            return known
        for fmt in (a, b):
            self.core.check_operand(fmt)
        if isinstance(a, IntFormat) != isinstance(b, IntFormat):
            raise UnsupportedFormat(
                f"{a.name} x {b.name}: an integer operand pairs with an integer operand only"
            )
        wide = {FP32, TF32}
        if isinstance(a, FloatFormat) and (a in wide) != (b in wide):
            raise UnsupportedFormat(
                f"{a.name} x {b.name}: fp32 and tf32 pair with fp32 and tf32 only"
                " (nki.isa nc_matmul)"
            )
        found = self._paths[a, b] = datapath(self.core, a, b)
        return found

    @cached_property
    def _paths(self) -> dict[tuple[Format, Format], Datapath]:
        """Pairs that have passed `check`."""
        return {}

    def pack(
        self, b: Any, b_format: Format | str, *, scale: Any = 1.0, transposed: bool = False
    ) -> Packed:
        """Cast a right operand and lay it out once, for use in many products.

        b       (K, N), or (N, K) with `transposed`
        scale   b is multiplied by it before the cast: a float, or (N,) floats

        Raises UnsupportedFormat for a format that the array does not take, ValueError for a wrong
        shape.
        """
        fmt = as_format(b_format)
        passes = self._path(fmt, fmt).passes
        array, _ = open_floats(b)
        if array.ndim != 2:
            raise ValueError(
                f"b has shape {array.shape}; needed: (K, N), or (N, K) with transposed=True"
            )
        factor = 1.0
        if np.ndim(scale):
            vector = _column_vector(scale, array.shape[0 if transposed else 1], "scale")
            factors = vector[:, None] if transposed else vector
            array, _ = combine(array, factors, AluOp.MULTIPLY, FP32)
        else:
            factor = float(scale)
        return pack(array, cast_of(fmt, factor, passes), transposed)

    def matmul(
        self, a: Any, b: Any, *, a_format: Format | str, b_format: Format | str | None = None,
        out_format: Format | str = FP32, bias: Any = None, a_scale: float = 1.0, b_scale: Any = 1.0,
        rescale: Any = None, transpose_b: bool = False, out: Any = None,
    ) -> Any:  # fmt: skip
        """a @ b with both operands cast, added in the array's order.

        That order: K tiles of 128 rows, each a chain of fused multiply-adds from +0, added to the
        sum one tile after the other.

        a         (..., M, K), multiplied by `a_scale`, rounded to `a_format`
        b         (..., K, N), or (..., N, K) with `transpose_b`, or a `Packed`; likewise with
                  `b_scale`, a float or (N,) floats, and `b_format`: by default a_format, or that
                  of the `Packed`
        rescale   None, a float or (N,): the sum is multiplied by it, rounded to fp32
        bias      None, a float or (N,): then added, rounded to fp32; then rounded to `out_format`
        returns   (..., M, N) float32; int32 for int8 x int8 without rescale, bias and out_format;
                  `out` if that is given: of that shape and type, not overlapping a, b;
                  C-contiguous, but that the rows of a batch of one or two axes, each item with a b
                  of its own, may lie apart

        fp32 takes four passes a tile; int8 x int8 sums exactly in int32, which wraps (assumed);
        int16 and int32 take the compiler's fp32 path. NaN results are canonical. K = 0 gives zeros.
        Fields of the core (`accumulation`, `fp32_passes`, `integer_matmul`) change each of these.

        Raises UnsupportedFormat for formats the core does not take, ValueError for shapes that do
        not match.
        """
        left, give = open_floats(a)
        a_fmt = as_format(a_format)
        b_fmt = _right_format(b, b_format, a_fmt)
        path = self._path(a_fmt, b_fmt)
        right = _open_right(b, b_fmt, b_scale, transpose_b)
        lead, depth, width = _extent(right, transpose_b)
        if left.ndim < 2 or left.shape[-1] != depth:
            given = f"a has shape {left.shape}, b {depth} x {width}"
            raise ValueError(f"{given}; needed: a of (..., M, {depth})")
        exit_ = self._exit(path, width, rescale, bias, out_format)
        outer = left.shape[:-2]
        batch = outer if outer == lead or not lead else broadcast_shape(a=outer, b=lead)
        raw = exit_.psum == PSUM_RAW
        shape = (*batch, left.shape[-2], width)
        dtype = np.dtype(np.int32 if raw else np.float32)
        once = np.ndim(b_scale) or prod(lead) == 1
        gaps = not isinstance(right, Packed) and not once and len(batch) <= 2
        place = target(out, shape, dtype, gaps, left, right)
        if not isinstance(right, Packed) and once:
            right = self._pack_once(right, b_fmt, b_scale, transpose_b)
        cast = cast_of(a_fmt, float(a_scale), path.passes, "a_scale")
        second = 1.0 if isinstance(right, Packed) else float(b_scale)
        casts = cast, cast_of(b_fmt, second, path.passes, "b_scale")
        if isinstance(right, Packed):
            right = fit(right, path.passes)
        if path.sums is not None:
            counts = general_product(left, right, transpose_b, casts, exit_, path, place)
        elif isinstance(right, Packed):
            counts = flat_product(left, cast, right, exit_, place) + right.counts
        else:
            counts = batched_product(left, right, transpose_b, casts, exit_, place)
        result = as_format("int32" if raw else out_format)
        shapes = left.shape, (*lead, depth, width), place.shape
        _record(shapes, (a_fmt, b_fmt, result), counts)
        return give(place) if out is None else out

    def _pack_once(self, b: Floats, fmt: Format, scale: Any, transposed: bool) -> Packed:
        """A right operand that is one matrix, whatever its leading axes."""
        flat = b.reshape(b.shape[-2:]) if prod(b.shape[:-2]) == 1 else b
        if np.ndim(scale) and flat.ndim > 2:
            raise ValueError("b_scale of shape (N,) needs a two-dimensional b")
        return self.pack(flat, fmt, scale=scale, transposed=transposed)

    def _exit(
        self, path: Datapath, width: int, rescale: Any, bias: Any, out_format: Format | str
    ) -> Exit:
        result = as_float_format(out_format, "out_format")
        self.core.check_result(result)
        if rescale is None and bias is None and result == FP32:
            return Exit(PSUM_RAW if path.integer else PSUM_PLAIN, _NOTHING, _NOTHING, FP32)
        multiplier = _column_vector(1.0 if rescale is None else rescale, width, "rescale")
        # x + -0 is x, also for -0
        shift = _column_vector(-0.0 if bias is None else bias, width, "bias")
        psum = PSUM_INTEGER if path.integer else PSUM_FLOAT
        return Exit(psum, multiplier, shift, result)


def _right_format(b: Any, b_format: Format | str | None, a_format: Format) -> Format:
    if b_format is not None:
        return as_format(b_format)
    return b.fmt if isinstance(b, Packed) else a_format


def _open_right(b: Any, fmt: Format, scale: Any, transposed: bool) -> Packed | Floats:
    """The right operand, packed or as an array of two axes or more."""
    if isinstance(b, Packed):
        if b.fmt != fmt:
            raise ValueError(f"b is packed as {b.fmt.name}; b_format={fmt.name} must be the same")
        if transposed or np.ndim(scale) or scale != 1.0:
            raise ValueError(
                "b is packed: pack() took its scale and its order;"
                " leave b_scale and transpose_b away"
            )
        return b
    array = open_floats(b)[0]
    if array.ndim < 2:
        raise ValueError(f"b has shape {array.shape}; needed: at least two axes")
    return array


def _extent(right: Packed | Floats, transposed: bool) -> tuple[tuple[int, ...], int, int]:
    """(leading axes, K, N) of a right operand."""
    if isinstance(right, Packed):
        return (), right.depth, right.width
    depth, width = right.shape[-2:][::-1] if transposed else right.shape[-2:]
    return right.shape[:-2], depth, width


def _record(
    shapes: tuple[tuple[int, ...], ...], formats: tuple[Format, ...], counts: Counts
) -> None:
    """Write a product of (..., M, K), (..., K, N) into (..., M, N) into the ledger."""
    if not is_recording():
        return
    _, right, result = shapes
    # an empty batch still has its right operand
    sizes = prod(shapes[0]), prod(right[-2:]) * max(1, prod(right[:-2])), prod(result)
    size = sum(size_bytes(fmt, elements) for fmt, elements in zip(formats, sizes, strict=True))
    names = tuple(fmt.name for fmt in formats)
    macs = prod(result) * right[-2]
    record("tensor", "nc_matmul", shapes, names, counts, macs=macs, size_bytes=size)


def _column_vector(x: Any, width: int, name: str) -> Floats:
    """A number, repeated, or (width,) numbers, as contiguous float32."""
    if isinstance(x, int | float):
        return filled(width, x)
    array = open_floats(x)[0]
    if array.ndim == 0:
        return np.full(width, array, np.float32)
    if array.shape != (width,):
        raise ValueError(f"{name} has shape {array.shape}; needed: a number or ({width},)")
    return np.ascontiguousarray(array)
