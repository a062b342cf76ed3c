"""Matrix products on arrays: operands laid out, work shared among the threads, kernels called."""

import functools
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from halfulp.dtypes import INT8, FloatFormat, Format
from halfulp.dtypes.addresses import address
from halfulp.dtypes.jit import Kernel
from halfulp.dtypes.parameters import INF32, bits32
from halfulp.dtypes.threads import get_num_threads, parallel, split
from halfulp.engines.byte_kernels import FOUR, HAS_BYTE_PRODUCTS
from halfulp.engines.byte_products import byte_product, pack_byte_panels
from halfulp.engines.memory import uninitialized
from halfulp.engines.microkernel import PANEL, ROW_BLOCK, ROWS
from halfulp.engines.operands import (
    NO_COUNTS,
    Counters,
    Counts,
    Floats,
    float_parameters,
    integer_parameters,
)
from halfulp.engines.outlines import is_outline
from halfulp.engines.panels import FLOAT, FLOAT_PARTS, INTEGER, INTEGER_PARTS, pack_panels
from halfulp.engines.systolic import PSUM_FLOAT, PSUM_PLAIN, PSUM_RAW, product, products
from halfulp.engines.wide_operands import Panels

#: Fewer multiply-accumulates than this run in one thread.
_PARALLEL_MACS = 1 << 21


@dataclass(frozen=True, eq=False)
class Packed:
    """A right operand (K, N), cast and laid out for the array once; made by `TensorEngine.pack`.

    high, low   panels [N / 32][K][32]; low holds the low halves of fp32, None for formats that take
                one pass
    counts      what the cast changed, in the order of `casts.COUNTS`
    stored      the format in which it lies in memory, if that is not `fmt`
    sums        int8 on processors that multiply bytes: `high` holds words of four k there,
                [N / 32][K / 4][32], and this what `byte_kernels` says of the columns
    """

    fmt: Format
    depth: int
    width: int
    high: npt.NDArray[Any]
    low: Floats | None
    counts: Counts
    sums: npt.NDArray[np.int32] | None = None
    stored: Format | None = None

    @property
    def panels(self) -> Panels:
        """The values that go through the array in the first pass; of words they are made anew."""
        return self._panels if self.sums is None else Panels(as_floats(self).high, self.width)

    @functools.cached_property
    def _panels(self) -> Panels:
        return Panels(self.high, self.width)


@dataclass(frozen=True, eq=False)
class Cast:
    """How an operand comes in: multiplied by `scale`, rounded to `fmt`; made by `cast_of`.

    For four passes in two parts, the high and the low halves of fp32.

    arguments   what the kernels take: the operand's KIND, its parameters, the bits of its scale
    """

    fmt: Format
    scale: float
    passes: int
    arguments: tuple[int, int, int]


@functools.lru_cache(1024)
def cast_of(fmt: Format, scale: float, passes: int, name: str = "scale") -> Cast:
    """A cast; equal ones are one object.

    Raises ValueError for a scale that is not positive and finite in float32 too, under its `name`.
    """
    if not (scale > 0 and 0 < bits32(scale) < INF32):
        raise ValueError(f"{name}={scale!r}; needed: a positive, finite number")
    if isinstance(fmt, FloatFormat):
        kind = FLOAT if passes == 1 else FLOAT_PARTS
        given = float_parameters(fmt)[1]
    else:
        kind = INTEGER if passes == 1 else INTEGER_PARTS
        given = integer_parameters(fmt)[1]
    return Cast(fmt, scale, passes, (kind, given, bits32(scale)))


@dataclass(frozen=True)
class Exit:
    """How sums leave PSUM: round(sum * multiplier + bias), or as they are.

    psum               one of `systolic`'s PSUM constants
    multiplier, bias   (N,); not read when the sums leave as they are
    fmt                of the result; read with them
    """

    psum: int
    multiplier: Floats
    bias: Floats
    fmt: FloatFormat

    def part(self, columns: slice) -> "Exit":
        """The way out of some columns."""
        if self.psum in (PSUM_PLAIN, PSUM_RAW):
            return self
        return replace(self, multiplier=self.multiplier[columns], bias=self.bias[columns])

    @functools.cached_property
    def arguments(self) -> tuple[int, int, int, int]:
        """What the kernels take."""
        given = float_parameters(self.fmt)[1]
        return self.psum, address(self.multiplier), address(self.bias), given


