"""Patterns, selections and gathers of the GPSIMD engine are nki.isa's pseudo code and examples."""

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from halfulp.dtypes import BF16, IntFormat, parse_format, round_to
from halfulp.engines import NEURONCORE_V2, Comparison, Ledger, recording
from halfulp.engines.gpsimd import INTEGERS
from tests.engines.inputs import CORNERS, mixed
from tests.engines.integers import FORMATS, boundaries, wrapped
from tests.engines.opinion import Array

gpsimd = NEURONCORE_V2.gpsimd


def pattern(shape: tuple[int, ...], base: int, steps: tuple[int, ...]) -> list[int]:
    """nki.isa's pseudo code, in Python's integers."""
    return [
        base + sum(i * step for i, step in zip(index, steps, strict=True))
        for index in np.ndindex(shape)
    ]


INT32S = st.sampled_from(boundaries(INTEGERS["int32"])) | st.integers(-(2**31), 2**31 - 1)


@given(st.data(), st.lists(st.integers(0, 4), max_size=4), INT32S, st.sampled_from(FORMATS))
def test_iota_is_its_pseudo_code(data: Any, shape: list[int], base: int, fmt: IntFormat) -> None:
    steps = tuple(data.draw(INT32S) for _ in shape)
    got = gpsimd.iota(shape, base=base, steps=steps, dtype=fmt)
    assert got.dtype == fmt.numpy and got.shape == tuple(shape)
    assert got.ravel().tolist() == [wrapped(n, fmt) for n in pattern(got.shape, base, steps)]


def test_iota_names_its_type_in_any_way() -> None:
    assert gpsimd.iota((3,), steps=(1,)).dtype == np.int32
    for dtype in ("uint16", np.uint16, torch.uint16, parse_format("uint16")):
        assert gpsimd.iota([2, 2], base=-1, steps=[2, 1], dtype=dtype).tolist() == [
            [65535, 0],
            [1, 2],
        ]


COMPARED: dict[Comparison, Callable[[int], bool]] = {
    Comparison.EQUAL: lambda n: n == 0,
    Comparison.NOT_EQUAL: lambda n: n != 0,
    Comparison.GREATER_EQUAL: lambda n: n >= 0,
    Comparison.GREATER: lambda n: n > 0,
    Comparison.LESS_EQUAL: lambda n: n <= 0,
    Comparison.LESS: lambda n: n < 0,
}


@given(st.data(), st.sampled_from(Comparison), st.integers(-5, 5) | INT32S)
@example(None, Comparison.GREATER, 2**31 - 1)
def test_affine_select_is_its_pseudo_code(data: Any, compare: Comparison, base: int) -> None:
    step = st.integers(-3, 3) | INT32S
    steps = (1, -1) if data is None else (data.draw(step), data.draw(step))
    x = mixed((5, 4), 1)
    got = gpsimd.affine_select(x, base=base, steps=steps, compare=compare, fill=-9984.0)
    index = [wrapped(n, INTEGERS["int32"]) for n in pattern(x.shape, base, steps)]
    keeps = [COMPARED[compare](n) for n in index]
    wanted = np.where(np.reshape(keeps, x.shape), x.view(np.uint32), bits(np.float32(-9984.0)))
    assert got.dtype == np.float32 and np.array_equal(bits(got), wanted)


def bits(x: Any) -> Array:
    array = np.asarray(x)
    return array.view(f"u{array.itemsize}")


def test_a_causal_mask() -> None:
    scores = np.ones((4, 4), np.float32)
    got = gpsimd.affine_select(scores, steps=(1, -1), compare="greater_equal", fill=float("-inf"))
    assert np.array_equal(np.isfinite(got), np.tri(4, dtype=bool))


SOURCES = [np.float32, np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e5m2]
SOURCES += [ml_dtypes.float8_e4m3, ml_dtypes.float8_e3m4]


@pytest.mark.parametrize("kind", SOURCES, ids=lambda kind: np.dtype(kind).name)
def test_what_is_kept_keeps_its_bits_and_what_is_filled_is_rounded(kind: Any) -> None:
    codes = np.arange(256).astype(f"u{np.dtype(kind).itemsize}")
    top = (codes << np.array(8 * (codes.itemsize - 1), codes.dtype)).reshape(4, 64)
    x = top.view(kind)  # every sign and exponent, NaN of all kinds
    got = gpsimd.affine_select(x, steps=(0, 1), base=-32, compare="less", fill=0.3)
    assert got.dtype == np.dtype(kind)
    assert np.array_equal(bits(got[:, :32]), top[:, :32])
    fmt = parse_format(np.dtype(kind).name)
    assert np.all(got[:, 32:].astype(np.float64) == round_to(np.float32(0.3), fmt))


def test_signaling_nan_stay_so_in_selections_and_gathers() -> None:
    code = 0x7FA00001
    x = np.full((16, 2), code, np.uint32).view(np.float32)
    kept = gpsimd.affine_select(x, steps=(0, 0), compare="equal", fill=0)
    for got in (kept, gpsimd.local_gather(x, np.ones((16, 1), np.uint16))):
        assert np.all(bits(got) == code)
    assert np.all(bits(gpsimd.nc_n_gather(x, np.zeros((16, 3), np.uint32))) == code)


