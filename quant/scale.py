"""Scales of matmul operands: the largest finite magnitude of a tensor, and what to multiply it by.

Everything is exact or rounded once in float64: powers of two come from `frexp`, never from a
logarithm, and the largest magnitude from integer comparisons, which no flush-to-zero mode of the
processor touches.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halfulp.dtypes import FloatFormat, IntFormat
from halfulp.engines.outlines import is_outline

_INFINITY = 0x7F800000
_MAGNITUDE = 0x7FFFFFFF
#: Two such scales and their inverse stay normal fp32 numbers.
LARGEST_EXPONENT = 60


def _flat(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same elements as one row, in any order; a copy only where the layout has gaps."""
    order = sorted(range(x.ndim), key=lambda axis: -x.strides[axis])
    return x.transpose(order).reshape(-1)


def _magnitude_bits(codes: NDArray[np.uint32], axis: int | None) -> NDArray[np.uint32]:
    bits = codes & np.uint32(_MAGNITUDE)
    return np.where(bits < _INFINITY, bits, np.uint32(0)).max(axis=axis, initial=0)


def _value(bits: int) -> float:
    """The float32 of these bits, found without floating-point arithmetic on subnormals."""
    field, fraction = bits >> 23, bits & 0x7FFFFF
    return math.ldexp(fraction + (1 << 23 if field else 0), max(field, 1) - 150)


def largest_finite(x: NDArray[np.float32]) -> float:
    """The largest magnitude among the finite values of x; 0.0 when there is none."""
    flat = _flat(x)
    if flat.size == 0 or is_outline(x):
        return 0.0
    # positive codes are ordered as signed integers, negative ones as unsigned: two reads, no copy
    positive, highest = int(flat.view(np.int32).max()), int(flat.view(np.uint32).max())
    bits = max(positive, highest & _MAGNITUDE if highest > _MAGNITUDE else 0)
    if bits >= _INFINITY:
        bits = int(_magnitude_bits(flat.view(np.uint32), None))
    return _value(bits)


def power_of_two(largest: float, fmt: FloatFormat) -> float:
    """The largest 2^k with largest · 2^k <= fmt.max, k within ±60; 1.0 for a tensor of zeros."""
    if largest == 0.0:
        return 1.0
    fraction, exponent = math.frexp(largest)
    top_fraction, top_exponent = math.frexp(fmt.max)
    k = top_exponent - exponent - (fraction > top_fraction)
    return math.ldexp(1.0, max(-LARGEST_EXPONENT, min(LARGEST_EXPONENT, k)))


def symmetric(largest: float, fmt: IntFormat) -> float:
    """The float32 nearest to fmt.max / largest, which takes [-largest, largest] to [-max, max].

    1.0 for a tensor of zeros; at most 2^60, so that its inverse is a normal fp32 number.
    """
    if largest == 0.0:
        return 1.0
    return float(np.float32(min(fmt.max / largest, math.ldexp(1.0, LARGEST_EXPONENT))))


def symmetric_by_channel(weight: NDArray[np.float32], fmt: IntFormat) -> NDArray[np.float32]:
    """`symmetric` of each row of a weight (N, K): one scale for each output channel, (N,)."""
    if is_outline(weight):
        return np.ones(len(weight), np.float32)
    codes = np.ascontiguousarray(weight).view(np.uint32)
    bits = _magnitude_bits(codes, axis=1)
    return np.array([symmetric(_value(int(b)), fmt) for b in bits], np.float32)


def inverse(a_scale: float, b_scale: float | NDArray[np.float32]) -> float | NDArray[Any]:
    """1 / (a_scale · b_scale) in float64, rounded once to float32."""
    if isinstance(b_scale, float):
        return float(np.float32(1.0 / (a_scale * b_scale)))
    return (1.0 / (a_scale * b_scale.astype(np.float64))).astype(np.float32)
