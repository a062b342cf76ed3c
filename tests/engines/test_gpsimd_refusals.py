"""Errors at the door of the GPSIMD engine say what was given and what is allowed."""

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

from halfulp.engines import (
    NEURONCORE_V1,
    NEURONCORE_V2,
    Ledger,
    UnsupportedEngine,
    UnsupportedFormat,
    recording,
)

gpsimd = NEURONCORE_V2.gpsimd
I8, I16, I64 = np.ones(2, np.int8), np.ones(2, np.int16), np.ones(2, np.int64)
F32 = np.ones((16, 4), np.float32)
Call = Callable[[], Any]
TYPES: list[tuple[Call, str]] = [
    (lambda: gpsimd.tensor_tensor(I64, I64, "add"), "a has .* type int64; .* take int32, uint32,"),
    (lambda: gpsimd.tensor_tensor(I8, [1, 2], "add"), "b has .* type int64; .* convert them"),
    (lambda: gpsimd.tensor_scalar(F32, 1, "add"), "x has .* float32; .* core.vector .* fp32"),
    (lambda: gpsimd.tensor_scalar(np.full(2, np.nan), 1, "add"), "x has .* type float64"),
    (lambda: gpsimd.tensor_scalar(I8 > 0, 1, "add"), "x has .* type bool"),
    (lambda: gpsimd.tensor_scalar(np.ones(2, ml_dtypes.int4), 1, "add"), "type int4"),
    (lambda: gpsimd.tensor_scalar(torch.ones(2).half(), 1, "add"), "type float16"),
    (lambda: gpsimd.tensor_scalar(I8, 1.0, "add"), "scalar=1.0 is not an integer; give -128"),  # type: ignore[arg-type]
    (lambda: gpsimd.tensor_scalar(I8, True, "add"), "scalar=True is not an integer"),
    (lambda: gpsimd.iota((2,), steps=(0.5,)), "step=0.5 is not an integer"),  # type: ignore[arg-type]
    (lambda: gpsimd.iota((2.0,), steps=(1,)), "length of an axis=2.0 is not an integer"),  # type: ignore[arg-type]
    (lambda: gpsimd.iota((2,), steps=(1,), base=None), "base=None is not an integer"),  # type: ignore[arg-type]
    (lambda: gpsimd.affine_select(I64, steps=(0,), compare="less", fill=0), "x has .* int64"),
    (lambda: gpsimd.affine_select([0.5], steps=(0,), compare="less", fill=0), "x has .* float64"),
    (lambda: gpsimd.affine_select(I8, steps=(0,), compare="less", fill=0.5), "fill=0.5 is not an"),
    (lambda: gpsimd.local_gather(F32, F32), "indices are float32; needed: integers"),
    (lambda: gpsimd.nc_n_gather(F32, F32 > 0), "indices are bool; needed: integers"),
]  # fmt: skip
VALUES: list[tuple[Call, str]] = [
    (lambda: gpsimd.tensor_tensor(I8, I8, "divide"), "op='divide' is not known; allowed: 'add'"),
    (lambda: gpsimd.tensor_tensor(I8, np.ones(3, np.int8), "add"), r"a \(2,\), b \(3,\)"),
    (lambda: gpsimd.tensor_scalar(I8, 128, "add"), "scalar=128 .*; allowed: -128 to 127"),
    (lambda: gpsimd.iota((2, 3), steps=(1,)), r"steps=\(1,\) for the shape \(2, 3\); needed: one"),
    (lambda: gpsimd.iota((2,), steps=(2**31,)), "step=2147483648 is out of range"),
    (lambda: gpsimd.iota((-1,), steps=(1,)), "length of an axis=-1 is out of range"),
    (lambda: gpsimd.iota((1,), steps=(1,), dtype="int7x"), "no format is called 'int7x'"),
    (lambda: gpsimd.affine_select(I8, steps=(0,), compare="equals", fill=0), "'equals' .*'equal'"),
    (lambda: gpsimd.affine_select(I8, steps=(0, 1), compare="less", fill=0), "one step an axis"),
    (lambda: gpsimd.affine_select(I8, steps=(0,), compare="less", fill=128), "fill=128 is out of"),
    (lambda: gpsimd.local_gather(F32, [[4]] * 16), "indices from 4 to 4; .* has 4 elements"),
    (lambda: gpsimd.local_gather(F32, [[-1]] * 16), "indices from -1 to -1"),
    (lambda: gpsimd.local_gather(F32[:8], [[0]] * 8), r"\(8, 4\), .* multiple of 16; in nc_n_"),
    (lambda: gpsimd.local_gather(F32, [[0]] * 32), r"index \(32, 1\); needed: \(P, F\)"),
    (lambda: gpsimd.local_gather(F32[0], [0]), r"src has shape \(4,\), index \(1,\)"),
    (lambda: gpsimd.nc_n_gather(F32, [[0]]), r"data has shape \(16, 4\), indices \(1, 1\)"),
    (lambda: gpsimd.nc_n_gather(F32, [[4]] * 16), "indices from 4 to 4"),
]  # fmt: skip
FORMAT_ERRORS: list[tuple[Call, str]] = [
    (lambda: gpsimd.tensor_tensor(I8, I16, "add"), "a is int8, b int16; .* convert one of them"),
    (lambda: gpsimd.tensor_tensor(I8, I8.view("u1"), "add"), "a is int8, b uint8"),
    (lambda: gpsimd.tensor_scalar(I8, 1, "add", out_format="int16"), "allowed: int8, uint8"),
    (lambda: gpsimd.tensor_scalar(I8, 1, "add", out_format="fp32"), "out_format=fp32 of int8"),
    (lambda: gpsimd.iota((2,), steps=(1,), dtype="fp32"), "dtype=fp32; iota writes integers"),
    (lambda: gpsimd.iota((2,), steps=(1,), dtype="int4"), "dtype=int4; iota writes integers"),
    (
        lambda: gpsimd.nc_n_gather(F32.astype(ml_dtypes.float8_e4m3fn), [[0]] * 16),
        "has no e4m3fn .*IEEE style",
    ),
    (
        lambda: gpsimd.local_gather(F32.astype(ml_dtypes.float6_e2m3fn), [[0]] * 16),
        "has no e2m3fn",
    ),
]


@pytest.mark.parametrize(("call", "words"), TYPES)
def test_types_that_are_refused(call: Call, words: str) -> None:
    with recording(Ledger()) as ledger, pytest.raises(TypeError, match=words):
        call()
    assert len(ledger) == 0


@pytest.mark.parametrize(("call", "words"), VALUES)
def test_values_that_are_refused(call: Call, words: str) -> None:
    with recording(Ledger()) as ledger, pytest.raises(ValueError, match=words):
        call()
    assert len(ledger) == 0


@pytest.mark.parametrize(("call", "words"), FORMAT_ERRORS)
def test_formats_that_are_refused(call: Call, words: str) -> None:
    with recording(Ledger()) as ledger, pytest.raises(UnsupportedFormat, match=words):
        call()
    assert len(ledger) == 0


def test_the_first_core_has_no_such_engine() -> None:
    with pytest.raises(UnsupportedEngine, match="NeuronCore-v1 has no GPSIMD engine.*_V2"):
        _ = NEURONCORE_V1.gpsimd
