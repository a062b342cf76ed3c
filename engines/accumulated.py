"""`matmul` in any accumulation, on arrays."""

import functools
from math import ldexp, prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from halfulp.dtypes import FP32, FloatFormat, Format, IntFormat, Rounding, encode, round_to
from halfulp.dtypes.addresses import address
from halfulp.dtypes.jit import Kernel
from halfulp.dtypes.noise import signed64
from halfulp.dtypes.rounding import TRUTH_TABLES, Subnormals, stays_finite
from halfulp.dtypes.threads import parallel, split
from halfulp.engines import accumulate as driver
from halfulp.engines.accumulate_integers import (
    FLOAT_COLUMNS,
    FLOAT_ROWS,
    INTEGER_COLUMNS,
    INTEGER_ROWS,
    accumulate_integers,
    pack,
)
from halfulp.engines.accumulation import (
    Accumulation,
    Checked,
    Entry,
    IntegerAccumulator,
    Join,
    NanRule,
    Order,
    Wrap,
)
from halfulp.engines.operands import as_float_format, as_format, broadcast_shape, open_floats
from halfulp.engines.result_nans import Operand, set_nans
from halfulp.engines.schedule import schedule
from halfulp.engines.wide import COLUMNS, INF64, ROUNDING, ROWS, SUM

Array = npt.NDArray[Any]
#: Fewer multiply-accumulates than this run in one thread.
_PARALLEL_MACS = 1 << 15
_FLOAT_ORDERS = {
    (Order.SEQUENTIAL, False): driver.SEQUENTIAL,
    (Order.SEQUENTIAL, True): driver.SEQUENTIAL_ROUNDED,
    (Order.PAIRWISE, False): driver.PAIRWISE,
    (Order.EXACT, False): driver.EXACT,
}
_CUTS = {
    Rounding.TOWARD_ZERO: driver.TO_ZERO,
    Rounding.TOWARD_NEGATIVE: driver.DOWN,
    Rounding.NEAREST_EVEN: driver.TO_NEAREST,
}
_JOINS = {Join.CHAINED: 0, Join.SEQUENTIAL: driver.APART, Join.PAIRWISE: driver.PAIRED}
_LARGEST_SUM = 50  # bits of a float64 that a sum of aligned terms below four units may take


def bits64(x: float) -> int:
    """The code of a float64, as an int64."""
    return int(np.float64(x).view(np.int64))


def _constants(
    fmt: FloatFormat, rounding: Rounding, how: Accumulation, extra: int
) -> dict[str, int]:
    """The values of `wide.ROUNDING`."""
    width, m = fmt.exponent_bits + extra, fmt.mantissa_bits
    more = (1 << (width - 1)) - (1 << (fmt.exponent_bits - 1))
    emin, emax = fmt.emin - more, (1 << width) - 2 - fmt.bias - more
    shift = 52 - m
    # with one exponent bit no number is normal
    top = ldexp(2.0 - ldexp(1.0, -m), emax) if width > 1 else fmt.max
    least, largest = bits64(ldexp(1.0, emin)), bits64(top)
    half = 1 << (shift - 1)
    added = {
        Rounding.NEAREST_EVEN: (half - 1, 1),
        Rounding.NEAREST_AWAY: (half, 0),
        Rounding.TOWARD_ZERO: (0, 0),
    }
    add, odd = added.get(rounding, (0, 0))
    plus, minus = (
        largest if not how.overflows_to_infinity and stays_finite(rounding, negative) else INF64
        for negative in (False, True)
    )
    random = rounding is Rounding.STOCHASTIC
    return {
        "shift": shift, "add": add, "odd": odd, "keep": -(1 << shift), "least": least,
        "span": max(largest - least + 1, 0) if rounding in added else 0,
        "table": 0 if random else TRUTH_TABLES[rounding], "mantissa": m, "emin": emin,
        "max": largest, "over_plus": plus, "over_minus": minus, "flush": int(how.flushes_results),
        "random": int(random), "random_bits": how.random_bits if random else 1,
    }  # fmt: skip


class Parameters(NamedTuple):
    """Constants of the kernels: of the accumulator's rounding and sum, and of PSUM's rounding."""

    own: npt.NDArray[np.int64]
    psum: npt.NDArray[np.int64]


@functools.lru_cache(256)
def _parameters(how: Accumulation, longest: int) -> Parameters:
    """`longest` is the number of products in the longest block."""
    held = how.accumulator
    assert isinstance(held, FloatFormat)
    given = _constants(held, how.rounding, how, how.extra_exponent_bits)
    given["tiny_power"] = bits64(ldexp(1.0, held.emin))
    floor = how.floor_exponent
    given["floor_power"] = 0 if floor is None else bits64(ldexp(1.0, floor))
    # an exact sum keeps as many bits as there is room for
    bits = how.fraction_bits
    kept = _LARGEST_SUM - (longest + 1).bit_length() if bits is None else bits
    # an unsigned grid is moved by half its range, so that its sums are positive
    signed = how.order is Order.EXACT or how.cut is Rounding.TOWARD_ZERO
    given["grid"] = bits64(ldexp(1.0 if signed else 1.5, 52 - kept))
    psum = _constants(how.outside, how.psum_rounding, how, 0)
    return Parameters(
        np.array([given[name] for name in SUM], np.int64),
        np.array([psum[name] for name in ROUNDING], np.int64),
    )


