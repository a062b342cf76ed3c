"""Chains rounded to float32 and then to the accumulator's format, where that is one rounding.

To nearest even twice is once but where the first result is a tie of the second rounding and not
exact. Let a sum a have q significant bits and a product p of x and y Q together, q + Q <= 24 and
2 q < 24, float32's. Where a + p is no float32, one of them reaches far below the other. If it is p,
it is too small for a tie: its bits are never all set, so that it does not come near enough to half
a place of a. If it is a, it is less than the distance of p, and of a place of a tie, from the next
of their like; so the tie is p itself, and 0 < |a| <= 2^-24 |p|. It is enough to see that no sum
comes so close to 0 (`tests/engines/test_twice.py` tries all of it with fewer bits). A sum that is 0
may enter; one that becomes 0 counts as too close, since a subnormal one has its power of two.
"""

import functools
import operator

from llvmlite import ir

from halfulp.dtypes.lanes import F32, I32, I64, Lanes
from halfulp.dtypes.natives import native
from halfulp.dtypes.parameters import INF32, MAGNITUDE32, SIGN32
from halfulp.engines.grid import offset
from halfulp.engines.narrow import (
    A_BYTES,
    Given,
    Step,
    every_k,
    load_given,
    load_sums,
    store_sums,
)

STEPS = 16  # between two looks: so many are computed again where they may not round twice
#: Sums that enter are at most 2^SUM_EXPONENT, products below 2^PRODUCT_EXPONENT; so all sums, and
#: what is added to round them, stay within float32.
SUM_EXPONENT, PRODUCT_EXPONENT = 99, 80


def _may_enter(sums: list[Lanes], given: Given) -> ir.Value:
    """Whether every sum, a number of the accumulator's format, is 0 or of an ordinary size."""
    magnitudes = [total.bits(I32) & MAGNITUDE32 for total in sums]
    may = [((x - given["least"]) < given["span"]) | x.equals(0) for x in magnitudes]
    return functools.reduce(operator.and_, may).reduce("and")


def _rounding(given: Given) -> Step:
    """A step of all rows; behind the sums is the smallest power of two that was met."""
    up, down = ((given["spacer"] ^ sign).bits(F32) for sign in (0, SIGN32))

    def step(k: ir.Value, rows: list[Lanes], y: Lanes, before: list[Lanes]) -> list[Lanes]:
        *totals, smallest = before
        results = []
        for x, total in zip(rows, totals, strict=True):
            near = x.fma(y, total)
            power = near.bits(I32) & INF32
            smallest = smallest.call("umin", power)
            moved = power.bits(F32).fma(up, near)
            results.append(power.bits(F32).fma(down, moved))
        return [*results, smallest]

    return step


def _build(function: ir.Function) -> None:
    """(a, b, pitch, accumulators, steps, parameters, done)

    `spacer` is 1.5 times the power of two that moves a number's last place in float32 to that in
    the accumulator's format; added to the number and taken away it rounds to nearest even. `least`
    and `span` say which accumulators may enter beside 0, and `least` how small the sums may be.
    """
    a, b, pitch, acc, steps, base, done = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    given, sums, entry = load_given(builder, base), load_sums(builder, acc), builder.block
    least, step = given["least"], _rounding(given)
    some, kept, end = (builder.append_basic_block(name) for name in ("some", "kept", "end"))
    builder.cbranch(_may_enter(sums, given), some, end)
    builder.position_at_end(some)
    k, phis = builder.phi(I64), [builder.phi(total.value.type) for total in sums]
    left = builder.sub(steps, k)
    count = builder.select(builder.icmp_signed("<", left, I64(STEPS)), left, I64(STEPS))
    places = offset(builder, a, k, A_BYTES), offset(builder, b, k, pitch), pitch, count
    before = [*(Lanes(builder, phi) for phi in phis), least.like(INF32)]
    *after, smallest = every_k(builder, places, before, step)
    looked = builder.block
    builder.cbranch((smallest >= least).reduce("and"), kept, end)
    builder.position_at_end(kept)
    store_sums(builder, after, acc)
    following = builder.add(k, count)
    builder.cbranch(builder.icmp_signed("<", following, steps), some, end)
    old, new = [total.value for total in sums], [total.value for total in after]
    for phi, first, again in zip([k, *phis], [I64(0), *old], [following, *new], strict=True):
        phi.add_incoming(first, entry)
        phi.add_incoming(again, kept)
    builder.position_at_end(end)
    number = builder.phi(I64)
    for value, block in ((I64(0), entry), (k, looked), (following, kept)):
        number.add_incoming(value, block)
    builder.store(number, builder.inttoptr(done, I64.as_pointer()))
    builder.ret_void()


#: narrow_twice((a, b, pitch, accumulators, steps, parameters, done)): as many of the steps as are
#: rounded as once, their number at `done`.
narrow_twice = native("halfulp_narrow_twice", 7, _build)
