"""The Tensor Engine: matrix products as the systolic array adds them."""

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from halfulp.dtypes import FP32, INT8, TF32, FloatFormat, Format, IntFormat
from halfulp.dtypes.parameters import INF32, bits32
from halfulp.dtypes.threads import get_num_threads, parallel, split
from halfulp.engines.ledger import record
from halfulp.engines.microkernel import PANEL, ROW_BLOCK, ROWS
from halfulp.engines.operands import (
    Counters,
    Counts,
    Floats,
    UnsupportedFormat,
    address,
    as_float_format,
    as_format,
    broadcast_shape,
    filled,
    float_parameters,
    integer_parameters,
    open_floats,
    size_bytes,
)
from halfulp.engines.systolic import (
    FLOAT,
    FLOAT_PARTS,
    INTEGER,
    INTEGER_PARTS,
    PSUM_FLOAT,
    PSUM_INTEGER,
    PSUM_PLAIN,
    PSUM_RAW,
    pack_panels,
    product,
    products,
)

if TYPE_CHECKING:
    from halfulp.engines.core import NeuronCore

#: Fewer multiply-accumulates than this run in one thread.
_PARALLEL_MACS = 1 << 21


@dataclass(frozen=True, eq=False)
class Packed:
    """A right operand (K, N), cast and laid out for the array once; made by `TensorEngine.pack`.

    high, low   panels [N / 32][K][32]; low holds the low halves of fp32, None for formats of one pass
    counts      what the cast changed, in the order of `casts.COUNTS`
    """

    fmt: Format
    depth: int
    width: int
    high: Floats
    low: Floats | None
    counts: Counts


def passes_of(fmt: Format) -> int:
    """Passes through the array: fp32 takes four, as do the integers without a datapath of their own."""
    return 4 if fmt == FP32 or (isinstance(fmt, IntFormat) and fmt != INT8) else 1


def _kind(fmt: Format, passes: int) -> int:
    if isinstance(fmt, IntFormat):
        return INTEGER if passes == 1 else INTEGER_PARTS
    return FLOAT if passes == 1 else FLOAT_PARTS


def _given(fmt: Format) -> int:
    return (float_parameters(fmt) if isinstance(fmt, FloatFormat) else integer_parameters(fmt))[1]


def _aligned(shape: tuple[int, ...]) -> Floats:
    """Uninitialised floats that start at a cache line."""
    size = prod(shape)
    memory = np.empty(size + 16, np.float32)
    start = (-memory.ctypes.data % 64) // 4
    return memory[start : start + size].reshape(shape)


def _row_major(x: Floats) -> Floats:
    """`x` with elements of a row next to each other and rows apart by a positive stride; copied if need be."""
    if (
        x.shape[-1] > 1
        and x.strides[-1] != 4
        or (x.shape[-2] > 1 and x.strides[-2] < 4 * x.shape[-1])
    ):
        return np.ascontiguousarray(x)
    return x


def _right(b: Floats, transposed: bool) -> tuple[Floats, bool]:
    """Rows of B, or of its transpose when those lie in memory: (array, turned)."""
    if b.shape[-1] > 1 and b.strides[-1] != 4 and b.strides[-2] == 4:
        b, transposed = b.swapaxes(-1, -2), not transposed
    return _row_major(b), transposed


def _steps(x: Floats, batch: tuple[int, ...]) -> tuple[Floats, int, int]:
    """`x` broadcast to a batch, and how far apart its matrices lie along the last axis of the batch and before."""
    if x.shape[:-2] != batch:
        x = np.broadcast_to(x, batch + x.shape[-2:])
    if len(batch) > 2:
        x = np.ascontiguousarray(x).reshape(-1, batch[-1], *x.shape[-2:])
    return x, (x.strides[-4] if x.ndim > 3 else 0), x.strides[-3]


@dataclass(frozen=True)
class _Exit:
    """How sums leave PSUM: round(sum * multiplier + bias), or int32 as they are."""

    psum: int
    multiplier: Floats
    bias: Floats
    given: int


_NOTHING = np.zeros(1, np.float32)


