"""THE TABLE of other libraries' matrix products with an accumulator of their own choice.

Those that are not installed are left out. `pip install apytypes mmasim mmaemu` brings all three.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from halfulp.dtypes import BF16
from halfulp.engines import PRESETS, Accumulation

Call = Callable[[], object]


@dataclass(frozen=True)
class ProductPeer:
    """One product of one library.

    package       its import name
    shape         M, K, N: what it does in milliseconds
    fmt           of the operands
    accumulation  which of ours has the same bits
    call          of float32 operands: gives the call to be timed
    """

    package: str
    name: str
    shape: tuple[int, int, int]
    fmt: str
    accumulation: Accumulation
    call: Callable[[Any, Any], Call]


def _apytypes(a: Any, b: Any) -> Call:
    import apytypes

    left, right = (apytypes.APyFloatArray.from_array(x, 8, 7) for x in (a, b))

    def call() -> Any:
        with apytypes.APyFloatAccumulatorContext(exp_bits=8, man_bits=7):
            return (left @ right).to_numpy()

    return call


def _mmasim(a: Any, b: Any) -> Call:
    import torch
    from mmasim.nv_ptx import MMA

    operation = MMA("Ampere", "m16n8k16.f32.bf16.bf16.f32")
    left, right = (torch.from_numpy(x).bfloat16() for x in (a, b))
    start = torch.zeros(16, 8)
    return lambda: operation(left, right, start).numpy()


def _mmaemu(a: Any, b: Any) -> Call:
    import mmaemu
    import torch

    left, right = (torch.from_numpy(x).to(torch.float8_e4m3fn) for x in (a, b.T.copy()))
    given = {"use_fast_accum": True, "profile": "hopper", "splitk": 1}
    return lambda: mmaemu.accumulate(left, right, **given).numpy()


_APART = Accumulation(accumulator=BF16, rounds_products=True)
_PEERS = (
    ProductPeer("apytypes", "apytypes", (32, 256, 64), "bf16", _APART, _apytypes),
    ProductPeer(
        "mmasim", "mmasim, one instruction of Ampere", (16, 16, 8), "bf16",
        PRESETS["a100-wmma-bf16-fp32"].accumulation, _mmasim,
    ),
    ProductPeer(
        "mmaemu", "mmaemu, Hopper", (64, 512, 128), "e4m3fn",
        PRESETS["h100-wgmma-e4m3fn-fp32"].accumulation, _mmaemu,
    ),
)  # fmt: skip


def product_peers() -> list[ProductPeer]:
    """Those that are installed."""
    return [peer for peer in _PEERS if importlib.util.find_spec(peer.package) is not None]