def _row_major(x: Floats) -> Floats:
    """`x` with the elements of a row side by side and rows apart by a positive stride.

    Copied if need be.
    """
    scattered = x.shape[-1] > 1 and x.strides[-1] != x.itemsize
    if scattered or (x.shape[-2] > 1 and x.strides[-2] < x.itemsize * x.shape[-1]):
        return np.ascontiguousarray(x)
    return x


def _right(b: Floats, transposed: bool) -> tuple[Floats, bool]:
    """Rows of B, or of its transpose when those lie in memory: (array, turned)."""
    if b.shape[-1] > 1 and b.strides[-1] != 4 and b.strides[-2] == 4:
        b, transposed = b.swapaxes(-1, -2), not transposed
    return _row_major(b), transposed


def _steps(x: Floats, batch: tuple[int, ...]) -> tuple[Floats, int, int]:
    """`x` broadcast to a batch, and the bytes between its matrices.

    First along the axes before the batch's last one, seen as one axis, then along the last one.
    """
    if x.shape[:-2] != batch:
        x = np.broadcast_to(x, batch + x.shape[-2:])
    if len(batch) > 2:
        x = np.ascontiguousarray(x).reshape(-1, batch[-1], *x.shape[-2:])
    return x, (x.strides[-4] if x.ndim > 3 else 0), x.strides[-3]


