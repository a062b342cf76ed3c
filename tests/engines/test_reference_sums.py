"""The judge's single steps: zeros, specials, overflow, flushing, NaN bits, draws."""

import dataclasses
from dataclasses import replace
from math import inf, isnan, nan
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from halfulp.dtypes import (
    BF16,
    E2M1FN,
    E4M3FN,
    E5M2,
    E5M2FNUZ,
    FP16,
    FP32,
    INT8,
    FloatFormat,
)
from halfulp.dtypes.rounding import DETERMINISTIC, Rounding
from halfulp.engines.accumulation import (
    Accumulation,
    IntegerAccumulator,
    NanRule,
)
from halfulp.engines.reference_accumulation import dot, matmul
from halfulp.engines.reference_sums import draw, philox, span
from tests.engines.opinion import bits
from tests.engines.small_sums import EACH_ORDER, END, SMALL, exactly, how, same, total


def test_zeros_have_the_signs_of_ieee_754() -> None:
    for rounding in DETERMINISTIC:
        nearest = how(rounding=rounding)
        assert same(total(nearest, 1.0, c=-1.0), 0.0)
        assert same(total(nearest, -0.0, c=-0.0), -0.0)
        assert same(total(nearest, (-0.0, 5.0), c=None), 0.0)
        assert same(total(nearest, (-0.0, -5.0), c=-0.0), 0.0)
    tiny = (-(2.0**-12), 2.0**-12)
    assert same(total(how(), tiny), -0.0)
    assert same(total(how(rounds_products=True), tiny), 0.0)  # -0 + +0
    assert same(total(how(rounds_products=True), tiny, c=-0.0), -0.0)
    for form in ("exact", "fused"):
        one = how(form, fraction_bits=8 if form == "fused" else None)
        assert same(total(one, -0.0, c=-0.0), 0.0)
    assert same(total(exactly(), tiny), -0.0)
    assert same(total(how(entry=END), c=-0.0), -0.0)
    assert same(total(how(entry=END, tile=1), tiny), -0.0)  # takes the place of what was there
    assert same(total(how(entry=END, tile=1), tiny, c=-0.0), -0.0)
    assert same(total(how(entry=END, tile=1), -0.0), 0.0)


@pytest.mark.parametrize("accumulation", EACH_ORDER, ids=str)
def test_infinities_and_nan_go_through_every_order(accumulation: Accumulation) -> None:
    def of(*products: float | tuple[float, float], c: float | None = None) -> float:
        return total(accumulation, *products, c=c)

    assert of(1, inf, 1, 1) == inf
    assert of(1, 1, (inf, -1.0), 1) == -inf
    assert of(1, 1, c=-inf) == -inf
    assert of(inf, 1, inf, c=inf) == inf
    for products in ((inf, 1, -inf), (1, nan, 1), (1, (inf, 0.0)), ((0.0, -inf), 1), (-inf, nan)):
        assert isnan(of(*products))
    assert isnan(of(inf, c=-inf))
    assert isnan(of(1, c=nan))
    assert of(57344, 57344) == inf
    assert of((-57344, 2.0)) == -inf


@pytest.mark.parametrize("rounding", DETERMINISTIC)
def test_overflow_follows_ieee_754_or_goes_to_infinity(rounding: Rounding) -> None:
    below, past = (57344.0, 4096.0), (57344.0, 8192.0)
    finite = {
        Rounding.TOWARD_ZERO: (57344.0, -57344.0),
        Rounding.TO_ODD: (57344.0, -57344.0),
        Rounding.TOWARD_POSITIVE: (inf, -57344.0),
        Rounding.TOWARD_NEGATIVE: (57344.0, -inf),
    }.get(rounding, (inf, -inf))
    for sign, wanted in zip((1, -1), finite, strict=True):
        signed = [sign * x for x in past]
        assert total(how(rounding=rounding), *signed) == sign * inf
        ieee = how(rounding=rounding, overflows_to_infinity=False)
        assert total(ieee, *signed) == wanted
    # a number that is cut to the largest one is not past it
    if rounding in (Rounding.TOWARD_ZERO, Rounding.TOWARD_NEGATIVE):
        assert total(how(rounding=rounding), *below) == 57344.0


