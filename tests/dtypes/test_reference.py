"""The reference is right: against examples, outsiders, laws; and it judges the second opinion."""

from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from halfulp.dtypes import (
    BF16,
    E2M1FN,
    E2M3FN,
    E3M2FN,
    E3M4,
    E4M3,
    E4M3B11FNUZ,
    E4M3FN,
    E4M3FNUZ,
    E5M2,
    E5M2FNUZ,
    E8M0FNU,
    FP16,
    FP32,
    INT8,
    UINT8,
    FloatFormat,
    Format,
    IntFormat,
    NanTo,
    Overflow,
    Rounding,
    Subnormals,
    cfp8,
)
from halfulp.dtypes.reference import Noise, Special, exact, nearest_code, round_exact, value
from halfulp.dtypes.rounding import DETERMINISTIC
from tests.dtypes.opinion import encode_by_spacing, modes, values_of
from tests.strategies import (
    EVERY_FLOAT,
    FLOATS,
    boundaries,
    float_formats,
    floats_near,
    integer_formats,
    overflows_of,
    roundings,
)

BYTES = {name: fmt for name, fmt in EVERY_FLOAT.items() if fmt.bits <= 8}
NEAREST, AWAY = Rounding.NEAREST_EVEN, Rounding.NEAREST_AWAY
ZERO, UP, DOWN, ODD = (
    Rounding.TOWARD_ZERO,
    Rounding.TOWARD_POSITIVE,
    Rounding.TOWARD_NEGATIVE,
    Rounding.TO_ODD,
)
INF, SATURATE = Overflow.INF, Overflow.SATURATE


@pytest.mark.parametrize(
    ("x", "fmt", "results"),
    [
        # nearest even, away, toward zero, positive, negative, to odd
        (1.0625, E4M3, (1.0, 1.125, 1.0, 1.125, 1.0, 1.125)),
        (-1.0625, E4M3, (-1.0, -1.125, -1.0, -1.0, -1.125, -1.125)),
        (1.1875, E4M3, (1.25, 1.25, 1.125, 1.25, 1.125, 1.125)),
        (2.0**-10, E4M3, (0.0, 2.0**-9, 0.0, 2.0**-9, 0.0, 2.0**-9)),
        (3 * 2.0**-10, E4M3, (2.0**-8, 2.0**-8, 2.0**-9, 2.0**-8, 2.0**-9, 2.0**-9)),
        (5e-324, E4M3, (0.0, 0.0, 0.0, 2.0**-9, 0.0, 2.0**-9)),
        (-5e-324, E4M3, (-0.0, -0.0, -0.0, -0.0, -(2.0**-9), -(2.0**-9))),
        (247.99, E4M3, (240.0, 240.0, 240.0, np.inf, 240.0, 240.0)),
        (248.0, E4M3, (np.inf, np.inf, 240.0, np.inf, 240.0, 240.0)),
        (-1e300, E4M3, (-np.inf, -np.inf, -240.0, -240.0, -np.inf, -240.0)),
        (464.0, E4M3FN, (448.0, np.nan, 448.0, np.nan, 448.0, 448.0)),
        (464.00001, E4M3FN, (np.nan, np.nan, 448.0, np.nan, 448.0, 448.0)),
        # no mantissa bits: every value is odd, so a tie goes up; between 0 and the least, 0 is even
        (1.5, cfp8(7, 0), (2.0, 2.0, 1.0, 2.0, 1.0, 1.0)),
        (3.0, cfp8(7, 0), (4.0, 4.0, 2.0, 4.0, 2.0, 2.0)),
        (2.0**-63, cfp8(7, 0), (0.0, 2.0**-62, 0.0, 2.0**-62, 0.0, 2.0**-62)),
        (16973823, BF16, (16908288.0, 16908288.0, 16908288.0, 17039360.0, 16908288.0, 16908288.0)),
        (Fraction(1, 3), E5M2, (0.3125, 0.3125, 0.3125, 0.375, 0.3125, 0.3125)),
        (2.5, INT8, (2.0, 3.0, 2.0, 3.0, 2.0, 3.0)),
        (-3.5, INT8, (-4.0, -4.0, -3.0, -3.0, -4.0, -3.0)),
        (-0.25, INT8, (0.0, 0.0, 0.0, 0.0, -1.0, -1.0)),
        (1e9, INT8, (127.0,) * 6),
        (-1e9, UINT8, (0.0,) * 6),
        (-np.inf, INT8, (-128.0,) * 6),
        (np.inf, UINT8, (255.0,) * 6),
        (np.nan, INT8, (0.0,) * 6),
        (-0.0, INT8, (0.0,) * 6),
    ],
)
def test_examples_worked_by_hand(x: Any, fmt: Format, results: tuple[float, ...]) -> None:
    got = [round_exact(x, fmt, rounding) for rounding in (NEAREST, AWAY, ZERO, UP, DOWN, ODD)]
    assert list(map(repr, got)) == [repr(float(result)) for result in results]


