"""Floats of torch taken apart in integers, and whether a magnitude takes one more unit."""

from dataclasses import dataclass

import torch
from torch import Tensor

from halfulp.dtypes.conversion import Conversion
from halfulp.dtypes.random_bits import GivenBits, Philox
from halfulp.dtypes.torch_philox import philox

#: Of a float type: bits, mantissa bits, bias, the integer type of the same width.
LAYOUTS: dict[torch.dtype, tuple[int, int, int, torch.dtype]] = {
    torch.float64: (64, 52, 1023, torch.int64),
    torch.float32: (32, 23, 127, torch.int32),
    torch.float16: (16, 10, 15, torch.int16),
    torch.bfloat16: (16, 7, 127, torch.int16),
}


@dataclass(frozen=True)
class Parts:
    """significand * 2^(exponent - 52), the significand from 2^52 on but for zero."""

    negative: Tensor
    significand: Tensor
    exponent: Tensor
    infinite: Tensor
    nan: Tensor


def take_apart(x: Tensor, flush: bool) -> Parts:
    """The parts of float64, float32, float16 or bfloat16; `flush` takes subnormals for zero.

    Raises TypeError for other elements.
    """
    if x.dtype not in LAYOUTS:
        allowed = ", ".join(str(dtype).removeprefix("torch.") for dtype in LAYOUTS)
        raise TypeError(f"elements of type {x.dtype} are not taken here; allowed: {allowed}")
    width, mantissa, bias, kind = LAYOUTS[x.dtype]
    code = x.resolve_neg().contiguous().view(kind).to(torch.int64)
    negative = (code < 0).to(torch.int64)
    magnitude = code & ((1 << (width - 1)) - 1)
    field, fraction = magnitude >> mantissa, magnitude & ((1 << mantissa) - 1)
    subnormal = field == 0
    significand = torch.where(subnormal, fraction, fraction | (1 << mantissa)) << (52 - mantissa)
    if flush:
        significand = torch.where(subnormal, 0, significand)
    exponent = field.clamp(min=1) - bias
    for step in (32, 16, 8, 4, 2, 1):
        low = (significand < (1 << (53 - step))) & (significand > 0)
        significand = torch.where(low, significand << step, significand)
        exponent = torch.where(low, exponent - step, exponent)
    top = field == (1 << (width - 1 - mantissa)) - 1
    return Parts(negative, significand, exponent, top & (fraction == 0), top & (fraction != 0))


def up_by_table(parts: Parts, below: Tensor, cut: Tensor, table: int) -> Tensor:
    """1 where the magnitude takes one more unit, its last `cut` bits (1 to 55) being dropped."""
    one = torch.ones_like(cut)
    guard = (parts.significand >> (cut - 1)) & 1
    sticky = (parts.significand & ((one << (cut - 1)) - 1)).clamp(max=1)
    index = (parts.negative << 3) | ((below & 1) << 2) | (guard << 1) | sticky
    return (torch.full_like(index, table) >> index) & 1


def up_by_noise(significand: Tensor, dropped: Tensor, noise: Tensor, bits: int) -> Tensor:
    """The same by noise of `bits` bits, added to as many of the dropped ones."""
    one = torch.ones_like(dropped)
    rest = significand & ((one << dropped.clamp(max=62)) - 1)
    share = (rest << (bits - dropped).clamp(min=0)) >> (dropped - bits).clamp(min=0, max=63)
    return (share + noise) >> bits


def noise_for(x: Tensor, made: Conversion) -> Tensor:
    """The random bits of each element, in the order of the kernels."""
    random = made.random
    if isinstance(random, GivenBits):
        bits = torch.from_numpy(random.for_shape(tuple(x.shape)).astype("int64"))
        return bits.to(x.device)
    assert isinstance(random, Philox)
    return philox(random, x.numel(), x.device).reshape(x.shape)
