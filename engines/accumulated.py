"""`matmul` in any accumulation, on arrays."""

from math import ldexp, prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from halfulp.dtypes import FP32, INT32, FloatFormat, Format, Rounding, round_to
from halfulp.dtypes.addresses import address
from halfulp.dtypes.jit import Kernel
from halfulp.dtypes.noise import signed64
from halfulp.dtypes.threads import parallel, split
from halfulp.engines import accumulate_chains as driver
from halfulp.engines.accumulate import accumulate
from halfulp.engines.accumulate_integers import (
    accumulate_integers,
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
    check_accumulation,
)
from halfulp.engines.operands import (
    UnsupportedFormat,
    as_float_format,
    as_format,
    broadcast_shape,
    open_floats,
)
from halfulp.engines.result_nans import Operand, set_nans
from halfulp.engines.schedule import Schedule, schedule
from halfulp.engines.wide import ROWS
from halfulp.engines.wide_operands import (
    Panels,
    cast_operand,
    extremes,
    factors,
    lay,
    lay_columns,
    lay_right,
    widen,
)
from halfulp.engines.wide_parameters import bits64, fixed_way, narrow_way, parameters

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


class _Shape(NamedTuple):
    batch: tuple[int, ...]
    rows: int
    depth: int
    columns: int

    @property
    def result(self) -> tuple[int, ...]:
        return (*self.batch, self.rows, self.columns)


def _shape(a: Array, b: Array | Panels) -> _Shape:
    if isinstance(b, Panels):
        return _Shape(a.shape[:-2], a.shape[-2], a.shape[-1], b.width)
    if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-2]:
        raise ValueError(f"a has shape {a.shape}, b {b.shape}; needed: (..., M, K) and (..., K, N)")
    batch = broadcast_shape(a=a.shape[:-2], b=b.shape[:-2])
    return _Shape(batch, a.shape[-2], a.shape[-1], b.shape[-1])


def matmul(
    a: Any, b: Any, c: Any = None, *, accumulation: Accumulation, a_format: Format | str,
    b_format: Format | str | None = None, out_format: Format | str | None = None,
) -> Any:  # fmt: skip
    """a @ b + c with both operands cast, added as `accumulation` says.

    a         (..., M, K), rounded to `a_format`: to nearest even, overflow to infinity; integers
              are clamped
    b         (..., K, N), likewise to `b_format`, by default `a_format`
    c         None, or what broadcasts to (..., M, N): rounded to `accumulation.outside` by its
              `input_rounding`; with an integer accumulator integers
    returns   (..., M, N), float32, rounded to `out_format`, by default fp32; a's kind of container.
              With an integer accumulator int32, which `out_format` may say, or int64 for more than
              32 bits

    The number of an output, for stochastic rounding, is its place in the whole result.

    Raises TypeError for what is no Accumulation; ValueError for shapes that do not match, for
    operands that the accumulator does not hold and for results that it does not have.
    """
    check_accumulation(accumulation)
    left, give = open_floats(a)
    right, _ = open_floats(b)
    a_fmt = as_format(a_format)
    b_fmt = a_fmt if b_format is None else as_format(b_format)
    result = _result_format(out_format, accumulation.accumulator)
    accumulation.check_operand(a_fmt)
    accumulation.check_operand(b_fmt)
    shape = _shape(left, right)
    operands = cast_operand(left, a_fmt, accumulation), cast_operand(right, b_fmt, accumulation)
    if result is None:
        return give(_integers(*operands, c, accumulation, shape))
    given = None if c is None else open_floats(c)[0]
    start = None if given is None else _cast_input(given, accumulation)
    found = float_product(*operands, start, (a_fmt, b_fmt), accumulation)
    if result != accumulation.outside:
        found = round_to(found, result, nan=None if result.has_nan else "zero")
    if accumulation.nan is not NanRule.CANONICAL and result.has_nan:
        entered = None if given is None or start is None else Operand(given, start)
        sides = Operand(left, operands[0]), Operand(right, operands[1])
        set_nans(found, *sides, entered, accumulation, result)
    return give(found)


def _result_format(
    given: Format | str | None, held: FloatFormat | IntegerAccumulator
) -> FloatFormat | None:
    """What a sum of floats is rounded to; None for sums of integers, which are not rounded."""
    if not isinstance(held, IntegerAccumulator):
        return as_float_format(FP32 if given is None else given, "out_format")
    allowed = "int32, or leave it away" if held.bits <= 32 else "leave it away, results are int64"
    if given is not None and not (as_format(given) == INT32 and held.bits <= 32):
        raise UnsupportedFormat(
            f"out_format={as_format(given)} with accumulator={held.name}: sums of integers are not"
            f" rounded; give {allowed}"
        )
    return None


