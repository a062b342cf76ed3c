"""Stochastic rounding: its random bits are Philox's in the documented order, whatever the cut."""

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from halfulp.dtypes import E4M3, FP16, FloatFormat, GivenBits, Philox, decode, encode, round_to
from halfulp.dtypes.drivers64 import FILL
from halfulp.dtypes.noise import noise_for, signed64
from halfulp.dtypes.philox import PAIR
from halfulp.dtypes.reference import Noise, nearest_code, round_exact
from halfulp.dtypes.threads import get_num_threads, parallel, set_num_threads
from tests.dtypes.opinion import bits as bits_of
from tests.dtypes.opinion import values_of
from tests.strategies import EVERY_FLOAT, FLOATS, boundaries, float32_boundaries

Array = npt.NDArray[Any]
WORD = 0xFFFFFFFF


def philox(counter: tuple[int, ...], key: tuple[int, int]) -> tuple[int, ...]:
    """Philox-4x32-10 (Salmon et al., SC 2011), in Python's integers."""
    a, b, c, d = counter
    left, right = key
    for _ in range(10):
        first, second = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = second >> 32 ^ b ^ left, second & WORD, first >> 32 ^ d ^ right, first & WORD
        left, right = (left + 0x9E3779B9) & WORD, (right + 0xBB67AE85) & WORD
    return a, b, c, d


