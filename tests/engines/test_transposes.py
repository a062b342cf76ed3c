"""Transposes by identity and without loss."""

from typing import Any

import numpy as np
import pytest
import torch

from halfulp.dtypes import BF16, FP16, FP32, TF32, FloatFormat
from halfulp.engines import NEURONCORE_V1, NEURONCORE_V2, Ledger, recording
from tests.engines import opinion
from tests.engines.inputs import OPERANDS, mixed
from tests.engines.opinion import Floats, same

core = NEURONCORE_V2
FORMATS = [FP32, TF32, BF16, FP16, OPERANDS["e4m3"], OPERANDS["e5m2"]]
SHAPES = [
    (1, 1),
    (3, 5),
    (128, 7),
    (129, 40),
    (300, 130),
    (2, 130, 9),
    (2, 3, 4, 5),
    (0, 4),
    (4, 0),
]


def by_rule(x: Floats, fmt: FloatFormat) -> Floats:
    """128 rows of a column: +0 for -0; a NaN or an infinity makes NaN of them all.

    An infinity stays where no other of the rows multiplies it by zero: where it is alone.
    """
    out = opinion.cast(x, fmt) + np.float32(0)
    for start in range(0, x.shape[-2], 128):
        rows = out[..., start : start + 128, :]
        special = ~np.isfinite(rows)
        many = special.sum(-2, keepdims=True) > 0
        # its own place adds inf x 1, NaN only if another special or a second pass comes to it
        others = special.sum(-2, keepdims=True) - special
        kept = np.isinf(rows) & (others == 0) & (fmt != FP32)
        out[..., start : start + 128, :] = np.where(many & ~kept, np.float32(np.nan), rows)
    return np.ascontiguousarray(out.swapaxes(-1, -2))


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_by_identity(shape: tuple[int, ...], fmt: FloatFormat) -> None:
    for seed in range(3):
        x = mixed(shape, seed)
        if seed:  # mostly finite
            x = np.where(np.isfinite(x) | (np.arange(x.size).reshape(shape) % 7 == 0), x, 1)
        x = x.astype(np.float32)
        found = core.tensor.transpose(x, fmt)
        assert same(found, opinion.single(by_rule(x, fmt)))


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_without_loss(shape: tuple[int, ...], fmt: FloatFormat) -> None:
    x = mixed(shape, 4)
    found = core.dma.transpose(x, out_format=fmt)
    assert same(found, np.ascontiguousarray(opinion.cast(x, fmt).swapaxes(-1, -2)))


def test_where_the_two_differ() -> None:
    x = np.ones((130, 4), np.float32)
    x[5, 0], x[129, 1], x[7, 2], x[3, 3] = np.nan, np.inf, -0.0, 2.0
    exact, product = core.dma.transpose(x), core.tensor.transpose(x, "bf16")
    assert np.isnan(product[0, :128]).all() and (product[0, 128:] == 1).all()
    assert (product[1, :128] == 1).all() and np.isnan(product[1, 128])
    assert product[1, 129] == np.inf, "its own place has inf x 1 and 1 x 0 only"
    assert not np.signbit(product[2, 7]) and np.signbit(exact[2, 7])
    assert same(product[3], exact[3])
    wide = core.tensor.transpose(x, "fp32")
    assert np.isnan(wide[1, 129]), "a second pass meets inf x 0"


def test_records() -> None:
    x = np.full((2, 130, 9), 1e9, np.float32)
    x[0, 0, 0] = np.nan
    with recording(Ledger()) as ledger:
        core.tensor.transpose(x, "fp16")
        core.dma.transpose(x, out_format="fp16")
        NEURONCORE_V1.tensor.transpose(np.ones((128, 128)), "bf16")
        core.tensor.transpose(np.ones((128, 128)), "fp32")
    first, second, third, fourth = ledger.records
    assert (first.engine, first.instruction) == ("tensor", "nc_transpose")
    assert first.shapes == ((2, 130, 9), (2, 9, 130)) and first.formats == ("fp16", "fp16")
    assert first.bytes == 2 * 2 * x.size
    assert first.macs == 2 * 9 * (128 * 128 + 2 * 2)
    assert first.overflow == x.size - 1, "each element is cast once"
    assert first.cycles == 2 * (128 + max(2, 9))
    assert (second.engine, second.instruction) == ("dma", "dma_transpose")
    assert second.bytes == (4 + 2) * x.size and second.overflow == x.size - 1
    assert (third.cycles, fourth.cycles) == (128, 512)


def test_containers_and_layouts() -> None:
    x = mixed((40, 30), 2)
    wanted = core.tensor.transpose(x, "bf16")
    assert same(core.tensor.transpose(np.asfortranarray(x), "bf16"), wanted)
    assert same(core.tensor.transpose(x[::-1][::-1], "bf16"), wanted)
    found: Any = core.tensor.transpose(torch.from_numpy(x), "bf16")
    assert isinstance(found, torch.Tensor) and same(found.numpy(), wanted)
    assert isinstance(core.dma.transpose(torch.from_numpy(x)), torch.Tensor)
