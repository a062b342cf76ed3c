"""The kernels' bodies, run as Python on numpy arrays, give the bits of the compiled kernels."""

import itertools
from collections.abc import Iterator
from fractions import Fraction
from operator import add, mul, sub, truediv
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from halfulp.dtypes import (
    BF16,
    E4M3,
    E8M0FNU,
    BlockFormat,
    FloatFormat,
    GivenBits,
    Overflow,
    Philox,
    Rounding,
    ScaleRule,
    block_kernels,
    kernels,
)
from halfulp.dtypes.block_layout import slot_of
from halfulp.dtypes.conversion import Conversion, conversion
from halfulp.dtypes.direction import Direction
from halfulp.dtypes.lanes import F32, F64, I8, I32, I64
from halfulp.dtypes.noise import noise_for
from halfulp.dtypes.parameters import NAMES32, parameters32
from halfulp.dtypes.rounding import DETERMINISTIC
from tests.dtypes.block_checks import SMALL, as_float32, led_blocks, rules_of
from tests.dtypes.numpy_lanes import NumpyLanes
from tests.dtypes.opinion import bits, modes
from tests.dtypes.uncompiled import uncompiled
from tests.strategies import (
    BF16_PATTERNS,
    EVERY_FLOAT,
    FLOATS,
    boundaries,
    chosen_codes,
    float32_boundaries,
    overflows_of,
)

Array = npt.NDArray[Any]
PLAIN = uncompiled()
#: Served by the float32 kernels, by those for any format, without a mantissa, wide, with few codes.
CHOSEN = ("e4m3", "e5m2fnuz", "e2m1fn", "e8m0fnu", "tf32", "bf16")


