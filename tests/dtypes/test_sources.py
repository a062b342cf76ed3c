"""Each kind of source is rounded once, straight to the format."""

from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from halfulp.dtypes import (
    BF16,
    E4M3,
    E5M2,
    FP16,
    FP32,
    INT8,
    INT32,
    TF32,
    FloatFormat,
    Overflow,
    Rounding,
    decode,
    encode,
    round_to,
)
from halfulp.dtypes.reference import nearest_code, round_exact
from halfulp.dtypes.rounding import DETERMINISTIC
from tests.dtypes.opinion import bits, encode_by_spacing, modes
from tests.strategies import (
    EVERY_FLOAT,
    FLOATS,
    float_formats,
    integer_formats,
    overflows_of,
    roundings,
)

SMALL_FLOATS = [
    np.float16,
    ml_dtypes.bfloat16,
    ml_dtypes.float8_e5m2,
    ml_dtypes.float8_e4m3,
    ml_dtypes.float8_e4m3fn,
    ml_dtypes.float8_e3m4,
    ml_dtypes.float8_e4m3fnuz,
    ml_dtypes.float8_e5m2fnuz,
    ml_dtypes.float8_e4m3b11fnuz,
    ml_dtypes.float8_e8m0fnu,
    ml_dtypes.float6_e3m2fn,
    ml_dtypes.float6_e2m3fn,
    ml_dtypes.float4_e2m1fn,
]
TORCH_FLOATS = [
    torch.float16,
    torch.bfloat16,
    torch.float8_e5m2,
    torch.float8_e4m3fn,
    torch.float8_e4m3fnuz,
    torch.float8_e5m2fnuz,
    torch.float8_e8m0fnu,
]
INTEGERS = [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64]


@pytest.mark.parametrize(
    ("x", "fmt", "once"),
    [
        # a detour through float32 lands on a tie and gives the neighbour
        (1.0039062500001, BF16, 1.0078125),
        (float.fromhex("0x1.eeffffffffffp-1"), E4M3, 0.9375),
        (464.00000000000006, E4M3, np.inf),
        (247.999999999, E4M3, 240.0),
        (1.0004882812501, FP16, 1.0009765625),
        (65519.9999999999, FP16, 65504.0),
        (2.0**-134 + 2.0**-151, BF16, 2.0**-133),
        (2.0**-17 * (1 + 2.0**-40), E5M2, 2.0**-16),
        (1 + 2.0**-11 + 2.0**-50, TF32, 1 + 2.0**-10),
    ],
)
def test_float64_is_rounded_once(x: float, fmt: FloatFormat, once: float) -> None:
    twice = float(round_to(np.float32(x), fmt))
    got = round_to(x, fmt)
    assert got == once == round_exact(x, fmt)
    assert type(got) is np.float64
    if fmt is not E4M3:
        assert twice != once, "no trap: this input does not tell one rounding from two"


@pytest.mark.parametrize("fmt", FLOATS.values(), ids=str)
def test_float64_beside_every_tie_of_float32_is_rounded_once(fmt: FloatFormat) -> None:
    # ties of the format plus far less than half an ulp of float32: through float32 they are ties
    codes = np.arange(min(fmt.max_code, 1 << 15))
    values = decode(codes.astype(fmt.code_dtype), fmt).astype(np.float64)
    ties = (values[:-1] + values[1:]) / 2
    x = np.concatenate([ties * (1 + 2.0**-40), ties * (1 - 2.0**-40)])
    for rounding, overflow in modes(fmt):
        got = encode(x, fmt, rounding=rounding, overflow=overflow)
        assert np.array_equal(got, encode_by_spacing(x, fmt, rounding, overflow))


