"""THE TABLE of other libraries' casts: what a user of each would call on a float32 array.

Those that are not installed are left out. `pip install gfloat apytypes pychop` brings three more.
"""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Call = Callable[[], object]


@dataclass(frozen=True)
class Peer:
    """One call of one library.

    package   its import name
    work      "round", "encode" or "decode"
    call      of the array: gives the call to be timed; codes are made before it
    divisor   of the array's length, for those that would take minutes
    """

    package: str
    name: str
    work: str
    fmt: str
    call: Callable[[Any], Call]
    divisor: int = 1


def installed(peers: Sequence[Peer]) -> list[Peer]:
    return [peer for peer in peers if importlib.util.find_spec(peer.package) is not None]


def _ml_dtypes(name: str, *, back: bool = False) -> Callable[[Any], Call]:
    def call(x: Any) -> Call:
        import ml_dtypes

        kind = getattr(ml_dtypes, name)
        if back:
            codes = x.astype(kind)
            return lambda: codes.astype(np.float32)
        return lambda: x.astype(kind)

    return call


def _numpy(x: Any) -> Call:
    return lambda: x.astype(np.float16)


def _torch(name: str, *, back: bool = False) -> Callable[[Any], Call]:
    def call(x: Any) -> Call:
        import torch

        tensor, kind = torch.from_numpy(x), getattr(torch, name)
        if back:
            codes = tensor.to(kind)
            return lambda: codes.to(torch.float32)
        return lambda: tensor.to(kind)

    return call


def _gfloat(name: str) -> Callable[[Any], Call]:
    def call(x: Any) -> Call:
        import gfloat
        from gfloat import formats

        info, wide = getattr(formats, f"format_info_{name}"), x.astype(np.float64)
        return lambda: gfloat.round_ndarray(info, wide)

    return call


def _apytypes(exponent_bits: int, mantissa_bits: int) -> Callable[[Any], Call]:
    def call(x: Any) -> Call:
        import apytypes

        make = apytypes.APyFloatArray.from_array
        return lambda: make(x, exponent_bits, mantissa_bits)

    return call


def _pychop(x: Any) -> Call:
    import pychop

    chop = pychop.Chop(4, 3)
    return lambda: chop(x)


PEERS: tuple[Peer, ...] = (
    Peer("ml_dtypes", "ml_dtypes", "encode", "bf16", _ml_dtypes("bfloat16")),
    Peer("ml_dtypes", "ml_dtypes", "encode", "e4m3", _ml_dtypes("float8_e4m3")),
    Peer("ml_dtypes", "ml_dtypes", "encode", "e5m2", _ml_dtypes("float8_e5m2")),
    Peer("ml_dtypes", "ml_dtypes", "encode", "e3m4", _ml_dtypes("float8_e3m4")),
    Peer("ml_dtypes", "ml_dtypes", "decode", "e4m3", _ml_dtypes("float8_e4m3", back=True)),
    Peer("ml_dtypes", "ml_dtypes", "decode", "bf16", _ml_dtypes("bfloat16", back=True)),
    Peer("numpy", "numpy", "encode", "fp16", _numpy),
    Peer("torch", "torch", "encode", "bf16", _torch("bfloat16")),
    Peer("torch", "torch", "encode", "fp16", _torch("float16")),
    Peer("torch", "torch", "encode", "e4m3fn", _torch("float8_e4m3fn")),
    Peer("torch", "torch", "encode", "e5m2", _torch("float8_e5m2")),
    Peer("torch", "torch", "decode", "e4m3fn", _torch("float8_e4m3fn", back=True)),
    Peer("gfloat", "gfloat", "round", "e4m3fn", _gfloat("ocp_e4m3"), divisor=16),
    Peer("gfloat", "gfloat", "round", "bf16", _gfloat("bfloat16"), divisor=16),
    Peer("apytypes", "apytypes", "encode", "e4m3", _apytypes(4, 3), divisor=4),
    Peer("apytypes", "apytypes", "encode", "e3m4", _apytypes(3, 4), divisor=4),
    Peer("pychop", "pychop", "round", "e4m3", _pychop, divisor=64),
)
