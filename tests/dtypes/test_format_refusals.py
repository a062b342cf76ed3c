"""Formats that cannot be are refused in whole sentences, with what is allowed."""

from typing import Any

import numpy as np
import pytest

from halfulp.dtypes import FloatFormat, IntFormat, UnknownFormat, cfp8, parse_format

#: For calls that a type checker refuses too.
untyped_float: Any = FloatFormat
untyped_int: Any = IntFormat
untyped_parse: Any = parse_format


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (
            lambda: untyped_float(9, 3),
            ValueError,
            "exponent_bits=9 is out of range; allowed: 1 to 8",
        ),
        (
            lambda: untyped_float(4, -1),
            ValueError,
            "mantissa_bits=-1 is out of range; allowed: 0 to",
        ),
        (
            lambda: FloatFormat(4, 24),
            ValueError,
            "mantissa_bits=24 is out of range; allowed: 0 to 23",
        ),
        (lambda: untyped_float(4.0, 3), TypeError, "exponent_bits=4.0 is not an integer"),
        (lambda: untyped_float(4, True), TypeError, "mantissa_bits=True is not an integer"),
        (
            lambda: untyped_float(4, 3, bias=148),
            ValueError,
            "bias=148 is out of range; allowed: -113 to 147",
        ),
        (
            lambda: untyped_float(4, 3, bias=-114),
            ValueError,
            "bias=-114 is out of range; allowed",
        ),
        (lambda: untyped_float(1, 0), ValueError, "holds zero and infinity only"),
        (
            lambda: untyped_float(4, 0, specials="fn"),
            ValueError,
            "specials='fn' needs mantissa_bits",
        ),
        (
            lambda: untyped_float(4, 3, specials="x"),
            ValueError,
            "specials='x' is not known; allowed",
        ),
        (
            lambda: FloatFormat(8, 7, specials="fn"),
            ValueError,
            "float32 does not hold the values of this format with its default bias 127;"
            " give bias=128 to 143",
        ),
        (
            lambda: FloatFormat(8, 23, specials="fnuz"),
            ValueError,
            "float32 does not hold exponent_bits=8, mantissa_bits=23 with specials='fnuz'",
        ),
        (lambda: FloatFormat(4, 3, signed=False), ValueError, "signed=False is for scales"),
        (lambda: FloatFormat(4, 0, subnormals=False), ValueError, "leaves no zero; give one bit"),
        (lambda: untyped_float(4, 3, signed=0), TypeError, "signed=0 is not a bool; give True"),
        (lambda: untyped_float(4, 3, subnormals=1), TypeError, "subnormals=1 is not a bool"),
        (lambda: cfp8(4, 4), ValueError, "cfp8(4,4) has 9 bits; exponent_bits + mantissa_bits"),
        (lambda: IntFormat(33), ValueError, "bits=33 is out of range; allowed: 2 to 32"),
        (lambda: untyped_int(8, signed=1), TypeError, "signed=1 is not a bool"),
        (lambda: parse_format("int64"), ValueError, "bits=64 is out of range"),
        (lambda: parse_format("cfp8(2,5,bias=9999)"), ValueError, "bias=9999 is out of range"),
        (lambda: untyped_parse(8), TypeError, "a format name is a string, not int"),
        (lambda: FloatFormat.parse("int8"), UnknownFormat, "IntFormat.parse reads it"),
        (lambda: IntFormat.parse("bf16"), UnknownFormat, "FloatFormat.parse reads it"),
    ],
)
def test_wrong_formats_are_refused_with_what_is_allowed(
    make: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error) as caught:
        make()
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: FloatFormat(8, 23, specials="fnuz"),
            "float32 does not hold exponent_bits=8, mantissa_bits=23 with specials='fnuz',"
            " whatever the bias; give fewer bits",
        ),
        (
            lambda: FloatFormat(8, 7, specials="fn"),
            "float32 does not hold the values of this format with its default bias 127;"
            " give bias=128 to 143",
        ),
        *(
            (
                make,
                "signed=False is for scales: it needs mantissa_bits=0, subnormals=False"
                " and specials='fn'",
            )
            for make in (
                lambda: FloatFormat(4, 0, signed=False, specials="fn"),
                lambda: FloatFormat(4, 0, signed=False, subnormals=False),
                lambda: FloatFormat(4, 1, signed=False, subnormals=False, specials="fn"),
            )
        ),
        (
            lambda: FloatFormat(4, 0, subnormals=False),
            "subnormals=False without mantissa bits leaves no zero; give one bit",
        ),
        (
            lambda: FloatFormat(4, 0, specials="fn"),
            "specials='fn' needs mantissa_bits >= 1: without them its NaN would be a whole binade",
        ),
        (
            lambda: FloatFormat(1, 0),
            "exponent_bits=1, mantissa_bits=0 holds zero and infinity only; give one more bit",
        ),
        (
            lambda: FloatFormat.parse("int8"),
            "'int8' names an integer format; IntFormat.parse reads it",
        ),
        (
            lambda: FloatFormat.from_dtype(np.dtype("int8")),
            "int8 is an integer type; IntFormat.from_dtype reads it",
        ),
    ],
)
def test_a_refusal_is_a_whole_sentence(make: Any, sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        make()
    assert str(caught.value) == sentence
