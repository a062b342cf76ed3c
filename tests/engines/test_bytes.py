"""int8 operands go into products as they are, and give what their float32 values give."""

from typing import Any

import numpy as np
import pytest
import torch

from halfulp.dtypes.threads import get_num_threads, set_num_threads
from halfulp.engines import NEURONCORE_V2, Ledger, recording
from tests.engines.opinion import same

core = NEURONCORE_V2


def integers(shape: tuple[int, ...], seed: int = 1) -> Any:
    return np.random.default_rng(seed).integers(-128, 128, shape).astype(np.int8)


@pytest.mark.parametrize("shape", [(1, 1, 1), (13, 257, 47), (9, 2050, 33), (3, 0, 5), (0, 4, 5),
                                   (300, 130, 64)])  # fmt: skip
@pytest.mark.parametrize("threads", [1, 2])
def test_sums(shape: tuple[int, int, int], threads: int) -> None:
    m, k, n = shape
    a, b = integers((m, k)), integers((k, n), 2)
    packed, before = core.tensor.pack(b, "int8"), get_num_threads()
    exits: list[dict[str, Any]] = [
        {},
        {"rescale": 0.01, "bias": np.arange(n, dtype=np.float32), "out_format": "bf16"},
    ]
    set_num_threads(threads)
    try:
        for exit_ in exits:
            with recording(Ledger()) as ledger:
                found = core.tensor.matmul(a, packed, a_format="int8", **exit_)
                wanted = core.tensor.matmul(a.astype(np.float32), packed, a_format="int8", **exit_)
            assert same(found, wanted)
            assert ledger.records[0] == ledger.records[1]
        whole = core.tensor.matmul(a, packed, a_format="int8")
        assert same(whole, a.astype(np.int32) @ b.astype(np.int32))
    finally:
        set_num_threads(before)


def test_layouts_and_containers() -> None:
    a, b = integers((6, 7, 40)), integers((40, 33), 2)
    packed = core.tensor.pack(b, "int8")
    wanted = a.astype(np.int32) @ b.astype(np.int32)
    views = [a, np.asfortranarray(a), np.stack([a, a], -1)[..., 0], a[:, ::-1][:, ::-1]]
    for view in views:
        assert same(core.tensor.matmul(view, packed, a_format="int8"), wanted)
    padded = np.zeros((6, 7, 50), np.int8)
    padded[..., 3:43] = a
    assert same(core.tensor.matmul(padded[..., 3:43], packed, a_format="int8"), wanted)
    found: Any = core.tensor.matmul(torch.from_numpy(a), packed, a_format="int8")
    assert isinstance(found, torch.Tensor) and same(found.numpy(), wanted)
    a.flags.writeable = False
    assert same(core.tensor.matmul(a, packed, a_format="int8"), wanted)


def test_a_scale_still_casts() -> None:
    a, b = integers((5, 40)), integers((40, 9), 2)
    packed = core.tensor.pack(b, "int8")
    found = core.tensor.matmul(a, packed, a_format="int8", a_scale=0.5)
    wanted = core.tensor.matmul(a.astype(np.float32), packed, a_format="int8", a_scale=0.5)
    assert same(found, wanted) and not same(found, a.astype(np.int32) @ b.astype(np.int32))
    other = core.tensor.matmul(a, packed, a_format="int16", b_format="int8")
    assert other.dtype == np.float32
