"""Exact conversion with integers and fractions: slow, to be read aloud, the kernels' judge.

It shares the facts of a format with the kernels, and no code.
"""

from enum import Enum, unique
from fractions import Fraction
from math import copysign, inf, isinf, isnan, nan
from typing import TypedDict, Unpack, assert_never

from halfulp.dtypes.format import FloatFormat, Format
from halfulp.dtypes.int_format import IntFormat
from halfulp.dtypes.reference_rounding import Noise, exponent, whole
from halfulp.dtypes.rounding import NanTo, Overflow, Rounding, Subnormals, choice

__all__ = ["Exact", "Noise", "Special", "exact", "nan_code", "nearest_code", "round_exact", "value"]


@unique
class Special(Enum):
    """What a code can mean that no fraction says."""

    NAN = nan
    INFINITY = inf
    MINUS_INFINITY = -inf
    MINUS_ZERO = -0.0


Exact = Fraction | Special


class More(TypedDict, total=False):
    """The choices of `nearest_code` that it takes by name alone."""

    subnormals: Subnormals | str
    source_tiny: float
    nan: NanTo | str | None
    noise: Noise | None


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
    negative, magnitude = divmod(code, 2 ** (fmt.exponent_bits + fmt.mantissa_bits))
    if magnitude == fmt.inf_code:
        return Special.MINUS_INFINITY if negative else Special.INFINITY
    if magnitude > fmt.max_code or code == fmt.nan_code:
        return Special.NAN
    if magnitude == 0 and fmt.has_zero:
        return Special.MINUS_ZERO if negative else Fraction(0)
    field, fraction = divmod(magnitude, 2**fmt.mantissa_bits)
    subnormal = field == 0 and fmt.subnormals
    significand = fraction if subnormal else fraction + 2**fmt.mantissa_bits
    power = (1 if subnormal else field) - fmt.bias
    unit = Fraction(2) ** (power - fmt.mantissa_bits)
    return significand * unit * (-1 if negative else 1)


def nearest_code(
    x: float | Fraction | Special,
    fmt: Format,
    rounding: Rounding | str = Rounding.NEAREST_EVEN,
    overflow: Overflow | str = Overflow.INF,
    *,
    subnormals: Subnormals | str = Subnormals.KEEP,
    source_tiny: float = 0.0,
    nan: NanTo | str | None = None,
    noise: Noise | None = None,
) -> int:
    """The code of `x`, rounded once to `fmt`.

    x            any float, int or Fraction
    overflow     judged after rounding with an unbounded exponent; integer formats always saturate
    source_tiny  smallest normal number of x's type, for "flush_inputs"
    nan          what NaN becomes where `fmt` has none
    noise        the draw, for "stochastic" alone
    specials     NaN gives the canonical NaN without its sign, in an integer format 0; -0.0 keeps
                 its sign where `fmt` has -0. A scale (e8m0) has NaN for all but positive numbers,
                 and its smallest value for smaller ones.

    Raises ValueError for NaN where the format has none, and for an unknown rounding or overflow.
    """
    rounding = choice(Rounding, rounding, "rounding")
    overflow = choice(Overflow, overflow, "overflow")
    subnormals = choice(Subnormals, subnormals, "subnormals")
    if (noise is not None) is not (rounding is Rounding.STOCHASTIC):
        raise ValueError(f"noise={noise} with rounding={rounding.value!r}; they go together")
    number = exact(x)
    if subnormals is Subnormals.FLUSH_INPUTS and isinstance(number, Fraction):
        if 0 < abs(number) < Fraction(source_tiny):
            number = Special.MINUS_ZERO if number < 0 else Fraction(0)
    if isinstance(fmt, IntFormat):
        return _nearest_integer(number, fmt, rounding, noise)
    if number is Special.NAN:
        return nan_code(fmt, nan)
    code_of = _number_code if fmt.signed else _scale_code
    code = code_of(number, fmt, rounding, overflow, noise)
    if subnormals is Subnormals.FLUSH_OUTPUTS and fmt.subnormals:
        negative, magnitude = divmod(code, fmt.sign_code)
        if 0 < magnitude < 2**fmt.mantissa_bits:
            return _signed(0, fmt, negative == 1)
    return code


def round_exact(
    x: float | Fraction | Special,
    fmt: Format,
    rounding: Rounding | str = Rounding.NEAREST_EVEN,
    overflow: Overflow | str = Overflow.INF,
    **more: Unpack[More],
) -> float:
    """The value of `fmt` that `x` is rounded to; every value of every format is a float.

    Raises ValueError as `nearest_code` does.
    """
    rounded = value(nearest_code(x, fmt, rounding, overflow, **more), fmt)
    return rounded.value if isinstance(rounded, Special) else float(rounded)


def nan_code(fmt: FloatFormat, instead: NanTo | str | None = None) -> int:
    """The canonical NaN, or what stands for it. Raises ValueError where there is neither."""
    if fmt.nan_code is not None:
        return fmt.nan_code
    if instead is None:
        raise ValueError(f"{fmt} has no NaN; replace NaN before the conversion")
    return 0 if choice(NanTo, instead, "nan") is NanTo.ZERO else fmt.max_code


