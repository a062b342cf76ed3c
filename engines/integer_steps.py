"""The inner loops of integer accumulators, over a block of outputs: sums and what limits them."""

from collections.abc import Callable

from llvmlite import ir

from halfulp.dtypes.lanes import I64, Lanes, load, splat
from halfulp.dtypes.natives import native
from halfulp.engines.grid import Counter
from halfulp.engines.steps import store_unit
from halfulp.engines.wide import A_BYTES, B_BYTES, LANES, UNIT_ROWS, VECTORS, Units, load_unit

Vectors = list[Lanes]


def _limited(x: Lanes, shift: Lanes, low: Lanes, high: Lanes, saturate: bool) -> Lanes:
    if saturate:
        return x.call("smax", low).call("smin", high)
    return (x << shift).arithmetic_shift(shift)


def _limits(builder: ir.IRBuilder, *values: ir.Value) -> Vectors:
    return [Lanes(builder, splat(builder, value, LANES)) for value in values]


def _integer_steps(saturate: bool) -> Callable[[ir.Function], None]:
    """(a, b, accumulators, steps, shift, low, high): exact products, limited after each."""

    def build(function: ir.Function) -> None:
        units = Units(function, "a-x----")
        builder, (a, b, acc, steps, *limits) = units.builder, units.arguments
        shift, low, high = _limits(builder, *limits)
        loop = Counter(builder, steps, 1, load_unit(builder, acc, I64))
        at = builder.add(a, builder.mul(loop.index, I64(A_BYTES)))
        over = builder.add(b, builder.mul(loop.index, I64(B_BYTES)))
        right = [load(builder, builder.add(over, I64(64 * v)), I64, LANES) for v in range(VECTORS)]
        totals = []
        for row in range(UNIT_ROWS):
            pointer = builder.inttoptr(builder.add(at, I64(8 * row)), I64.as_pointer())
            left = Lanes(builder, splat(builder, builder.load(pointer), LANES))
            for v, column in enumerate(right):
                total, product = loop.sums[row * VECTORS + v], left * column
                total = total.call("sadd.sat", product) if saturate else total + product
                totals.append(_limited(total, shift, low, high, saturate))
        store_unit(builder, loop.close(totals), acc)
        units.close()

    return build


def _integer_check(saturate: bool) -> Callable[[ir.Function], None]:
    """(accumulators, sums, shift, low, high): add exact sums, then limit."""

    def build(function: ir.Function) -> None:
        units = Units(function, "xx---")
        builder, (acc, sums, *limits) = units.builder, units.arguments
        shift, low, high = _limits(builder, *limits)
        pairs = zip(load_unit(builder, acc, I64), load_unit(builder, sums, I64), strict=True)
        totals = []
        for total, more in pairs:
            joined = total.call("sadd.sat", more) if saturate else total + more
            totals.append(_limited(joined, shift, low, high, saturate))
        store_unit(builder, totals, acc)
        units.close()

    return build


integer_steps_wrap = native("halfulp_integer_steps_wrap", 7, _integer_steps(False))
integer_steps_saturate = native("halfulp_integer_steps_saturate", 7, _integer_steps(True))
integer_check_wrap = native("halfulp_integer_check_wrap", 5, _integer_check(False))
integer_check_saturate = native("halfulp_integer_check_saturate", 5, _integer_check(True))
