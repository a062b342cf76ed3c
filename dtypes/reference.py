"""Exact conversion with integers and fractions: slow, to be read aloud, the kernels' judge.

It shares the facts of a format with the kernels, and no code.
"""

from enum import Enum, unique
from fractions import Fraction
from math import copysign, floor, inf, isinf, isnan, nan
from typing import assert_never

from halfulp.dtypes.format import FloatFormat, Format, IntFormat
from halfulp.dtypes.rounding import Overflow, Rounding, choice


@unique
class Special(Enum):
    """What a code can mean that no fraction says."""

    NAN = nan
    INFINITY = inf
    MINUS_INFINITY = -inf
    MINUS_ZERO = -0.0


Exact = Fraction | Special
HALF = Fraction(1, 2)


def exact(x: float | Fraction | Special) -> Exact:
    """What `x` is, without loss. Every float and int is a fraction, -0.0 and the specials apart."""
    if isinstance(x, float):
        if isnan(x):
            return Special.NAN
        if isinf(x):
            return Special.INFINITY if x > 0 else Special.MINUS_INFINITY
        if x == 0 and copysign(1.0, x) < 0:
            return Special.MINUS_ZERO
    return x if isinstance(x, Special) else Fraction(x)


def value(code: int, fmt: Format) -> Exact:
    """What `code` means in `fmt`; the code of an integer format is the integer itself.

    Raises ValueError for a code that `fmt` does not have.
    """
    if isinstance(fmt, IntFormat):
        if not fmt.min <= code <= fmt.max:
            raise ValueError(f"{code} is no {fmt}; allowed: {fmt.min} to {fmt.max}")
        return Fraction(code)
    if not 0 <= code < 2**fmt.bits:
        raise ValueError(f"{code} is no code of {fmt}; allowed: 0 to {2**fmt.bits - 1}")
    negative, magnitude = divmod(code, 2 ** (fmt.bits - 1))
    if magnitude == fmt.inf_code:
        return Special.MINUS_INFINITY if negative else Special.INFINITY
    if magnitude > fmt.max_code:
        return Special.NAN
    if magnitude == 0:
        return Special.MINUS_ZERO if negative else Fraction(0)
    field, fraction = divmod(magnitude, 2**fmt.mantissa_bits)
    implicit = 2**fmt.mantissa_bits if field else 0
    unit = Fraction(2) ** (max(field, 1) - fmt.bias - fmt.mantissa_bits)
    return (implicit + fraction) * unit * (-1 if negative else 1)


def nearest_code(
    x: float | Fraction | Special,
    fmt: Format,
    rounding: Rounding | str = Rounding.NEAREST_EVEN,
    overflow: Overflow | str = Overflow.INF,
) -> int:
    """The code of `x`, rounded once to `fmt`.

    x          any float, int or Fraction
    specials   NaN gives the canonical NaN without its sign, in an integer format 0; -0.0 keeps its
               sign in a float format. An infinity stays one whatever `overflow` says; where the
               format has none it gives NaN, as ml_dtypes does; in an integer format it saturates.
    overflow   judged after rounding with an unbounded exponent; integer formats always saturate

    Raises ValueError for NaN where the format has none, and for an unknown rounding or overflow.
    """
    rounding = choice(Rounding, rounding, "rounding")
    overflow = choice(Overflow, overflow, "overflow")
    number = exact(x)
    if isinstance(fmt, IntFormat):
        return _nearest_integer(number, fmt, rounding)
    match number:
        case Special.NAN:
            return nan_code(fmt)
        case Special.INFINITY:
            return _infinity(fmt, negative=False)
        case Special.MINUS_INFINITY:
            return _infinity(fmt, negative=True)
        case Special.MINUS_ZERO:
            return _signed(0, fmt, negative=True)
        case Fraction():
            return _nearest_finite(number, fmt, rounding, overflow)
    assert_never(number)


def round_exact(
    x: float | Fraction | Special,
    fmt: Format,
    rounding: Rounding | str = Rounding.NEAREST_EVEN,
    overflow: Overflow | str = Overflow.INF,
) -> float:
    """The value of `fmt` that `x` is rounded to; every value of every format is a float.

    Raises ValueError as `nearest_code` does.
    """
    rounded = value(nearest_code(x, fmt, rounding, overflow), fmt)
    return rounded.value if isinstance(rounded, Special) else float(rounded)


def nan_code(fmt: FloatFormat) -> int:
    """The canonical NaN. Raises ValueError where the format has none."""
    if fmt.nan_code is None:
        raise ValueError(f"{fmt} has no NaN; replace NaN before the conversion")
    return fmt.nan_code


def _nearest_integer(number: Exact, fmt: IntFormat, rounding: Rounding) -> int:
    match number:
        case Special.NAN | Special.MINUS_ZERO:
            return 0
        case Special.INFINITY:
            return fmt.max
        case Special.MINUS_INFINITY:
            return fmt.min
        case Fraction():
            whole = _whole(abs(number), number < 0, rounding)
            return min(max(-whole if number < 0 else whole, fmt.min), fmt.max)
    assert_never(number)


def _nearest_finite(
    number: Fraction, fmt: FloatFormat, rounding: Rounding, overflow: Overflow
) -> int:
    negative, magnitude = number < 0, abs(number)
    if magnitude == 0:
        return 0
    exponent = max(_exponent(magnitude), fmt.emin)  # below emin the spacing stays that of emin
    unit = Fraction(2) ** (exponent - fmt.mantissa_bits)
    rounded = _whole(magnitude / unit, negative, rounding) * unit
    largest = value(fmt.max_code, fmt)
    assert isinstance(largest, Fraction)
    if rounded > largest:
        if overflow is Overflow.SATURATE or _never_overflows(negative, rounding):
            return _signed(fmt.max_code, fmt, negative)
        return _infinity(fmt, negative)
    return _signed(_code_of_value(rounded, fmt), fmt, negative)


def _whole(magnitude: Fraction, negative: bool, rounding: Rounding) -> int:
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
    assert_never(rounding)


def _never_overflows(negative: bool, rounding: Rounding) -> bool:
    """Whether a finite value past the largest one stays there (IEEE 754-2019, 7.4; to odd too)."""
    return rounding in (
        Rounding.TOWARD_ZERO,
        Rounding.TO_ODD,
        Rounding.TOWARD_POSITIVE if negative else Rounding.TOWARD_NEGATIVE,
    )


def _exponent(magnitude: Fraction) -> int:
    """The e for which 2^e <= magnitude < 2^(e+1)."""
    guess = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    return guess if Fraction(2) ** guess <= magnitude else guess - 1


def _code_of_value(magnitude: Fraction, fmt: FloatFormat) -> int:
    if magnitude < Fraction(2) ** fmt.emin:
        return int(magnitude / Fraction(2) ** (fmt.emin - fmt.mantissa_bits))
    exponent = _exponent(magnitude)
    fraction = int((magnitude / Fraction(2) ** exponent - 1) * 2**fmt.mantissa_bits)
    return (exponent + fmt.bias) * 2**fmt.mantissa_bits + fraction


def _infinity(fmt: FloatFormat, negative: bool) -> int:
    """The code of an infinity; the canonical NaN where the format has none."""
    if fmt.inf_code is None:
        return nan_code(fmt)
    return _signed(fmt.inf_code, fmt, negative)


def _signed(code: int, fmt: FloatFormat, negative: bool) -> int:
    return code + 2 ** (fmt.bits - 1) if negative else code
