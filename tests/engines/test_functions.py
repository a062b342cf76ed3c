"""Each function gives the fp32 nearest to the true value, as MPFR decides it."""

from typing import Any

import numpy as np
import pytest

from halfulp.dtypes import BF16, FP16, FP32
from halfulp.engines import NEURONCORE_V2, Activation, function_proof, functions, reference_rows
from halfulp.engines.activations import EXACT
from halfulp.engines.function_proof import judge, verify_function, wanted
from halfulp.engines.functions import evaluate
from halfulp.engines.hard_inputs import HARD_INPUTS
from halfulp.engines.reference_functions import nearest, pattern
from tests.engines.inputs import CORNERS, Floats, mixed
from tests.engines.opinion import bits, numbers, same

activation = NEURONCORE_V2.scalar.activation
#: Where a function is neither constant, nor x itself, nor beyond fp32.
LIVELY: dict[Activation, tuple[float, float]] = {
    Activation.EXP: (-104.0, 89.0),
    Activation.TANH: (-9.2, 9.2),
    Activation.GELU: (-14.5, 6.0),
    Activation.EXP2: (-150.0, 128.0),
    Activation.EXPM1: (-18.0, 89.0),
    Activation.LOG: (0.0, 8.0),
    Activation.LOG2: (0.0, 8.0),
    Activation.LOG1P: (-1.0, 8.0),
    Activation.SIGMOID: (-104.0, 18.0),
    Activation.SILU: (-110.0, 18.0),
    Activation.GELU_TANH: (-11.0, 6.0),
    Activation.SOFTPLUS: (-104.0, 18.0),
    Activation.MISH: (-110.0, 18.0),
    Activation.SIN: (-(2.0**22), 2.0**22),
    Activation.COS: (-(2.0**22), 2.0**22),
    Activation.ARCTAN: (-8.0, 8.0),
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
    return [str(one) for one in judge(which, bits(x)).wrong[:5]]


@pytest.mark.parametrize("which", Activation)
def test_every_result_of_a_sample_is_the_nearest(which: Activation) -> None:
    x = sample(which, 60_000)
    assert x.size > 55_000
    assert not_nearest(which, x) == []


@pytest.mark.deep
@pytest.mark.parametrize("which", Activation)
def test_every_result_is_the_nearest(which: Activation) -> None:
    verdict = verify_function(which, threads=2)
    assert (verdict.inputs, verdict.wrong, verdict.first) == (1 << 32, 0, ())


@pytest.mark.parametrize("which", Activation)
def test_the_fast_judge_and_the_sure_one_say_the_same(which: Activation) -> None:
    x = sample(which, 700)
    said, open_places = wanted(which, x)
    sure = [pattern(nearest(which, number).value) for number in numbers(x)]
    assert len(open_places) < x.size // 20 or which in EXACT
    said[open_places] = np.array(sure, np.uint32)[open_places]
    assert np.array_equal(said, np.array(sure, np.uint32))


@pytest.mark.parametrize("which", HARD_INPUTS)
def test_the_table_holds_hard_inputs_only(which: Activation) -> None:
    for given, result in HARD_INPUTS[which].items():
        decided = nearest(which, float(np.uint32(given).view(np.float32)))
        assert (pattern(decided.value), decided.distance < 2.0**-20) == (result, True)


@pytest.mark.parametrize("which", HARD_INPUTS)
def test_a_hard_input_gives_its_result(which: Activation) -> None:
    table = HARD_INPUTS[which]
    # alone, in whole vectors, and between others
    for repeats in (1, 16, 21):
        x = np.repeat(np.array([*table], np.uint32), repeats)
        wanted_bits = np.repeat(np.array([*table.values()], np.uint32), repeats)
        assert np.array_equal(bits(activation(x.view(np.float32), which)), wanted_bits)


def test_a_wrong_result_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def off(function: Activation, x: Floats, slope: float) -> Floats:
        y: Floats = evaluate(function, x)
        y.view(np.uint32)[7] ^= 1
        return y

    x = np.linspace(1, 2, 64, dtype=np.float32)
    assert not_nearest(Activation.EXP, x) == []
    monkeypatch.setattr(function_proof, "evaluate", off)
    (text,) = not_nearest(Activation.EXP, x)
    assert f"{bits(x)[7]:#x}" in text
    first = int(bits(x)[7])
    verdict = verify_function(Activation.EXP, part=range(first - 7, first + 9))
    assert [wrong.pattern for wrong in verdict.first] == [first]
    assert (verdict.wrong, verdict.inputs) == (1, 16)


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
        # where a quick way ends, and where a function becomes a constant
        (Activation.GELU, -3.0),
        (Activation.GELU, 5.65625),
        (Activation.GELU, -15.0),
        (Activation.ERF, 4.0),
        (Activation.ERF, -3.9192059),
        (Activation.EXP2, -150.0),
        (Activation.EXP2, 128.0),
        (Activation.EXPM1, -17.32868),
        (Activation.SIGMOID, 17.32868),
        (Activation.SIGMOID, -103.97208),
        (Activation.SILU, -108.0),
        (Activation.GELU_TANH, -10.0),
        (Activation.SOFTPLUS, -103.97208),
        (Activation.MISH, -108.0),
        (Activation.LOG1P, -1.0),
        (Activation.LOG, 1.0),
        (Activation.LOG2, 2.0),
        (Activation.SIN, 2.0**20),
        (Activation.COS, -(2.0**20)),
        (Activation.SIN, 3.1415927),
        (Activation.COS, 1.5707964),
        (Activation.ARCTAN, 0.41421357),
        (Activation.ARCTAN, 2.4142135),
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
        (Activation.SIGN, -0.0, 0.0),
        (Activation.SIGN, -np.inf, -1.0),
        (Activation.LOG, -0.0, -np.inf),
        (Activation.LOG, -(2.0**-149), np.nan),
        (Activation.LOG1P, -1.0, -np.inf),
        (Activation.LOG1P, -0.0, -0.0),
        (Activation.LOG2, 2.0**-149, -149.0),
        (Activation.EXP2, -149.0, 2.0**-149),
        (Activation.EXPM1, -0.0, -0.0),
        (Activation.EXPM1, -np.inf, -1.0),
        (Activation.SIGMOID, -np.inf, 0.0),
        (Activation.SILU, -np.inf, -0.0),
        (Activation.MISH, -np.inf, -0.0),
        (Activation.SOFTPLUS, np.inf, np.inf),
        (Activation.SIN, np.inf, np.nan),
        (Activation.COS, -np.inf, np.nan),
        (Activation.ARCTAN, -np.inf, -1.5707964),
        (Activation.ERF, -0.0, -0.0),
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


@pytest.mark.parametrize("which", ["copy", "exp", "gelu", "sin", "log", "leaky_relu", "reciprocal"])
def test_scale_bias_and_cast_each_round_once(which: str) -> None:
    x = mixed((150,), 3)
    for scale, bias in ((0.3, 0.0), (1.0, -0.7), (1e-38, 1e-40), (2.0**100, -1.5), (-1.0, 1 / 3)):
        for fmt in (FP32, BF16, FP16):
            got = activation(x, which, scale=scale, bias=bias, out_format=fmt)
            wanted = [
                reference_rows.activation(one, Activation(which), scale=scale, bias=bias, fmt=fmt)
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


def test_a_result_is_written_where_out_says_and_nowhere_else() -> None:
    x = mixed((40,), 4)
    wanted, line = functions.exp(x), np.zeros(80, np.float32)
    assert functions.exp(x, out=line[::2]) is not None and same(line[::2].copy(), wanted)
    both = np.concatenate([x, x[:1]])
    functions.exp(both[:-1], out=both[1:])  # overlaps, and is read before it is written
    assert same(both[1:], wanted) and same(functions.exp(x, out=x), wanted)
    refused: list[tuple[Any, type[Exception], str]] = [
        ([0.0] * 40, TypeError, "out is a list; give a float32 array"),
        (np.zeros(40), TypeError, "out is float64"),
        (np.zeros(39, np.float32), ValueError, r"out has shape \(39,\); x has \(40,\)"),
        (np.broadcast_to(np.float32(0), 40), ValueError, "read-only"),
    ]
    for out, error, told in refused:
        with pytest.raises(error, match=told):
            functions.exp(x, out=out)