def some(x: Array, most: int = 700) -> Array:
    return np.ascontiguousarray(x[:: 1 + x.size // most])


def results(module: Any, x: Array, made: Conversion) -> tuple[Array, Array]:
    """The codes and the bits of the values that the kernels of a module make of x."""
    assert isinstance(made.fmt, FloatFormat)
    codes, values = np.empty(x.shape, made.fmt.code_dtype), np.empty_like(x)
    module.encode(x, codes, made)
    module.round_values(x, values, made)
    return codes, bits(values)


def check(x: Array, made: Conversion) -> None:
    for found, wanted in zip(
        results(PLAIN["kernels"], x, made), results(kernels, x, made), strict=True
    ):
        wrong = np.flatnonzero(found != wanted)
        assert not wrong.size, [(made, x[i], hex(found[i]), hex(wanted[i])) for i in wrong[:5]]


@pytest.mark.parametrize("fmt", EVERY_FLOAT.values(), ids=str)
def test_bodies_and_kernels_agree_at_boundaries(fmt: FloatFormat) -> None:
    policies = itertools.cycle(overflows_of(fmt))
    for rounding, overflow in zip(DETERMINISTIC, policies, strict=False):
        made = conversion(fmt, rounding=rounding, overflow=overflow)
        check(some(boundaries(fmt)), made)
        check(some(float32_boundaries(fmt)), made)


@pytest.mark.parametrize("name", CHOSEN)
def test_bodies_and_kernels_agree_with_every_overflow(name: str) -> None:
    fmt = FLOATS[name]
    for rounding, overflow in modes(fmt):
        check(float32_boundaries(fmt)[:999], conversion(fmt, rounding=rounding, overflow=overflow))


@pytest.mark.parametrize("name", CHOSEN)
def test_bodies_and_kernels_agree_on_every_bfloat16(name: str) -> None:
    for rounding in DETERMINISTIC:
        check(BF16_PATTERNS, conversion(name, rounding=rounding, nan="max"))


@pytest.mark.parametrize("fmt", EVERY_FLOAT.values(), ids=str)
def test_bodies_and_kernels_agree_on_random_bits(fmt: FloatFormat) -> None:
    for x in (some(boundaries(fmt)), some(float32_boundaries(fmt))):
        words = np.random.default_rng(0).integers(0, 1 << 5, x.shape)
        for random in (Philox(7, start=70, step=1 << 40), GivenBits(words, 5)):
            check(x, conversion(fmt, rounding=Rounding.STOCHASTIC, random=random))


def test_bodies_and_kernels_agree_across_chunks() -> None:
    x = np.resize(BF16_PATTERNS, 5000)
    for source in (x, x.astype(np.float64)):
        check(source, conversion(BF16))
        check(source, conversion(E8M0FNU))
        check(source, conversion(BF16, rounding=Rounding.STOCHASTIC, random=Philox(1, start=9)))


@pytest.mark.parametrize("fmt", EVERY_FLOAT.values(), ids=str)
def test_bodies_and_kernels_decode_alike(fmt: FloatFormat) -> None:
    codes: Array = np.arange(1 << fmt.bits) if fmt.bits <= 12 else some(chosen_codes(fmt))
    codes = codes.astype(fmt.code_dtype)
    for kind in (np.float32, np.float64):
        found, wanted = np.empty(codes.shape, kind), np.empty(codes.shape, kind)
        PLAIN["kernels"].decode(codes, found, fmt)
        kernels.decode(codes, wanted, fmt)
        assert np.array_equal(bits(found), bits(wanted))


def test_the_rounding_that_engines_build_into_their_kernels_is_that_of_the_loop() -> None:
    x, made = float32_boundaries(E4M3), conversion(E4M3, overflow="saturate")
    values = parameters32(E4M3, Overflow.SATURATE)
    names = {
        name: NumpyLanes(low)
        for name, low in zip(NAMES32, values.astype(np.uint32)[:, None], strict=True)
    }
    found = PLAIN["codec"].round_lanes(NumpyLanes(bits(x)), names).array
    assert np.array_equal(found, results(kernels, x, made)[1])


def test_the_rounds_of_philox_are_the_kernel_s() -> None:
    for random in (Philox(0), Philox(2**64 - 1, step=2**64 - 1, start=5, random_bits=3)):
        assert np.array_equal(PLAIN["noise"].noise_for(random, (999,)), noise_for(random, (999,)))


def slots(fmt: BlockFormat) -> Array:
    """Blocks for every scale and with specials, in slots."""
    rows = np.concatenate([led_blocks(fmt, exponent)[:3] for exponent in range(-150, 128, 17)])
    specials = np.zeros((4, rows.shape[1]))
    specials[1:, 0] = np.inf, np.nan, 1e-300
    rows = np.concatenate([rows, specials, -rows[::5]])
    room = np.zeros((len(rows), slot_of(fmt.block_size)))
    width = min(rows.shape[1], fmt.block_size)
    room[:, :width] = rows[:, :width]
    return room


def encoded(module: Any, x: Array, fmt: BlockFormat, rule: ScaleRule, given: float) -> list[Array]:
    """Maxima, codes, scales and what they decode to."""
    maxima = module.maxima(x, fmt)
    tensor = module.tensor_scale(maxima, fmt) if fmt.tensor_scale and not given else given or 1.0
    codes, scales = np.zeros(x.size, np.uint8), np.zeros(maxima.size, np.uint8)
    found = None if fmt.has_power_scale else maxima
    module.encode(x, codes, scales, fmt, rule, tensor, found)
    values = np.zeros(x.size, np.float32)
    module.decode(codes, scales, values, fmt, tensor)
    return [maxima, codes, scales, bits(values)]


@pytest.mark.parametrize("fmt", SMALL, ids=str)
def test_block_bodies_and_kernels_agree(fmt: BlockFormat) -> None:
    wide = slots(fmt)
    tensors = (0.0, 2.0**-100, 3.0) if fmt.tensor_scale else (0.0,)
    for x, rule, tensor in itertools.product((wide, as_float32(wide)), rules_of(fmt), tensors):
        given = x.reshape(-1), fmt, rule or ScaleRule.FLOOR, tensor
        found = encoded(PLAIN["block_kernels"], *given)
        wanted = encoded(block_kernels, *given)
        for one, other in zip(found, wanted, strict=True):
            assert np.array_equal(one, other), (x.dtype, rule, tensor)


def _without_carry(way: Any) -> Any:
    return (way.magnitude + way.given["half"]) & way.given["mask"]


@pytest.mark.parametrize(
    ("module", "place", "wrong", "rounding"),
    [
        ("codec", "Nearest.above", _without_carry, "nearest_even"),
        ("codec", "Directed.above", _without_carry, "toward_positive"),
        ("codec", "ToOdd.below_code", lambda way: way.magnitude, "to_odd"),
        ("codec", "_sign", lambda sign, *_: sign, "nearest_even"),
        ("codec64", "MAGNITUDE64", (1 << 62) - 1, "nearest_even"),
    ],
)
def test_a_wrong_body_disagrees(
    module: str, place: str, wrong: Any, rounding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "e8m0fnu" if module == "codec64" else "e4m3"
    x, made = boundaries(FLOATS[name]), conversion(name, rounding=rounding)
    check(x, made)
    *owner, attribute = place.split(".")
    where = getattr(PLAIN[module], owner[0]) if owner else PLAIN[module]
    monkeypatch.setattr(where, attribute, wrong)
    with pytest.raises(AssertionError):
        check(x, made)


def test_lanes_that_ignore_the_direction_disagree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "tests.dtypes.numpy_lanes.in_direction", lambda nearest, rest, direction: nearest
    )
    for rounding in ("toward_zero", "toward_positive", "toward_negative", "nearest_away", "to_odd"):
        with pytest.raises(AssertionError):
            check(float32_boundaries(E4M3), conversion(E4M3, rounding=rounding))


def pairs() -> Iterator[Array]:
    """Rows of two numbers that meet in every way: far apart, beside each other, cancelling."""
    random = np.random.default_rng(5)
    yield random.integers(0, 1 << 32, (4000, 2)).astype(np.uint32).view(np.float32)
    near = random.integers(0, 1 << 32, (4000, 2)).astype(np.uint32).view(np.float32)
    near[:, 1] = near[:, 0] * random.choice(
        np.array([-1, 1, 1.5, -(2**-20), 2**-30], np.float32), 4000
    )
    yield near
    largest, tiny = np.finfo(np.float32).max, np.finfo(np.float32).smallest_subnormal
    corners = [sign * x for x in (0.0, 1.0, largest, tiny) for sign in (1, -1)]
    yield np.array(list(itertools.product(corners, repeat=2)), np.float32)


def rounded(exact: Fraction, nearest: float, direction: Direction) -> float:
    """The float32 in a direction, found from the nearest one by comparison."""
    if direction is Direction.NEAREST:
        return nearest
    upward = exact < 0 if direction is Direction.CUT else direction is Direction.UP
    if nearest < exact if upward else nearest > exact:
        return float(np.nextafter(np.float32(nearest), np.float32(np.inf if upward else -np.inf)))
    return nearest


@pytest.mark.parametrize("operator", [add, sub, mul])
@pytest.mark.parametrize("direction", Direction)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_lanes_calculate_in_their_direction(operator: Any, direction: Direction) -> None:
    for numbers in pairs():
        numbers = numbers[np.isfinite(numbers).all(axis=1)]
        a, b = np.ascontiguousarray(numbers.T)
        found = operator(NumpyLanes(a, direction), NumpyLanes(b, direction)).array
        nearest = operator(a, b).tolist()
        for x, y, near, got in zip(a.tolist(), b.tolist(), nearest, found.tolist(), strict=True):
            wanted = rounded(operator(Fraction(x), Fraction(y)), near, direction)
            assert got == wanted, (x.hex(), y.hex())


def test_what_cancels_is_minus_zero_downward_alone() -> None:
    one = np.array([1.0, 0.0, 0.0, -0.0], np.float32)
    other = np.array([-1.0, 0.0, -0.0, -0.0], np.float32)
    for direction in Direction:
        found = NumpyLanes(one, direction) + NumpyLanes(other, direction)
        down = direction is Direction.DOWN
        assert np.signbit(found.array).tolist() == [down, False, down, True]


def test_fma_is_rounded_once() -> None:
    for kind, digits in ((np.float32, 23), (np.float64, 52)):
        a = 1 + 2.0**-digits
        given = [np.array([x], kind) for x in (a, a, -1 - 2.0 ** (1 - digits))]
        found = NumpyLanes(given[0]).fma(*map(NumpyLanes, given[1:])).array
        assert found.tolist() == [2.0 ** (-2 * digits)]
    # a tie of float32 in float64, and a grain that float64 would lose
    single = [np.array([x], np.float32) for x in (1 + 2.0**-23, 2.0**-24, 1.0)]
    found = NumpyLanes(single[0]).fma(*map(NumpyLanes, single[1:])).array
    assert found.tolist() == [1 + 2.0**-23]


def test_lanes_refuse_what_they_cannot_do() -> None:
    single, double = (NumpyLanes(np.ones(2, kind), Direction.UP) for kind in (np.float32, float))
    for operator, x in ((add, double), (mul, double), (truediv, single)):
        with pytest.raises(NotImplementedError, match="direction"):
            operator(x, 0.1)
    with pytest.raises(NotImplementedError, match="direction"):
        single.fma(1.0, 2.0)
    with pytest.raises(TypeError, match="float32 beside float64"):
        single + double
    with pytest.raises(NotImplementedError, match="float64 does not hold"):
        NumpyLanes(np.array([(1 << 60) + 1], np.uint64)).convert("uitofp", F64)


def test_lanes_of_integers_wrap_and_leave_open_what_llvm_does() -> None:
    word = NumpyLanes(np.array([0x80000001], np.uint32))
    assert (word + 0xFFFFFFFF).array.tolist() == [0x80000000]
    assert (word - 0x80000002).array.tolist() == [0xFFFFFFFF]
    assert (word * 2 | -4).array.tolist() == [0xFFFFFFFE]
    assert (word >> 31).array.tolist() == [1]
    assert word.arithmetic_shift(31).array.tolist() == [0xFFFFFFFF]
    assert (word << 32).array.tolist() == (word >> 99).array.tolist() == [0xA5A5A5A5]
    assert (word > 5).array.tolist() == [True]
    assert word.call("smax", 5).array.tolist() == word.call("umin", 5).array.tolist() == [5]
    assert word.convert("sext", I64).array.tolist() == [0xFFFFFFFF80000001]
    assert (word > 5).convert("sext", I32).array.tolist() == [0xFFFFFFFF]
    assert word.convert("trunc", I8).array.tolist() == [1]
    assert word.convert("sitofp", F32).array.tolist() == [-(2.0**31)]
    assert word.convert("uitofp", F64).array.tolist() == [2.0**31 + 1]
    far = NumpyLanes(np.array([-1.5, 2.0**31, np.nan], np.float32))
    assert far.convert("fptosi", I32).array.tolist() == [0xFFFFFFFF, 0xA5A5A5A5, 0xA5A5A5A5]
    assert far.convert("fptoui", I32).array.tolist() == [0xA5A5A5A5, 1 << 31, 0xA5A5A5A5]
    assert far.differs_from_number(far.like(2.0**31)).array.tolist() == [True, False, False]
