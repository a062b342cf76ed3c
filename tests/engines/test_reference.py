"""The judge is judged: fractions, examples worked by hand, outsiders."""

import itertools
import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from halfulp.dtypes import BF16, FP16, FP32, INT8, INT16, INT32, UINT8, FloatFormat, IntFormat
from halfulp.dtypes.reference import exact, round_exact
from halfulp.engines import Activation, AluOp, reference, reference_rows
from tests.engines import opinion
from tests.engines.inputs import CORNERS, OPERANDS, mixed
from tests.engines.opinion import bits, numbers, same

TINY = 2.0**-149
FLOATS = [fmt for fmt in OPERANDS.values() if isinstance(fmt, FloatFormat)]


def code(x: float) -> int:
    return int(bits(np.array([x], np.float32))[0])


def by_fractions(a: float, b: float, c: float) -> float | None:
    """The definition, where every number is finite and the sum is not zero."""
    if not all(map(math.isfinite, (a, b, c))):
        return None
    total = Fraction(a) * Fraction(b) + Fraction(c)
    return round_exact(total, FP32) if total else None


def test_the_fused_rule_is_one_rounding_of_a_fraction() -> None:
    found = 0
    triples = list(itertools.product(CORNERS, repeat=3))
    triples += zip(*numbers(mixed((3, 3000), 5)), strict=True)
    for a, b, c in triples:
        wanted = by_fractions(a, b, c)
        if wanted is not None:
            found += 1
            assert code(reference.fused(a, b, c)) == code(wanted), (a, b, c)
    assert found > 5000


@pytest.mark.parametrize(
    ("a", "b", "c", "wanted"),
    [
        # finite only when fused: the product alone is 2^128
        (2.0**64, 2.0**64, -(2.0**127), 2.0**127),
        (2.0**64, 2.0**64, 0.0, math.inf),
        # -2^-160 keeps its sign where the rounded product would be -0 and the sum +0
        (-(2.0**-80), 2.0**-80, 0.0, -0.0),
        (-(2.0**-80), 2.0**-80, -0.0, -0.0),
        (0.0, -1.0, 0.0, 0.0),
        (0.0, -1.0, -0.0, -0.0),
        (1.0, 1.0, -1.0, 0.0),
        # half of the smallest number is a tie and goes to 0; a little more does not
        (2.0**-75, 2.0**-75, 0.0, 0.0),
        (2.0**-75, 2.0**-75, TINY, 2 * TINY),
        (2.0**-75, 1.5 * 2.0**-75, 0.0, TINY),
        # ties to even beside 2^24
        (1.0, 1.0, 2.0**24, 2.0**24),
        (1.0, 3.0, 2.0**24, 2.0**24 + 4),
        (1.0, 1.0 + 2.0**-23, 2.0**24, 2.0**24 + 2),
        (math.inf, 0.0, 1.0, math.nan),
        (math.inf, 1.0, -math.inf, math.nan),
        (2.0**127, -2.0, math.inf, math.inf),
        (math.nan, 0.0, 0.0, math.nan),
    ],
)
def test_examples_of_the_fused_rule(a: float, b: float, c: float, wanted: float) -> None:
    arrays = [np.array([x], np.float32) for x in (a, b, c)]
    assert code(reference.fused(a, b, c)) == code(wanted)
    assert int(bits(opinion.fused(*arrays))[0]) == code(wanted)


def test_the_second_opinion_fuses_as_the_reference_does() -> None:
    triples = np.array(list(itertools.product(CORNERS, repeat=3)), np.float32)
    for a, b, c in (triples.T, mixed((3, 4000), 7)):
        threes = zip(*map(numbers, (a, b, c)), strict=True)
        wanted = np.array([reference.fused(*three) for three in threes], np.float32)
        assert same(opinion.fused(a, b, c), wanted)


@pytest.mark.parametrize("fmt", FLOATS, ids=str)
def test_a_cast_is_one_rounding_of_a_fraction(fmt: FloatFormat) -> None:
    x = np.concatenate([mixed((500,), 1), np.array([fmt.max, fmt.tiny], np.float32)])
    with np.errstate(all="ignore"):
        tied, beside = x * np.float32(1 + fmt.eps / 2), np.nextafter(x, np.float32(np.inf))
    x = np.concatenate([x, beside, tied])
    wanted = np.array([round_exact(exact(one), fmt) for one in numbers(x)])
    got = np.array([reference.cast(one, fmt) for one in numbers(x)])
    assert same(got.astype(np.float32), wanted.astype(np.float32))
    assert same(opinion.cast(x, fmt), wanted.astype(np.float32))


@pytest.mark.parametrize(
    ("x", "fmt", "wanted"),
    [
        (2.5, INT8, 2.0),
        (3.5, INT8, 4.0),
        (-2.5, INT8, -2.0),
        (127.5, INT8, 127.0),
        (-128.5, INT8, -128.0),
        (-1000.0, INT8, -128.0),
        (-0.25, INT8, 0.0),
        (math.nan, INT8, 0.0),
        (math.inf, INT16, 32767.0),
        (-math.inf, INT32, -(2.0**31)),
        (3e9, INT32, 2.0**31 - 128),
        (-5.0, UINT8, 0.0),
    ],
)
def test_examples_of_casts_to_integers(x: float, fmt: IntFormat, wanted: float) -> None:
    assert code(reference.cast_integer(x, fmt)) == code(wanted)
    assert code(float(opinion.cast(np.array([x], np.float32), fmt)[0])) == code(wanted)


