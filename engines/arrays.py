"""Elementwise and row kernels on arrays: shapes broadcast, rows shared among the threads."""

import functools
from math import prod
from typing import Any

import numpy as np

from halfulp.dtypes import FP32, FloatFormat
from halfulp.dtypes.addresses import address
from halfulp.dtypes.jit import Kernel
from halfulp.dtypes.parameters import bits32
from halfulp.dtypes.threads import parallel
from halfulp.engines.activation_kernels import KERNELS
from halfulp.engines.activations import Activation
from halfulp.engines.elementwise import (
    ALU_CODES,
    SELECT,
    AluOp,
    reduce_columns,
    scan,
    tensor_tensor,
)
from halfulp.engines.memory import uninitialized
from halfulp.engines.operands import (
    NO_COUNTS,
    Counters,
    Counts,
    Floats,
    broadcast_shape,
    contiguous,
    float_parameters,
    open_floats,
    pieces_of,
)
from halfulp.engines.outlines import is_outline, outline
from halfulp.engines.reduction import SEQUENTIAL, Reduction
from halfulp.engines.rows import TURNED, sums

_CHUNK = 8192  # elements of a row into which a flat array is cut


@functools.lru_cache(64)
def _own(fmt: FloatFormat, slope_bits: int) -> tuple[Counts, int]:
    """A format's parameters and the kernels' own, `activation_kernels.OWN`, and their address."""
    given = np.append(float_parameters(fmt)[0], [slope_bits, int(fmt == FP32)])
    return given, address(given)


@functools.lru_cache(16)
def _shift(bias_bits: int) -> tuple[Floats, int]:
    """A row of the same bias, and its address."""
    row = np.full(_CHUNK, bias_bits, np.uint32).view(np.float32)
    return row, address(row)


def apply_flat(
    x: Floats, function: Activation, scale: float, bias: float, fmt: FloatFormat, *,
    slope: float = 0.0,
) -> tuple[Floats, Counts]:  # fmt: skip
    """round(f(x * scale + bias)) of every element."""
    if is_outline(x):
        return x, NO_COUNTS
    x = contiguous(x)
    out = uninitialized(x.shape)
    # the arrays must outlive the call, the caches may drop them
    (_row, shift), (_parameters, given) = _shift(bits32(bias)), _own(fmt, bits32(slope))
    factor = bits32(scale)
    size = 4 * _CHUNK
    rows, rest = divmod(x.size, _CHUNK)
    pieces = pieces_of(rows, _CHUNK)
    counts = Counters(len(pieces) + 1)
    x_start, out_start = address(x), address(out)

    def part(index: int, first: int, last: int, columns: int) -> tuple[int, ...]:
        start = first * size
        places = x_start + start, size, shift, 0, out_start + start, size
        return *places, last - first, columns, given, factor, counts.place(index)

    kernel = KERNELS[function]
    if rows:
        parallel(kernel, [part(index, *piece, _CHUNK) for index, piece in enumerate(pieces)])
    if rest:
        parallel(kernel, [part(len(pieces), rows, rows + 1, rest)])
    return out, counts.total()


def apply_plain(x: Floats, function: Activation, out: Floats, slope: float) -> None:
    """f(x) of every element, neither cast nor counted; both arrays are contiguous."""
    size = 4 * _CHUNK
    rows, rest = divmod(x.size, _CHUNK)
    x_start, out_start, bits = address(x), address(out), bits32(slope)

    def part(first: int, last: int, columns: int) -> tuple[int, ...]:
        start = first * size
        places = x_start + start, size, out_start + start, size
        return *places, last - first, columns, 0, bits, 0

    if rows:
        parallel(KERNELS[function], [part(*piece, _CHUNK) for piece in pieces_of(rows, _CHUNK)])
    if rest:
        parallel(KERNELS[function], [part(rows, rows + 1, rest)])