@dataclass(frozen=True)
class TensorEngine:
    """128 x 128 systolic array: operands cast on their way in, sums in fp32, rows added one after the other.

    Source: neuron-core-v1.rst, neuron-core-v2.rst, trainium_inferentia2_arch.rst (shapes, formats,
    fp32 sums: documented); order and start of the sums, one rounding a step: NUMERICS section 3
    (derived and assumed).
    """

    core: "NeuronCore"

    @property
    def formats(self) -> frozenset[Format]:
        """Operand formats, cFP8 aside."""
        return self.core.operands

    def check(self, a_format: Format | str, b_format: Format | str) -> None:
        """Raise UnsupportedFormat unless the array takes this pair of operand formats."""
        a, b = as_format(a_format), as_format(b_format)
        if (a, b) in self._checked:
            return
        for fmt in (a, b):
            self.core.check_operand(fmt)
        if isinstance(a, IntFormat) != isinstance(b, IntFormat):
            raise UnsupportedFormat(
                f"{a.name} x {b.name}: an integer operand pairs with an integer operand only"
            )
        wide = {FP32, TF32}
        if isinstance(a, FloatFormat) and (a in wide) != (b in wide):
            raise UnsupportedFormat(
                f"{a.name} x {b.name}: fp32 and tf32 pair with fp32 and tf32 only (nki.isa nc_matmul)"
            )
        self._checked.add((a, b))

    @cached_property
    def _checked(self) -> set[tuple[Format, Format]]:
        """Pairs that have passed `check`."""
        return set()

    def pack(
        self, b: Any, b_format: Format | str, *, scale: Any = 1.0, transposed: bool = False
    ) -> Packed:
        """Cast a right operand and lay it out once, for use in many products.

        b           (K, N), or (N, K) with `transposed`
        scale       b is multiplied by it before the cast: a float, or (N,) floats

        Raises UnsupportedFormat for a format that the array does not take, ValueError for a wrong
        shape.
        """
        fmt = as_format(b_format)
        self.check(fmt, fmt)
        array, _ = open_floats(b)
        if array.ndim != 2:
            raise ValueError(
                f"b has shape {array.shape}; needed: (K, N), or (N, K) with transposed=True"
            )
        factor = 1.0
        if np.ndim(scale):
            vector = _column_vector(scale, array.shape[0 if transposed else 1], "scale")
            array = self.core.vector._multiply(array, vector[:, None] if transposed else vector)
        else:
            factor = _positive(scale, "scale")
        return _pack(array, fmt, passes_of(fmt), factor, transposed)

    def matmul(
        self, a: Any, b: Any, *, a_format: Format | str, b_format: Format | str | None = None,
        out_format: Format | str = FP32, bias: Any = None, a_scale: float = 1.0, b_scale: Any = 1.0,
        rescale: Any = None, transpose_b: bool = False, out: Any = None,
    ) -> Any:  # fmt: skip
        """a @ b with both operands cast, in the array's order: K tiles of 128 rows, each a chain of fused multiply-adds.

        a            (..., M, K), multiplied by `a_scale`, rounded to `a_format`
        b            (..., K, N), or (..., N, K) with `transpose_b`, or a `Packed`; likewise with `b_scale`, `b_format`
                     (default: a_format, or the packed one)
        rescale      None, a float or (N,): the sum is multiplied by it, rounded to fp32
        bias         None or (N,): then added, rounded to fp32; then rounded to `out_format`
        returns      (..., M, N) float32; int32 for int8 x int8 without rescale, bias and out_format; `out` if that is given:
                     C-contiguous, of that shape and type, not overlapping a or b

        fp32 takes four passes a tile; int8 x int8 sums exactly in int32, which wraps (assumed);
        int16 and int32 take the compiler's fp32 path. NaN results are canonical. K = 0 gives zeros.

        Raises UnsupportedFormat for formats the core does not take, ValueError for shapes that do
        not match.
        """
        left, give = open_floats(a)
        a_fmt = as_format(a_format)
        b_fmt = (
            as_format(b_format)
            if b_format is not None
            else b.fmt
            if isinstance(b, Packed)
            else a_fmt
        )
        self.check(a_fmt, b_fmt)
        passes = max(passes_of(a_fmt), passes_of(b_fmt))
        if isinstance(b, Packed):
            if b.fmt != b_fmt:
                raise ValueError(
                    f"b is packed as {b.fmt.name}; b_format={b_fmt.name} must be the same"
                )
            if transpose_b or np.ndim(b_scale) or b_scale != 1.0:
                raise ValueError(
                    "b is packed: pack() took its scale and its order; leave b_scale and transpose_b away"
                )
            right = None
            depth, width, lead = b.depth, b.width, ()
        else:
            right = open_floats(b)[0]
            if right.ndim < 2:
                raise ValueError(f"b has shape {right.shape}; needed: at least two axes")
            depth, width = right.shape[-2:][::-1] if transpose_b else right.shape[-2:]
            lead = right.shape[:-2]
        if left.ndim < 2 or left.shape[-1] != depth:
            raise ValueError(
                f"a has shape {left.shape}, b {depth} x {width}; needed: a of (..., M, {depth})"
            )
        exit_ = self._exit(a_fmt, passes, width, rescale, bias, out_format)
        outer = left.shape[:-2]
        batch = outer if outer == lead or not lead else broadcast_shape(a=outer, b=lead)
        result_type = np.dtype(np.int32 if exit_.psum == PSUM_RAW else np.float32)
        target = _target(out, (*batch, left.shape[-2], width), result_type, left, right)
        scale = _positive(a_scale, "a_scale")
        if right is not None and (np.ndim(b_scale) or prod(lead) == 1):
            flat = right.reshape(right.shape[-2:]) if lead else right
            if np.ndim(b_scale) and flat.ndim > 2:
                raise ValueError("b_scale of shape (N,) needs a two-dimensional b")
            b = self.pack(flat, b_fmt, scale=b_scale, transposed=transpose_b)
            right = None
        if right is None:
            counts = _flat_product(left, a_fmt, scale, b, passes, exit_, target) + b.counts
        else:
            factor = _positive(b_scale, "b_scale")
            counts = _batched_product(
                left, right, transpose_b, (a_fmt, b_fmt), (scale, factor), passes, exit_, target
            )
        rows = prod(left.shape[:-1]) if right is None else prod(batch) * left.shape[-2]
        elements = left.size, depth * width * max(1, prod(lead))
        result = "int32" if exit_.psum == PSUM_RAW else as_format(out_format).name
        record(
            "tensor", "nc_matmul", (left.shape, (*lead, depth, width), target.shape), (a_fmt.name, b_fmt.name, result), counts,
            macs=rows * depth * width,
            size_bytes=size_bytes(a_fmt, elements[0]) + size_bytes(b_fmt, elements[1]) + size_bytes(as_format(result), target.size),
        )  # fmt: skip
        return give(target) if out is None else out

    def _exit(
        self,
        fmt: Format,
        passes: int,
        width: int,
        rescale: Any,
        bias: Any,
        out_format: Format | str,
    ) -> _Exit:
        result = as_float_format(out_format, "out_format")
        self.core.check_result(result)
        integer = isinstance(fmt, IntFormat) and passes == 1
        if rescale is None and bias is None and result == FP32:
            return _Exit(PSUM_RAW if integer else PSUM_PLAIN, _NOTHING, _NOTHING, 0)
        multiplier = _column_vector(1.0 if rescale is None else rescale, width, "rescale")
        # x + -0 is x, also for -0
        shift = _column_vector(-0.0 if bias is None else bias, width, "bias")
        psum = PSUM_INTEGER if integer else PSUM_FLOAT
        return _Exit(psum, multiplier, shift, float_parameters(result)[1])