@pytest.mark.parametrize("rounding", DETERMINISTIC)
def test_saturation_clamps_the_finite_and_leaves_infinity(rounding: Rounding) -> None:
    assert round_exact(1e300, E4M3, rounding, SATURATE) == 240.0
    assert round_exact(-249.0, E4M3, rounding, SATURATE) == -240.0
    assert round_exact(np.inf, E4M3, rounding, SATURATE) == np.inf
    assert round_exact(-np.inf, E4M3, rounding, SATURATE) == -np.inf
    assert nearest_code(-np.inf, E4M3FN, rounding, SATURATE) == 0x7F  # as ml_dtypes has it
    assert round_exact(1e300, E4M3FN, rounding, SATURATE) == 448.0


@pytest.mark.parametrize("rounding", DETERMINISTIC)
def test_the_other_policies_of_overflow(rounding: Rounding) -> None:
    for x in (1e300, np.inf, 500.0):
        assert round_exact(-x, E4M3, rounding, Overflow.SATURATE_ALL) == -240.0
        assert nearest_code(-x, E4M3, rounding, Overflow.NAN) == 0x7C
        assert round_exact(x, E4M3FN, rounding, "saturate_all") == 448.0
        assert round_exact(-x, E2M1FN, rounding, INF) == -6.0  # neither infinity nor NaN
    assert nearest_code(np.inf, E4M3FNUZ, rounding, SATURATE) == 0x80
    # judged after rounding: toward zero 249 is 240, which is no overflow
    assert nearest_code(249.0, E4M3, ZERO, Overflow.NAN) == 0x77
    assert nearest_code(249.0, E4M3, UP, Overflow.NAN) == 0x7C
    with pytest.raises(ValueError, match="e2m1fn has no NaN"):
        nearest_code(1e9, E2M1FN, rounding, Overflow.NAN)


def test_fnuz_has_no_minus_zero_and_one_nan() -> None:
    assert nearest_code(-0.0, E4M3FNUZ) == nearest_code(-1e-9, E4M3FNUZ) == 0
    assert value(0x80, E4M3FNUZ) is Special.NAN and value(0x7F, E4M3FNUZ) == 240
    assert nearest_code(np.nan, E4M3FNUZ) == nearest_code(-np.inf, E4M3FNUZ) == 0x80


@pytest.mark.parametrize(
    ("x", "code"),
    [(0.0, 255), (-0.0, 255), (-1.0, 255), (np.inf, 255), (-np.inf, 255), (np.nan, 255)]
    + [(1e-40, 0), (5e-324, 0), (2.0**-127, 0), (1.5, 128), (3.0, 129), (1.49, 127)]
    + [(2.0**127, 254), (1.5 * 2.0**127, 255), (1.49 * 2.0**127, 254)],
)
def test_a_scale_takes_positive_numbers_alone(x: float, code: int) -> None:
    assert nearest_code(x, E8M0FNU) == code
    saturated = 254 if x > 2.0**127 and x != np.inf else code
    assert nearest_code(x, E8M0FNU, overflow=SATURATE) == saturated


def test_without_subnormals_the_lowest_binade_is_whole_but_for_zero() -> None:
    fmt = FloatFormat(4, 3, subnormals=False)
    assert [value(code, fmt) for code in (0, 1, 8)] == [0, Fraction(9, 1024), Fraction(1, 64)]
    assert nearest_code(9 / 2048, fmt) == 0 and nearest_code(9 / 2048, fmt, AWAY) == 1
    assert nearest_code(0.0044, fmt) == 1 and nearest_code(1e-9, fmt, UP) == 1
    assert nearest_code(1e-9, fmt, ODD) == 1 and nearest_code(0.0087, fmt, ZERO) == 0


