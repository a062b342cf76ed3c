"""Any cast function, put through the laws of rounding; each law names its smallest failing input.

The judge is `halfulp.dtypes.reference`; nothing of the kernels is used.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from halfulp.dtypes import reference
from halfulp.dtypes.compatibility import Compatibility
from halfulp.dtypes.conformance_inputs import (
    SOURCES,
    WHOLE_BITS,
    Doubles,
    Floats,
    inputs,
    wanted,
    widened,
)
from halfulp.dtypes.conformance_report import Law, Report
from halfulp.dtypes.conversion import Conversion, conversion
from halfulp.dtypes.format import FloatFormat
from halfulp.dtypes.rounding import DETERMINISTIC, Overflow, Rounding

__all__ = ["LEVELS", "Law", "Report", "check_cast"]

Mask = np.ndarray[Any, np.dtype[np.bool_]]

#: How much is asked: 1 takes seconds, 2 up to two minutes.
LEVELS: tuple[int, ...] = tuple(WHOLE_BITS)
_DIRECTED = (Rounding.TOWARD_POSITIVE, Rounding.TOWARD_NEGATIVE)


def check_cast(
    function: Callable[[Any], Any],
    fmt: Any,
    rounding: Rounding | str = Rounding.NEAREST_EVEN,
    source: str = "float32",
    *,
    overflow: Overflow | Compatibility | str = Overflow.INF,
    codes: bool = False,
    level: int = 1,
) -> Report:
    """Put `function` through the laws of rounding to `fmt`.

    function   takes an array [n] of type `source`; returns the rounded values [n] in any float
               type, or with codes=True their codes [n]
    fmt        a FloatFormat, its name, or a float dtype
    source     "float16", "float32" or "float64"
    overflow   the declared policy past the largest value, or a library's name
    level      1: the boundaries; 2: those of every value of formats up to 16 bits, and random ones
    specials   any NaN passes for any other; NaN is not given where `fmt` has none; -0 and +0 differ

    What the function raises, and a result of another shape or kind, is reported with the input.

    Raises ValueError for unknown names, stochastic rounding and integer formats.
    """
    made = judged(fmt, rounding, source, overflow, level)
    target = made.fmt
    assert isinstance(target, FloatFormat)
    x = inputs(target, source, level)

    def cast(part: Floats) -> Doubles:
        with np.errstate(all="ignore"):  # the inputs are meant to overflow
            answer = function(part)
        return _values(answer, part, target, codes)

    given = x.copy()
    try:
        got = cast(given)
    except Exception as error:  # whatever the cast under test throws is its verdict
        return _report(made, source, level, (_raised(cast, x, error),))
    return judge(got, made, source, level, _unchanged(x, given))


def judged(
    fmt: Any,
    rounding: Rounding | str,
    source: str,
    overflow: Overflow | Compatibility | str,
    level: int = 1,
) -> Conversion:
    """The choices, checked. Raises ValueError as `check_cast` does."""
    if source not in SOURCES:
        raise ValueError(f"source={source!r} is not known; allowed: {', '.join(SOURCES)}")
    if level not in LEVELS:
        raise ValueError(f"level={level!r} is not known; allowed: {', '.join(map(str, LEVELS))}")
    if rounding == Rounding.STOCHASTIC:
        raise ValueError(
            f"rounding='stochastic' has no one answer; allowed: {', '.join(DETERMINISTIC)}"
        )
    made = conversion(fmt, rounding=rounding, overflow=overflow)
    if not isinstance(made.fmt, FloatFormat):
        raise ValueError(f"{made.fmt} is an integer format; the laws are those of float formats")
    return made


def judge(got: Doubles, made: Conversion, source: str, level: int, *more: Law) -> Report:
    """The laws over the answers to `conformance_inputs.inputs`, in its order."""
    fmt = made.fmt
    assert isinstance(fmt, FloatFormat)
    x = inputs(fmt, source, level)
    right = wanted(x, made, level)
    with np.errstate(all="ignore"):
        inexact = x.astype(np.float32) != x  # where a way through float32 rounds twice
    nan = np.isnan(x)
    exact = widened(x)
    beyond = np.abs(exact) > fmt.max
    results = np.zeros(len(x), dtype=bool)  # inputs that are themselves an answer
    places = _places(got, x)
    results[places[places >= 0]] = True
    before = np.concatenate([[np.nan], got[:-1]])
    ordered = ~nan & ~np.isnan(before) & ~np.isnan(got)
    twin, mirrored = _mirrored(x, got, made)
    laws = (
        _law("exact", x, ~nan & ~beyond, got, right),
        _law("overflow", x, beyond, got, right),
        _law("NaN stays NaN", x, nan, got, right),
        _law("single rounding", x, ~nan & ~beyond & inexact, got, right),
        _law("monotone", x, ordered, got, np.where(got < before, before, got)),
        _law("idempotent", x, results & ~nan, got, exact),
        _law("sign-symmetric", x, twin & np.signbit(x) & ~nan, got, mirrored),
        *more,
    )
    instead = _policies(x[beyond], got[beyond], made, level) if laws[1].wrong else ()
    return _report(made, source, level, laws, instead)


def _report(
    made: Conversion,
    source: str,
    level: int,
    laws: tuple[Law, ...],
    instead: tuple[Overflow, ...] = (),
) -> Report:
    assert isinstance(made.fmt, FloatFormat)
    return Report(
        made.fmt,
        rounding=made.rounding,
        overflow=made.overflow,
        source=source,
        level=level,
        laws=laws,
        instead=instead,
    )


def _mirrored(x: Floats, got: Doubles, made: Conversion) -> tuple[Mask, Doubles]:
    """Where the cast treats both signs alike, and then minus the answer to minus `x`."""
    fmt = made.fmt
    assert isinstance(fmt, FloatFormat)
    twin = _places(-widened(x), x)
    mirrored = -got[twin]
    if not fmt.has_minus_zero:
        mirrored = np.where(mirrored == 0, 0.0, mirrored)
    return (twin >= 0) & (made.rounding not in _DIRECTED) & fmt.signed, mirrored


def _policies(x: Floats, got: Doubles, made: Conversion, level: int) -> tuple[Overflow, ...]:
    """The overflow policies by which every `x` past the largest value becomes `got`."""
    fmt = made.fmt
    assert isinstance(fmt, FloatFormat)
    able = (policy for policy in Overflow if fmt.has_nan or policy is not Overflow.NAN)
    answers = ((policy, wanted(x, replace(made, overflow=policy), level)) for policy in able)
    return tuple(policy for policy, right in answers if _same(got, right).all())


def _places(values: Doubles, x: Floats) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Where each value stands in `x`, bit by bit; -1 where it does not."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        narrow = values.astype(x.dtype)
    held = narrow.astype(np.float64) == values
    word = f"u{x.itemsize}"
    bits, sought = x.view(word), narrow.view(word)
    order = np.argsort(bits)
    place = order[np.minimum(np.searchsorted(bits, sought, sorter=order), len(x) - 1)]
    return np.where(held & (bits[place] == sought), place, -1)


def _same(got: Doubles, right: Doubles) -> Mask:
    equal = (got == right) & (np.signbit(got) == np.signbit(right))
    return equal | (np.isnan(got) & np.isnan(right))


def _law(name: str, x: Floats, where: Mask, got: Doubles, right: Doubles) -> Law:
    wrong = np.flatnonzero(where & ~_same(got, right))
    checked = int(np.count_nonzero(where))
    if not len(wrong):
        return Law(name, checked)
    at = wrong[_by_size(x[wrong])[0]]  # an input is NaN in one law alone
    return Law(name, checked, len(wrong), _show(x[at]), f"{got[at]}", f"{right[at]}")


def _by_size(x: Floats) -> np.ndarray[Any, np.dtype[np.intp]]:
    """The smallest magnitudes first, of two the positive one; NaN last."""
    return np.lexsort((np.signbit(x), np.abs(x)))


def _show(number: np.floating[Any]) -> str:
    width = 2 * number.itemsize
    return f"0x{int(number.view(SOURCES[number.dtype.name])):0{width}x} ({float(number)})"


def _values(result: Any, x: Floats, fmt: FloatFormat, codes: bool) -> Doubles:
    """The result in float64. Raises TypeError or ValueError for what is no result."""
    array = np.asarray(result)
    if array.shape != x.shape:
        raise ValueError(f"the result has the shape {array.shape}, the input {x.shape}")
    if not codes:
        if array.dtype.kind in "biuOSUcMm":
            raise TypeError(f"the result is an array of {array.dtype}, not of floats")
        return widened(array)
    if array.dtype.kind not in "iu":
        raise TypeError(f"the result is an array of {array.dtype}, not of codes")
    return decoded(array, fmt)


def decoded(codes: Any, fmt: FloatFormat) -> Doubles:
    """The values of an array of codes. Raises ValueError for what is no code."""
    found, inverse = np.unique(codes, return_inverse=True)
    values = [reference.value(int(code), fmt) for code in found]
    table = [float(v.value if isinstance(v, reference.Special) else v) for v in values]
    return np.array(table, np.float64)[inverse]


def _raised(cast: Callable[[Floats], Doubles], x: Floats, error: Exception) -> Law:
    """The law that a cast answers, with the smallest input that it does not answer."""
    part = x[_by_size(x)]
    while len(part) > 1:
        half = len(part) // 2
        for smaller in (part[:half], part[half:]):
            try:
                cast(smaller.copy())
            except Exception as raised:  # the cast under test may throw anything
                part, error = smaller, raised
                break
        else:  # it only fails on arrays
            break
    shown = _show(part[0]) if len(part) == 1 else f"all {len(part):,} at once"
    return Law("answers", len(x), 1, shown, f"{type(error).__name__}: {error}", "a result")


def _unchanged(x: Floats, given: Floats) -> Law:
    changed = np.flatnonzero(x.view(SOURCES[x.dtype.name]) != given.view(SOURCES[x.dtype.name]))
    if not len(changed):
        return Law("input unchanged", len(x))
    at = changed[_by_size(x[changed])[0]]
    return Law("input unchanged", len(x), len(changed), _show(x[at]), f"{given[at]}", f"{x[at]}")
