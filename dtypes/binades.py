"""What every float32 must become in a format of more than 16 bits, binade by binade.

There almost every input is a code of its own, so the code comes from a rule instead of a search:
within a binade of float32 an input is a whole number of the format's units and a rest. The rule is
written with numpy's integers and shares nothing with the kernels; `Binades` confirms it by the
reference, at every class of rests of every binade, before it judges anything.
"""

import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import assert_never

import numpy as np

from halfulp.dtypes.conversion import Conversion
from halfulp.dtypes.format import FloatFormat
from halfulp.dtypes.intervals import INFINITY, SIGN, Array, code_of, meaning, number
from halfulp.dtypes.rounding import Rounding, Subnormals

_SIGNIFICANDS = 1 << 23


@dataclass(frozen=True)
class _Binade:
    """Patterns of one sign whose numbers share the exponent: [first, stop).

    A number is (pattern - offset) * 2^scale. Zero is a binade by itself, below all others.
    """

    first: int
    stop: int
    offset: int
    exponent: int
    scale: int


def _binades() -> Iterator[_Binade]:
    for sign in (0, SIGN):
        yield _Binade(sign, sign + 1, sign, -150, -149)
        for power in range(23):
            first = sign + (1 << power)
            yield _Binade(first, sign + (2 << power), sign, power - 149, -149)
        for field in range(1, 255):
            first = sign + field * _SIGNIFICANDS
            offset = first - _SIGNIFICANDS
            yield _Binade(first, first + _SIGNIFICANDS, offset, field - 127, field - 150)


BINADES = tuple(_binades())
_FIRSTS = [binade.first for binade in BINADES]


class UnconfirmedRule(ArithmeticError):
    """The rule and the reference differ: neither can judge."""