def _target(
    out: Any, shape: tuple[int, ...], dtype: np.dtype[Any], *operands: Any
) -> npt.NDArray[Any]:
    """A new array for the result, or the caller's after the checks."""
    if out is None:
        return np.empty(shape, dtype)
    array = out if isinstance(out, np.ndarray) else np.asarray(out)
    if (
        array.shape != shape
        or array.dtype != dtype
        or not array.flags.c_contiguous
        or not array.flags.writeable
    ):
        raise ValueError(
            f"out is {array.dtype} of shape {array.shape}; needed: C-contiguous, writeable {dtype} of shape {shape}"
        )
    if any(isinstance(x, np.ndarray) and np.may_share_memory(array, x) for x in operands):
        raise ValueError("out overlaps an operand; give memory of its own")
    return array


def _positive(scale: Any, name: str) -> float:
    value = float(scale)
    if not (value > 0 and 0 < bits32(value) < INF32):
        raise ValueError(f"{name}={scale!r}; needed: a positive, finite number")
    return value


def _column_vector(x: Any, width: int, name: str) -> Floats:
    if isinstance(x, int | float):
        return filled(width, x)
    array = open_floats(x)[0]
    if array.ndim == 0:
        return np.full(width, array, np.float32)
    if array.shape != (width,):
        raise ValueError(f"{name} has shape {array.shape}; needed: a number or ({width},)")
    return np.ascontiguousarray(array)


