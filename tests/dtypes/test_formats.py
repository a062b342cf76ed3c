"""Formats: what is derived, what is refused, names both ways."""

import copy
import dataclasses
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given

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
    FORMATS,
    FP16,
    FP32,
    INT8,
    TF32,
    UINT8,
    FloatFormat,
    IntFormat,
    Specials,
    UnknownFormat,
    cfp8,
    parse_format,
)
from tests.strategies import EVERY_FLOAT, float_formats, integer_formats

FINFO: Any = ml_dtypes.finfo  # untyped
OUTSIDERS: list[tuple[FloatFormat, Any]] = [
    (FP32, np.float32),
    (FP16, np.float16),
    (BF16, ml_dtypes.bfloat16),
    (E5M2, ml_dtypes.float8_e5m2),
    (E4M3, ml_dtypes.float8_e4m3),
    (E3M4, ml_dtypes.float8_e3m4),
    (E4M3FN, ml_dtypes.float8_e4m3fn),
    (E5M2FNUZ, ml_dtypes.float8_e5m2fnuz),
    (E4M3FNUZ, ml_dtypes.float8_e4m3fnuz),
    (E4M3B11FNUZ, ml_dtypes.float8_e4m3b11fnuz),
    (E3M2FN, ml_dtypes.float6_e3m2fn),
    (E2M3FN, ml_dtypes.float6_e2m3fn),
    (E2M1FN, ml_dtypes.float4_e2m1fn),
]


@pytest.mark.parametrize(("fmt", "outsider"), OUTSIDERS, ids=str)
def test_derived_numbers_equal_finfo_of_the_outsider(fmt: FloatFormat, outsider: Any) -> None:
    info: Any = FINFO(outsider)
    assert fmt.bits == info.bits
    assert fmt.max == float(info.max)
    assert fmt.min == float(info.min)
    assert fmt.tiny == fmt.smallest_normal == float(info.smallest_normal)
    assert fmt.smallest_subnormal == float(info.smallest_subnormal)
    assert fmt.eps == float(info.eps)
    assert fmt.emin == info.minexp
    assert fmt.mantissa_bits == info.nmant
    assert fmt.precision == info.nmant + 1


def test_tf32_has_the_range_of_fp32_and_the_precision_of_fp16() -> None:
    assert (TF32.emin, TF32.emax, TF32.eps) == (FP32.emin, FP32.emax, FP16.eps)
    assert TF32.max == float.fromhex("0x1.ffcp+127")
    assert TF32.smallest_subnormal == 2.0**-136
    assert TF32.bits == 19 and TF32.code_dtype == np.uint32


def test_e4m3_is_ieee_style_and_e4m3fn_is_not() -> None:
    assert (E4M3.max, E4M3.inf_code, E4M3.nan_code) == (240.0, 0x78, 0x7C)
    assert (E4M3FN.max, E4M3FN.inf_code, E4M3FN.nan_code) == (448.0, None, 0x7F)
    assert (E5M2.max, E5M2.nan_code) == (57344.0, 0x7E)
    assert (E3M4.max, E3M4.smallest_subnormal) == (15.5, 2.0**-6)
    assert E4M3.has_inf and E4M3.has_nan and E4M3FN.has_nan and not E4M3FN.has_inf


def test_a_format_without_mantissa_bits_has_infinity_and_no_nan() -> None:
    fmt = cfp8(7, 0)
    assert fmt.has_inf and not fmt.has_nan and fmt.nan_code is None
    assert fmt.smallest_subnormal == fmt.tiny


@pytest.mark.parametrize("fmt", EVERY_FLOAT.values(), ids=str)
def test_emax_is_the_exponent_of_the_largest_value(fmt: FloatFormat) -> None:
    largest = np.frexp(fmt.max)[1] - 1
    # with one exponent bit and IEEE specials every value is subnormal
    assert fmt.emax == (largest if fmt.max >= fmt.tiny else fmt.emin)
    assert fmt.min == (-fmt.max if fmt.signed else fmt.tiny)
    assert np.float32(fmt.max) == fmt.max and np.float32(fmt.smallest_subnormal) > 0


@pytest.mark.parametrize(
    ("fmt", "fits"),
    [
        (IntFormat(25), True),
        (IntFormat(24, signed=False), True),
        (IntFormat(26), False),
        (IntFormat(25, signed=False), False),
    ],
    ids=str,
)
def test_fits_float32_is_exact_at_its_border(fmt: IntFormat, fits: bool) -> None:
    assert fmt.fits_float32 is fits