class Binades:
    """What a conversion to a float format with subnormals must give, by the rule.

    Raises UnconfirmedRule when the reference says otherwise anywhere that it is asked.
    """

    #: Patterns that are judged at a time: the rule's many passes stay in the caches.
    chunk = 1 << 17

    def __init__(self, made: Conversion) -> None:
        if not isinstance(made.fmt, FloatFormat) or not made.fmt.subnormals:
            raise ValueError(f"{made.fmt}: the rule is for float formats with subnormals")
        self.made, self.fmt = made, made.fmt
        self.largest = Fraction(self.fmt.max)
        self.past = [code_of(sign * Fraction(2) ** 129, made) for sign in (1, -1)]
        self.specials = tuple(self._specials())
        self._confirm()

    def expect(self, start: int, codes: Array, bits: Array) -> None:
        """Write what the patterns from `start` on must become into both arrays."""
        stop = start + codes.size
        index = max(bisect.bisect_right(_FIRSTS, start) - 1, 0)
        while index < len(BINADES) and BINADES[index].first < stop:
            binade = BINADES[index]
            first, end = max(start, binade.first), min(stop, binade.stop)
            if first < end:
                offset, here = binade.offset, slice(first - start, end - start)
                significands = np.arange(first - offset, end - offset, dtype=np.uint32)
                codes[here], bits[here] = self._finite(significands, binade)
            index += 1
        for first, end, code, value in self.specials:
            if start < end and first < stop:
                here = slice(max(first - start, 0), end - start)
                codes[here], bits[here] = code, value

    def _specials(self) -> Iterator[tuple[int, int, int, int]]:
        """Infinity and NaN of both signs: first pattern, stop, code and its value's pattern."""
        for sign in (0, SIGN):
            infinity = sign + INFINITY
            for first, stop in ((infinity, infinity + 1), (infinity + 1, sign + SIGN)):
                code = code_of(number(first), self.made)
                yield first, stop, code, meaning(code, self.fmt)

    def _finite(self, significands: Array, binade: _Binade) -> tuple[Array, Array]:
        """Codes and float32 patterns of the results of significands of one binade."""
        fmt, made = self.fmt, self.made
        negative = binade.first >= SIGN
        exponent = max(binade.exponent, fmt.emin)
        if made.subnormals is Subnormals.FLUSH_INPUTS and binade.exponent < -126:
            significands, exponent = np.zeros_like(significands), fmt.emin
        unit = exponent - fmt.mantissa_bits
        # a significand has 24 bits: 26 dropped ones are as good as more
        dropped = min(unit - binade.scale, 26)
        whole = significands >> dropped
        if dropped:
            rest = significands - (whole << dropped)
            whole += _goes_up(made.rounding, rest, dropped, whole, negative)
        codes = whole + ((exponent - fmt.emin) << fmt.mantissa_bits)
        with np.errstate(over="ignore"):  # what is past the largest value is replaced below
            values = (whole.astype(np.float32) * np.float32(2.0**unit)).view(np.uint32)
        if made.subnormals is Subnormals.FLUSH_OUTPUTS and exponent == fmt.emin:
            small = codes < 1 << fmt.mantissa_bits
            codes[small], values[small] = 0, 0
        if negative:
            signed = codes > 0 if not fmt.has_minus_zero else np.bool_(True)
            codes += signed * np.uint32(fmt.sign_code)
            values |= signed * np.uint32(SIGN)
        if exponent >= fmt.emax:
            past = whole > self.largest // Fraction(2) ** unit
            codes[past], values[past] = self.past[negative], meaning(self.past[negative], fmt)
        return codes, values

    def _confirm(self) -> None:
        for binade in BINADES:
            significands = _classes(binade, self.fmt)
            codes, values = self._finite(significands, binade)
            for significand, code, value in zip(
                significands.tolist(), codes.tolist(), values.tolist(), strict=True
            ):
                x = number(binade.offset + significand)
                wanted = code_of(x, self.made)
                if (code, value) != (wanted, meaning(wanted, self.fmt)):
                    raise UnconfirmedRule(
                        f"{x!r} to {self.fmt}: the rule gives code {code:#x} of value {value:#x},"
                        f" the reference {wanted:#x} of {meaning(wanted, self.fmt):#x}"
                    )


def _goes_up(rounding: Rounding, rest: Array, dropped: int, whole: Array, negative: bool) -> Array:
    """Whether the magnitude takes one more unit; `rest` of 2^dropped is left of it."""
    match rounding:
        case Rounding.NEAREST_EVEN:
            return (rest << 1) + (whole & 1) > 1 << dropped
        case Rounding.NEAREST_AWAY:
            return rest << 1 >= 1 << dropped
        case Rounding.TOWARD_ZERO:
            return np.zeros(rest.shape, np.bool_)
        case Rounding.TOWARD_POSITIVE:
            return (rest > 0) & (not negative)
        case Rounding.TOWARD_NEGATIVE:
            return (rest > 0) & negative
        case Rounding.TO_ODD:
            return (rest > 0) & (whole & 1 == 0)
        case Rounding.STOCHASTIC:
            raise AssertionError("it draws random bits: halfulp.dtypes.draws")
    assert_never(rounding)


def _classes(binade: _Binade, fmt: FloatFormat) -> Array:
    """Significands of a binade: its ends, and each kind of rest between even and odd neighbors."""
    low, high = binade.first - binade.offset, binade.stop - binade.offset
    unit = max(binade.exponent, fmt.emin) - fmt.mantissa_bits
    step = 1 << min(unit - binade.scale, 26)
    bases = {
        place // step * step + more * step
        for place in (low, (low + high) // 2, high)
        for more in (-2, -1, 0, 1)
    }
    rests = {0, 1, step // 4, step // 2 - 1, step // 2, step // 2 + 1, step - 1}
    wanted = {base + rest for base in bases for rest in rests} | {low, high - 1}
    return np.array(sorted(one for one in wanted if low <= one < high), np.uint32)