def _as_matrix(x: Floats, shape: tuple[int, ...]) -> tuple[Floats, int]:
    """An operand broadcast to `shape`, as rows of the last axis, and the stride of these rows.

    Bytes; 0 repeats one row.
    """
    columns = shape[-1]
    if x.shape == shape:
        x = contiguous(x)
        return x, columns * 4
    if x.size == columns and x.shape[-1:] == (columns,):
        return contiguous(x), 0
    if x.size == 1:
        return np.full(columns, x.reshape(()), np.float32), 0
    return np.ascontiguousarray(np.broadcast_to(x, shape)), columns * 4


def combine(a: Floats, b: Floats, op: AluOp, fmt: FloatFormat) -> tuple[Floats, Counts]:
    """round(a op b) of every element, broadcast as numpy does."""
    shape = a.shape if a.shape == b.shape else broadcast_shape(a=a.shape, b=b.shape)
    if is_outline(a, b):
        return outline(shape), NO_COUNTS
    flat = a.shape == b.shape and a.flags.c_contiguous and b.flags.c_contiguous
    if flat and a.ndim != 2 and a.size > _CHUNK:
        # long rows, whatever the last axis is
        columns = _CHUNK if a.size % _CHUNK == 0 else a.shape[-1]
        result, counts = combine(a.reshape(-1, columns), b.reshape(-1, columns), op, fmt)
        return result.reshape(shape), counts
    matrix_shape = shape or (1,)
    out = uninitialized(matrix_shape)
    (left, a_stride), (right, b_stride) = _as_matrix(a, matrix_shape), _as_matrix(b, matrix_shape)
    columns = matrix_shape[-1]
    rows = out.size // columns if columns else 0
    pieces = pieces_of(rows, columns)
    counters = Counters(len(pieces))
    parallel(tensor_tensor, [
        (ALU_CODES[op], address(left) + first * a_stride, a_stride,
         address(right) + first * b_stride, b_stride,
         address(out) + first * columns * 4, columns * 4,
         last - first, columns, float_parameters(fmt)[1], counters.place(index))
        for index, (first, last) in enumerate(pieces)
    ])  # fmt: skip
    return out.reshape(shape), counters.total()


def add_mask(scores: Floats, mask: Any) -> None:
    """Add a mask to scores, in place; it broadcasts to them.

    Floats are added; booleans leave the score where they are True and make it -inf where not.

    Raises TypeError for other masks, ValueError for one that does not broadcast.
    """
    if is_outline(scores):
        return
    added, code = _additive(mask)
    if broadcast_shape(x=scores.shape, mask=added.shape) != scores.shape:
        needed = f"one that broadcasts to x, {scores.shape}"
        raise ValueError(f"mask has shape {added.shape}; needed: {needed}")
    columns = scores.shape[-1]
    view = np.broadcast_to(added, scores.shape)
    if columns > 1 and view.strides[-1] != 4:
        added = np.ascontiguousarray(np.broadcast_to(added, (*added.shape[:-1], columns)))
        view = np.broadcast_to(added, scores.shape)
    lead = scores.shape[:-1]
    # axes from `cut` on share one row of the mask, or the last axis steps through its rows
    cut = len(lead)
    while cut and view.strides[cut - 1] == 0:
        cut -= 1
    step = 0
    if cut == len(lead) and cut:
        cut, step = cut - 1, view.strides[-2]
    rows, stride, given = prod(lead[cut:]), columns * 4, float_parameters(FP32)[1]
    blocks = scores.reshape(-1, rows, columns)
    starts = [address(view[index]) for index in np.ndindex(*lead[:cut])]
    spare = np.zeros(4, np.int64)
    for block, start in zip(blocks, starts, strict=True):
        parallel(tensor_tensor, [
            (code, address(block) + first * stride, stride, start + first * step, step,
             address(block) + first * stride, stride, last - first, columns, given, address(spare))
            for first, last in pieces_of(rows, columns)
        ])  # fmt: skip