def test_results_are_flushed_after_rounding() -> None:
    flushing = how(flushes_results=True)
    least = 2.0**-14
    assert same(total(flushing, 0.5 * least), 0.0)
    assert same(total(flushing, -0.5 * least), -0.0)
    # 15/16 of it is a tie, and goes up; 7/8 is a number of three bits, and tiny
    assert total(flushing, (-(2.0**-9), 2.0**-9), c=least) == least
    assert same(total(flushing, (-(2.0**-8), 2.0**-9), c=least), 0.0)
    assert total(how(), (-(2.0**-8), 2.0**-9), c=least) == least  # to even, at the wider spacing
    assert same(total(how(flushes_results=True, entry=END, psum=FP16), 2.0**-16), 0.0)
    wide = how(flushes_results=True, entry=END, psum=FP32, extra_exponent_bits=1)
    assert total(wide, 2.0**-16) == 2.0**-16
    assert total(how(flushes_results=True, rounds_products=True), 0.5 * least, c=1.0) == 1.0
    assert total(flushing, c=0.25 * least) == 0.25 * least  # no rounding in the accumulator


def test_subnormal_inputs_are_flushed() -> None:
    flushing = how(flushes_inputs=True)
    assert same(total(flushing, (2.0**-15, 4.0)), 0.0)
    assert same(total(flushing, (-(2.0**-15), 4.0), c=-0.0), -0.0)
    assert total(how(), (2.0**-15, 4.0)) == 2.0**-13
    assert same(total(flushing, c=-(2.0**-15)), -0.0)
    assert total(flushing, (2.0**-14, 0.5)) == 2.0**-15
    assert same(total(flushing, (1.0, 0.75 * 2.0**-14)), 0.0)
    # where a format has no -0 there is none
    assert same(dot([-(2.0**-16)], [1.0], -0.0, flushing, E5M2FNUZ, SMALL), 0.0)


def test_more_exponent_bits_inside_a_tile() -> None:
    small = [(2.0**-10, 2.0**-9)] * 8  # each an eighth of the smallest subnormal
    large = [(57344.0, 2.0), (-57344.0, 1.0)]
    for bits_more in (1, 2):
        wide = how(entry=END, extra_exponent_bits=bits_more)
        assert total(wide, *small) == 2.0**-16
        assert total(wide, *large) == 57344.0
        assert total(wide, *large[:1]) == inf
        assert total(dataclasses.replace(wide, tile=1), *large) == inf
    assert total(how(entry=END), *small) == 0.0
    assert total(how(entry=END), *large) == inf


def test_the_wider_span_is_that_of_a_wider_format() -> None:
    for narrow, wide in ((E5M2, FloatFormat(7, 2)), (FloatFormat(3, 4), FloatFormat(5, 4))):
        assert span(narrow, 2) == span(wide)
    assert span(FloatFormat(1, 3), 1) == span(FloatFormat(2, 3))
    assert span(FP32, 2).emin == -510 and span(FP32, 2).largest > 2**511


def test_operands_are_rounded_to_their_formats() -> None:
    plain = Accumulation()
    assert dot([1.125], [1.0], None, plain, E5M2, FP16) == 1.0
    assert dot([1.125], [1.0], None, plain, FP16, E5M2) == 1.125
    assert dot([1e6], [1.0], None, plain, E5M2, FP16) == inf
    assert isnan(dot([1e6], [1.0], None, plain, E4M3FN, FP16))  # which has no infinity
    assert same(dot([nan], [-1.0], -0.0, plain, E2M1FN, FP16), -0.0)
    # one rounding, from a number that float32 does not hold
    assert dot([1.125 + 2.0**-40], [1.0], None, plain, E5M2, FP16) == 1.25
    integers = Accumulation(accumulator=IntegerAccumulator(32))
    assert dot([2.5, nan, 1e9], [1.0, 1.0, 1.0], 0, integers, INT8, INT8) == 2 + 0 + 127
    with pytest.raises(ValueError, match="does not hold"):
        dot([1.0], [1.0], None, how(), FP16, SMALL)


