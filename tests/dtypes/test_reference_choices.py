"""The reference's choices by hand: flushing, draws, names, numbers at the border of a case."""

from typing import Any

import pytest

from halfulp.dtypes import (
    BF16,
    E2M1FN,
    E4M3,
    E4M3FNUZ,
    E8M0FNU,
    INT8,
    FloatFormat,
    Rounding,
    Subnormals,
    reference,
)
from halfulp.dtypes.reference import Noise, nan_code, nearest_code, value

TINY = 2.0**-126


def test_an_input_is_flushed_below_the_smallest_normal_number_of_its_type_alone() -> None:
    def flushed(x: float, **given: Any) -> int:
        return nearest_code(x, BF16, subnormals=Subnormals.FLUSH_INPUTS, **given)

    below = 8  # 2^-130 in units of 2^-133
    assert flushed(2.0**-130, source_tiny=TINY) == 0
    assert flushed(-(2.0**-130), source_tiny=TINY) == 0x8000
    assert flushed(TINY, source_tiny=TINY) == 0x80
    assert flushed(2.0**-130) == below, "a type without subnormals keeps everything"
    assert nearest_code(2.0**-130, BF16, source_tiny=TINY) == below, "kept when not asked for"


def test_a_result_is_flushed_below_the_smallest_normal_value_alone() -> None:
    def flushed(x: float, fmt: FloatFormat) -> int:
        return nearest_code(x, fmt, subnormals=Subnormals.FLUSH_OUTPUTS)

    assert flushed(2.0**-9, E4M3) == flushed(0.0, E4M3) == 0  # code 1, the smallest of all
    assert flushed(-(2.0**-9), E4M3) == flushed(-0.0, E4M3) == 0x80
    assert flushed(2.0**-6, E4M3) == 8
    # the NaN of fnuz has the bits of -0 and is no number to be flushed
    assert flushed(1e9, E4M3FNUZ) == flushed(-1e9, E4M3FNUZ) == 0x80
    scale = nearest_code(2.0**-127, E8M0FNU, subnormals=Subnormals.FLUSH_OUTPUTS)
    assert scale == 0, "what has no subnormals has nothing to flush"


@pytest.mark.parametrize(
    ("x", "fmt", "low", "threshold"),
    [
        (2.25, INT8, 2, 192),
        (-2.25, INT8, -2, 192),
        (1.25, E8M0FNU, 127, 192),
        (2.0**-7 * 1.125 / 4, FloatFormat(4, 3, subnormals=False), 0, 192),
        (2.0**-11, E4M3, 0, 192),
    ],
    ids=str,
)
def test_a_draw_goes_up_from_its_threshold_on(x: float, fmt: Any, low: int, threshold: int) -> None:
    # a quarter of the way up, so for a quarter of the 256 draws
    codes = [
        nearest_code(x, fmt, "stochastic", noise=Noise(draw, 8))
        for draw in (0, threshold - 1, threshold, 255)
    ]
    high = low - 1 if low < 0 else low + 1
    assert codes == [low, low, high, high]


def test_one_is_a_number_like_the_others() -> None:
    large = FloatFormat(4, 3, bias=-5)  # in steps of 8
    assert value(1, large) == 8
    assert nearest_code(1, large) == 0 and nearest_code(1, large, Rounding.TOWARD_POSITIVE) == 1


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: nearest_code(1.0, E4M3, subnormals="never"),
            "subnormals='never' is not known; allowed: 'keep', 'flush_inputs', 'flush_outputs'",
        ),
        (
            lambda: nearest_code(1.0, E4M3, "up"),
            "rounding='up' is not known; allowed: 'nearest_even', 'nearest_away', 'toward_zero',"
            " 'toward_positive', 'toward_negative', 'to_odd', 'stochastic'",
        ),
        (
            lambda: nearest_code(1.0, E4M3, overflow="wrap"),
            "overflow='wrap' is not known; allowed: 'inf', 'saturate', 'saturate_all', 'nan'",
        ),
        (lambda: nan_code(E2M1FN, "least"), "nan='least' is not known; allowed: 'zero', 'max'"),
        (lambda: nan_code(E2M1FN), "e2m1fn has no NaN; replace NaN before the conversion"),
        (
            lambda: nearest_code(1.0, E4M3, noise=Noise(1)),
            "noise=Noise(value=1, bits=32) with rounding='nearest_even'; they go together",
        ),
    ],
)
def test_the_reference_refuses_in_whole_sentences(call: Any, sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == sentence


def test_what_the_reference_offers_is_there() -> None:
    assert all(hasattr(reference, name) for name in reference.__all__)
    assert len(set(reference.__all__)) == len(reference.__all__)
