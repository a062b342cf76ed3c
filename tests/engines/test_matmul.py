"""The systolic array equals the exact reference and the second opinion, bit for bit."""

from typing import Any

import numpy as np
import pytest

from halfulp.dtypes import (
    BF16,
    FP16,
    FP32,
    INT8,
    INT16,
    TF32,
    UINT8,
    FloatFormat,
    Format,
    IntFormat,
)
from halfulp.engines import NEURONCORE_V1, NEURONCORE_V2, reference
from tests.engines import opinion
from tests.engines.inputs import KINDS, OPERANDS, SHAPES, Floats, operands
from tests.engines.opinion import bits, same

matmul = NEURONCORE_V2.tensor.matmul


def of_one(x: float) -> Floats:
    return np.full((1, 1), x, np.float32)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", OPERANDS)
def test_kernels_equal_the_opinion_and_a_sample_of_the_reference(name: str, kind: str) -> None:
    fmt = OPERANDS[name]
    for shape in SHAPES:
        if shape[1] > 1000 and kind in ("ordinary", "small", "large"):
            continue  # thousands of steps take most of the time
        a, b = operands(kind, fmt, fmt, shape)
        got = matmul(a, b, a_format=fmt, b_format=fmt)
        assert same(got, opinion.matmul(a, b, fmt, fmt)), shape
        # the last row and column lie in the kernels' edges
        wanted = reference.matmul(a[-1:], b[:, -1:], fmt, fmt)
        assert same(got[-1:, -1:], wanted), shape


@pytest.mark.parametrize("name", ["bf16", "fp32", "e4m3", "int8"])
def test_kernels_equal_the_whole_reference(name: str) -> None:
    fmt = OPERANDS[name]
    cases = (("spread", (37, 300, 77)), ("special", (9, 129, 33)), ("ties", (5, 257, 7)))
    for kind, shape in cases:
        a, b = operands(kind, fmt, fmt, shape, seed=1)
        columns = slice(None, None, 6 if opinion.wide(fmt) else 1)
        got = matmul(a, b, a_format=fmt)[:, columns]
        assert same(np.ascontiguousarray(got), reference.matmul(a, b[:, columns], fmt, fmt))


@pytest.mark.deep
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", OPERANDS)
def test_kernels_equal_the_whole_reference_on_every_shape(name: str, kind: str) -> None:
    fmt = OPERANDS[name]
    for shape in SHAPES:
        a, b = operands(kind, fmt, fmt, shape, seed=2)
        assert same(matmul(a, b, a_format=fmt), reference.matmul(a, b, fmt, fmt)), shape


@pytest.mark.parametrize(
    ("a_format", "b_format"),
    [
        (BF16, FP16),
        (FP16, OPERANDS["e4m3"]),
        (OPERANDS["e5m2"], OPERANDS["cfp8(2,5,bias=3)"]),
        (TF32, FP32),
        (FP32, TF32),
        (INT8, INT16),
        (INT16, INT8),
        (UINT8, INT8),
    ],
)
def test_pairs_of_two_formats(a_format: Format, b_format: Format) -> None:
    for kind in ("spread", "special", "ties", "small"):
        for shape in ((9, 130, 33), (2, 257, 3)):
            a, b = operands(kind, a_format, b_format, shape)
            got = matmul(a, b, a_format=a_format, b_format=b_format)
            assert same(got, opinion.matmul(a, b, a_format, b_format)), (kind, shape)
            wanted = reference.matmul(a[:1], b[:, -2:], a_format, b_format)
            assert same(got[:1, -2:], wanted), (kind, shape)


EXITS: list[dict[str, Any]] = [
    {"out_format": BF16},
    {"out_format": OPERANDS["e4m3"]},
    {"rescale": 0.1},
    {"rescale": "vector", "bias": "vector", "out_format": FP16},
    {"bias": "vector"},
    {"a_scale": 0.3, "b_scale": 1.7, "rescale": 1 / (0.3 * 1.7)},
    {"a_scale": 2.0**-9, "b_scale": 2.0**7, "out_format": OPERANDS["e5m2"]},
]