def pack(b: Floats, cast: Cast, transposed: bool) -> Packed:
    """B (K, N), or (N, K) with `transposed`, cast and laid out in panels."""
    width, depth = b.shape if transposed else b.shape[::-1]
    if is_outline(b):
        return Packed(cast.fmt, depth, width, b, None, NO_COUNTS)
    rows, turned = _right(b, transposed)
    panels = -(-width // PANEL)
    high = uninitialized((panels, depth, PANEL))
    low = uninitialized((panels, depth, PANEL)) if cast.passes == 4 else None
    pieces = split(panels, 1, 4) if depth * width >= _PARALLEL_MACS // 16 else [(0, panels)]
    counts = Counters(len(pieces))
    source = address(rows), rows.strides[0], int(turned)
    target = address(high), 0 if low is None else address(low), depth, width
    parts = [
        (*source, *target, *cast.arguments, counts.place(index), *piece)
        for index, piece in enumerate(pieces)
    ]
    parallel(pack_panels, parts)
    if HAS_BYTE_PRODUCTS and cast.fmt == INT8 and cast.passes == 1:
        return _pack_bytes(high, depth, width, counts.total())
    return Packed(cast.fmt, depth, width, high, low, counts.total())


def _pack_bytes(panels: Floats, depth: int, width: int, counts: Counts) -> Packed:
    words = uninitialized((len(panels), -(-depth // FOUR), PANEL), np.dtype(np.int32))
    sums = np.empty((len(panels), PANEL), np.int32)
    given = address(panels), address(words), address(sums), depth
    parallel(pack_byte_panels, [(*given, *piece) for piece in split(len(panels), 1, 4)])
    return Packed(INT8, depth, width, words, None, counts, sums)


def as_floats(b: Packed) -> Packed:
    """Packed words as float32 panels, for sums that are no integers."""
    if b.sums is None:
        return b
    numbers = b.high.view(np.int8).reshape(*b.high.shape, FOUR)
    rows = numbers.swapaxes(2, 3).reshape(len(b.high), -1, PANEL)
    panels = np.ascontiguousarray(rows[:, : b.depth], np.float32)
    return Packed(b.fmt, b.depth, b.width, panels, None, b.counts)


def _pieces(rows: int, panels: int, macs: int) -> list[tuple[int, int, int, int]]:
    """(first row, last row, first panel, last panel) of each thread's share."""
    if macs < _PARALLEL_MACS or get_num_threads() == 1:
        return [(0, rows, 0, panels)]
    if rows >= 4 * ROW_BLOCK or panels < get_num_threads():
        return [(first, last, 0, panels) for first, last in split(rows, ROWS, ROWS)]
    # the rows of A are cast by each thread, which small M can afford
    return [(0, rows, first, last) for first, last in split(panels, 1, 1)]


def flat_product(a: Floats, cast: Cast, b: Packed, exit_: Exit, out: Any) -> Counts:
    """All leading axes of `a` as rows, times a packed operand.

    `a` is float32; or int8, which needs no cast, if the packed one has words. Returns what the
    casts of A and of the result changed.
    """
    rows = prod(a.shape[:-1])
    flat = _row_major(a.reshape(rows, a.shape[-1]) if a.ndim != 2 else a)
    if exit_.psum <= PSUM_FLOAT:
        b = as_floats(b)
    low = b.low
    if low is None and cast.passes == 4:
        low = np.zeros_like(b.high)  # tf32 has no low half
    pieces = _pieces(rows, b.high.shape[0], rows * b.depth * b.width)
    counts = Counters(len(pieces))
    left = address(flat), flat.strides[0]
    second = low if b.sums is None else b.sums
    right = address(b.high), 0 if second is None else address(second)
    places = *left, *right, address(out), b.width * 4, b.depth, b.width
    run: Kernel = product
    kinds: tuple[int, ...] = cast.arguments
    leave: tuple[int, ...] = cast.passes, *exit_.arguments
    if b.sums is not None:  # bytes have one kind of cast, and one pass
        kinds = (0, 0) if a.dtype == np.int8 else cast.arguments[1:]
        run, leave = byte_product, leave[1:]
    parts = []
    for index, piece in enumerate(pieces):
        # rows that several threads cast are counted by the first of them
        casts = *kinds, counts.place(index, 0 if piece[2] == 0 else 2)
        parts.append((*places, *piece, *casts, *leave, counts.place(index, 1)))
    parallel(run, parts)
    return counts.total(groups=2)


def batched_product(
    a: Floats, b: Floats, transposed: bool, casts: tuple[Cast, Cast], exit_: Exit, out: Any
) -> Counts:
    """Both operands differ from item to item; B is packed item by item. Returns what casts changed.

    a (..., M, K), b (..., K, N) or (..., N, K) with `transposed`, out (*batch, M, N), contiguous if
    the batch has more than two axes; `casts` of a and of b, with the same passes.
    """
    batch, (height, width), depth = out.shape[:-2], out.shape[-2:], a.shape[-1]
    items = prod(batch)
    if not items:
        return np.zeros(4, np.int64)
    (right, turned), passes = _right(b, transposed), casts[0].passes
    left, *left_steps = _steps(_row_major(a), batch)
    right, *right_steps = _steps(right, batch)
    target, *out_steps = _steps(out, batch)
    shared = items * height * depth * width >= _PARALLEL_MACS
    pieces = split(items, 1, 1) if shared else [(0, items)]
    operands = address(left), *left_steps, address(right), *right_steps
    places = *operands, address(target), *out_steps, batch[-1]
    strides = left.strides[-2], right.strides[-2], int(turned), target.strides[-2]
    shapes = *strides, height, depth, width
    leave = passes, *exit_.arguments
    counts = Counters(len(pieces))
    panels = -(-width // PANEL)
    space = uninitialized((len(pieces), 2 if passes == 4 else 1, panels, depth, PANEL))
    first, second = casts[0].arguments, casts[1].arguments
    parts = []
    for index, piece in enumerate(pieces):
        place, again = counts.place(index), counts.place(index, 3)
        packed = address(space) + index * space.strides[0]
        low = packed + (space.strides[1] if passes == 4 else 0)
        given = *first, place, *second, place
        parts.append((*places, *piece, *shapes, packed, low, *given, *leave, place, again))
    parallel(products, parts)
    return counts.total()
