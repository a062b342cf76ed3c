"""Rows and columns whose products tell machines apart: designed ones first, then random ones.

What is designed, in the order in which the open questions of a NeuronCore are to be settled:

    tree       a large number at two places among ones: the ones added between the two are lost
    rounding   1 and numbers about half a place below it, in a chain, across chains, across tiles
    subnormal  the smallest operand times 1
    tiny       products about the smallest subnormal number of fp32, where a rounded one differs
    cancel     a product of all bits and its leading part, of opposite signs
    overflow   sums and products past the largest number of fp32 that come back into its range

Every row has 256 products, two tiles of a NeuronCore; where a design says nothing, both factors are
+0. The sums are taken to be in fp32.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import frexp, ldexp
from typing import Any

import numpy as np
import numpy.typing as npt

from halfulp.dtypes import FloatFormat, Specials, decode, encode, round_to
from halfulp.dtypes.checks import integer

Codes = npt.NDArray[Any]
Values = npt.NDArray[np.float32]
#: Factors of the products, by k.
Factors = dict[int, tuple[float, float]]

#: Products of a row.
DEPTH = 256
#: Rows of a NeuronCore's array: what comes after them is added in PSUM.
TILE = 128
_STEPS = (1, 2, 4, TILE)  # to the next chain of several, along one of 1, 2 or 4, to the next tile
_SEED = 20260801
#: Exponents of the random products: of like size, of many sizes, tiny, huge.
_RANGES = {"like": (-1, 1), "mixed": (-24, 24), "tiny": (-152, -141), "huge": (120, 126)}


@dataclass(frozen=True, eq=False)
class Inputs:
    """Rows a and columns b, one product of a row and a column each.

    names      what each asks, in words
    a, b       (n, DEPTH) codes of `fmt`; row i of b is the column that row i of a meets
    designed   how many of them, the first, are no random ones
    """

    fmt: FloatFormat
    names: tuple[str, ...]
    a: Codes
    b: Codes
    designed: int

    def __len__(self) -> int:
        return len(self.names)

    def values(self) -> tuple[Values, Values]:
        """a and b as float32 numbers."""
        return decode(self.a, self.fmt), decode(self.b, self.fmt)

    def take(self, places: list[int]) -> "Inputs":
        """Those at the places, in ascending order."""
        names = tuple(self.names[place] for place in places)
        designed = sum(place < self.designed for place in places)
        return Inputs(self.fmt, names, self.a[places], self.b[places], designed)


def term(x: float) -> tuple[float, float]:
    """Factors of the product x: its significand times a power of two, and a power of two."""
    significand, power = frexp(x)
    return ldexp(significand, power - power // 2), ldexp(1.0, power // 2)


def large(fmt: FloatFormat) -> int:
    """Exponent of the large number of a tree: 100, or what a product of the format reaches."""
    return min(100, 2 * (frexp(fmt.max)[1] - 1))


def _trees(fmt: FloatFormat) -> Iterator[tuple[str, Factors]]:
    power = large(fmt)
    big = 2.0**power
    pairs = ((0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (2, 3), (0, 64), (0, 127), (126, 127))
    for i, j in (*pairs, (0, TILE), (127, TILE)):
        whole = dict.fromkeys(range(2 * TILE if j == TILE else TILE), (1.0, 1.0))
        yield f"tree: 2^{power} at {i}, -2^{power} at {j}", whole | {i: term(big), j: term(-big)}


def _roundings() -> Iterator[tuple[str, Factors]]:
    below = {"2^-24": 2.0**-24, "3*2^-25": 1.5 * 2.0**-24, "3*2^-24": 3.0 * 2.0**-24,
             "2^-25": 2.0**-25}  # fmt: skip
    for step, (text, small), sign, one in product(_STEPS, below.items(), "+-", (1.0, -1.0)):
        rest = one * small if sign == "+" else -one * small
        name = f"rounding: {one:g} {'-' if rest < 0 else '+'} {text}, {step} apart"
        yield name, {0: (one, 1.0), step: term(rest)}
        if text == "2^-24":
            odd = {0: (one, 1.0), 4: term(one * 2.0**-23), 4 + step: term(rest)}
            yield name.replace(f"{one:g} ", f"{'-' if one < 0 else ''}(1 + 2^-23) ", 1), odd


def _subnormals(fmt: FloatFormat) -> Iterator[tuple[str, Factors]]:
    least = fmt.smallest_subnormal
    for a, b in ((least, 1.0), (1.0, -least)):
        yield f"subnormal: {a:g} in a, {b:g} in b", {0: (a, b)}


def _tiny() -> Iterator[tuple[str, Factors]]:
    least = 2.0**-149
    for text, x in {"2^-130": 2.0**-130, "2^-140": 2.0**-140, "2^-150": least / 2,
                    "3*2^-152": 0.375 * least}.items():  # fmt: skip
        for sign, count in product((1.0, -1.0), (1, TILE)):
            places = dict.fromkeys(range(count), term(sign * x))
            yield f"tiny: {'-' if sign < 0 else ''}{text}, {count} times", places
    rests = {"+ 3*2^-150": 1.5 * least, "- 3*2^-151": -0.75 * least, "+ 2^-150": 0.5 * least}
    for step, (text, rest), sign in product(_STEPS, rests.items(), (1.0, -1.0)):
        name = f"tiny: {'-' if sign < 0 else ''}(2^-149 {text}), {step} apart"
        yield name, {0: term(sign * least), step: term(sign * rest)}
    for step in _STEPS:
        edge = {0: term(2.0**-126), step: term(-0.75 * least)}
        yield f"tiny: 2^-126 - 3*2^-151, {step} apart", edge


def _cancelling(fmt: FloatFormat) -> Iterator[tuple[str, Factors]]:
    last = 2.0**-fmt.mantissa_bits
    x, leading = 1.0 + last, 1.0 + 2.0 * last
    for step, sign in product(_STEPS, (1.0, -1.0)):
        name = f"cancel: {sign * x:.9g} * {x:.9g} - {sign * leading:.9g}, {step} apart"
        yield name, {0: (sign * x, x), step: (-sign * leading, 1.0)}


def _overflows() -> Iterator[tuple[str, Factors]]:
    half = 2.0**127
    for step, sign in product((1, 2, 4), (1.0, -1.0)):
        one, back = term(sign * half), term(-sign * half)
        past = sign * 2.0**64, 2.0**64
        plus, minus = ("", "-") if sign > 0 else ("-", "")
        apart = f", {step} apart"
        yield f"overflow: {plus}2^127 twice and back{apart}", {0: one, step: one, 2 * step: back}
        yield f"overflow: {minus}2^127, then {plus}2^64 * 2^64{apart}", {0: back, step: past}
        yield f"overflow: {plus}2^64 * 2^64, then {minus}2^127{apart}", {0: past, step: back}
    yield "overflow: 2^127 in each of two tiles", {0: term(half), TILE: term(half)}


def _designs(fmt: FloatFormat) -> Iterator[tuple[str, Factors]]:
    yield from _trees(fmt)
    yield from _roundings()
    yield from _subnormals(fmt)
    yield from _tiny()
    yield from _cancelling(fmt)
    yield from _overflows()


def _laid(factors: Factors) -> npt.NDArray[np.float64]:
    """(2, DEPTH) factors."""
    found = np.zeros((2, DEPTH))
    for k, pair in factors.items():
        found[:, k] = pair
    return found


def _random(span: tuple[int, int], count: int, fmt: FloatFormat, seed: int) -> Any:
    """(count, 2, DEPTH) factors, significands of all bits, exponents of products in the span."""
    # The words of a bit generator are the same in every version of numpy; what is drawn from them
    # by a Generator need not be.
    words = np.random.PCG64(seed).random_raw(3 * count * DEPTH).reshape(count, 3, DEPTH)
    low, high = span
    powers = low + (words[:, 2] % np.uint64(high - low + 1)).astype(np.int64)
    bits, one = np.uint64(fmt.mantissa_bits), np.uint64(1)
    rest = (words[:, :2] >> np.uint64(32)) & ((one << bits) - one)
    signs = 1.0 - 2.0 * (words[:, :2] & one)
    significands = signs * (1.0 + np.ldexp(rest.astype(np.float64), -fmt.mantissa_bits))
    return np.ldexp(significands, np.stack([powers - powers // 2, powers // 2], axis=1))


def inputs(fmt: FloatFormat | str, *, random: int = 16) -> Inputs:
    """The whole library for operands of `fmt`; what the format does not hold is left out.

    random   random rows of each kind; more of them begin with the same

    Raises ValueError for formats that are not of IEEE style, or that float32 does not hold.
    """
    fmt = FloatFormat.parse(fmt) if isinstance(fmt, str) else fmt
    if fmt.specials is not Specials.IEEE or fmt.bits > 32:
        raise ValueError(f"{fmt}: needed: operands of IEEE style that float32 holds")
    random = integer(random, "random", 0, 1 << 16)
    designs = [(name, _laid(factors)) for name, factors in _designs(fmt)]
    drawn = [
        (f"random, {kind}: number {place + 1}", row)
        for number, (kind, span) in enumerate(_RANGES.items())
        for place, row in enumerate(_random(span, random, fmt, _SEED + number))
    ]
    designed = [one for one in designs if _holds(fmt, one[1])]
    kept = designed + [one for one in drawn if _holds(fmt, one[1])]
    codes = encode(np.array([factors for _, factors in kept]), fmt)
    return Inputs(fmt, tuple(name for name, _ in kept), codes[:, 0], codes[:, 1], len(designed))


def _holds(fmt: FloatFormat, factors: npt.NDArray[np.float64]) -> bool:
    return bool((round_to(factors, fmt) == factors).all())
