"""Integer formats: nearest even by default, clamped always, NaN gives 0."""

from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfulp.dtypes import (
    INT8,
    INT32,
    UINT32,
    GivenBits,
    IntFormat,
    Overflow,
    Rounding,
    decode,
    encode,
    round_to,
)
from halfulp.dtypes.reference import Noise, nearest_code
from halfulp.dtypes.rounding import DETERMINISTIC
from tests.dtypes.opinion import bits
from tests.strategies import INTEGERS, integer_formats, roundings

FORMATS = {fmt.name: fmt for fmt in (*INTEGERS.values(), IntFormat(4), IntFormat(2), IntFormat(25))}


def points(fmt: IntFormat) -> npt.NDArray[np.float64]:
    """Halves, quarters and their neighbours around 0 and around both bounds; specials."""
    found = []
    for center in (0, fmt.min, fmt.max):
        grid = center + np.arange(-12, 13) / 4
        found += [grid, np.nextafter(grid, np.inf), np.nextafter(grid, -np.inf)]
    special = [0.0, 0.49999999999999994, 5e-324, 2.0**-149, 2.0**-126, np.inf, np.nan, 1e30, 1e300]
    every = np.concatenate([*found, special])
    return np.concatenate([every, -every])


@pytest.mark.parametrize("rounding", DETERMINISTIC)
@pytest.mark.parametrize("fmt", FORMATS.values(), ids=str)
def test_floats_are_rounded_and_clamped(fmt: IntFormat, rounding: Rounding) -> None:
    x = points(fmt)
    with np.errstate(all="ignore"):
        single = x.astype(np.float32)
    for given_array in (x, single):
        wanted = [nearest_code(one, fmt, rounding) for one in given_array.tolist()]
        for overflow in Overflow:  # all saturate
            codes = encode(given_array, fmt, rounding=rounding, overflow=overflow)
            assert codes.dtype == fmt.numpy
            assert codes.tolist() == wanted
        values = round_to(given_array, fmt, rounding=rounding)
        assert values.dtype == given_array.dtype
        if values.dtype == np.float64 or fmt.fits_float32:
            assert values.tolist() == wanted
        assert not np.signbit(values[values == 0]).any()


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint32, np.int64, np.uint64])
@pytest.mark.parametrize("fmt", FORMATS.values(), ids=str)
def test_integers_are_clamped(fmt: IntFormat, dtype: npt.DTypeLike) -> None:
    info = np.iinfo(dtype)
    inside = (fmt.min - 1, fmt.min, -1, 0, 1, fmt.max, fmt.max + 1, info.min, info.max)
    x = np.array([one for one in inside if info.min <= one <= info.max], dtype)
    wanted = [min(max(one, fmt.min), fmt.max) for one in x.tolist()]
    assert encode(x, fmt).tolist() == wanted
    values = round_to(x, fmt)
    assert values.dtype == (np.float32 if fmt.fits_float32 else np.float64)
    assert values.tolist() == wanted


@given(integer_formats, roundings, st.lists(st.floats(width=32), min_size=1))
def test_float32_stays_inside_the_format(
    fmt: IntFormat, rounding: Rounding, xs: list[float]
) -> None:
    x = np.array(xs, np.float32)
    for one, got in zip(x.tolist(), round_to(x, fmt, rounding=rounding).tolist(), strict=True):
        wanted = nearest_code(one, fmt, rounding)
        if Fraction(float(np.float32(wanted))) == wanted:
            assert got == wanted
        else:  # the bound is no float32: the largest float32 inside
            assert fmt.min <= got < wanted == fmt.max
            assert float(np.nextafter(np.float32(got), np.float32(np.inf))) > fmt.max


def test_the_bounds_of_wide_formats_in_float32_and_float64() -> None:
    x = np.float32(3e10)
    assert round_to(x, INT32) == 2147483520 and encode(x, INT32) == 2147483647
    assert round_to(x, UINT32) == 4294967040 and encode(x, UINT32) == 4294967295
    assert round_to(-x, INT32) == -2147483648 and round_to(3e10, INT32) == 2147483647


def test_decode_gives_the_integers_back() -> None:
    codes = np.arange(-128, 128, dtype=np.int64)
    got = decode(codes, INT8)
    assert got.dtype == np.int8 and got.tolist() == codes.tolist()
    assert decode(7, "uint32") == 7 and decode(7, "uint32").dtype == np.uint32
    assert decode(np.array([3], np.int32), IntFormat(4)).dtype == np.int8


def test_nan_in_any_shape_gives_zero_without_a_warning() -> None:
    signaling = np.array([0x7F800001, 0xFFC00000, 0x7FFFFFFF], np.uint32).view(np.float32)
    for rounding in DETERMINISTIC:
        assert encode(signaling, INT8, rounding=rounding).tolist() == [0, 0, 0]
        assert not bits(round_to(signaling, INT8, rounding=rounding)).any()


@given(
    integer_formats,
    st.lists(st.floats(width=32) | st.sampled_from([0.25, -1.5, 2.75, 126.5, -0.0]), min_size=1),
    st.integers(1, 32),
    st.data(),
)
def test_stochastic_is_exact(
    fmt: IntFormat, xs: list[float], width: int, data: st.DataObject
) -> None:
    draws = [data.draw(st.integers(0, (1 << width) - 1)) for _ in xs]
    random = GivenBits(np.array(draws, np.uint32), width)
    got = encode(np.array(xs), fmt, rounding="stochastic", random=random)
    single = encode(np.array(xs, np.float32), fmt, rounding="stochastic", random=random)
    pairs = zip(xs, draws, strict=True)
    wanted = [nearest_code(x, fmt, "stochastic", noise=Noise(d, width)) for x, d in pairs]
    assert got.tolist() == single.tolist() == wanted