def _nearest_integer(number: Exact, fmt: IntFormat, rounding: Rounding, noise: Noise | None) -> int:
    match number:
        case Special.NAN | Special.MINUS_ZERO:
            return 0
        case Special.INFINITY:
            return fmt.max
        case Special.MINUS_INFINITY:
            return fmt.min
        case Fraction():
            size = whole(abs(number), number < 0, rounding, noise)
            return min(max(-size if number < 0 else size, fmt.min), fmt.max)
    assert_never(number)


def _number_code(
    number: Exact, fmt: FloatFormat, rounding: Rounding, overflow: Overflow, noise: Noise | None
) -> int:
    match number:
        case Special.INFINITY | Special.MINUS_INFINITY:
            return _of_infinity(fmt, overflow, number is Special.MINUS_INFINITY)
        case Special.MINUS_ZERO:
            return _signed(0, fmt, True)
        case Fraction():
            negative = number < 0
            rounded = _round(abs(number), negative, fmt, rounding, noise)
            largest = value(fmt.max_code, fmt)
            assert isinstance(largest, Fraction)
            if rounded > largest:
                return _past_the_largest(fmt, rounding, overflow, negative)
            return _signed(_code_of_value(rounded, fmt), fmt, negative)
        case Special.NAN:
            raise AssertionError("nearest_code answers for it")
    assert_never(number)


def _scale_code(
    number: Exact, fmt: FloatFormat, rounding: Rounding, overflow: Overflow, noise: Noise | None
) -> int:
    if number is Special.INFINITY:
        return _of_infinity(fmt, overflow, False)
    if isinstance(number, Special) or number <= 0:
        return nan_code(fmt)
    smallest = value(0, fmt)
    assert isinstance(smallest, Fraction)
    return _number_code(max(number, smallest), fmt, rounding, overflow, noise)


def _round(
    magnitude: Fraction, negative: bool, fmt: FloatFormat, rounding: Rounding, noise: Noise | None
) -> Fraction:
    """Rounded to the spacing at the magnitude, the exponent unbounded above."""
    if magnitude == 0:
        return magnitude
    smallest = Fraction(fmt.tiny)
    if not fmt.subnormals and magnitude < smallest:  # 0 is even, the smallest value odd
        return whole(magnitude / smallest, negative, rounding, noise) * smallest
    power = max(exponent(magnitude), fmt.emin)  # below emin the spacing stays that of emin
    unit = Fraction(2) ** (power - fmt.mantissa_bits)
    return whole(magnitude / unit, negative, rounding, noise) * unit


def _code_of_value(magnitude: Fraction, fmt: FloatFormat) -> int:
    if magnitude == 0:
        return 0
    if magnitude < Fraction(2) ** fmt.emin:
        return int(magnitude / Fraction(2) ** (fmt.emin - fmt.mantissa_bits))
    power = exponent(magnitude)
    fraction = int((magnitude / Fraction(2) ** power - 1) * 2**fmt.mantissa_bits)
    return (power + fmt.bias) * 2**fmt.mantissa_bits + fraction


def _past_the_largest(
    fmt: FloatFormat, rounding: Rounding, overflow: Overflow, negative: bool
) -> int:
    """Of a finite value. IEEE 754-2019, 7.4, for the directed roundings; to odd stays too."""
    stays = {Rounding.TOWARD_ZERO, Rounding.TO_ODD}
    stays.add(Rounding.TOWARD_POSITIVE if negative else Rounding.TOWARD_NEGATIVE)
    match overflow:
        case Overflow.SATURATE | Overflow.SATURATE_ALL:
            return _signed(fmt.max_code, fmt, negative)
        case Overflow.NAN:
            return nan_code(fmt)
        case Overflow.INF:
            if rounding in stays:
                return _signed(fmt.max_code, fmt, negative)
            return _own_infinity(fmt, negative)
    assert_never(overflow)


def _of_infinity(fmt: FloatFormat, overflow: Overflow, negative: bool) -> int:
    match overflow:
        case Overflow.SATURATE_ALL:
            return _signed(fmt.max_code, fmt, negative)
        case Overflow.NAN:
            return nan_code(fmt)
        case Overflow.INF | Overflow.SATURATE:
            return _own_infinity(fmt, negative)
    assert_never(overflow)


def _own_infinity(fmt: FloatFormat, negative: bool) -> int:
    """Infinity; without one NaN; without either the largest finite value."""
    if fmt.inf_code is not None:
        return _signed(fmt.inf_code, fmt, negative)
    if fmt.nan_code is not None:
        return fmt.nan_code
    return _signed(fmt.max_code, fmt, negative)


def _signed(code: int, fmt: FloatFormat, negative: bool) -> int:
    if code == 0 and not fmt.has_minus_zero:
        return 0
    return code + fmt.sign_code if negative else code