def _cast_input(c: Array, how: Accumulation) -> Array:
    return cast_operand(c, how.outside, how, how.input_rounding)


def _run(
    kernel: Kernel, operands: tuple[int, ...], c: Array | None, out: Array, shape: _Shape,
    more: tuple[int, ...],
) -> None:  # fmt: skip
    """Share the blocks of rows among the threads."""
    given = (0, 0, 0)
    if c is not None:
        given = address(c), c.strides[0], c.strides[1]
    flat = out.reshape(prod(shape.batch), shape.rows, shape.columns)
    places = *operands, shape.depth, *given, address(flat), flat.strides[0], flat.strides[1]
    count = prod(shape.batch) * -(-shape.rows // ROWS)
    macs = prod(shape.result) * shape.depth
    pieces = split(count, 1, 1) if macs >= _PARALLEL_MACS else [(0, count)]
    parts = [(*places, shape.rows, shape.columns, *piece, *more) for piece in pieces]
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


def float_product(
    a: Array, b: Array | Panels, c: Array | None, formats: tuple[Format, Format],
    how: Accumulation,
) -> Array:  # fmt: skip
    """The sums of `matmul`, of `how.outside`, of operands that are cast already."""
    shape = _shape(a, b)
    out = np.zeros(shape.result, np.float32)
    start = _flat(c, shape, np.float32)
    if not out.size:
        return out
    plan = schedule(how, shape.depth)
    a_format, b_format = (fmt for fmt in formats if isinstance(fmt, FloatFormat))
    narrow = fixed_way(how)
    if narrow is None:
        known = b.extremes if isinstance(b, Panels) else extremes(b)
        products = factors(extremes(a), a_format).times(factors(known, b_format))
        narrow = narrow_way(how, products)
    left = lay(a, True, plan.order, shape.batch)
    if narrow.way == driver.WIDE:
        left = widen(left, bits64(ldexp(1.0, a_format.emin)))
        right = lay_columns(b, plan.order, shape.batch)
        right = widen(right, bits64(ldexp(1.0, b_format.emin)))
    else:
        right = lay_right(b, plan.order, shape.batch)
    told = *_told(how, plan, shape.depth), narrow.way, address(narrow.given), right.pitch
    _run(accumulate, (*left.places, *right.places), start, out, shape, told)
    return out


def _told(how: Accumulation, plan: Schedule, depth: int) -> tuple[int, ...]:
    """What the kernel is told of an accumulation."""
    lengths = plan.segments[:, 1] - plan.segments[:, 0]
    longest = int(min(how.block or depth, lengths.max(initial=0)))
    own, psum = parameters(how, longest)
    order = _CUTS[how.cut] if how.order is Order.FUSED else None
    if order is None:
        order = _FLOAT_ORDERS[how.order, how.rounds_products]
    late = how.entry is Entry.LATE or how.order is Order.PAIRWISE
    return (
        order, max(longest, 1), int(late), _JOINS[how.join], int(how.entry is Entry.END),
        address(own), address(psum), address(plan.segments), len(plan.segments),
        int(how.rounding is Rounding.STOCHASTIC), signed64(how.seed), 32 - how.random_bits,
    )  # fmt: skip


def _integers(a: Array, b: Array, c: Any, how: Accumulation, shape: _Shape) -> Array:
    held = how.accumulator
    assert isinstance(held, IntegerAccumulator)
    out = np.zeros(shape.result, np.int64)
    start = None if c is None else integer_input(c, held, "c")
    start = _flat(start, shape, np.int64)
    if not out.size:
        return out.astype(np.int32) if held.bits <= 32 else out
    plan = schedule(how, shape.depth)
    saturates = held.overflow is Wrap.SATURATE
    more = (
        int(held.checked is Checked.STEP), int(saturates), 0 if saturates else 64 - held.bits,
        held.min, held.max, address(plan.segments), len(plan.segments),
    )  # fmt: skip
    laid = lay(a, True, plan.order, shape.batch), lay(b, False, plan.order, shape.batch)
    wide = [widen(one) for one in laid]
    operands = *wide[0].places, *wide[1].places
    _run(accumulate_integers, operands, start, out, shape, more)
    return out.astype(np.int32) if held.bits <= 32 else out


def integer_input(x: Any, held: IntegerAccumulator, name: str) -> Array:
    """Accumulator inputs as integers that the accumulator holds.

    Raises ValueError under their `name` for others.
    """
    c = np.asarray(x)
    if c.dtype.kind not in "iu":
        raise ValueError(f"{name} has type {c.dtype}; an integer accumulator needs integers")
    if c.size and not held.min <= int(c.min()) <= int(c.max()) <= held.max:
        raise ValueError(
            f"{name} goes from {c.min()} to {c.max()}; {held.name} holds {held.min} to {held.max}"
        )
    return c.astype(np.int64)