def planted_integers(fmt: FloatFormat) -> list[int]:
    """Integers beside ties and values of `fmt`, too wide for float64 or float32."""
    found = []
    for exponent in range(20, 64):
        unit = 1 << max(exponent - fmt.mantissa_bits, 0)
        least = 1 << fmt.mantissa_bits
        for units in (least, least + 1, 2 * least - 1):
            for twice in (2 * units, 2 * units + 1):
                found += [twice * unit // 2 + step for step in (-1, 0, 1)]
    return found


@pytest.mark.parametrize("fmt", EVERY_FLOAT.values(), ids=str)
@pytest.mark.parametrize("rounding", DETERMINISTIC)
def test_64_bit_integers_are_rounded_once(fmt: FloatFormat, rounding: Rounding) -> None:
    planted = planted_integers(fmt)[::7]
    signed = [x for x in planted if x < 2**63] + [-x for x in planted if x <= 2**63]
    signed += [-(2**63), 2**63 - 1, 0]
    unsigned = [x for x in planted if x < 2**64] + [2**64 - 1, 2**63, 0]
    for numbers, dtype in ((signed, np.int64), (unsigned, np.uint64)):
        wanted = [nearest_code(x, fmt, rounding) for x in numbers]
        assert encode(np.array(numbers, dtype), fmt, rounding=rounding).tolist() == wanted


def test_a_64_bit_integer_that_float32_and_float64_both_get_wrong() -> None:
    assert round_to(np.int64(16973823), BF16) == 16908288.0
    x = (2**24 + 1) * 2**30 + 1  # just above a tie of float32; float64 drops the last bit
    assert float(np.float32(np.float64(x))) == 2.0**54
    assert round_to(x, FP32) == 2.0**54 + 2.0**31
    assert round_to(np.uint64(x << 8), FP32) == 2.0**62 + 2.0**39


@given(st.integers(-(2**80), 2**80) | st.integers(-(2**1100), 2**1100), float_formats(), roundings)
def test_python_integers_of_any_size(x: int, fmt: FloatFormat, rounding: Rounding) -> None:
    for overflow in overflows_of(fmt):
        code = encode(x, fmt, rounding=rounding, overflow=overflow)
        assert isinstance(code, np.generic)
        assert code == nearest_code(x, fmt, rounding, overflow)


@given(st.integers(-(2**80), 2**80), integer_formats, roundings)
def test_python_integers_to_integers(x: int, fmt: Any, rounding: Rounding) -> None:
    assert encode(x, fmt, rounding=rounding) == nearest_code(x, fmt, rounding)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_give_float32_or_float64_where_needed(dtype: npt.DTypeLike) -> None:
    info = np.iinfo(dtype)
    numbers = [info.min, info.min // 3, 0, 1, 5, 100, info.max // 7, info.max - 1, info.max]
    x = np.array(numbers, dtype)
    for fmt in (
        *FLOATS.values(),
        FloatFormat(8, 10, bias=139),
        FloatFormat(4, 3, subnormals=False),
    ):
        for rounding, overflow in modes(fmt):
            got = round_to(x, fmt, rounding=rounding, overflow=overflow)
            assert got.dtype == np.float32
            wanted = [round_exact(one, fmt, rounding, overflow) for one in x.tolist()]
            assert np.array_equal(bits(got), bits(np.array(wanted, got.dtype)))
    assert round_to(x, INT8).dtype == np.float32
    assert round_to(x, INT32).dtype == np.float64


def test_bool_is_zero_and_one() -> None:
    assert round_to(np.array([True, False]), BF16).tolist() == [1.0, 0.0]
    assert encode(True, E4M3) == 0x38
    assert encode(np.array([True, False]), INT8).tolist() == [1, 0]


@pytest.mark.parametrize("dtype", SMALL_FLOATS, ids=lambda t: np.dtype(t).name)
def test_every_number_of_a_smaller_float_of_numpy(dtype: npt.DTypeLike) -> None:
    size = np.dtype(dtype).itemsize
    width = {"float6": 6, "float4": 4}.get(np.dtype(dtype).name[:6], 8 * size)
    x = np.arange(1 << width, dtype=f"u{size}").view(dtype)
    with np.errstate(invalid="ignore"):
        wide = x.astype(np.float64)
    for fmt in (FP32, BF16, E4M3, FloatFormat(8, 7, bias=140)):
        for rounding in (Rounding.NEAREST_EVEN, Rounding.TOWARD_NEGATIVE):
            wanted = encode_by_spacing(wide, fmt, rounding, Overflow.INF)
            assert np.array_equal(encode(x, fmt, rounding=rounding), wanted)
            assert round_to(x, fmt).dtype == np.float32
    assert np.array_equal(encode(x, INT8), encode(wide, INT8))


@pytest.mark.parametrize("dtype", TORCH_FLOATS, ids=str)
def test_every_number_of_a_smaller_float_of_torch(dtype: torch.dtype) -> None:
    size = dtype.itemsize
    codes = torch.arange(1 << (8 * size), dtype=torch.int32).to(getattr(torch, f"uint{8 * size}"))
    x = codes.view(dtype)
    wanted = encode_by_spacing(x.to(torch.float64).numpy(), BF16, *modes(BF16)[0])
    got = round_to(x, BF16)
    assert got.dtype == torch.float32
    assert np.array_equal(encode(x, BF16).numpy(), wanted)
    assert np.array_equal(bits(got.numpy()), bits(decode(wanted, BF16)))


@pytest.mark.parametrize("name", ["int4", "uint4", "int2", "float4_e2m1fn", "float6_e3m2fn"])
def test_the_smallest_types_of_ml_dtypes_are_taken(name: str) -> None:
    x = np.array([1, 0, 1], getattr(ml_dtypes, name))
    got = round_to(x, BF16)
    assert got.dtype == np.float32 and got.tolist() == [1.0, 0.0, 1.0]


@pytest.mark.parametrize("x", [np.nan, -np.nan, np.float32(np.nan), [1.0, np.nan]])
def test_nan_has_no_place_in_a_format_without_it(x: Any) -> None:
    for convert in (round_to, encode):
        for rounding in DETERMINISTIC:
            with pytest.raises(ValueError, match=r"x holds NaN and cfp8\(7,0\) has none; replace"):
                convert(x, "cfp8(7,0)", rounding=rounding)
