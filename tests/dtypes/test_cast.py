"""The fast casts are exact: every format x rounding x overflow at every boundary, codes by ==."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfulp.dtypes import (
    BF16,
    E4M3,
    FP32,
    FloatFormat,
    GivenBits,
    NanTo,
    Overflow,
    Rounding,
    Subnormals,
    decode,
    encode,
    parse_format,
    round_to,
)
from halfulp.dtypes.parameters import NAN32, bits32
from halfulp.dtypes.reference import Noise, nearest_code, round_exact
from halfulp.dtypes.rounding import DETERMINISTIC
from tests.dtypes.opinion import (
    Array,
    bits,
    convert,
    differences,
    encode_by_spacing,
    modes,
    values_of,
)
from tests.strategies import (
    BF16_PATTERNS,
    EVERY_FLOAT,
    FLOATS,
    boundaries,
    chosen_codes,
    float32_boundaries,
    float_formats,
    floats_near,
    overflows_of,
)


def fast(x: Array, fmt: FloatFormat, rounding: Rounding, overflow: Overflow) -> Array:
    return encode(x, fmt, rounding=rounding, overflow=overflow)


@pytest.mark.parametrize("fmt", EVERY_FLOAT.values(), ids=str)
def test_encode_is_exact_at_every_boundary(fmt: FloatFormat) -> None:
    wide, single = boundaries(fmt), float32_boundaries(fmt)
    for rounding, overflow in modes(fmt):
        assert not differences(fast, wide, fmt, rounding, overflow)
        assert not differences(fast, single, fmt, rounding, overflow)


@pytest.mark.parametrize("fmt", EVERY_FLOAT.values(), ids=str)
def test_encode_is_exact_on_every_bfloat16(fmt: FloatFormat) -> None:
    for rounding, overflow in modes(fmt):
        assert not differences(fast, BF16_PATTERNS, fmt, rounding, overflow)


@pytest.mark.parametrize("fmt", EVERY_FLOAT.values(), ids=str)
def test_round_to_gives_the_value_of_the_code(fmt: FloatFormat) -> None:
    points: list[Array] = [boundaries(fmt), float32_boundaries(fmt), BF16_PATTERNS]
    if not fmt.has_nan:
        points = [x[~np.isnan(x)] for x in points]
    for x in points:
        for rounding, overflow in modes(fmt):
            codes = encode_by_spacing(convert(x, np.float64), fmt, rounding, overflow)
            wanted = convert(values_of(codes, fmt), x.dtype)
            got = round_to(x, fmt, rounding=rounding, overflow=overflow)
            assert got.dtype == x.dtype
            assert np.array_equal(bits(got), bits(wanted)), (rounding, overflow)


@pytest.mark.parametrize("fmt", EVERY_FLOAT.values(), ids=str)
def test_a_vector_of_one_value_gives_what_the_value_gives(fmt: FloatFormat) -> None:
    # a kernel has a quicker way for vectors whose lanes are all ordinary
    for x in (boundaries(fmt), float32_boundaries(fmt)):
        some = x[:: max(1, len(x) // 5000)]
        some = some if fmt.has_nan else some[~np.isnan(some)]
        wanted = encode_by_spacing(
            convert(some, np.float64), fmt, Rounding.NEAREST_EVEN, Overflow.INF
        )
        vectors = np.repeat(some, 64)
        assert np.array_equal(encode(vectors, fmt), np.repeat(wanted, 64))
        values = np.repeat(convert(values_of(wanted, fmt), x.dtype), 64)
        assert np.array_equal(bits(round_to(vectors, fmt)), bits(values))


@pytest.mark.parametrize("fmt", EVERY_FLOAT.values(), ids=str)
def test_decode_gives_the_value_of_every_code(fmt: FloatFormat) -> None:
    if fmt.bits <= 20:
        codes = np.arange(1 << fmt.bits)
    else:
        magnitude = np.concatenate([chosen_codes(fmt), np.arange(40) + fmt.max_code])
        magnitude = magnitude[magnitude < 1 << (fmt.bits - 1)]
        codes = np.concatenate([magnitude, magnitude + (1 << (fmt.bits - 1))])
    codes = codes.astype(fmt.code_dtype)
    got = decode(codes, fmt)
    assert got.dtype == np.float32
    assert np.array_equal(bits(got), bits(values_of(codes, fmt).astype(got.dtype)))


@pytest.mark.parametrize("fmt", EVERY_FLOAT.values(), ids=str)
def test_every_code_survives_the_round_trip(fmt: FloatFormat) -> None:
    codes = np.arange(1 << min(fmt.bits, 20)).astype(fmt.code_dtype)
    codes <<= fmt.code_dtype.type(max(0, fmt.bits - 20))
    wide = values_of(codes, fmt)
    if fmt.nan_code is not None:
        codes[np.isnan(wide)] = fmt.nan_code
    assert np.array_equal(encode(decode(codes, fmt), fmt), codes)
    assert np.array_equal(encode(wide, fmt), codes)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_what_stands_for_nan_has_no_sign(kind: Any) -> None:
    x = np.array([np.nan, -np.nan], kind)
    for fmt in EVERY_FLOAT.values():
        for rounding in DETERMINISTIC:
            code = nearest_code(np.nan, fmt, rounding, nan="max")
            assert encode(x, fmt, rounding=rounding, nan="max").tolist() == [code, code]
            assert not np.signbit(round_to(x, fmt, rounding=rounding, nan="max")).any()


def test_fp32_agrees_with_the_reference_in_every_binade() -> None:
    # the boundaries of FP32 are a choice; here it is judged by the reference itself
    points = boundaries(FP32)[::97]
    for rounding, overflow in modes(FP32):
        wanted = [nearest_code(x, FP32, rounding, overflow) for x in points.tolist()]
        assert fast(points, FP32, rounding, overflow).tolist() == wanted


def drawn_modes(data: st.DataObject, fmt: FloatFormat) -> dict[str, Any]:
    """Any choices that the format can have, as the reference takes them; noise is apart."""
    return {
        "rounding": data.draw(st.sampled_from(Rounding)),
        "overflow": data.draw(st.sampled_from(overflows_of(fmt))),
        "subnormals": data.draw(st.sampled_from(Subnormals)),
        "nan": data.draw(st.sampled_from(NanTo)),
    }


@given(st.data(), float_formats())
def test_any_format_near_its_values_against_the_reference(
    data: st.DataObject, fmt: FloatFormat
) -> None:
    options = drawn_modes(data, fmt)
    xs = data.draw(st.lists(floats_near(fmt), min_size=1, max_size=40))
    draws: list[Noise | None] = [None] * len(xs)
    random = None
    if options["rounding"] is Rounding.STOCHASTIC:
        width = data.draw(st.integers(1, 32))
        ends = st.sampled_from([0, 1, (1 << width) // 2, (1 << width) - 1])
        bits_given = [data.draw(ends | st.integers(0, (1 << width) - 1)) for _ in xs]
        draws = [Noise(value, width) for value in bits_given]
        random = GivenBits(np.array(bits_given, np.uint32), width)
    single = convert(np.array(xs), np.float32)
    for x in (
        (np.array(xs), single) if np.array_equal(single, xs, equal_nan=True) else (np.array(xs),)
    ):
        tiny = float(np.finfo(x.dtype).tiny)
        given_too = [{**options, "source_tiny": tiny, "noise": noise} for noise in draws]
        pairs = list(zip(x.tolist(), given_too, strict=True))
        wanted = [nearest_code(one, fmt, **more) for one, more in pairs]
        assert encode(x, fmt, **options, random=random).tolist() == wanted
        values = convert(np.array([round_exact(one, fmt, **more) for one, more in pairs]), x.dtype)
        got = round_to(x, fmt, **options, random=random)
        assert got.dtype == x.dtype
        assert np.array_equal(bits(got), bits(values))


@given(float_formats(), st.data())
def test_any_format_decodes_as_the_reference(fmt: FloatFormat, data: st.DataObject) -> None:
    codes = data.draw(st.lists(st.integers(0, (1 << fmt.bits) - 1), min_size=1, max_size=40))
    got = decode(np.array(codes), fmt).astype(np.float64)
    assert np.array_equal(bits(got), bits(values_of(np.array(codes), fmt)))


@pytest.mark.parametrize("length", [0, 1, 2, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129, 1000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_length_is_served_and_nothing_beside_it_is_written(
    length: int, dtype: npt.DTypeLike
) -> None:
    x = np.linspace(-300, 300, length).astype(dtype)
    for name in ("fp32", "bf16", "e4m3"):
        fmt = parse_format(name)
        assert isinstance(fmt, FloatFormat)
        wanted = encode_by_spacing(x.astype(np.float64), fmt, *modes(fmt)[0])
        guarded = np.full(length + 2, 77, fmt.code_dtype)
        encode(x, fmt, out=guarded[1:-1])
        assert guarded.tolist() == [77, *wanted.tolist(), 77]
        room = np.full(length + 2, 77, dtype)
        round_to(x, fmt, out=room[1:-1])
        assert room.tolist() == [77, *values_of(wanted, fmt).tolist(), 77]


@pytest.mark.parametrize("fmt", FLOATS.values(), ids=str)
def test_arrays_for_several_threads_are_as_exact_as_small_ones(fmt: FloatFormat) -> None:
    points = float32_boundaries(fmt)
    points = points if fmt.has_nan else points[~np.isnan(points)]
    x = np.resize(points, (1 << 22) + 13)  # past the caches, with a rest
    wanted = np.resize(round_to(points, fmt), x.size)
    assert np.array_equal(bits(round_to(x, fmt)), bits(wanted))
    codes = np.resize(encode(points, fmt), x.size)
    assert np.array_equal(encode(x, fmt), codes)
    again = decode(codes, fmt)
    assert np.array_equal(bits(again), bits(wanted))
    wide = x[: (1 << 19) + 5].astype(np.float64)
    assert np.array_equal(encode(wide, fmt), codes[: wide.size])


def test_modes_are_taken_as_members_and_as_names() -> None:
    x = np.array([1.0625, 1e9], np.float32)
    for rounding, overflow in modes(E4M3):
        named = round_to(x, "e4m3", rounding=rounding.value, overflow=overflow.value)
        member = round_to(x, E4M3, rounding=rounding, overflow=overflow)
        assert np.array_equal(bits(named), bits(member))
    assert encode(1.00390625, "bf16") == encode(1.00390625, BF16) == 0x3F80


def test_the_bits_of_a_float32_are_those_of_the_processor_s_conversion() -> None:
    wide = np.concatenate([boundaries(E4M3), boundaries(FP32)[::211], [np.nan, -np.nan]])
    single = bits(convert(wide, np.float32))
    wanted = np.where(np.isnan(wide), NAN32, single)
    assert [bits32(x) for x in wide.tolist()] == wanted.tolist()
