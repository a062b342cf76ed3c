"""Integers of the GPSIMD engine's types as Python's, boundaries first."""

from halfulp.dtypes import IntFormat
from halfulp.engines.gpsimd import INTEGERS

FORMATS = list(INTEGERS.values())


def wrapped(value: int, fmt: IntFormat) -> int:
    low_bits = value % 2**fmt.bits
    return low_bits - 2**fmt.bits if low_bits > fmt.max else low_bits


def boundaries(fmt: IntFormat) -> list[int]:
    """Around the ends, 0, half of the range, float32's last whole number, and widths of shifts."""
    places = (fmt.min, fmt.max, 0, fmt.max // 2, 2**24, fmt.bits, 2 ** (fmt.bits // 2))
    near = {place + step for place in places for step in (-1, 0, 1)}
    return sorted(value for value in near if fmt.min <= value <= fmt.max)
