"""The steps of a dot product, each an exact result rounded once: for `reference_accumulation`."""

from fractions import Fraction
from functools import cache
from math import copysign, inf, isfinite, isnan
from typing import NamedTuple

from halfulp.dtypes import FloatFormat, Format, Rounding
from halfulp.dtypes.reference import round_exact
from halfulp.dtypes.reference_rounding import Noise, exponent, whole
from halfulp.dtypes.rounding import stays_finite
from halfulp.engines.accumulation import Accumulation, Order

#: A finite number that is not zero; or, as a float, what no such fraction says: a zero of either
#: sign, an infinity, NaN. Of these alone Python's own sums and products have every sign right.
Exact = Fraction | float

CANONICAL = 0x7FC00000  #: float32 bits of the NaN that a conversion makes
_LOW = 0xFFFFFFFF


class Operand(NamedTuple):
    """A factor, rounded to its format."""

    number: Exact
    exponent: int  #: a subnormal's is that of the smallest normal number
    code: int  #: of a NaN its float32 bits, as they were given


def operand(
    x: float, code: int, fmt: Format, flushes: bool, rounding: Rounding = Rounding.NEAREST_EVEN
) -> Operand:
    """x in its format, NaN +0 where there is none."""
    rounded = round_exact(x, fmt, rounding, nan="zero" if isinstance(fmt, FloatFormat) else None)
    code = code if isnan(x) else CANONICAL  # where a format has NaN for what it does not hold
    if not isinstance(fmt, FloatFormat):
        return Operand(exact(rounded), 0, code)
    if flushes and fmt.subnormals and abs(rounded) < fmt.tiny:
        rounded = copysign(0.0, rounded) if fmt.has_minus_zero else 0.0
    number = exact(rounded)
    power = exponent(abs(number)) if isinstance(number, Fraction) else fmt.emin
    return Operand(number, max(power, fmt.emin), code)


class Span(NamedTuple):
    """What rounding must know of a format."""

    mantissa_bits: int
    emin: int
    largest: Fraction


@cache
def span(fmt: FloatFormat, extra_exponent_bits: int = 0) -> Span:
    """An IEEE style format, its exponent field some bits wider: as many more values at each end."""
    if not extra_exponent_bits:
        return Span(fmt.mantissa_bits, fmt.emin, Fraction(fmt.max))
    fields = 2 ** (fmt.exponent_bits + extra_exponent_bits)
    emin = fmt.emin - (fields - 2**fmt.exponent_bits) // 2
    emax = emin + fields - 3  # the first and the last field are no normal number's
    return Span(fmt.mantissa_bits, emin, (2 - Fraction(fmt.eps)) * Fraction(2) ** emax)


def exact(x: float) -> Exact:
    return Fraction(x) if isfinite(x) and x != 0 else x


def plus(x: Exact, y: Exact) -> Exact:
    """x + y as IEEE 754 has its zeros: -0 + -0 = -0, any other sum of zero is +0."""
    if isinstance(x, Fraction) and isinstance(y, Fraction):
        return x + y or 0.0
    if isinstance(x, Fraction):
        return y or x  # the zero of either sign is the false one
    if isinstance(y, Fraction):
        return x or y
    return x + y


def times(a: Operand, b: Operand) -> Exact:
    if isinstance(a.number, Fraction) and isinstance(b.number, Fraction):
        return a.number * b.number
    return float(a.number) * float(b.number)


def round_to_span(
    x: Exact, to: Span, rounding: Rounding, how: Accumulation, noise: Noise | None = None
) -> float:
    """x rounded once; what is no fraction stays as it is."""
    if not isinstance(x, Fraction):
        return x
    power = exponent(abs(x))
    if how.flushes_results:
        unbounded = _at(abs(x), power - to.mantissa_bits, x < 0, rounding, noise)
        if unbounded < Fraction(2) ** to.emin:
            return copysign(0.0, x)
    size = _at(abs(x), max(power, to.emin) - to.mantissa_bits, x < 0, rounding, noise)
    if size <= to.largest:
        return copysign(float(size), x)
    stays = not how.overflows_to_infinity and stays_finite(rounding, x < 0)
    return copysign(float(to.largest) if stays else inf, x)


def _at(
    size: Fraction, place: int, negative: bool, rounding: Rounding, noise: Noise | None = None
) -> Fraction:
    """A positive number rounded to whole 2^place."""
    unit = Fraction(2) ** place
    return whole(size / unit, negative, rounding, noise) * unit


def aligned_sum(terms: list[tuple[Exact, int]], how: Accumulation) -> Exact:
    """The sum of numbers with their exponents: exact, or of what is left of each on one grid."""
    special = sum(x for x, _ in terms if not isinstance(x, Fraction))
    if special != 0:  # an infinity, or NaN
        return special
    live = [(x, power) for x, power in terms if isinstance(x, Fraction)]
    if how.order is Order.EXACT or not live:
        return sum(x for x, _ in live) or 0.0
    assert how.fraction_bits is not None
    highest = max(power for _, power in live)
    if how.floor_exponent is not None:
        highest = max(highest, how.floor_exponent)
    place = highest - how.fraction_bits
    cut = (_at(abs(x), place, x < 0, how.cut) * (-1 if x < 0 else 1) for x, _ in live)
    return sum(cut) or 0.0


def philox(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, int, int, int]:
    """The four words of Philox-4x32-10 (Salmon et al., SC 2011)."""
    x0, x1, x2, x3 = counter
    for step in range(10):
        first, second = 0xD2511F53 * x0, 0xCD9E8D57 * x2
        key0 = (key[0] + step * 0x9E3779B9) & _LOW
        key1 = (key[1] + step * 0xBB67AE85) & _LOW
        x0, x2 = (second >> 32) ^ x1 ^ key0, (first >> 32) ^ x3 ^ key1
        x1, x3 = second & _LOW, first & _LOW
    return x0, x1, x2, x3


def draw(how: Accumulation, output: int, rounding: int) -> Noise:
    """The random bits of one rounding of one output."""
    halves = how.random_bits <= 16
    step, word = divmod(rounding // 2 if halves else rounding, 4)
    counter = (output & _LOW, output >> 32, step & _LOW, step >> 32)
    drawn = philox(counter, (how.seed & _LOW, how.seed >> 32))[word]
    if halves:
        drawn = drawn % 2**16 * 2**16 if rounding % 2 else drawn
    return Noise(drawn >> (32 - how.random_bits), how.random_bits)
