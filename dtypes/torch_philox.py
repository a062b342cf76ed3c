"""Philox-4x32-10 in torch's integers, in the order that `halfulp.dtypes.random_bits` documents."""

import torch
from torch import Tensor

from halfulp.dtypes.random_bits import Philox

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_LOW = 0xFFFFFFFF
_BLOCKS, _GROUP = 16, 64


def philox(random: Philox, count: int, device: torch.device) -> Tensor:
    """`random_bits` bits for each of `count` elements, as int64."""
    number = torch.arange(count, dtype=torch.int64, device=device) + random.start
    block = (number // _GROUP) * _BLOCKS + number % _BLOCKS
    zero = torch.zeros_like(block)
    words = [block & _LOW, block >> 32, zero + (random.step & _LOW), zero + (random.step >> 32)]
    key = [random.seed & _LOW, random.seed >> 32]
    for _ in range(10):
        high0, low0 = _product(words[0], _MULTIPLIERS[0])
        high1, low1 = _product(words[2], _MULTIPLIERS[1])
        words = [high1 ^ words[1] ^ key[0], low1, high0 ^ words[3] ^ key[1], low0]
        key = [(part + step) & _LOW for part, step in zip(key, _KEY_STEPS, strict=True)]
    place = (number % _GROUP) // _BLOCKS
    word = torch.stack(words).gather(0, place.unsqueeze(0)).squeeze(0)
    return word >> (32 - random.random_bits)


def _product(word: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """The upper and the lower half of a product of 32-bit words; int64 does not hold it whole."""
    low, high = (word & 0xFFFF) * factor, (word >> 16) * factor
    middle = (low >> 16) + high
    return middle >> 16, ((middle & 0xFFFF) << 16) | (low & 0xFFFF)
