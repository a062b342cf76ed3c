"""Numbers weighted to where casts differ; the same ones on every machine and with every numpy."""

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from halfulp.dtypes import FloatFormat
from tests.strategies import Array, boundaries, float32_boundaries, magnitudes

Words = npt.NDArray[np.uint64]

_DRAWN_AT_ONCE = 100_000
#: The farthest that a number is drawn from a place, as a power of two of the source's ulps: in
#: float64 past the middle between two float32, where a way through float32 rounds to a tie.
_FARTHEST = {"float32": 4, "float64": 30}
_FRACTION_BITS = 52
#: Exponents below the smallest value and above the largest that numbers in range go to.
_BELOW, _ABOVE = 4, 3


@functools.lru_cache(1)
def weighted(fmt: FloatFormat, source: str, count: int) -> Array:
    """`count` numbers of type `source` for casts to `fmt`; read-only.

    First the boundaries of the format (every value, tie, quarter and neighbor; of few numbers a
    part), then draws: 60 % at or beside a value, a tie or a quarter, a sixth each of these at the
    bottom and at the top of the format; 25 % random in its range; 13 % any pattern; 2 % specials.
    """
    first = float32_boundaries(fmt) if source == "float32" else boundaries(fmt)
    parts = [first[:: 1 + 2 * len(first) // count]]
    left = count - len(parts[0])
    for stream in range(-(-left // _DRAWN_AT_ONCE)):
        parts.append(_drawn(fmt, source, stream)[:left])
        left -= len(parts[-1])
    x = np.concatenate(parts)
    x.flags.writeable = False
    return x


def _drawn(fmt: FloatFormat, source: str, stream: int) -> Array:
    """One part of the draws; any hundred in a row are drawn as `weighted` says."""
    generator = np.random.PCG64(stream)  # its raw words are the one stream that numpy never changes
    binade, top = 1 << fmt.mantissa_bits, fmt.max_code
    share = _DRAWN_AT_ONCE // 100

    def words(percent: int) -> Words:
        return generator.random_raw(percent * share)

    parts = [
        _beside(fmt, source, words(40), words(40), (0, top)),
        _beside(fmt, source, words(10), words(10), (0, min(2 * binade, top))),
        _beside(fmt, source, words(10), words(10), (max(top - binade, 0), top)),
        _in_range(fmt, source, words(25), words(25)),
        _patterns(source, words(13)),
        _special(source, words(2)),
    ]
    return np.concatenate([part.reshape(share, -1) for part in parts], axis=1).ravel()


def _beside(
    fmt: FloatFormat, source: str, codes: Words, words: Words, between: tuple[int, int]
) -> Array:
    """Quarters of the way from a code to the next, half of them moved by a power of two of ulps."""
    low, high = between
    code = low + (codes % np.uint64(high - low + 1)).astype(np.int64)
    value, following = magnitudes(code, fmt), magnitudes(code + 1, fmt)
    place = value + (following - value) * (_bits(words, 0, 2) / 4)
    step = np.int64(1) << (_bits(words, 2, 16) % (_FARTHEST[source] + 1))
    step = np.where(_bits(words, 18, 1) == 0, 0, np.where(_bits(words, 19, 1) == 0, step, -step))
    with np.errstate(over="ignore", under="ignore"):
        near = place.astype(source)
    moved = near.view(_word(source)).astype(np.int64) + step
    moved = np.clip(moved, 0, int(_pattern(np.inf, source)))
    return _signed(fmt, moved.astype(_word(source)).view(source), words)


def _in_range(fmt: FloatFormat, source: str, fractions: Words, words: Words) -> Array:
    """A random exponent, and a random significand of random length."""
    lowest = fmt.emin - fmt.mantissa_bits - _BELOW
    highest = int(np.frexp(fmt.max)[1]) + _ABOVE
    exponent = lowest + _bits(words, 0, 16) % (highest - lowest + 1)
    dropped = (_bits(words, 16, 16) % (_FRACTION_BITS + 1)).astype(np.uint64)
    fraction = fractions >> np.uint64(64 - _FRACTION_BITS) >> dropped << dropped
    significand = 1 + fraction.astype(np.float64) / 2**_FRACTION_BITS
    with np.errstate(over="ignore", under="ignore"):
        size = np.ldexp(significand, exponent).astype(source)
    return _signed(fmt, size, words)


def _patterns(source: str, words: Words) -> Array:
    word = _word(source)
    return (words >> np.uint64(64 - 8 * word.itemsize)).astype(word).view(source)


def _special(source: str, words: Words) -> Array:
    """Zero, infinity, quiet and signaling NaN with and without a payload, the source's extremes."""
    info = np.finfo(source)
    infinity, quiet = _pattern(np.inf, source), _pattern(np.nan, source)
    sign = 1 << (8 * np.dtype(source).itemsize - 1)
    patterns = [0, 1, infinity - 1, infinity, infinity + 1, quiet, quiet + 1, sign - 1]
    patterns += [_pattern(one, source) for one in (float(info.tiny), 1.0)]
    table = np.array([*patterns, *(sign | one for one in patterns)], _word(source))
    return table[(words % np.uint64(len(table))).astype(np.int64)].view(source)


def _signed(fmt: FloatFormat, x: Array, words: Words) -> Array:
    """Half of the numbers negative, for a format without a sign one in sixteen."""
    negative = _bits(words, 60, 1 if fmt.signed else 4) == 0
    return np.where(negative, -x, x)


def _bits(words: Words, first: int, count: int) -> npt.NDArray[np.int64]:
    part = words >> np.uint64(first) & np.uint64((1 << count) - 1)
    return part.astype(np.int64)


def _word(source: str) -> np.dtype[Any]:
    return np.dtype(f"u{np.dtype(source).itemsize}")


def _pattern(x: float, source: str) -> int:
    return int(np.array(x, source).view(_word(source)))