def test_selections_among_integers_and_tensors() -> None:
    x = np.array([[1, 2], [3, 4]], np.int8)
    got = gpsimd.affine_select(x, steps=(1, -1), compare="equal", fill=-128)
    assert got.dtype == np.int8 and got.tolist() == [[1, -128], [-128, 4]]
    for dtype in (torch.bfloat16, torch.float32, torch.int16, torch.float8_e5m2):
        tensor = torch.ones(2, 2).to(dtype)
        found = gpsimd.affine_select(tensor, steps=(1, -1), compare="equal", fill=2)
        assert found.dtype == dtype and found.float().tolist() == [[1, 2], [2, 1]]
    assert gpsimd.affine_select(np.float32(3), steps=(), compare="less", fill=4.5) == 4.5
    empty = np.zeros((3, 0), np.float32)
    assert gpsimd.affine_select(empty, steps=(1, 1), compare="less", fill=0).shape == (3, 0)


def test_a_fill_goes_through_fp32() -> None:
    # just above a tie of bf16, and on it once rounded to fp32
    fill = 1 + 2.0**-8 + 2.0**-40
    x = np.zeros((1, 1), ml_dtypes.bfloat16)
    got = gpsimd.affine_select(x, steps=(0, 0), compare="less", fill=fill)
    assert float(got[0, 0]) == 1.0 and round_to(fill, BF16) == 1 + 2.0**-7


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.int64])
@pytest.mark.parametrize("shape", [(128, 512, 4), (16, 7, 1), (32, 1, 5), (48, 3, 0), (0, 4, 2)])
def test_16_partitions_share_their_indices(shape: tuple[int, int, int], kind: Any) -> None:
    rows, length, count = shape
    random = np.random.default_rng(rows)
    src = np.arange(rows * length, dtype=np.float32).reshape(rows, length)
    index = random.integers(0, length, (rows, count)).astype(kind)
    got = gpsimd.local_gather(src, index)
    assert got.shape == (rows, 16 * count)
    for start in range(0, rows, 16):
        # as AWS's example of the instruction has it
        flat = index[start : start + 16].astype(np.int64).flatten(order="F")
        wanted = np.take(src[start : start + 16], flat, axis=1)
        assert np.array_equal(got[start : start + 16], wanted)


def test_partitions_with_indices_of_their_own() -> None:
    data = np.array([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]], np.float32)
    indices = torch.tensor([[[0, 1], [1, 3]], [[3, 3], [1, 0]]])
    # the example of nki.language.gather_flattened
    wanted = [[[1.0, 2.0], [2.0, 4.0]], [[8.0, 8.0], [6.0, 5.0]]]
    assert gpsimd.nc_n_gather(data, indices).tolist() == wanted
    half = torch.from_numpy(data).bfloat16()
    found = gpsimd.nc_n_gather(half, indices)
    assert found.dtype == torch.bfloat16 and found.tolist() == wanted
    assert gpsimd.nc_n_gather(data, np.zeros((2, 0), np.uint32)).shape == (2, 0)
    assert gpsimd.nc_n_gather(np.zeros((0, 3), np.int8), np.zeros((0, 2), int)).shape == (0, 2)


def test_each_instruction_is_recorded() -> None:
    x, half = np.ones((16, 4), np.int16), np.ones((16, 4), np.float16)
    with recording(Ledger()) as ledger:
        gpsimd.tensor_tensor(x, x[0], "add", out_format="uint16")
        gpsimd.tensor_scalar(x, 1, "add")
        gpsimd.iota((16, 4), steps=(4, 1), dtype="uint8")
        gpsimd.affine_select(half, steps=(0, 1), compare="greater", fill=-65520.0)
        gpsimd.local_gather(half, np.zeros((16, 2), int))
        gpsimd.nc_n_gather(half, np.zeros((16, 2), int))
    assert [(one.instruction, one.shapes, one.formats, one.bytes) for one in ledger.records] == [
        ("tensor_tensor", ((16, 4), (4,), (16, 4)), ("int16", "int16", "uint16"), 2 * 132),
        ("tensor_scalar", ((16, 4), (16, 4)), ("int16", "int16"), 256),
        ("iota", ((16, 4),), ("uint8",), 64),
        ("affine_select", ((16, 4), (16, 4)), ("fp16", "fp16"), 256),
        ("local_gather", ((16, 4), (16, 2), (16, 32)), ("fp16", "uint16", "fp16"), 2 * 608),
        ("nc_n_gather", ((16, 4), (16, 2), (16, 2)), ("fp16", "uint32", "fp16"), 320),
    ]
    assert {one.engine for one in ledger.records} == {"gpsimd"}
    # column 0 is filled: 16 numbers beyond fp16
    totals = {**ledger.totals(), "bytes": 0}
    assert {name: count for name, count in totals.items() if count} == {
        "overflow": 16,
        "infinity": 16,
    }


def test_corners_are_kept_whatever_the_fill() -> None:
    x = np.array(CORNERS, np.float32)
    for fill in CORNERS:
        got = gpsimd.affine_select(x, steps=(1,), base=-9, compare="less", fill=fill)
        wanted = np.where(np.arange(len(x)) < 9, x, np.float32(fill))
        assert np.array_equal(bits(got), bits(wanted))