class _Packed(NamedTuple):
    """An operand for the kernels, and the bytes from one matrix of the batch to the next."""

    memory: Array
    step: int


def _pack(x: Array, axis: int, order: Array, batch: tuple[int, ...], tiny: int) -> _Packed:
    """x (..., K, width) of 32-bit numbers, or (..., width, K) for rows; k in `order`."""
    rows = axis == -1
    width, wide = x.shape[-2 if rows else -1], ROWS if rows else COLUMNS
    lead = x.shape[:-2]
    if lead and lead != batch:
        x = np.broadcast_to(x, batch + x.shape[-2:])
        lead = batch
    items, depth, blocks = prod(lead), len(order), -(-width // wide)
    turned = x.swapaxes(-1, -2) if rows else x
    laid = np.zeros((items, blocks, depth, wide), x.dtype)
    flat = turned.reshape(items, depth, width)[:, order]
    for block in range(blocks):
        part = flat[:, :, block * wide : (block + 1) * wide]
        laid[:, block, :, : part.shape[-1]] = part
    packed = np.empty((items, blocks, depth, 2 * wide), np.float64)
    floats = x.dtype == np.float32
    kinds = (FLOAT_ROWS, INTEGER_ROWS) if rows else (FLOAT_COLUMNS, INTEGER_COLUMNS)
    steps = items * blocks * depth
    pieces = split(steps, 1, 1 << 12)
    where = address(laid), address(packed), tiny, kinds[0 if floats else 1]
    parallel(pack, [(*where, *piece) for piece in pieces])
    return _Packed(packed, packed.strides[0] if lead else 0)


def _cast(x: Array, fmt: Format, how: Accumulation) -> Array:
    """Values of the format: float32, or int32."""
    if isinstance(fmt, IntFormat):
        return encode(x, fmt).astype(np.int32)
    flush = Subnormals.FLUSH_OUTPUTS if how.flushes_inputs else Subnormals.KEEP
    nan = None if fmt.has_nan else "zero"
    return round_to(x, fmt, subnormals=flush, nan=nan)


class _Shape(NamedTuple):
    batch: tuple[int, ...]
    rows: int
    depth: int
    columns: int

    @property
    def result(self) -> tuple[int, ...]:
        return (*self.batch, self.rows, self.columns)


def _shape(a: Array, b: Array) -> _Shape:
    if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-2]:
        raise ValueError(f"a has shape {a.shape}, b {b.shape}; needed: (..., M, K) and (..., K, N)")
    batch = broadcast_shape(a=a.shape[:-2], b=b.shape[:-2])
    return _Shape(batch, a.shape[-2], a.shape[-1], b.shape[-1])


def matmul(
    a: Any, b: Any, c: Any = None, *, accumulation: Accumulation, a_format: Format | str,
    b_format: Format | str | None = None, out_format: Format | str = FP32,
) -> Any:  # fmt: skip
    """a @ b + c with both operands cast, added as `accumulation` says.

    a         (..., M, K), rounded to `a_format`: to nearest even, overflow to infinity; integers
              are clamped
    b         (..., K, N), likewise to `b_format`, by default `a_format`
    c         None, or what broadcasts to (..., M, N): rounded to nearest even to
              `accumulation.outside`; with an integer accumulator integers
    returns   (..., M, N), float32, rounded to `out_format`; a's kind of container. With an integer
              accumulator int32, int64 for more than 32 bits

    The number of an output, for stochastic rounding, is its place in the whole result.

    Raises ValueError for shapes that do not match, and for operands that the accumulator does not
    hold.
    """
    left, give = open_floats(a)
    right, _ = open_floats(b)
    a_fmt = as_format(a_format)
    b_fmt = a_fmt if b_format is None else as_format(b_format)
    result = as_float_format(out_format, "out_format")
    accumulation.check_operand(a_fmt)
    accumulation.check_operand(b_fmt)
    shape = _shape(left, right)
    operands = _cast(left, a_fmt, accumulation), _cast(right, b_fmt, accumulation)
    if isinstance(accumulation.accumulator, IntegerAccumulator):
        return give(_integers(*operands, c, accumulation, shape))
    given = None if c is None else open_floats(c)[0]
    start = None if given is None else _cast(given, accumulation.outside, accumulation)
    floats = [fmt for fmt in (a_fmt, b_fmt) if isinstance(fmt, FloatFormat)]
    tiny = [bits64(ldexp(1.0, fmt.emin)) for fmt in floats]
    found = _floats(*operands, start, tiny, accumulation, shape)
    if result != accumulation.outside:
        found = round_to(found, result, nan=None if result.has_nan else "zero")
    if accumulation.nan is not NanRule.CANONICAL and result.has_nan:
        entered = None if given is None or start is None else Operand(given, start)
        sides = Operand(left, operands[0]), Operand(right, operands[1])
        set_nans(found, *sides, entered, accumulation, result)
    return give(found)