def test_a_scale_and_a_format_without_subnormals() -> None:
    assert (E8M0FNU.bits, E8M0FNU.sign_code, E8M0FNU.max_code, E8M0FNU.nan_code) == (8, 0, 254, 255)
    assert (E8M0FNU.min, E8M0FNU.tiny, E8M0FNU.max) == (2.0**-127, 2.0**-127, 2.0**127)
    assert not E8M0FNU.has_zero and not E8M0FNU.has_minus_zero and E8M0FNU.has_nan
    assert E8M0FNU.smallest_subnormal == E8M0FNU.tiny
    fmt = FloatFormat(4, 3, subnormals=False)
    assert fmt.tiny == fmt.smallest_subnormal == 1.125 * 2.0**-7 and fmt.emin == -7


def test_a_repr_says_no_more_than_it_must() -> None:
    assert repr(E4M3) == "FloatFormat(4, 3)"
    assert repr(cfp8(2, 5, bias=3)) == "FloatFormat(2, 5, bias=3)"
    assert repr(E8M0FNU) == "FloatFormat(8, 0, specials='fn', signed=False, subnormals=False)"


def test_a_code_takes_the_smallest_type_that_holds_it() -> None:
    for bits, dtype in ((8, np.uint8), (9, np.uint16), (16, np.uint16), (17, np.uint32)):
        assert FloatFormat(5, bits - 6).code_dtype == dtype


@given(float_formats())
def test_every_float_format_has_a_name_that_reads_back(fmt: FloatFormat) -> None:
    assert parse_format(fmt.name) == fmt == FloatFormat.parse(str(fmt).upper())
    assert eval(repr(fmt)) == fmt
    assert hash(FloatFormat.parse(fmt.name)) == hash(fmt)


@given(integer_formats)
def test_every_integer_format_has_a_name_that_reads_back(fmt: IntFormat) -> None:
    assert parse_format(fmt.name) == fmt == IntFormat.parse(f" {fmt} ")
    assert eval(repr(fmt)) == fmt
    assert np.iinfo(fmt.numpy).min <= fmt.min < fmt.max <= np.iinfo(fmt.numpy).max


@pytest.mark.parametrize(
    ("text", "fmt"),
    [
        ("bfloat16", BF16),
        ("Half", FP16),
        ("single", FP32),
        ("tfloat32", TF32),
        ("fp8_e4m3", E4M3),
        ("float8_e4m3fn", E4M3FN),
        ("e8m7", BF16),
        ("cfp8(4,3)", E4M3),
        ("CFP8( 2 , 5 , bias = 3 )", cfp8(2, 5, bias=3)),
        ("float(8,7)", BF16),
        ("float(4,3,fn)", E4M3FN),
        ("float(4,3,bias=-2,fn)", FloatFormat(4, 3, bias=-2, specials=Specials.FN)),
        ("int8", INT8),
        ("uint8", UINT8),
        ("int4", IntFormat(4)),
    ],
)
def test_other_spellings_name_the_same_format(text: str, fmt: object) -> None:
    assert parse_format(text) == fmt


def test_names_of_named_formats_are_the_keys_of_the_table() -> None:
    assert {name: fmt.name for name, fmt in FORMATS.items()} == {name: name for name in FORMATS}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("bf17", ["no format is called 'bf17'", "did you mean bf16", "known: fp32, tf32"]),
        ("", ["no format is called ''"]),
        ("cfp8(4)", ["no format is called 'cfp8(4)'", "cfp8(E,M[,bias=B])"]),
        ("cfp8(4,3,fn)", ["no format is called 'cfp8(4,3,fn)'", "float(E,M[,bias=B]["]),
        ("e4m3fnuzz", ["no format is called 'e4m3fnuzz'", "e4m3fnuz"]),
        ("float(4,3,fn,fnuz)", ["no format is called 'float(4,3,fn,fnuz)'"]),
        ("float(4,3,unsigned=1)", ["no format is called 'float(4,3,unsigned=1)'"]),
    ],
)
def test_an_unknown_name_is_an_error_with_the_known_ones(text: str, words: list[str]) -> None:
    with pytest.raises(UnknownFormat) as caught:
        parse_format(text)
    assert isinstance(caught.value, ValueError)
    for word in words:
        assert word in str(caught.value)


#: For calls that a type checker refuses too.
untyped_float: Any = FloatFormat


def test_numpy_integers_describe_a_format_too() -> None:
    assert untyped_float(np.int64(4), np.uint8(3)) == E4M3
    assert type(untyped_float(np.int64(4), np.uint8(3)).exponent_bits) is int


def test_formats_are_frozen_and_survive_copies() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        E4M3.bias = 3  # type: ignore[misc]
    assert copy.deepcopy(E4M3) == E4M3
    assert dataclasses.replace(E4M3, specials=Specials.FN) == E4M3FN