def test_the_halves_of_a_number_are_exact_and_short() -> None:
    corners = [1 + 2.0**-23, -math.pi, 4097.0, 3e38, 5000 * TINY, 4095 * TINY, 2.0**-126 - TINY]
    x = np.concatenate([np.array(corners + list(CORNERS), np.float32), mixed((3000,), 8)])
    x = x[np.isfinite(x)]
    for single, high_code, low_code in zip(numbers(x), *map(bits, opinion.halves(x)), strict=True):
        high, low = reference.halves(single)
        assert high + low == single
        assert code(high) % 2**12 == 0 and code(low) != code(-0.0)
        assert (code(high), code(low)) == (high_code, low_code)


@pytest.mark.parametrize("x", [math.inf, -math.inf, math.nan])
def test_what_is_not_finite_has_no_low_half(x: float) -> None:
    high, low = reference.halves(x)
    assert code(high) == code(x) and code(low) == 0


def test_a_sum_is_one_chain_a_tile_and_one_addition_between_tiles() -> None:
    # 1 + 2^-24 is a tie that goes to 1, over and over; 128 of them in their own tile are 2^-17
    row = [1.0] + [2.0**-24] * 255
    assert reference.systolic_sum(row, [1.0] * 256) == 1 + 2.0**-17
    assert reference.systolic_sum(row[:129], [1.0] * 129) == 1.0
    # 127 of them first, then the 1
    assert reference.systolic_sum(row[::-1][128:], [1.0] * 128) == 1 + 2.0**-17


def test_the_first_tile_overwrites() -> None:
    assert code(reference.systolic_sum([-(2.0**-80)], [2.0**-80])) == code(-0.0)
    assert reference.systolic_sum([], []) == 0.0


def test_four_passes_in_their_order() -> None:
    a, b = 1.0 + 2.0**-11 + 2.0**-23, 1.0 + 3 * 2.0**-12
    (a_high, a_low), (b_high, b_low) = pair = reference.halves(a), reference.halves(b)
    assert pair == ((1 + 2.0**-11, 2.0**-23), (1 + 2.0**-11, 2.0**-12))
    total = 0.0
    for product in (a_high * b_high, a_high * b_low, a_low * b_high, a_low * b_low):
        total = float(np.float32(total + product))
    assert reference.four_pass_sum([pair[0]], [pair[1]]) == total


def test_infinity_meets_zero_in_a_cross_pass() -> None:
    pair = reference.halves(math.inf), reference.halves(1.0)
    assert math.isnan(reference.four_pass_sum([pair[0]], [pair[1]]))


def test_integers_wrap_at_32_bits() -> None:
    assert reference.integer_sum([-128.0] * 131072, [-128.0] * 131072) == -(2**31)
    assert reference.integer_sum([-128.0] * 131071, [-128.0] * 131071) == 2**31 - 2**14


def test_a_sum_leaves_in_two_roundings_and_a_cast() -> None:
    third = float(np.float32(1 / 3))
    wanted = np.float32(np.float32(3.0) * np.float32(third)) + np.float32(2.0**-25)
    assert reference.evacuate(3.0, third, 2.0**-25, FP32) == wanted
    assert reference.evacuate(257.0, 1.0, 0.0, BF16) == 256.0
    assert code(reference.evacuate(-0.0, 1.0, -0.0, FP16)) == code(-0.0)


@pytest.mark.parametrize(
    ("which", "function"),
    [
        (Activation.EXP, math.exp),
        (Activation.TANH, math.tanh),
        (Activation.GELU, lambda x: x * 0.5 * math.erfc(-x / math.sqrt(2))),
        (Activation.SQRT, lambda x: math.sqrt(x) if x > 0 else math.nan),
        (Activation.RSQRT, lambda x: 1 / math.sqrt(x) if x > 0 else math.nan),
        (Activation.RECIPROCAL, lambda x: 1 / x),
        (Activation.RELU, lambda x: max(x, 0.0)),
    ],
)
def test_functions_agree_with_those_of_python(
    which: Activation, function: Callable[[float], float]
) -> None:
    for x in np.random.default_rng(3).normal(size=200).astype(np.float32).tolist():
        assert code(reference_rows.function(x, which)) == code(function(x)), x


def test_division_at_its_corners() -> None:
    with np.errstate(all="ignore"):
        for a, b in itertools.product(CORNERS, repeat=2):
            wanted = opinion.single(np.array([np.float32(a) / np.float32(b)]))
            assert code(reference.divide(a, b)) == int(bits(wanted)[0]), (a, b)


def test_layernorm_worked_by_hand() -> None:
    for length in (2, 4, 512, 514, 1024, 2048):
        row = [1.0, 3.0] * (length // 2)  # mean 2, variance 1
        if length & (length - 1) == 0:
            got = reference_rows.layernorm(row, [2.0] * length, [1.0] * length, 0.0)
            assert got == [-1.0, 3.0] * (length // 2)
    assert reference_rows.layernorm([5.0], [1.0], [0.5], 1e-5) == [0.5]


def test_softmax_worked_by_hand() -> None:
    assert reference_rows.softmax([7.0, 7.0, 7.0, 7.0]) == [0.25] * 4
    assert reference_rows.softmax([1.0, 9.0], mask=[True, False]) == [1.0, 0.0]
    assert reference_rows.softmax([-math.inf, -math.inf]) == [0.0, 0.0]
    assert all(map(math.isnan, reference_rows.softmax([math.nan, -math.inf])))
    assert all(map(math.isnan, reference_rows.softmax([1.0, math.inf])))


def test_extremes_keep_nan_and_of_equal_numbers_the_first() -> None:
    for op in (AluOp.MAX, AluOp.MIN):
        assert math.isnan(reference_rows.combine(math.nan, 1.0, op))
        assert math.isnan(reference_rows.combine(1.0, math.nan, op))
        assert code(reference_rows.combine(-0.0, 0.0, op)) == code(-0.0)
    assert reference_rows.largest([]) == -math.inf