@pytest.mark.parametrize("exit_", EXITS, ids=str)
@pytest.mark.parametrize("name", ["bf16", "fp32", "e3m4", "int8", "int16"])
def test_scales_and_the_way_out_of_the_accumulator(name: str, exit_: dict[str, Any]) -> None:
    fmt = OPERANDS[name]
    for kind in ("spread", "special", "large"):
        a, b = operands(kind, fmt, fmt, (9, 140, 37))
        random = np.random.default_rng(3)
        vector = (random.normal(size=37) * 2.0 ** random.integers(-8, 9, 37)).astype(np.float32)
        vector[:3] = np.inf, -0.0, np.nan
        given: dict[str, Any] = {
            key: vector if value == "vector" else value for key, value in exit_.items()
        }
        got = matmul(a, b, a_format=fmt, **given)
        assert same(got, opinion.matmul(a, b, fmt, fmt, **given)), kind
        for key in ("rescale", "bias"):
            if isinstance(given.get(key), np.ndarray):
                given[key] = vector[:4].tolist()
        wanted = reference.matmul(a[-2:], b[:, :4], fmt, fmt, **given)
        assert same(got[-2:, :4], wanted), kind


@pytest.mark.parametrize("name", ["int8", "int16", "int32"])
def test_scales_of_each_column_of_an_integer_operand(name: str) -> None:
    fmt = OPERANDS[name]
    a, b = operands("ordinary", fmt, fmt, (7, 130, 35))
    scale = (2.0 ** np.random.default_rng(4).normal(size=35)).astype(np.float32)
    back = (1 / scale).astype(np.float32)
    got = matmul(a, b, a_format=fmt, b_scale=scale, rescale=back)
    assert same(got, opinion.matmul(a, b, fmt, fmt, b_scale=scale, rescale=back))
    packed = NEURONCORE_V2.tensor.pack(b, fmt, scale=scale)
    assert same(matmul(a, packed, a_format=fmt, rescale=back), got)
    turned = NEURONCORE_V2.tensor.pack(np.ascontiguousarray(b.T), fmt, scale=scale, transposed=True)
    assert same(matmul(a, turned, a_format=fmt, rescale=back), got)


def test_examples_of_the_fused_rule_in_the_array() -> None:
    a = np.array([[-(2.0**127), 2.0**64]], np.float32)
    b = np.array([[1.0], [2.0**64]], np.float32)
    for name in ("bf16", "tf32"):
        assert matmul(a, b, a_format=name)[0, 0] == 2.0**127
        tiny = matmul(of_one(-(2.0**-80)), of_one(2.0**-80), a_format=name)
        assert int(bits(tiny)[0, 0]) == 0x80000000
    # of fp32's passes lo x hi adds +0 to that -0
    tiny = matmul(of_one(-(2.0**-80)), of_one(2.0**-80), a_format="fp32")
    assert int(bits(tiny)[0, 0]) == 0
    assert matmul(a, b, a_format="fp32")[0, 0] == 2.0**127


def test_infinity_in_fp32_meets_zero_in_a_cross_pass() -> None:
    assert np.isnan(matmul(of_one(np.inf), of_one(1.0), a_format="fp32")[0, 0])
    assert np.isposinf(matmul(of_one(np.inf), of_one(1.0), a_format="bf16")[0, 0])
    assert np.isposinf(matmul(of_one(np.inf), of_one(1.0), a_format="tf32")[0, 0])


def test_nan_results_have_the_canonical_code() -> None:
    payload = np.full((3, 130), 0xFFC12345, np.uint32).view(np.float32)
    for fmt in OPERANDS.values():
        if isinstance(fmt, FloatFormat):
            for more in ({}, {"rescale": -1.0}, {"out_format": BF16}):
                got = matmul(payload, np.ones((130, 40), np.float32), a_format=fmt, **more)
                assert np.all(bits(got) == 0x7FC00000)


