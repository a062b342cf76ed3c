"""Each function gives the fp32 nearest to the true value, computed with 120 digits by mpmath."""

import numpy as np
import pytest

from halfulp.dtypes import BF16, FP16, FP32
from halfulp.engines import NEURONCORE_V2, Activation, reference_rows
from tests.engines.inputs import CORNERS, Floats, mixed
from tests.engines.opinion import bits, numbers, same

activation = NEURONCORE_V2.scalar.activation
#: Where a function is neither constant, nor x itself, nor beyond fp32.
LIVELY: dict[Activation, tuple[float, float]] = {
    Activation.EXP: (-104.0, 89.0),
    Activation.TANH: (-9.2, 9.2),
    Activation.GELU: (-14.5, 6.0),
}


def every_exponent(each: int, seed: int) -> Floats:
    """Both signs, all 256 exponents, `each` significands: first and last, then random ones."""
    random = np.random.default_rng(seed)
    drawn = random.integers(0, 1 << 23, (512, each), dtype=np.uint32)
    drawn[:, :3] = 0, 1, (1 << 23) - 1
    return (drawn + (np.arange(512, dtype=np.uint32) << 23)[:, None]).reshape(-1).view(np.float32)


def sample(which: Activation, size: int, seed: int = 0) -> Floats:
    """About `size` numbers: over all exponents, subnormals, specials, and where it is lively."""
    random = np.random.default_rng(seed)
    low, high = LIVELY.get(which, (-4.0, 4.0))
    lively = random.uniform(low, high, size // 2).astype(np.float32)
    subnormal = random.integers(1, 1 << 24, size // 8, dtype=np.uint32).view(np.float32)
    subnormal[::2] *= -1
    return np.concatenate(
        [
            every_exponent(max(size // 1400, 4), seed),
            lively,
            subnormal,
            np.array(CORNERS, np.float32),
        ]
    )


def not_nearest(which: Activation, x: Floats) -> list[str]:
    """The results that are not the nearest fp32."""
    wanted = np.array([reference_rows.function(one, which) for one in numbers(x)], np.float32)
    got = activation(x, which)
    wrong = np.flatnonzero(bits(got) != bits(wanted))
    return [f"{which}({float(x[i]).hex()}): {got[i]!r}, nearest {wanted[i]!r}" for i in wrong[:5]]


@pytest.mark.parametrize("which", Activation)
def test_every_result_of_a_sample_is_the_nearest(which: Activation) -> None:
    x = sample(which, 14_000)
    assert x.size > 13_000
    assert not_nearest(which, x) == []


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(1, 9))
@pytest.mark.parametrize("which", Activation)
def test_every_result_of_a_large_sample_is_the_nearest(which: Activation, seed: int) -> None:
    assert not_nearest(which, sample(which, 250_000, seed)) == []


def test_gelu_of_the_smallest_numbers_keeps_the_side_of_the_tie() -> None:
    # x / 2 is a tie for every odd code below 2^-125; x Phi(x) lies just above it
    codes = np.arange(1, 1 << 24, 2 * 1009, dtype=np.uint32)
    for x in (codes.view(np.float32), -codes.view(np.float32)):
        assert not_nearest(Activation.GELU, x) == []
        up = (codes >> 1) + (x > 0)
        assert np.array_equal(bits(activation(x, "gelu")) & 0x7FFFFFFF, up)


@pytest.mark.parametrize(
    ("which", "limit"),
    [
        # exp: the largest finite result, the last that is not zero
        (Activation.EXP, 88.72284),
        (Activation.EXP, -103.97208),
        (Activation.TANH, 9.010913),
        (Activation.GELU, -14.17),
        (Activation.GELU, 5.5),
    ],
)
def test_results_beside_the_ends_of_a_function_are_the_nearest(
    which: Activation, limit: float
) -> None:
    code = int(bits(np.array([limit], np.float32))[0])
    x = np.arange(code - 400, code + 400, dtype=np.uint32).view(np.float32)
    assert not_nearest(which, x) == []


@pytest.mark.parametrize(
    ("which", "x", "wanted"),
    [
        (Activation.EXP, -np.inf, 0.0),
        (Activation.EXP, np.inf, np.inf),
        (Activation.EXP, 0.0, 1.0),
        (Activation.EXP, 88.73, np.inf),
        (Activation.EXP, -103.9, 2.0**-149),
        (Activation.EXP, -104.0, 0.0),
        (Activation.TANH, -np.inf, -1.0),
        (Activation.TANH, -0.0, -0.0),
        (Activation.TANH, 2.0**-149, 2.0**-149),
        (Activation.GELU, -np.inf, -0.0),
        (Activation.GELU, np.inf, np.inf),
        (Activation.GELU, -0.0, -0.0),
        (Activation.GELU, 3e38, 3e38),
        (Activation.RELU, -np.inf, 0.0),
        (Activation.RELU, -0.0, -0.0),
        (Activation.SQRT, -0.0, -0.0),
        (Activation.SQRT, -1.0, np.nan),
        (Activation.SQRT, 2.0**-148, 2.0**-74),
        (Activation.RSQRT, 0.0, np.inf),
        (Activation.RSQRT, -0.0, -np.inf),
        (Activation.RSQRT, np.inf, 0.0),
        (Activation.RSQRT, -(2.0**-149), np.nan),
        (Activation.RECIPROCAL, -0.0, -np.inf),
        (Activation.RECIPROCAL, -np.inf, -0.0),
        (Activation.RECIPROCAL, 2.0**-149, np.inf),
        (Activation.RECIPROCAL, 2.0**127, 2.0**-127),
        (Activation.COPY, -0.0, -0.0),
    ],
)
def test_specials_of_functions(which: Activation, x: float, wanted: float) -> None:
    # long enough for whole vectors and a rest
    got = activation(np.full(37, x, np.float32), which)
    assert same(got, np.full(37, wanted, np.float32))


def test_nan_gives_the_canonical_nan() -> None:
    x = np.array([0x7FC00001, 0xFFC00000, 0x7F800001, 0xFFFFFFFF], np.uint32).view(np.float32)
    for which in Activation:
        assert np.all(bits(activation(x, which)) == 0x7FC00000)


@pytest.mark.parametrize("which", Activation)
def test_scale_bias_and_cast_each_round_once(which: Activation) -> None:
    x = mixed((300,), 3)
    for scale, bias in ((0.3, 0.0), (1.0, -0.7), (1e-38, 1e-40), (2.0**100, -1.5), (-1.0, 1 / 3)):
        for fmt in (FP32, BF16, FP16):
            got = activation(x, which, scale=scale, bias=bias, out_format=fmt)
            wanted = [
                reference_rows.activation(one, which, scale=scale, bias=bias, fmt=fmt)
                for one in numbers(x)
            ]
            assert same(got, np.array(wanted, np.float32)), (scale, bias, fmt)


def test_a_bias_of_zero_adds_nothing() -> None:
    zero = np.array([-0.0, 0.0], np.float32)
    for bias in (0.0, -0.0):
        assert same(activation(zero, "copy", bias=bias), zero)


def test_shapes_containers_and_sizes_around_the_chunks() -> None:
    for size in (0, 1, 15, 16, 17, 8191, 8192, 8193, 3 * 8192 + 5):
        x = mixed((size,), size)
        one_by_one = [activation(part, "exp") for part in np.array_split(x, 7)]
        assert same(activation(x, "exp"), np.concatenate(one_by_one))
    x = mixed((4, 5, 6), 9)
    assert same(activation(x.transpose(2, 0, 1), "tanh"), activation(x, "tanh").transpose(2, 0, 1))
    number = activation(1.5, "relu")
    assert number == 1.5 and np.ndim(number) == 0