#: Counter, key and result, published with the generator.
KNOWN = [
    ((0,) * 4, (0,) * 2, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((WORD,) * 4, (WORD,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def two_words(low: int, high: int) -> int:
    return high << 32 | low


def expected_bits(random: Philox, count: int) -> npt.NDArray[np.uint32]:
    """Each element's random bits as `Philox` documents them."""
    key = random.seed & WORD, random.seed >> 32
    upper = random.step & WORD, random.step >> 32
    words = []
    for i in range(random.start, random.start + count):
        block = 16 * (i // 64) + i % 16
        word = philox((block & WORD, block >> 32, *upper), key)[i % 64 // 16]
        words.append(word >> (32 - random.random_bits))
    return np.array(words, np.uint32)


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN)
def test_the_known_answers(
    counter: tuple[int, ...], key: tuple[int, int], result: tuple[int, ...]
) -> None:
    assert philox(counter, key) == result
    block, step, seed = two_words(*counter[:2]), two_words(*counter[2:]), two_words(*key)
    group, lane = divmod(block, 16)
    words = np.zeros(PAIR, np.uint32)
    parallel(FILL, [(words.ctypes.data, group, 1, signed64(seed), signed64(step), 0)])
    assert tuple(words[lane : lane + 64 : 16].tolist()) == result


@pytest.mark.parametrize(
    "random",
    [
        Philox(0),
        Philox(1, step=1),
        Philox(2**64 - 1, step=2**64 - 1, start=5),
        Philox(0x299F31D0_A4093822, step=7, start=63, random_bits=1),
        Philox(3, start=64, random_bits=8),
        Philox(3, start=200, random_bits=31),
        Philox(3, start=2**36 - 100),  # blocks beyond 32 bits
        Philox(3, start=2**62),
    ],
)
def test_an_element_has_the_bits_that_are_documented(random: Philox) -> None:
    bits = expected_bits(random, 300)
    assert np.array_equal(noise_for(random, (300,)), bits)
    x = np.random.default_rng(0).normal(size=300).astype(np.float32)
    given = GivenBits(bits, random.random_bits)
    for fmt in (E4M3, FP16, FLOATS["fp32"], FLOATS["e8m0fnu"]):
        codes = encode(x, fmt, rounding="stochastic", random=random)
        assert np.array_equal(codes, encode(x, fmt, rounding="stochastic", random=given))


@pytest.mark.parametrize("fmt", EVERY_FLOAT.values(), ids=str)
def test_each_draw_is_that_of_the_reference(fmt: FloatFormat) -> None:
    for points, count in ((float32_boundaries(fmt), 60), (boundaries(fmt), 20)):
        x = np.random.default_rng(1).choice(points, count)
        for bits in (1, 7, 32):
            draws = np.random.default_rng(bits).integers(0, 1 << bits, x.size)
            random = GivenBits(draws, bits)
            codes = encode(x, fmt, rounding="stochastic", nan="max", random=random)
            for number, draw, code in zip(x.tolist(), draws.tolist(), codes.tolist(), strict=True):
                noise = Noise(draw, bits)
                assert code == nearest_code(number, fmt, "stochastic", nan="max", noise=noise)
            values = round_to(x, fmt, rounding="stochastic", nan="max", random=random)
            assert np.array_equal(bits_of(values), bits_of(values_of(codes, fmt).astype(x.dtype)))


@pytest.mark.parametrize("fmt", EVERY_FLOAT.values(), ids=str)
def test_a_vector_of_one_value_and_one_draw_gives_what_they_give(fmt: FloatFormat) -> None:
    # a kernel has a quicker way for vectors of which little is dropped
    rng = np.random.default_rng(3)
    small = [1.5 * 2.0 ** (fmt.emin - fmt.mantissa_bits - depth) for depth in range(-2, 36)]
    chosen = rng.choice(float32_boundaries(fmt), 40)
    large = [fmt.max, -min(2 * fmt.max, 3e38), np.inf, -np.inf, np.nan]
    points = np.array([*chosen, *small, *large, 0.0, -0.0, 2.0**-149, -(2.0**-127)], np.float32)
    for bits in (32, 9):
        for draw in (0, 1, 1 << (bits - 1), (1 << bits) - 1, int(rng.integers(1 << bits))):
            x = np.repeat(points, 64)
            random, noise = GivenBits(np.full(x.size, draw), bits), Noise(draw, bits)
            codes = [
                nearest_code(number, fmt, "stochastic", nan="max", noise=noise)
                for number in points.tolist()
            ]
            wanted = values_of(np.array(codes).astype(fmt.code_dtype), fmt).astype(np.float32)
            got = round_to(x, fmt, rounding="stochastic", nan="max", random=random)
            assert np.array_equal(bits_of(got), np.repeat(bits_of(wanted), 64)), (bits, draw)


@pytest.fixture
def threads() -> Iterator[None]:
    before = get_num_threads()
    yield
    set_num_threads(before)


def numbers(count: int, dtype: Any = np.float32) -> Array:
    return np.random.default_rng(2).normal(0, 30, count).astype(dtype)


RANDOM = Philox(11, step=3, start=1000, random_bits=20)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_threads_change_nothing(dtype: Any) -> None:
    x = numbers(400_003, dtype)
    results = []
    for count in (1, 2, 3, 7):
        set_num_threads(count)
        results.append(encode(x, E4M3, rounding="stochastic", random=RANDOM))
        results.append(encode(round_to(x, E4M3, rounding="stochastic", random=RANDOM), E4M3))
    assert all(np.array_equal(result, results[0]) for result in results)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int64])
@pytest.mark.parametrize("piece", [1, 63, 64, 65, 1000, 4097])
def test_parts_give_what_the_whole_gives(piece: int, dtype: Any) -> None:
    x = numbers(5_000 if piece > 1 else 300, dtype)
    whole = encode(x, E4M3, rounding="stochastic", random=Philox(5))
    for begin in range(0, x.size, piece):
        part = x[begin : begin + piece]
        codes = encode(part, E4M3, rounding="stochastic", random=Philox(5, start=begin))
        assert np.array_equal(codes, whole[begin : begin + piece])


def test_elements_are_counted_in_c_order_whatever_the_memory() -> None:
    x = numbers(600).reshape(20, 30)
    whole = encode(x, E4M3, rounding="stochastic", random=RANDOM)
    wide = np.zeros((40, 90), np.float32)
    wide[::2, ::3] = x
    backwards = np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1]
    for same in (np.asfortranarray(x), wide[::2, ::3], backwards, x.astype(">f4")):
        assert np.array_equal(encode(same, E4M3, rounding="stochastic", random=RANDOM), whole)
    out = np.zeros((30, 20), np.uint8).T
    encode(x, E4M3, rounding="stochastic", random=RANDOM, out=out)
    assert np.array_equal(out, whole)
    values = x.copy()
    round_to(values, E4M3, rounding="stochastic", random=RANDOM, out=values)
    assert np.array_equal(values, decode(whole, E4M3))


def test_seeds_steps_and_starts_give_other_bits() -> None:
    x = np.full(1000, 1.0625, np.float32)
    randoms = (Philox(1), Philox(2), Philox(1, step=1), Philox(1, start=64), Philox(1 << 32))
    codes = [encode(x, E4M3, rounding="stochastic", random=random) for random in randoms]
    for i, one in enumerate(codes):
        assert all(400 < np.count_nonzero(one != other) < 600 for other in codes[:i])


@pytest.mark.parametrize("sixteenths", range(17))
def test_the_share_that_goes_up_is_the_distance(sixteenths: int) -> None:
    count = 1 << 18
    x = np.full(count, 1 + sixteenths / 128, np.float32)
    ups = np.count_nonzero(encode(x, E4M3, rounding="stochastic", random=Philox(9)) == 0x39)
    share = sixteenths / 16
    if share in (0, 1):
        assert ups == count * share
    else:  # six standard deviations, for good
        assert abs(ups - count * share) < 6 * (count * share * (1 - share)) ** 0.5


def test_small_additions_vanish_to_nearest_and_add_up_stochastically() -> None:
    """1024 in fp16 and 2048 times a half, the experiment that AWS documents for its hardware."""
    steps, seeds = 2048, 1000
    nearest = np.float32(1024)
    for _ in range(steps):
        nearest = round_to(nearest + np.float32(0.5), FP16)
    assert nearest == 1024
    noise = np.stack([noise_for(Philox(seed), (steps,)) for seed in range(seeds)], axis=1)
    sums = np.full(seeds, 1024, np.float32)
    for step in range(steps):
        given = GivenBits(noise[step], 32)
        sums = round_to(sums + np.float32(0.5), FP16, rounding="stochastic", random=given)
    error = float(np.std(sums, ddof=1)) / seeds**0.5
    assert 20 < error * seeds**0.5 < 26
    assert abs(float(np.mean(sums)) - 2048) < 4 * error


def test_given_bits_are_not_kept() -> None:
    given = GivenBits(np.zeros(4, np.uint32), 8)
    x = np.ones(4, np.float32)
    round_to(x, "e4m3", rounding="stochastic", random=given)
    round_to(x, "e4m3", rounding="stochastic", random=given, out=np.empty_like(x))
    encode(x, "e4m3", rounding="stochastic", random=given)
    left = weakref.ref(given)
    del given
    gc.collect()
    assert left() is None


@pytest.mark.parametrize("name", ["e4m3", "e5m2", "fp16", "bf16", "e3m4"])
def test_just_above_the_largest_value_every_draw_may_overflow(name: str) -> None:
    fmt = FLOATS[name]
    bits = 23 - fmt.mantissa_bits
    above = np.full(64, np.nextafter(np.float32(fmt.max), np.float32(np.inf)), np.float32)
    for draw in (0, (1 << bits) - 1):
        given = GivenBits(np.full(64, draw), bits)
        wanted = round_exact(float(above[0]), fmt, "stochastic", noise=Noise(draw, bits))
        assert (round_to(above, fmt, rounding="stochastic", random=given) == wanted).all()
