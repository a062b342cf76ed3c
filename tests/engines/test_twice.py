"""Sums that are rounded to float32 and then to the accumulator's format, where that is once."""

from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest

from halfulp.dtypes import BF16, E4M3, E5M2, FP32, TF32, FloatFormat, round_to
from halfulp.engines import accumulate_chains as driver
from halfulp.engines.presets import E8M13
from halfulp.engines.twice import STEPS
from halfulp.engines.wide_operands import extremes, factors
from halfulp.engines.wide_parameters import narrow_way
from tests.engines.dots import assert_same, dots, spread, summed, way

E8M4, E8M3 = FloatFormat(8, 4), FloatFormat(8, 3)
HELD = [(BF16, BF16), (BF16, E4M3), (E8M4, E4M3), (E8M3, E5M2), (TF32, E5M2)]


def _nearest(value: Fraction, bits: int) -> tuple[Fraction, int]:
    """Of a positive value: the nearest number of so many bits, ties to even, and its exponent."""
    exponent = value.numerator.bit_length() - value.denominator.bit_length()
    exponent -= Fraction(2) ** exponent > value
    unit = Fraction(2) ** (exponent - bits + 1)
    units = round(value / unit)  # Python's ties go to even, too
    return units * unit, exponent + (units.bit_length() > bits)


def _decided_by_no_small_sum(held: int, first: int, second: int, between: int) -> bool:
    """Whether rounding to `between` bits and then to `held` is once, but after a tiny sum."""
    sums = range(1 << (held - 1), 1 << held)
    products = {x * y for x in range(1, 1 << first) for y in range(1, 1 << second)}
    far = 2 * between + 2
    for total, term, shift, sign in product(sums, products, range(-far, far), (1, -1)):
        value = abs(total + sign * term * Fraction(2) ** shift)
        if value == 0:
            continue
        near, exponent = _nearest(value, between)
        twice, once = _nearest(near, held)[0], _nearest(value, held)[0]
        if twice != once and total > Fraction(2) ** (exponent - between):
            return False
    return True


@pytest.mark.parametrize("bits", [(2, 2, 2), (3, 2, 2), (2, 3, 3), (3, 3, 2)], ids=str)
def test_twice_is_once_unless_a_sum_is_lost_in_the_product(bits: tuple[int, int, int]) -> None:
    """`between` is float32's 24 bits in the proof: all bits together, more than two sums'."""
    assert 2 * bits[0] < sum(bits)
    assert _decided_by_no_small_sum(*bits, between=sum(bits))


@pytest.mark.parametrize("bits", [(3, 2, 3, 7), (4, 1, 2, 7), (5, 1, 1, 7)], ids=str)
def test_with_fewer_bits_between_other_sums_decide_too(bits: tuple[int, int, int, int]) -> None:
    held, first, second, between = bits
    assert held + first + second > between or 2 * held >= between
    assert not _decided_by_no_small_sum(*bits)


@pytest.mark.parametrize("held", [FloatFormat(8, 11), FloatFormat(8, 12), E8M13], ids=str)
def test_a_sum_that_holds_a_tie_beside_the_product_goes_another_way(held: FloatFormat) -> None:
    how, m = _how(held), held.mantissa_bits
    a = np.array([[2.0 ** -(m + 1), 2.0**-12, 1], [2.0**-m, 2.0**-12, 1.5]], np.float32)
    b = np.array([[1, 2.0**-12, 1], [0.5, -(2.0**-12), 1]], np.float32)
    assert _chosen(how, a, b, E5M2) == driver.EVEN
    dots(a, b, None, how, E5M2)


def _how(held: FloatFormat, **fields: Any) -> Any:
    return summed(accumulator=held, **fields)


def _chosen(how: Any, a: Any, b: Any, fmt: FloatFormat) -> int:
    return way(how, np.asarray(a, np.float32), np.asarray(b, np.float32), fmt)


@pytest.mark.parametrize(("held", "fmt"), HELD, ids=str)
def test_sums_rounded_twice_are_exact(held: FloatFormat, fmt: FloatFormat) -> None:
    """Long chains of every size of numbers, and neighbors whose sum is a tie."""
    how = _how(held)
    for depth, reach in ((1, 3), (STEPS, 2), (3 * STEPS + 5, 4)):
        a, b = (spread((40, depth), fmt, reach, seed) for seed in (0, 1))
        b[:, 0], a[:, 0] = 1, np.where(a[:, 0] == 0, 1, a[:, 0])
        assert _chosen(how, a, b, fmt) == driver.TWICE
        dots(a, b, None, how, fmt)
    unit = 2.0**-held.mantissa_bits
    near = [1 + unit, 1, 2 - unit, -1, -1 - unit]
    terms = [unit / 2, 1.5 * unit, unit / 4, 1.25 * unit / 2, 0.75 * unit / 2]
    rows = [
        (start, sign * x, y)
        for start, x, y, sign in product(near, terms, (1, 1.25, 0.875), (1, -1))
    ]
    a = round_to(np.array([(1, x, x) for _, x, _ in rows], np.float32), fmt)
    b = round_to(np.array([(start, y, -y) for start, _, y in rows], np.float32), fmt)
    assert _chosen(how, a, b, fmt) == driver.TWICE
    dots(a, b, None, how, fmt)