def _run(
    kernel: Kernel, operands: tuple[_Packed, _Packed], c: Array | None, out: Array, shape: _Shape,
    more: tuple[int, ...],
) -> None:  # fmt: skip
    """Share the blocks of rows among the threads."""
    left, right = operands
    places = address(left.memory), left.step, address(right.memory), right.step, shape.depth
    given = (0, 0, 0)
    if c is not None:
        given = address(c), c.strides[0], c.strides[1]
    sizes = shape.rows, shape.columns
    target = address(out), out.strides[0], out.strides[1]
    count = prod(shape.batch) * -(-shape.rows // ROWS)
    macs = prod(shape.result) * shape.depth
    pieces = split(count, 1, 1) if macs >= _PARALLEL_MACS else [(0, count)]
    parts = [(*places, *given, *target, *sizes, *piece, *more) for piece in pieces]
    parallel(kernel, parts)


def _flat(x: Array | None, shape: _Shape, dtype: Any) -> Array | None:
    """x for every output, as (items, M, N)."""
    if x is None:
        return None
    broadcast_shape(c=x.shape, result=shape.result)
    if np.broadcast_shapes(x.shape, shape.result) != shape.result:
        raise ValueError(f"c has shape {x.shape}; needed: what broadcasts to {shape.result}")
    whole = np.broadcast_to(x.astype(dtype, copy=False), shape.result)
    return np.ascontiguousarray(whole).reshape(prod(shape.batch), shape.rows, shape.columns)


def _floats(
    a: Array, b: Array, c: Array | None, tiny: list[int], how: Accumulation, shape: _Shape
) -> Array:
    out = np.zeros(shape.result, np.float32)
    start = _flat(c, shape, np.float32)
    if not out.size:
        return out
    plan = schedule(how, shape.depth)
    lengths = plan.segments[:, 1] - plan.segments[:, 0]
    longest = int(min(how.block or shape.depth, lengths.max(initial=0)))
    own, psum = _parameters(how, longest)
    order = _CUTS[how.cut] if how.order is Order.FUSED else None
    if order is None:
        order = _FLOAT_ORDERS[how.order, how.rounds_products]
    late = how.entry is Entry.LATE or how.order is Order.PAIRWISE
    stochastic = how.rounding is Rounding.STOCHASTIC
    more = (
        order, max(longest, 1), int(late), _JOINS[how.join], int(how.entry is Entry.END),
        address(own), address(psum), address(plan.segments), len(plan.segments),
        int(stochastic), signed64(how.seed), 32 - how.random_bits,
    )  # fmt: skip
    packed = (
        _pack(a, -1, plan.order, shape.batch, tiny[0]),
        _pack(b, -2, plan.order, shape.batch, tiny[1]),
    )
    flat = out.reshape(-1, shape.rows, shape.columns)
    _run(driver.accumulate, packed, start, flat, shape, more)
    return out


def _integers(a: Array, b: Array, c: Any, how: Accumulation, shape: _Shape) -> Array:
    held = how.accumulator
    assert isinstance(held, IntegerAccumulator)
    out = np.zeros(shape.result, np.int64)
    start = None if c is None else _limited(np.asarray(c), held)
    start = _flat(start, shape, np.int64)
    if not out.size:
        return out.astype(np.int32) if held.bits <= 32 else out
    plan = schedule(how, shape.depth)
    saturates = held.overflow is Wrap.SATURATE
    more = (
        int(held.checked is Checked.STEP), int(saturates), 0 if saturates else 64 - held.bits,
        held.min, held.max, address(plan.segments), len(plan.segments),
    )  # fmt: skip
    packed = (
        _pack(a, -1, plan.order, shape.batch, 0),
        _pack(b, -2, plan.order, shape.batch, 0),
    )
    flat = out.reshape(-1, shape.rows, shape.columns)
    _run(accumulate_integers, packed, start, flat, shape, more)
    return out.astype(np.int32) if held.bits <= 32 else out


def _limited(c: Array, held: IntegerAccumulator) -> Array:
    """Accumulator inputs as integers that the accumulator holds."""
    if c.dtype.kind not in "iu":
        raise ValueError(f"c has type {c.dtype}; an integer accumulator needs integers")
    if c.size and not held.min <= int(c.min()) <= int(c.max()) <= held.max:
        raise ValueError(
            f"c goes from {c.min()} to {c.max()}; {held.name} holds {held.min} to {held.max}"
        )
    return c.astype(np.int64)