def _additive(mask: Any) -> tuple[Floats, int]:
    """The mask as floats, and the operation that applies it."""
    kind = str(getattr(mask, "dtype", np.asarray(mask).dtype)).removeprefix("torch.")
    if kind == "bool":
        return np.where(np.asarray(mask), np.float32(0), np.float32(-np.inf)), SELECT
    if "float" not in kind:
        raise TypeError(
            f"mask is {kind}; give booleans (False takes no part) or floats to be added"
        )
    return open_floats(mask)[0], ALU_CODES[AluOp.ADD]


def by_rows(
    kernel: Kernel, x: Floats, out: Floats, fmt: FloatFormat, more: tuple[int, ...] = (), *,
    blocks: int = 1,
) -> Counters:  # fmt: skip
    """A kernel of `halfulp.engines.rows` over the last axis of a contiguous array.

    `more` are the kernel's own arguments, between the number of columns and the format; `blocks`
    is how many times sixteen rows its scratch memory holds.
    """
    if is_outline(x, out):
        return Counters(0)
    columns = x.shape[-1] if x.ndim else 0
    rows = x.size // columns if columns else 0
    pieces = pieces_of(rows, columns)
    counts = Counters(len(pieces))
    wide = (columns + 15) // 16 * 16
    space = uninitialized((max(len(pieces), 1), (TURNED + blocks * wide * 64) // 4))
    places = address(x), columns * 4, address(out), out.shape[-1] * 4 if out.ndim else 4
    given = float_parameters(fmt)[1]
    parallel(kernel, [
        (*places, *piece, columns, *more, given, counts.place(index), address(own))
        for index, (piece, own) in enumerate(zip(pieces, space, strict=False))
    ])  # fmt: skip
    return counts


def sum_rows(x: Floats, fmt: FloatFormat, order: Reduction = SEQUENTIAL) -> tuple[Floats, Counts]:
    """Sums along the last axis of a contiguous array, from +0 in this order."""
    if is_outline(x):
        return outline(x.shape[:-1]), NO_COUNTS
    out = np.zeros(x.shape[:-1], np.float32)
    counts = by_rows(sums, x, out, fmt, (order.chains(x.shape[-1]),), blocks=2)
    return out, counts.total()


#: What a reduction begins with.
_FIRST = {AluOp.ADD: 0.0, AluOp.MAX: -np.inf, AluOp.MIN: np.inf, AluOp.MULTIPLY: 1.0}
REDUCING = tuple(_FIRST)


def reduce_axis(x: Floats, axis: int, op: AluOp, fmt: FloatFormat) -> tuple[Floats, Counts]:
    """A reduction along an axis: whole rows, the axes behind it, one after the other."""
    source = contiguous(x)
    lead, length, behind = x.shape[:axis], x.shape[axis], x.shape[axis + 1 :]
    if is_outline(x):
        return outline(lead + behind), NO_COUNTS
    columns, items = prod(behind), prod(lead)
    out = np.full(lead + behind, _FIRST[op], np.float32)
    spare, given = np.zeros(4, np.int64), float_parameters(FP32)[1]
    places = ALU_CODES[op], address(source), columns * 4, address(out)
    parallel(reduce_columns, [
        (*places, first, last, length, columns, given, address(spare))
        for first, last in pieces_of(items, length * columns)
    ])  # fmt: skip
    return apply_flat(out, Activation.COPY, 1.0, -0.0, fmt)


def scan_columns(
    a: Floats, b: Floats, first: Floats, ops: tuple[AluOp, AluOp], fmt: FloatFormat
) -> tuple[Floats, Counts]:
    """y[i] = (a[i] op0 y[i - 1]) op1 b[i] along the first axis, y[-1] = first; one column each.

    Every step is rounded to float32, the results then to the format.
    """
    if is_outline(a, b, first):
        return outline(a.shape), NO_COUNTS
    steps, columns = a.shape
    out, spare = uninitialized(a.shape), np.zeros(4, np.int64)
    codes = ALU_CODES[ops[0]], ALU_CODES[ops[1]]
    places = address(a), address(b), address(first), address(out)
    given = float_parameters(FP32)[1]
    parallel(scan, [(*codes, *places, steps, columns, given, address(spare))])
    return apply_flat(out, Activation.COPY, 1.0, -0.0, fmt)