@pytest.mark.parametrize("held", [BF16, E8M4], ids=str)
def test_a_sum_lost_in_the_product_is_rounded_once(held: FloatFormat) -> None:
    """A product that is a tie, after a sum so small that float32 loses it beside it."""
    low = (held.mantissa_bits + 1) // 2
    tie = 1 + 2.0**-low, 1 + 2.0 ** (low - held.mantissa_bits - 1)
    even = 1 + 2.0**-low, 1 + 2.0 ** (low - held.mantissa_bits - 1) + 2.0 ** (1 - low)
    rows = [
        [(first * 2.0**-exponent, sign * x), (1, y)]
        for first, exponent, sign, (x, y) in product(
            (1, -1, 1.5), range(20, 28), (1, -1), (tie, even)
        )
    ]  # fmt: skip
    a = np.array([row[0] for row in rows], np.float32)
    b = np.array([row[1] for row in rows], np.float32)
    how = _how(held)
    assert (round_to(a, held) == a).all() and (round_to(b, held) == b).all()
    assert _chosen(how, a, b, held) == driver.TWICE
    once = dots(a, b, None, how, held)
    # the small sum decides, though float32 has lost it
    alone = dots(a[:, 1:], b[:, 1:], None, how, held)
    assert (once != alone).any()
    # again and again, in the middle of a chain
    chain = np.concatenate([np.ones((len(a), STEPS)), -np.ones((len(a), STEPS))], 1)
    for times in (1, 4):
        left, right = np.tile(np.concatenate([chain, a], 1), times), np.ones((len(a), 2 * STEPS))
        right = np.tile(np.concatenate([right, b], 1), times)
        dots(np.float32(left), np.float32(right), None, how, held)


@pytest.mark.parametrize("held", [BF16, E8M4], ids=str)
def test_what_enters_may_be_any_number(held: FloatFormat) -> None:
    how = _how(held, entry="first")
    ends = [0.0, -0.0, np.inf, -np.inf, np.nan, 2.0**-140, -(2.0**-149), 3e38, 2.0**99, -(2.0**98)]
    fine = [1 + 2.0**-20, -(1 + 2.0**-10), 1 + 2.0**-held.mantissa_bits, 1.0]
    c = np.array([*ends, *fine], np.float32)
    x = np.array([[1.0, 0.5, -0.25], [1.0, 2.0**-8, 2.0**-9]], np.float32)
    for row in x:
        a = np.broadcast_to(row, (len(c), 3))
        b = np.ones_like(a)
        assert _chosen(how, a, b, held) == driver.TWICE
        dots(a, b, c, how, held)


def test_what_is_too_large_too_fine_or_not_finite_goes_another_way() -> None:
    one = np.ones((1, 1), np.float32)
    assert _chosen(_how(BF16), one, one, BF16) == driver.TWICE
    for a, held in ((2.0**90, BF16), (np.inf, BF16), (np.nan, BF16), (1.0, FP32)):
        assert _chosen(_how(held), one * a, one, BF16) != driver.TWICE
    # more than 24 bits together; other roundings
    assert _chosen(_how(TF32), one, one, BF16) == driver.EVEN
    assert _chosen(_how(BF16, rounding="nearest_away"), one, one, BF16) == driver.RANGED


def test_factors_know_their_numbers() -> None:
    x = np.array([0.0, -0.0, 3.0, -(2.0**-20) * 1.5], np.float32)
    assert factors(extremes(x), BF16) == (-27, 8, 2)
    product_ = factors(extremes(x), BF16).times(factors(extremes(x), E4M3))
    assert product_ == (-27 + E4M3.emin - E4M3.mantissa_bits, 12, 4)
    for odd in (np.inf, np.nan):
        top = factors(extremes(np.array([odd, 1], np.float32)), BF16).top
        assert top + factors(extremes(np.array([2.0**-133], np.float32)), BF16).top > 100
    empty = factors(extremes(np.zeros((2, 0), np.float32)), BF16)
    assert narrow_way(_how(BF16), empty.times(empty)).way == driver.TWICE
    zeros = np.zeros((3, 4), np.float32)
    found = dots(zeros, zeros, None, _how(BF16), BF16)
    assert_same(found, np.zeros(3, np.float32))
