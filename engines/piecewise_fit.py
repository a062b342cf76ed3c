"""Fitting piecewise cubics: through the function at Chebyshev's points of each segment."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import frexp, inf

import numpy as np

from halfulp.dtypes.intervals import number as pattern_number
from halfulp.dtypes.parameters import bits32
from halfulp.dtypes.rounding import choice
from halfulp.engines.activations import Activation
from halfulp.engines.piecewise import PiecewiseCubic, Segment
from halfulp.engines.reference_functions import exact

#: cos(pi / 8) and cos(3 pi / 8): the four points of a segment from -1 to 1 are these and their
#: negatives.
_OUTER, _INNER = float.fromhex("0x1.d906bcf328d46p-1"), float.fromhex("0x1.87de2a6aea963p-2")
_POINTS = (-_OUTER, -_INNER, _INNER, _OUTER)
_EACH = 64  # places of a segment where the error is measured


@dataclass(frozen=True)
class Fit:
    """A table, and how far it is off at places of all its segments, their ends among them.

    ulps   the largest distance from the true value, in units of the last place of the float32
           nearest to it; `at` is where
    error  the largest distance itself, which says more where the function has a zero
    """

    table: PiecewiseCubic
    ulps: float
    at: float
    error: float


def fit(
    function: Activation | str | Callable[[float], float],
    segments: int | Sequence[float],
    span: tuple[float, float],
    *,
    name: str | None = None,
) -> Fit:
    """A table for `function` from span[0] to span[1].

    function   an Activation, known to MPFR, or any function of a number
    segments   how many of equal width, or where they start

    Raises ValueError for a span that is none and for segments that are not inside it.
    """
    starts, stop = _starts(segments, span)
    if callable(function) and not isinstance(function, str):
        true, called = function, name or str(getattr(function, "__name__", "function"))
    else:
        known = choice(Activation, function, "function")
        true, called = (lambda x: float(exact(known, x))), name or known.value
    rows = [_segment(true, a, b) for a, b in zip(starts, [*starts[1:], stop], strict=True)]
    table = PiecewiseCubic(called, tuple(rows), stop)
    return _judged(table, true)


def _starts(
    segments: int | Sequence[float], span: tuple[float, float]
) -> tuple[list[float], float]:
    low, high = (_single(end) for end in span)
    if not -inf < low < high < inf:
        raise ValueError(f"span={span}; needed: two finite numbers, the lower first")
    if isinstance(segments, int):
        if segments < 1:
            raise ValueError(f"segments={segments}; needed: one or more")
        width = (high - low) / segments
        return [_single(low + width * i) for i in range(segments)], high
    starts = [_single(start) for start in segments]
    if not starts or starts[0] != low or starts[-1] >= high:
        raise ValueError(f"segments start at {starts}; needed: from {low} on, below {high}")
    return starts, high


def _single(number: float) -> float:
    return pattern_number(bits32(number))


def _segment(true: Callable[[float], float], low: float, high: float) -> Segment:
    """The cubic through four points, by divided differences, about the middle."""
    middle, half = _single((low + high) / 2), (high - low) / 2
    points = [half * point for point in _POINTS]
    values = [true(middle + point) for point in points]
    differences = list(values)
    for order in range(1, 4):
        for i in range(3, order - 1, -1):
            step = points[i] - points[i - order]
            differences[i] = (differences[i] - differences[i - 1]) / step
    # Newton's form into powers of d
    powers = [differences[3], 0.0, 0.0, 0.0]
    for i in (2, 1, 0):
        shifted = [0.0, *powers[:3]]
        powers = [s - points[i] * p for s, p in zip(shifted, powers, strict=True)]
        powers[0] += differences[i]
    c0, c1, c2, c3 = (_single(power) for power in powers)
    return Segment(low, middle, (c0, c1, c2, c3))


def _places(table: PiecewiseCubic) -> list[float]:
    """Float32 numbers of all segments, their ends among them."""
    starts = [segment.start for segment in table.segments]
    found = set()
    for low, high in zip(starts, [*starts[1:], table.stop], strict=True):
        found |= {_single(low + (high - low) * i / _EACH) for i in range(_EACH + 1)}
    return sorted(found)


def _judged(table: PiecewiseCubic, true: Callable[[float], float]) -> Fit:
    xs = _places(table)
    ys = table(np.array(xs, np.float32))
    worst, at, error = 0.0, xs[0], 0.0
    for x, y in zip(xs, ys.tolist(), strict=True):
        value = true(x)
        off = abs(y - value)
        error = max(error, off)
        ulp = 2.0 ** (max(frexp(value)[1], -125) - 24)
        if off / ulp > worst:
            worst, at = off / ulp, x
    return Fit(table, worst, at, error)