def test_subnormal_numbers_are_flushed_on_either_side() -> None:
    flush_in, flush_out = Subnormals.FLUSH_INPUTS, Subnormals.FLUSH_OUTPUTS
    tiny = 2.0**-126
    assert nearest_code(-(2.0**-130), BF16, subnormals=flush_in, source_tiny=tiny) == 0x8000
    assert nearest_code(2.0**-9, E4M3, subnormals=flush_in, source_tiny=tiny) == 1
    assert nearest_code(-7 * 2.0**-9, E4M3, subnormals=flush_out) == 0x80
    assert nearest_code(7.75 * 2.0**-9, E4M3, subnormals=flush_out) == 8  # rounded to a normal one
    assert nearest_code(-(2.0**-9), E4M3FNUZ, subnormals=flush_out) == 0


@pytest.mark.parametrize("bits", [1, 2, 3, 8, 32])
def test_stochastic_adds_noise_below_the_last_place(bits: int) -> None:
    x = Fraction(1) + Fraction(5, 64)  # 5/8 of a unit above 1.0
    share = 5 * 2**bits // 8
    for draw, up in ((2**bits - share - 1, False), (2**bits - share, share > 0)):
        if draw < 2**bits:
            code = nearest_code(x, E4M3, "stochastic", noise=Noise(draw, bits))
            assert code == 0x38 + up
    assert nearest_code(1.0, E4M3, "stochastic", noise=Noise(2**bits - 1, bits)) == 0x38


def test_nan_goes_where_it_is_said() -> None:
    assert nearest_code(-np.nan, E2M1FN, nan="zero") == 0
    assert round_exact(-np.nan, E2M1FN, nan=NanTo.MAX) == 6.0
    assert nearest_code(np.nan, E4M3, nan=NanTo.MAX) == 0x7C  # it has one


def test_nan_is_canonical_and_zero_keeps_its_sign() -> None:
    assert nearest_code(-np.nan, E4M3) == 0x7C
    assert nearest_code(np.nan, FP32) == 0x7FC00000
    assert nearest_code(-0.0, FP16) == 0x8000
    assert value(0x8000, FP16) is Special.MINUS_ZERO
    assert value(0xFFFF, FP16) is Special.NAN
    assert exact(-0.0) is Special.MINUS_ZERO and exact(0.0) == 0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: nearest_code(np.nan, cfp8(7, 0)), "cfp8(7,0) has no NaN; replace NaN"),
        (lambda: value(256, E4M3), "256 is no code of e4m3; allowed: 0 to 255"),
        (lambda: value(-1, E4M3), "-1 is no code of e4m3"),
        (lambda: value(128, INT8), "128 is no int8; allowed: -128 to 127"),
        (lambda: nearest_code(1.0, E4M3, "stochastic"), "noise=None with rounding='stochastic'"),
        (lambda: nearest_code(1.0, E4M3, noise=Noise(1)), "with rounding='nearest_even'; they go"),
        (lambda: Noise(4, 2), "bits must be 1 to 32, value 0 to 2^bits - 1"),
        (lambda: nearest_code(1.0, E4M3, "nearest"), "rounding='nearest' is not known; allowed: "),
        (lambda: nearest_code(1.0, E4M3, overflow="wrap"), "overflow='wrap' is not known; allowed"),
    ],
)
def test_the_reference_refuses(call: Any, words: str) -> None:
    with pytest.raises(ValueError) as caught:
        call()
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("fmt", "outsider"),
    [
        (E5M2, ml_dtypes.float8_e5m2),
        (E4M3, ml_dtypes.float8_e4m3),
        (E3M4, ml_dtypes.float8_e3m4),
        (E4M3FN, ml_dtypes.float8_e4m3fn),
        (E5M2FNUZ, ml_dtypes.float8_e5m2fnuz),
        (E4M3FNUZ, ml_dtypes.float8_e4m3fnuz),
        (E4M3B11FNUZ, ml_dtypes.float8_e4m3b11fnuz),
        (E8M0FNU, ml_dtypes.float8_e8m0fnu),
        (E3M2FN, ml_dtypes.float6_e3m2fn),
        (E2M3FN, ml_dtypes.float6_e2m3fn),
        (E2M1FN, ml_dtypes.float4_e2m1fn),
        (FP16, np.float16),
        (BF16, ml_dtypes.bfloat16),
    ],
    ids=str,
)
def test_every_code_means_what_the_outsider_says(fmt: FloatFormat, outsider: Any) -> None:
    codes = np.arange(1 << fmt.bits, dtype=fmt.code_dtype)
    with np.errstate(invalid="ignore"):
        outside = codes.view(outsider).astype(np.float64).tolist()
    assert [exact(x) for x in outside] == [value(code, fmt) for code in codes.tolist()]


