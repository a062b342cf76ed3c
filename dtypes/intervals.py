"""What every float32 must become, as runs of neighbors with one result, by the reference alone.

Rounding is monotone (a law that the reference is tested for): of two numbers of one sign with the
same code all between them have it. So the code of every float32 follows from those inputs at which
it changes, and each of these is confirmed by the reference on both sides. Nothing here is shared
with the kernels.
"""

import bisect
import struct
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy.typing as npt

from halfulp.dtypes import reference
from halfulp.dtypes.conversion import Conversion
from halfulp.dtypes.format import Format
from halfulp.dtypes.int_format import IntFormat
from halfulp.dtypes.reference import Special

Array = npt.NDArray[Any]
#: Bit patterns of float32.
PATTERNS = 1 << 32
SIGN, INFINITY, NAN = 0x80000000, 0x7F800000, 0x7FC00000
#: Codes up to this width are searched for one by one.
SEARCHED_BITS = 16
#: The smallest normal float32: what lies below is subnormal in its type.
TINY = 2.0**-126


def number(pattern: int) -> float:
    """The float32 of a bit pattern."""
    return float(struct.unpack("<f", pattern.to_bytes(4, "little"))[0])


def pattern_of(value: float) -> int:
    """The bit pattern of what is a float32; NaN gives the canonical one.

    Raises ValueError for a number that float32 does not hold.
    """
    if value != value:
        return NAN
    packed = struct.pack("<f", value)
    if struct.unpack("<f", packed)[0] != value:
        raise ValueError(f"{value!r} is no float32")
    return int.from_bytes(packed, "little")


def meaning(code: int, fmt: Format) -> int:
    """The float32 pattern of what a code means."""
    value = reference.value(code, fmt)
    return pattern_of(value.value if isinstance(value, Special) else float(value))


def code_of(x: float | Fraction, made: Conversion, source_tiny: float = TINY) -> int:
    """What the reference says."""
    return reference.nearest_code(
        x,
        made.fmt,
        made.rounding,
        made.overflow,
        subnormals=made.subnormals,
        source_tiny=source_tiny,
        nan=made.nan,
    )


class Intervals:
    """The runs of a conversion to a format of at most SEARCHED_BITS bits.

    starts   the first pattern of each, ascending; a run ends where the next begins
    codes    what its patterns become
    bits     float32 pattern of what that code means
    """

    #: Patterns that are judged at a time.
    chunk = 1 << 20

    def __init__(self, made: Conversion) -> None:
        if made.fmt.bits > SEARCHED_BITS:
            raise ValueError(f"{made.fmt} has {made.fmt.bits} bits; at most {SEARCHED_BITS}")
        found = list(_runs(made))
        self.starts = [start for start, _ in found]
        self.codes = [code for _, code in found]
        known = {code: meaning(code, made.fmt) for code in set(self.codes)}
        self.bits = [known[code] for code in self.codes]

    def expect(self, start: int, codes: Array, bits: Array) -> None:
        """Write what the patterns from `start` on must become into both arrays."""
        stop = start + codes.size
        run = bisect.bisect_right(self.starts, start) - 1
        while start < stop:
            end = self.starts[run + 1] if run + 1 < len(self.starts) else PATTERNS
            here = slice(start - stop + codes.size, min(end, stop) - stop + codes.size)
            codes[here], bits[here] = self.codes[run], self.bits[run]
            start, run = end, run + 1


def _runs(made: Conversion) -> Iterator[tuple[int, int]]:
    """(first pattern, code); two runs beside each other may have the same code."""

    def ask(pattern: int) -> int:
        return code_of(number(pattern), made)

    values = _finite_values(made.fmt)
    for sign in (0, SIGN):
        yield sign, ask(sign)
        places = {sign + 1, sign + INFINITY - 1}
        places |= {pattern for pattern in values if pattern & SIGN == sign}
        low, *others = sorted(places)
        code = ask(low)
        yield low, code
        for high in others:
            following = ask(high)
            yield from _changes(ask, (low, code), (high, following))
            low, code = high, following
        yield sign + INFINITY, ask(sign + INFINITY)
        yield sign + INFINITY + 1, ask(sign + NAN)


def _finite_values(fmt: Format) -> set[int]:
    """Patterns of the format's finite values but zero."""
    every = range(fmt.min, fmt.max + 1) if isinstance(fmt, IntFormat) else range(1 << fmt.bits)
    patterns = {meaning(code, fmt) for code in every}
    return {pattern for pattern in patterns if 0 < pattern & (SIGN - 1) < INFINITY}


def _changes(
    ask: Callable[[int], int],
    low: tuple[int, int],
    high: tuple[int, int],
    step: int = 0,
    beside_low: bool = True,
) -> Iterator[tuple[int, int]]:
    """The patterns in (low, high] whose code is not that of the one before, ascending.

    low and high are patterns with their codes. After the middle, where ties are, the neighbors of
    the middle are asked and then those of the ends: there most roundings change. Then halves.
    """
    (first, code), (last, following) = low, high
    if code == following:
        return
    if last - first == 1:
        yield high
        return
    place = (first + last) // 2
    if step in (1, 2):
        place = first + 1 if beside_low is (step == 1) else last - 1
    middle = place, ask(place)
    yield from _changes(ask, low, middle, step + 1, beside_low if step else False)
    yield from _changes(ask, middle, high, step + 1, beside_low if step else True)