def _pack(b: Floats, fmt: Format, passes: int, scale: float, transposed: bool) -> Packed:
    width, depth = b.shape if transposed else b.shape[::-1]
    rows, turned = _right(b, transposed)
    panels = -(-width // PANEL)
    high = _aligned((panels, depth, PANEL))
    low = _aligned((panels, depth, PANEL)) if passes == 4 else None
    pieces = split(panels, 1, 4) if depth * width >= _PARALLEL_MACS // 16 else [(0, panels)]
    counts = Counters(len(pieces))
    common = (address(rows), rows.strides[0], int(turned), address(high), 0 if low is None else address(low), depth, width,
              _kind(fmt, passes), _given(fmt), bits32(scale))  # fmt: skip
    parallel(pack_panels, [(*common, counts.place(i), *piece) for i, piece in enumerate(pieces)])
    return Packed(fmt, depth, width, high, low, counts.total())


def _pieces(rows: int, panels: int, macs: int) -> list[tuple[int, int, int, int]]:
    """(first row, last row, first panel, last panel) of each thread's share."""
    if macs < _PARALLEL_MACS or get_num_threads() == 1:
        return [(0, rows, 0, panels)]
    if rows >= 4 * ROW_BLOCK or panels < get_num_threads():
        return [(first, last, 0, panels) for first, last in split(rows, ROWS, ROWS)]
    # the rows of A are cast by each thread, which small M can afford
    return [(0, rows, first, last) for first, last in split(panels, 1, 1)]


def _flat_product(
    a: Floats, fmt: Format, scale: float, b: Packed, passes: int, exit_: _Exit, out: Any
) -> Counts:
    """All leading axes of `a` as rows, times a packed operand."""
    rows = prod(a.shape[:-1])
    flat = _row_major(a.reshape(rows, a.shape[-1]) if a.ndim != 2 else a)
    low = (
        b.low if b.low is not None or passes == 1 else np.zeros_like(b.high)
    )  # tf32 has no low half
    pieces = _pieces(rows, b.high.shape[0], rows * b.depth * b.width)
    counts = Counters(len(pieces))
    first = (address(flat), flat.strides[0], address(b.high), 0 if low is None else address(low), address(out), b.width * 4,
             b.depth, b.width)  # fmt: skip
    cast = _kind(fmt, passes), _given(fmt), bits32(scale)
    leave = passes, exit_.psum, address(exit_.multiplier), address(exit_.bias), exit_.given
    parts = []
    for index, piece in enumerate(pieces):
        # rows that several threads cast are counted by the first of them
        cast_group = 0 if piece[2] == 0 else 2
        parts.append(
            (*first, *piece, *cast, counts.place(index, cast_group), *leave, counts.place(index, 1))
        )
    parallel(product, parts)
    return counts.total(groups=2)


def _batched_product(
    a: Floats, b: Floats, transposed: bool, formats: tuple[Format, Format], scales: tuple[float, float], passes: int,
    exit_: _Exit, out: Any,
) -> Counts:  # fmt: skip
    """Both operands differ from item to item; B is packed item by item."""
    batch, (height, width), depth = out.shape[:-2], out.shape[-2:], a.shape[-1]
    left = _row_major(a)
    right, turned = _right(b, transposed)
    items, inner = prod(batch), batch[-1]
    if not items:
        return np.zeros(4, np.int64)
    (left, *left_steps), (right, *right_steps) = _steps(left, batch), _steps(right, batch)
    pieces = (
        split(items, 1, 1) if items * height * depth * width >= _PARALLEL_MACS else [(0, items)]
    )
    places = (address(left), *left_steps, address(right), *right_steps, address(out), inner)
    counts = Counters(len(pieces))
    panels = -(-width // PANEL)
    shapes = (left.strides[-2], right.strides[-2], int(turned), width * 4, height, depth, width)
    leave = passes, exit_.psum, address(exit_.multiplier), address(exit_.bias), exit_.given
    spaces = [_aligned((2 if passes == 4 else 1, panels, depth, PANEL)) for _ in pieces]
    parts = []
    for index, (piece, space) in enumerate(zip(pieces, spaces, strict=True)):
        place = counts.place(index)
        casts = [
            (_kind(fmt, passes), _given(fmt), bits32(scale), place)
            for fmt, scale in zip(formats, scales, strict=True)
        ]
        parts.append(
            (
                *places,
                *piece,
                *shapes,
                address(space[0]),
                address(space[-1]),
                *casts[0],
                *casts[1],
                *leave,
                place,
                counts.place(index, 3),
            )
        )
    parallel(products, parts)
    return counts.total()


__all__ = ["Packed", "TensorEngine", "passes_of"]
