"""`matmul` in any accumulation equals its exact reference, bit for bit."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings

from halfulp.dtypes import BF16, FP16, INT32, FloatFormat, Format, IntFormat, Rounding
from halfulp.dtypes.rounding import DETERMINISTIC
from halfulp.engines import (
    PRESETS,
    Accumulation,
    IntegerAccumulator,
    declared_tree,
    matmul,
    reference_accumulation,
)
from tests.engines.accumulations import Case, cases

Array = npt.NDArray[Any]
ONES = np.ones((2, 2), np.float32)


def check(case: Case) -> None:
    integers = isinstance(case.accumulation.accumulator, IntegerAccumulator)
    found = matmul(
        case.a,
        case.b,
        case.c,
        accumulation=case.accumulation,
        a_format=case.a_format,
        b_format=case.b_format,
        out_format=None if integers else case.out_format,
    )
    wanted = reference_accumulation.matmul(
        case.a,
        case.b,
        case.c,
        case.accumulation,
        case.a_format,
        case.b_format,
        out_format=case.out_format,
    )
    assert found.dtype == wanted.dtype and found.shape == wanted.shape
    kind = np.uint32 if found.dtype == np.float32 else found.dtype
    np.testing.assert_array_equal(found.view(kind), wanted.view(kind))


@given(cases())
def test_the_kernel_equals_the_reference(case: Case) -> None:
    check(case)


@pytest.mark.deep
@settings(max_examples=20_000)
@given(cases())
def test_the_kernel_equals_the_reference_deeply(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("rounding", DETERMINISTIC)
@pytest.mark.parametrize("fmt", [BF16, FP16, FloatFormat(8, 4), FloatFormat(6, 9)], ids=str)
def test_a_tie_sees_what_lies_far_below_it(fmt: FloatFormat, rounding: Rounding) -> None:
    how = Accumulation(accumulator=fmt, rounding=rounding)
    steps, rng = 1 << fmt.mantissa_bits, np.random.default_rng(3)
    # (1 + i/steps) * (1 + j/steps) is a tie where i * j is steps / 2 modulo steps
    pairs = [(i, j) for i in range(1, steps) for j in range(1, 33) if i * j % steps == steps // 2]
    chosen = rng.choice(np.array(pairs), 40)
    factors = (1 + chosen / steps).astype(np.float32)
    x, y = factors[:, 0], factors[:, 1]
    signs = rng.choice(np.array([-1, 1], np.float32), (2, 40))
    below = np.float32(fmt.smallest_subnormal)
    a = np.stack([signs[0] * below, signs[1] * x], 1)
    b = np.stack([np.ones_like(y), y])
    found = matmul(a, b, accumulation=how, a_format=fmt)
    wanted = reference_accumulation.matmul(a, b, None, how, fmt, fmt)
    np.testing.assert_array_equal(found.view(np.uint32), wanted.view(np.uint32))


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_used_by_its_own_fields(name: str) -> None:
    one = PRESETS[name]
    given: Any = {"accumulation": one.accumulation, "a_format": one.a_format}
    given["b_format"] = one.b_format
    # numbers that every operand format holds, and sums that every accumulator does
    a = np.arange(20, dtype=np.float32).reshape(4, 5) % 7 - 3
    b = np.ascontiguousarray(a.T)
    found = matmul(a, b, out_format=one.out_format, **given)
    assert found.dtype == (np.int32 if one.out_format == INT32 else np.float32)
    np.testing.assert_array_equal(found, encoded(a, one.a_format) @ encoded(b, one.b_format))
    np.testing.assert_array_equal(found, matmul(a, b, **given))


def encoded(x: Array, fmt: Format) -> Array:
    """Integers below 0 become 0 where the format has no sign."""
    return np.maximum(x, 0) if isinstance(fmt, IntFormat) and not fmt.signed else x


INTEGERS = Accumulation(accumulator=IntegerAccumulator(32))


@pytest.mark.parametrize(
    ("bits", "out", "words"),
    [
        (32, "bf16", "out_format=bf16 with accumulator=int32: .*give int32, or leave it away"),
        (32, "fp32", "out_format=fp32 with accumulator=int32"),
        (16, "int16", "out_format=int16 with accumulator=int16: .*give int32, or leave"),
        (
            48,
            "int32",
            "out_format=int32 with accumulator=int48: .*leave it away, results are int64",
        ),
    ],
)
def test_sums_of_integers_have_no_other_result(bits: int, out: str, words: str) -> None:
    how = Accumulation(accumulator=IntegerAccumulator(bits))
    with pytest.raises(ValueError, match=words):
        matmul(ONES, ONES, accumulation=how, a_format="int8", out_format=out)


def test_sums_of_integers_are_int32_by_name_and_by_default() -> None:
    for out in ({}, {"out_format": "int32"}, {"out_format": INT32}):
        found = matmul(ONES, ONES, accumulation=INTEGERS, a_format="int8", **out)
        assert found.dtype == np.int32 and (found == 2).all()
    with pytest.raises(ValueError, match="out_format=int32: results are float formats"):
        matmul(ONES, ONES, accumulation=Accumulation(), a_format="bf16", out_format="int32")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (PRESETS["h100-wmma-bf16-fp32"], r"is a Preset; .*PRESETS\['h100-wmma-bf16-fp32'\]\.accum"),
        ("h100-wmma-bf16-fp32", r"is a str; .*PRESETS\['h100-wmma-bf16-fp32'\]\.accumulation"),
        (None, r"accumulation is a NoneType; give an Accumulation"),
    ],
    ids=["preset", "name", "nothing"],
)
def test_what_is_no_accumulation_is_told_by_the_parameters_name(given: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        matmul(ONES, ONES, accumulation=given, a_format="bf16")
    with pytest.raises(TypeError, match=words):
        declared_tree(given, 4, True)
