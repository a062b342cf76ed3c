"""The inputs that tell casts apart, and what each of them must become."""

from functools import lru_cache
from typing import Any

import numpy as np

from halfulp.dtypes import reference
from halfulp.dtypes.conversion import Conversion
from halfulp.dtypes.format import FloatFormat

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]
Doubles = np.ndarray[Any, np.dtype[np.float64]]

#: The types that a cast under test may take, and the unsigned integers of their patterns.
SOURCES: dict[str, np.dtype[Any]] = {
    "float16": np.dtype("u2"),
    "float32": np.dtype("u4"),
    "float64": np.dtype("u8"),
}
#: At each level formats up to this width are covered code by code.
WHOLE_BITS: dict[int, int] = {1: 8, 2: 16}
# Random patterns at level 2: for formats covered code by code, where judging one costs next to
# nothing, and for others.
_RANDOM, _RANDOM_WIDE = 1 << 20, 1 << 14
# Of each binade of a wider format: its ends, where carries are, and its middle.
_ENDS = 3


@lru_cache(64)
def inputs(fmt: FloatFormat, source: str, level: int = 1) -> Floats:
    """Every boundary of `fmt` and what stands beside it, as a read-only array of type `source`.

    For both signs: values, midpoints, midpoints plus and minus a quarter ulp, the neighbors of each
    in the source's type, zeros, infinities, the source's own extremes; NaN where `fmt` has one. For
    formats up to 8 bits all values, and all 65,536 patterns of bfloat16 (of float16 from float16);
    for wider ones the values at both ends and in the middle of each binade. Level 2 has all values
    of formats up to 16 bits, those patterns for any format, and random ones.

    Ordered by value, -0 before +0, NaN last; no pattern twice.
    """
    whole = fmt.bits <= WHOLE_BITS[level]
    kind = np.dtype(source).type
    with np.errstate(over="ignore"):
        near: Floats = _boundaries(fmt, whole).astype(kind)
    near = near[np.isfinite(near)]
    info = np.finfo(kind)
    special: Floats = np.array(
        [0, info.smallest_subnormal, info.tiny, 1, info.max, np.inf], dtype=kind
    )
    largest, zero = kind(np.inf), kind(-np.inf)
    with np.errstate(over="ignore", under="ignore"):
        parts = [near, np.nextafter(near, largest), np.nextafter(near, zero), special]
    if whole or level > 1:
        parts.append(_patterns(source).astype(kind))
    if level > 1:
        parts.append(_random(source, _RANDOM if whole else _RANDOM_WIDE))
    found: Floats = np.concatenate([np.concatenate([part, -part]) for part in parts])
    numbers = found[~np.isnan(found)]
    bits = np.unique(numbers.view(SOURCES[source]))
    numbers = bits.view(kind)
    numbers = numbers[np.lexsort((~np.signbit(numbers), numbers))]
    if fmt.has_nan:
        numbers = np.concatenate([numbers, _nans(source)])
    numbers.flags.writeable = False
    return numbers


def _patterns(source: str) -> Floats:
    words = np.arange(1 << 16, dtype="u4")
    if source == "float16":
        return words.astype("u2").view(np.float16)
    floats: Floats = (words << 16).view(np.float32)
    return floats[~np.isnan(floats)]  # a signaling NaN would warn when it is widened


def _random(source: str, count: int) -> Floats:
    word = SOURCES[source]
    drawn = np.random.PCG64(0).random_raw(count)  # the one stream that numpy never changes
    patterns: Floats = (drawn >> np.uint64(64 - 8 * word.itemsize)).astype(word).view(source)
    return patterns[~np.isnan(patterns)]


def _nans(source: str) -> Floats:
    """NaN of both signs: quiet ones without and with a payload; one whose cut is infinity, and one
    whose payload carries into the sign when it is rounded."""
    word = SOURCES[source]
    quiet, signaling = (int(np.array(x, source).view(word)) for x in (np.nan, np.inf))
    sign = 1 << (8 * word.itemsize - 1)
    payloads = [quiet, quiet | 1, signaling | 1, sign - 1]
    return np.array([*payloads, *(sign | bits for bits in payloads)], word).view(source)


def _codes(fmt: FloatFormat, whole: bool) -> list[int]:
    """Codes of positive values, ascending."""
    if whole:
        return list(range(fmt.max_code + 1))
    binade = 1 << fmt.mantissa_bits
    offsets = {*range(_ENDS), binade // 2, binade // 2 + 1, *range(binade - _ENDS, binade)}
    codes = {first + offset for first in range(0, fmt.max_code + 1, binade) for offset in offsets}
    return sorted(code for code in codes if 0 <= code <= fmt.max_code)


def magnitude(code: int, fmt: FloatFormat) -> float:
    """The value of a positive code; behind the last one the value that would come next."""
    if code > fmt.max_code:  # in a binade of normal numbers, whatever the format
        field, fraction = divmod(code, 1 << fmt.mantissa_bits)
        significand = float((1 << fmt.mantissa_bits) + fraction)
        return float(np.ldexp(significand, field - fmt.bias - fmt.mantissa_bits))
    found = reference.value(code, fmt)
    return float(found.value if isinstance(found, reference.Special) else found)


@lru_cache(64)
def _gaps(fmt: FloatFormat, whole: bool) -> tuple[Doubles, Doubles]:
    """Positive values, and the next one above each; exact in float64."""
    codes = _codes(fmt, whole)
    low = np.array([magnitude(code, fmt) for code in codes])
    return low, np.array([magnitude(code + 1, fmt) for code in codes])


def _boundaries(fmt: FloatFormat, whole: bool) -> Doubles:
    """Values, midpoints, midpoints plus and minus a quarter ulp; positive; exact in float64."""
    low, high = _gaps(fmt, whole)
    parts = [low + (high - low) * part for part in (0.0, 0.25, 0.5, 0.75, 1.0)]
    parts.append(low[:1] * [0.25, 0.5, 0.75])  # under the smallest value of a scale
    return np.unique(np.concatenate(parts))


def widened(x: Floats) -> Doubles:
    """The same numbers as float64."""
    with np.errstate(invalid="ignore"):  # of signaling NaN
        return x.astype(np.float64)


def wanted(x: Floats, made: Conversion, level: int = 1) -> Doubles:
    """What the reference makes of each `x`, as values.

    Between a value and the midpoint above it, and from there to the next value, a rounding has one
    answer: there the reference is asked once. So it is under the smallest value and past the
    largest. Where wide formats have values that `inputs` leaves out, it is asked for each `x`.
    """
    fmt = made.fmt
    assert isinstance(fmt, FloatFormat)
    doubles = widened(x)
    low, high = _gaps(fmt, fmt.bits <= WHOLE_BITS[level])
    middle = low + (high - low) / 2
    # of intervals with one answer; the last one has what is past the largest value
    starts = np.concatenate([[0.0], low, middle, high[-1:]])
    points = np.unique(np.concatenate([starts, high, [np.inf]]))
    size = np.abs(doubles)
    place = np.searchsorted(points, size)  # NaN comes behind infinity
    on_point = points[np.minimum(place, len(points) - 1)] == size
    alike = on_point | np.isnan(size) | np.isin(points, starts)[place - 1]
    shared = 4 * place + 2 * on_point + np.signbit(doubles)
    keys = np.where(alike, shared, -1 - np.arange(len(x)))
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    answers = [
        reference.round_exact(number, fmt, made.rounding, made.overflow)
        for number in doubles[first].tolist()
    ]
    return np.array(answers, np.float64)[inverse]