def test_the_result_is_rounded_to_its_format() -> None:
    plain, row = Accumulation(), [1.125]
    assert dot(row, [1.0], None, plain, FP16, FP16, out_format=E5M2) == 1.0
    assert dot([1e4], [1e2], None, plain, FP16, FP16, out_format=FP16) == inf


def floats(codes: list[list[int]]) -> npt.NDArray[np.float32]:
    return np.array(codes, np.uint32).view(np.float32)


A_NAN, B_NAN, C_NAN = 0xFFA00001, 0x7FC12345, 0xFF876543
QUIET = 0x00400000


@pytest.mark.parametrize(
    ("a", "b", "c", "wanted"),
    [
        ([A_NAN], [B_NAN], C_NAN, A_NAN | QUIET),
        ([0x3F800000], [B_NAN], C_NAN, B_NAN),
        ([0], [0], C_NAN, C_NAN | QUIET),
        ([0], [0x7F800000], C_NAN, C_NAN | QUIET),  # no operation makes a NaN where there is one
        ([0], [0x7F800000], 0, 0xFFC00000),
        ([0x7F800000], [0x3F800000], 0xFF800000, 0xFFC00000),
        ([A_NAN, 0], [0, B_NAN], 0, B_NAN),  # the latest step's
        ([A_NAN, 0], [0, 0], 0, A_NAN | QUIET),
        ([0, A_NAN], [0x7F800000, 0], 0, A_NAN | QUIET),
    ],
)
def test_the_bits_of_a_nan(a: list[int], b: list[int], c: int, wanted: int) -> None:
    arguments = floats([a]), floats([b]).T, floats([[c]])
    for rule, found in (
        (NanRule.OPERAND, wanted),
        (NanRule.CANONICAL, 0x7FC00000),
        (NanRule.ALL_ONES, 0x7FFFFFFF),
    ):
        result = matmul(*arguments, Accumulation(nan=rule), BF16, BF16)
        assert hex(bits(result)[0, 0]) == hex(found)
    half = matmul(*arguments, Accumulation(nan=NanRule.ALL_ONES), BF16, BF16, out_format=FP16)
    assert hex(bits(half)[0, 0]) == hex(0x7FFFE000)
    half = matmul(*arguments, Accumulation(nan=NanRule.OPERAND), BF16, BF16, out_format=BF16)
    assert hex(bits(half)[0, 0]) == hex(wanted & 0xFFFF0000)


def test_a_nan_that_a_conversion_makes_is_canonical() -> None:
    rule = Accumulation(nan=NanRule.OPERAND)
    large, one = floats([[0xC9742400]]), np.ones((1, 1), np.float32)  # -10^6, past E4M3FN
    assert bits(matmul(large, one, None, rule, E4M3FN, BF16))[0, 0] == 0x7FC00000
    past = matmul(large, one, None, rule, BF16, BF16, out_format=E4M3FN)
    assert bits(past)[0, 0] == 0xFFC00000  # that of the result is an operation's


def test_the_latest_nan_is_that_of_the_order_in_time() -> None:
    row = floats([[A_NAN, 0xFFC00002]])
    ones = np.ones((2, 1), np.float32)
    backward = Accumulation(nan=NanRule.OPERAND, chains=2, tile=2, descending=True)
    assert bits(matmul(row, ones, None, backward, BF16, BF16))[0, 0] == A_NAN | QUIET
    forward = dataclasses.replace(backward, descending=False)
    assert bits(matmul(row, ones, None, forward, BF16, BF16))[0, 0] == 0xFFC00002