def test_no_products_give_zeros() -> None:
    a, b = np.ones((3, 0), np.float32), np.ones((0, 5), np.float32)
    for name, fmt in OPERANDS.items():
        got = matmul(a, b, a_format=fmt)
        assert got.dtype == (np.int32 if name == "int8" else np.float32)
        assert np.array_equal(bits(got), np.zeros((3, 5), np.uint32))
        biased = matmul(a, b, a_format=fmt, bias=np.arange(5, dtype=np.float32))
        assert biased.tolist() == [[0, 1, 2, 3, 4]] * 3


@pytest.mark.parametrize("shape", [(0, 4, 5), (3, 4, 0), (0, 0, 0), (0, 200, 40)])
def test_empty_results(shape: tuple[int, int, int]) -> None:
    for fmt in OPERANDS.values():
        a, b = np.ones(shape[:2], np.float32), np.ones(shape[1:], np.float32)
        assert matmul(a, b, a_format=fmt).shape == (shape[0], shape[2])


def test_int8_sums_wrap_at_32_bits() -> None:
    depth = 2**17 + 1
    a, b = np.full((9, depth), -128, np.int8), np.full((depth, 2), -128, np.int8)
    got = matmul(a, b, a_format="int8")
    assert got.dtype == np.int32
    assert np.all(got == -(2**31) + 2**14)
    assert np.all(matmul(a, b, a_format="int8", rescale=1.0) == np.float32(-(2**31) + 2**14))


def test_an_int8_sum_becomes_fp32_once_and_to_nearest() -> None:
    # 2^24 + 1 and 2^24 + 3 are ties of fp32
    for extra, wanted in ((1, 2**24), (3, 2**24 + 4), (2, 2**24 + 2)):
        a = np.full((1, 1025), -128, np.int8)
        a[0, -1] = extra
        b = np.full((1025, 1), -128, np.int8)
        b[-1] = 1
        assert matmul(a, b, a_format="int8")[0, 0] == 2**24 + extra
        assert matmul(a, b, a_format="int8", rescale=1.0)[0, 0] == wanted


def test_integers_above_24_bits_are_lossy_as_fp32_is() -> None:
    assert matmul(of_one(2**24), of_one(1), a_format="int32")[0, 0] == 2**24
    got = matmul(np.array([[2**24 + 1]], np.int64), np.array([[1]], np.int64), a_format="int32")
    assert got[0, 0] == 2**24
    assert matmul(of_one(4e9), of_one(1), a_format="int32")[0, 0] == 2**31 - 128


def test_the_older_core_gives_the_same_bits() -> None:
    for name in ("bf16", "fp16", "int8"):
        a, b = operands("spread", OPERANDS[name], OPERANDS[name], (9, 140, 37))
        got = NEURONCORE_V1.tensor.matmul(a, b, a_format=name)
        assert same(got, matmul(a, b, a_format=name))


def test_integer_operands_are_rounded_to_even_and_clamped() -> None:
    x = np.array([[0.5, 1.5, -2.5, 127.5, 300, -300, np.inf, -np.inf, np.nan, -0.25]], np.float32)
    identity = np.eye(10, dtype=np.float32)
    got = matmul(x, identity, a_format="int8")
    assert got.tolist() == [[0, 2, -2, 127, 127, -128, 127, -128, 0, 0]]
    assert isinstance(OPERANDS["int8"], IntFormat)


@pytest.mark.parametrize("depth", [1, 4, 130, 2049])
def test_a_packed_int8_serves_other_integers_too(depth: int) -> None:
    random = np.random.default_rng(depth)
    b = random.integers(-128, 128, (depth, 35)).astype(np.float32)
    a = random.integers(-128, 128, (9, depth)).astype(np.float32)
    packed = NEURONCORE_V2.tensor.pack(b, INT8)
    for fmt in (INT8, INT16):
        wanted = matmul(a, b, a_format=fmt, b_format=INT8)
        got = matmul(a, packed, a_format=fmt, b_format=INT8)
        assert got.dtype == wanted.dtype
        assert (got == wanted).all()
    assert (matmul(a, packed, a_format=INT8) == a.astype(np.int64) @ b.astype(np.int64)).all()
