"""fp32 in one pass, and integers in int32, on the fp32 path or as weights: fields of the core."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from halfulp.dtypes import BF16, INT8, INT16, UINT8, Format
from halfulp.engines import (
    NEURONCORE_V2,
    Accumulation,
    IntegerAccumulator,
    IntegerMatmul,
    Wrap,
)
from tests.engines import opinion
from tests.engines.inputs import KINDS, OPERANDS, operands
from tests.engines.opinion import same
from tests.engines.test_core_accumulation import core, counted


@pytest.mark.parametrize("kind", KINDS)
def test_fp32_in_one_pass_is_a_fused_multiply_add_a_product(kind: str) -> None:
    for name in ("fp32", "int16", "int32"):
        fmt = OPERANDS[name]
        a, b = operands(kind, fmt, fmt, (9, 140, 37))
        found = replace(NEURONCORE_V2, fp32_passes=1).tensor.matmul(a, b, a_format=fmt)
        wanted = opinion.systolic(opinion.cast(a, fmt), opinion.cast(b, fmt))
        assert same(found, opinion.single(wanted))


def whole(a: Any, b: Any, formats: tuple[Format, Format], bits: int = 32) -> Any:
    """The exact sums, wrapped to so many bits."""
    left = opinion.cast(a, formats[0]).astype(np.int64)
    right = opinion.cast(b, formats[1]).astype(np.int64)
    half = 1 << (bits - 1)
    return ((left @ right + half) % (2 * half) - half).astype(np.int32)


@pytest.mark.parametrize("names", [("int8", "int8"), ("int16", "int16"), ("uint8", "int8"),
                                   ("int8", "int16"), ("uint16", "int16")])  # fmt: skip
def test_integers_in_int32_wrap(names: tuple[str, str]) -> None:
    formats = OPERANDS.get(names[0], UINT8), OPERANDS[names[1]]
    if names[0] == "uint16":
        formats = next(f for f in NEURONCORE_V2.operands if f.name == "uint16"), INT16
    one = replace(NEURONCORE_V2, integer_matmul=IntegerMatmul.INT32)
    for kind in ("ordinary", "large"):
        a, b = operands(kind, *formats, (9, 700, 37))
        given: dict[str, Any] = {"a_format": formats[0], "b_format": formats[1]}
        found, record = counted(one, a, b, **given)
        assert same(found, whole(a, b, formats))
        assert record.formats[2] == "int32"
        scaled = one.tensor.matmul(a, b, rescale=0.5, **given)
        assert same(scaled, whole(a, b, formats).astype(np.float32) * np.float32(0.5))


def test_integers_on_the_compiler_path_are_fp32() -> None:
    one = replace(NEURONCORE_V2, integer_matmul=IntegerMatmul.FP32)
    a, b = operands("ordinary", INT8, INT8, (9, 140, 37))
    found, record = counted(one, a, b, a_format="int8")
    assert record.formats == ("int8", "int8", "fp32")
    assert same(found, whole(a, b, (INT8, INT8)).astype(np.float32))
    deep = np.full((1, 1041), 127, np.int8), np.full((1041, 1), 127, np.int8)
    exact = NEURONCORE_V2.tensor.matmul(*deep, a_format="int8")[0, 0]
    assert exact == 1041 * 127**2 and exact > 2**24
    assert one.tensor.matmul(*deep, a_format="int8")[0, 0] != exact
    assert one.tensor.matmul(deep[0][:, :1040], deep[1][:1040], a_format="int8") == 1040 * 127**2


def test_narrow_integer_accumulators() -> None:
    held = IntegerAccumulator(16)
    a, b = operands("ordinary", INT8, INT8, (9, 140, 37))
    assert same(
        core(Accumulation(accumulator=held)).tensor.matmul(a, b, a_format="int8"),
        whole(a, b, (INT8, INT8), 16),
    )
    saturating = core(Accumulation(accumulator=replace(held, overflow=Wrap.SATURATE)))
    full = np.full((2, 9), 127, np.int8)
    found, record = counted(saturating, full, full.T, a_format="int8", rescale=2.0)
    assert np.all(found == 2 * 32767) and record.formats[2] == "fp32"


def test_weights_in_int8_are_computed_in_bf16() -> None:
    random = np.random.default_rng(0)
    a = random.normal(size=(5, 140)).astype(np.float32)
    weights, scale = random.integers(-127, 128, (140, 37), np.int8), np.full(37, 0.25, np.float32)
    found = NEURONCORE_V2.tensor.matmul(a, weights, a_format="bf16", rescale=scale)
    sums = opinion.systolic(opinion.cast(a, BF16), weights.astype(np.float32))
    assert same(found, sums * np.float32(0.25)), "every int8 is a bf16 number"