def test_philox_gives_the_known_answers() -> None:
    for counter, key, wanted in (
        ((0,) * 4, (0,) * 2, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ):  # fmt: skip
        assert philox(counter, key) == wanted


def test_a_draw_is_the_upper_bits_of_a_word_or_of_half_of_one() -> None:
    seed, output = 0x299F31D0_A4093822, 0x85A308D3_243F6A88
    counter = (output & 0xFFFFFFFF, output >> 32, 0x13198A2E, 0x03707344)
    words = philox(counter, (seed & 0xFFFFFFFF, seed >> 32))
    assert [word >> 20 for word in words] == [0xD16, 0x94F, 0x500, 0x241]
    many = Accumulation(rounding=Rounding.STOCHASTIC, seed=seed, random_bits=17)
    for number, word in enumerate(words):
        found = draw(many, output, 4 * 0x03707344_13198A2E + number)
        assert (found.value, found.bits) == (word >> 15, 17)
    few = replace(many, random_bits=12)
    halves = [half for word in words for half in (word >> 16, word & 0xFFFF)]
    for number, half in enumerate(halves):
        found = draw(few, output, 8 * 0x03707344_13198A2E + number)
        assert (found.value, found.bits) == (half >> 4, 12)
    third = philox((3, 0, 0, 0), (0, 0))[1] >> 16
    assert draw(Accumulation(rounding=Rounding.STOCHASTIC), 3, 2).value == third


# a sixteenth is a quarter of an ulp of one: it moves the sum up in a quarter of the draws
@pytest.mark.parametrize(
    ("fields", "products", "place"),
    [
        ({}, (0, 0, 1, 0, 0, 0.0625), 5),
        ({"rounds_products": True}, (0, 0, 1, 0, 0, 0.0625), 11),
        ({"order": "pairwise", "block": None}, (0, 0, 0, 1, 0, 0.0625), 6 + 4),
        ({"order": "pairwise", "block": 4}, (0, 0, 0, 1, 0, 0.0625), 4 + 3 + 1 + 2 + 1),
        ({"order": "exact", "block": 4}, (0, 0, 0, 1, 0, 0.0625), 1),
        ({"order": "exact", "block": 4, "entry": "late"}, (0, 0, 0, 1, 0, 0.0625), 3),
        ({"order": "fused", "block": 1, "fraction_bits": 20}, (0, 0, 0, 1, 0, 0.0625), 5),
        ({"entry": "end", "tile": 4, "chains": 4, "join": "pairwise"}, (0, 0, 1, 0.0625), 4 + 1),
        ({"entry": "end", "tile": 4, "chains": 4, "join": "sequential"}, (0, 0, 1, 0.0625), 4 + 2),
        # neighbours are added as soon as both are there
        ({"order": "pairwise", "block": None}, (0, 0, 1, 0.0625, 0, 0), 3 + 2),
        ({"order": "pairwise", "block": None}, (0, 0, 1, 0, 0.0625, 0), 3 + 4 + 3),
        ({"entry": "end", "tile": 4, "chains": 4, "join": "pairwise"}, (1, 0.0625, 0, 0), 2),
        ({"entry": "end", "tile": 4, "chains": 4, "join": "sequential"}, (1, 0, 0.0625, 0), 4),
        # the rounding of PSUM is none of these
        ({"entry": "end", "tile": 2, "psum": FP32}, (0.5, 0, 0, 0, 1, 0.0625), 5),
    ],
)
def test_every_rounding_into_the_accumulator_takes_its_own_draw(
    fields: dict[str, Any], products: tuple[float, ...], place: int
) -> None:
    one = how(**fields, rounding="stochastic", seed=0x123456789ABCDEF0, random_bits=7)
    ups = 0
    for output in range(40):
        up = 32 + draw(one, output, place).value >= 128
        found = dot(products, [1.0] * len(products), None, one, SMALL, SMALL, output=output)
        assert found == (0.5 if one.psum else 0.0) + (1.25 if up else 1.0)
        ups += up
    assert 2 <= ups <= 20


def test_the_outputs_of_a_product_are_numbered_by_row() -> None:
    one = how(rounding=Rounding.STOCHASTIC, seed=5, random_bits=8)
    a, b = np.full((3, 1), 0.0625, np.float32), np.ones((1, 4), np.float32)
    found = matmul(a, b, np.ones((1, 4), np.float32), one, SMALL, SMALL, output=7)
    alone = [dot([0.0625], [1.0], 1.0, one, SMALL, SMALL, output=7 + i) for i in range(12)]
    assert found.ravel().tolist() == alone
    assert {1.0, 1.25} == set(alone)