@pytest.mark.parametrize(
    "fmt",
    [
        pytest.param(fmt, marks=[] if fmt.name in ("e4m3", "e4m3fn") else pytest.mark.deep)
        for fmt in BYTES.values()
    ],
    ids=str,
)
def test_the_second_opinion_agrees_at_the_boundaries_of_every_byte(fmt: FloatFormat) -> None:
    points = boundaries(fmt)
    points = points[~np.isnan(points)] if not fmt.has_nan else points
    if fmt not in FLOATS.values():  # the named ones whole
        points = points[:: max(1, len(points) // 256)]
    for rounding, overflow in modes(fmt):
        codes = encode_by_spacing(points, fmt, rounding, overflow).tolist()
        wanted = [nearest_code(x, fmt, rounding, overflow) for x in points.tolist()]
        assert codes == wanted, (rounding, overflow)


@given(st.data(), float_formats(), roundings)
def test_the_second_opinion_agrees_near_the_values_of_any_format(
    data: st.DataObject, fmt: FloatFormat, rounding: Rounding
) -> None:
    overflow = data.draw(st.sampled_from(overflows_of(fmt)))
    x = data.draw(floats_near(fmt).filter(lambda x: fmt.has_nan or x == x))
    code = encode_by_spacing(np.array([x]), fmt, rounding, overflow)
    assert code[0] == nearest_code(x, fmt, rounding, overflow)
    got = values_of(code, fmt)[0]
    assert repr(float(got)) == repr(round_exact(x, fmt, rounding, overflow))


@given(float_formats(), st.data())
def test_a_value_of_the_format_is_its_own_rounding(fmt: FloatFormat, data: st.DataObject) -> None:
    code = data.draw(st.integers(0, (1 << fmt.bits) - 1))
    number = value(code, fmt)
    if number is Special.NAN:
        code = nearest_code(np.nan, fmt)
    infinite = number in (Special.INFINITY, Special.MINUS_INFINITY)
    for rounding, overflow in modes(fmt):
        if not infinite or overflow in (Overflow.INF, Overflow.SATURATE):
            assert nearest_code(number, fmt, rounding, overflow) == code


def _fraction(code: int, fmt: Format) -> Fraction | None:
    number = value(code, fmt)
    if number is Special.MINUS_ZERO:
        return Fraction(0)
    return number if isinstance(number, Fraction) else None


@given(float_formats() | integer_formats, st.data())
def test_roundings_obey_their_laws(fmt: Format, data: st.DataObject) -> None:
    if isinstance(fmt, FloatFormat):
        assume(fmt.has_zero)
        x = Fraction(data.draw(floats_near(fmt).filter(np.isfinite)))
        x *= data.draw(st.just(Fraction(1)) | st.fractions(0, 2))
    else:
        x = data.draw(st.fractions(-300, 300, max_denominator=4) | st.fractions(-(2**33), 2**33))
    got = {
        rounding: _fraction(nearest_code(x, fmt, rounding, SATURATE), fmt)
        for rounding in DETERMINISTIC
    }
    low, high = got[DOWN], got[UP]
    assert low is not None and high is not None
    largest, least = (fmt.max, fmt.min)
    if not least <= x <= largest:
        assert set(got.values()) == {Fraction(largest if x > 0 else least)}
        return
    assert low <= x <= high
    nearest = got[NEAREST]
    assert nearest is not None
    assert abs(x - nearest) == min(x - low, high - x)
    assert got[ZERO] == (low if x > 0 else high)
    away = high if x > 0 else low
    near = low + high - away
    assert got[AWAY] == (away if abs(x - away) <= abs(x - near) else near)
    assert got[ODD] in (low, high)


@given(st.data(), float_formats(), roundings)
def test_rounding_is_monotone(data: st.DataObject, fmt: FloatFormat, rounding: Rounding) -> None:
    overflow = data.draw(st.sampled_from(overflows_of(fmt)))
    near = floats_near(fmt).filter(lambda x: x == x)
    low, high = sorted((data.draw(near), data.draw(near)))
    first, second = (round_exact(x, fmt, rounding, overflow) for x in (low, high))
    assert first <= second or np.isnan(first) or np.isnan(second)


@given(integer_formats, st.integers(-(2**70), 2**70), roundings)
def test_integers_are_clamped(fmt: IntFormat, x: int, rounding: Rounding) -> None:
    assert nearest_code(x, fmt, rounding) == min(max(x, fmt.min), fmt.max)
