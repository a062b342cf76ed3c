"""A positive fraction rounded to a whole number: the one place where the reference rounds."""

from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import assert_never

from halfulp.dtypes.rounding import Rounding

HALF = Fraction(1, 2)


@dataclass(frozen=True)
class Noise:
    """One draw for stochastic rounding: `value` of `bits` random bits."""

    value: int
    bits: int = 32

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 32 or not 0 <= self.value < 2**self.bits:
            raise ValueError(f"{self}: bits must be 1 to 32, value 0 to 2^bits - 1")


def whole(magnitude: Fraction, negative: bool, rounding: Rounding, noise: Noise | None) -> int:
    """`magnitude` rounded to a whole number of units.

    Without mantissa bits the number is 1 from the smallest value on, hence odd: a tie goes to the
    larger magnitude (IEEE 754-2019, 4.3.1), and to odd stays; below, 0 is even.
    """
    below = floor(magnitude)
    rest = magnitude - below
    if rest == 0:
        return below
    match rounding:
        case Rounding.NEAREST_EVEN:
            return below + (rest > HALF or (rest == HALF and below % 2 == 1))
        case Rounding.NEAREST_AWAY:
            return below + (rest >= HALF)
        case Rounding.TOWARD_ZERO:
            return below
        case Rounding.TOWARD_POSITIVE:
            return below if negative else below + 1
        case Rounding.TOWARD_NEGATIVE:
            return below + 1 if negative else below
        case Rounding.TO_ODD:
            return below if below % 2 == 1 else below + 1
        case Rounding.STOCHASTIC:
            assert noise is not None
            return below + (floor(rest * 2**noise.bits) + noise.value >= 2**noise.bits)
    assert_never(rounding)


def exponent(magnitude: Fraction) -> int:
    """The e for which 2^e <= magnitude < 2^(e+1)."""
    guess = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    return guess if Fraction(2) ** guess <= magnitude else guess - 1
