"""The fast casts agree with numpy, ml_dtypes and torch wherever those round once."""

from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
import torch

from halfulp.dtypes import (
    BF16,
    E3M4,
    E4M3,
    E4M3FN,
    E5M2,
    FP16,
    FP32,
    FloatFormat,
    Overflow,
    decode,
    encode,
    round_to,
)
from tests.dtypes.opinion import Array, bits, convert
from tests.strategies import BF16_PATTERNS, boundaries, float32_boundaries

NUMPY: list[tuple[FloatFormat, Any]] = [
    (FP16, np.float16),
    (BF16, ml_dtypes.bfloat16),
    (E5M2, ml_dtypes.float8_e5m2),
    (E4M3, ml_dtypes.float8_e4m3),
    (E3M4, ml_dtypes.float8_e3m4),
    (E4M3FN, ml_dtypes.float8_e4m3fn),
]


def canonical(codes: Array, fmt: FloatFormat) -> Array:
    """Every NaN as ours: outsiders keep signs and payloads."""
    magnitude = codes & fmt.code_dtype.type((1 << (fmt.bits - 1)) - 1)
    limit = fmt.max_code if fmt.inf_code is None else fmt.inf_code
    return np.where(magnitude > limit, fmt.code_dtype.type(fmt.nan_code or 0), codes)


def random_float32(count: int) -> npt.NDArray[np.float32]:
    patterns = np.random.default_rng(20240501).integers(0, 1 << 32, count, dtype=np.uint32)
    return patterns.view(np.float32)


@pytest.mark.parametrize(("fmt", "outsider"), NUMPY, ids=str)
def test_float32_agrees_with_numpy_and_ml_dtypes(fmt: FloatFormat, outsider: Any) -> None:
    for x in (float32_boundaries(fmt), BF16_PATTERNS, random_float32(1 << 18)):
        outside = convert(x, outsider)
        assert np.array_equal(encode(x, fmt), canonical(outside.view(fmt.code_dtype), fmt))
        value = convert(outside, np.float32)
        value[np.isnan(value)] = np.nan
        assert np.array_equal(bits(round_to(x, fmt)), bits(value))


@pytest.mark.parametrize(("fmt", "outsider"), [(FP32, np.float32), (FP16, np.float16)], ids=str)
def test_float64_agrees_with_numpy(fmt: FloatFormat, outsider: Any) -> None:
    x = boundaries(fmt)
    outside = convert(x, outsider).view(fmt.code_dtype)
    assert np.array_equal(encode(x, fmt), canonical(outside, fmt))


@pytest.mark.parametrize(
    ("fmt", "outsider"),
    [(FP16, torch.float16), (BF16, torch.bfloat16), (E5M2, torch.float8_e5m2)],
    ids=str,
)
def test_float32_agrees_with_torch(fmt: FloatFormat, outsider: torch.dtype) -> None:
    x = torch.from_numpy(np.concatenate([float32_boundaries(fmt), BF16_PATTERNS]))
    outside = x.to(outsider).view(torch.uint8 if fmt.bits == 8 else torch.uint16).numpy()
    assert np.array_equal(encode(x, fmt).numpy(), canonical(outside, fmt))


def test_torch_saturates_e4m3fn_and_so_does_saturate() -> None:
    x = float32_boundaries(E4M3FN)
    x = x[np.isfinite(x)]
    outside = torch.from_numpy(x).to(torch.float8_e4m3fn).view(torch.uint8).numpy()
    assert np.array_equal(encode(x, E4M3FN, overflow=Overflow.SATURATE), outside)


@pytest.mark.parametrize(("fmt", "outsider"), NUMPY, ids=str)
def test_every_code_decodes_as_the_outsider_says(fmt: FloatFormat, outsider: Any) -> None:
    codes = np.arange(1 << fmt.bits, dtype=fmt.code_dtype)
    value = convert(codes.view(outsider), np.float32)
    value[np.isnan(value)] = np.nan
    assert np.array_equal(bits(decode(codes, fmt)), bits(value))


@pytest.mark.deep
@pytest.mark.parametrize(("fmt", "outsider"), NUMPY, ids=str)
def test_all_of_float32_agrees_with_numpy_and_ml_dtypes(fmt: FloatFormat, outsider: Any) -> None:
    step = 1 << 24
    for start in range(0, 1 << 32, step):
        x = np.arange(start, start + step, dtype=np.uint32).view(np.float32)
        outside = canonical(convert(x, outsider).view(fmt.code_dtype), fmt)
        codes = encode(x, fmt)
        assert np.array_equal(codes, outside), hex(start)
        assert np.array_equal(bits(round_to(x, fmt)), bits(decode(codes, fmt))), hex(start)
