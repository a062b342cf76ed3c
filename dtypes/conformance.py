"""Any cast function, put through the laws of rounding; each law names its smallest failing input.

The judge is `halfulp.dtypes.reference`; nothing of the kernels is used.
"""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np

from halfulp.dtypes import reference
from halfulp.dtypes.compatibility import Compatibility
from halfulp.dtypes.conformance_inputs import SOURCES, Doubles, Floats, inputs, wanted
from halfulp.dtypes.conversion import Conversion, conversion
from halfulp.dtypes.format import FloatFormat
from halfulp.dtypes.rounding import DETERMINISTIC, Overflow, Rounding

__all__ = ["Law", "Report", "check_cast"]

Mask = np.ndarray[Any, np.dtype[np.bool_]]

_DIRECTED = (Rounding.TOWARD_POSITIVE, Rounding.TOWARD_NEGATIVE)


@dataclass(frozen=True)
class Law:
    """One law's verdict.

    checked   inputs that the law speaks of; 0 where it does not apply
    input     the failing one of the smallest magnitude, as the source's pattern and value
    """

    name: str
    checked: int
    wrong: int = 0
    input: str = ""
    got: str = ""
    wanted: str = ""


@dataclass(frozen=True)
class Report:
    """The verdicts on one cast. `ok` when no law is broken; `str()` is a table."""

    fmt: FloatFormat
    _: KW_ONLY
    rounding: Rounding
    overflow: Overflow
    source: str
    laws: tuple[Law, ...]

    @property
    def ok(self) -> bool:
        return not any(law.wrong for law in self.laws)

    def law(self, name: str) -> Law:
        """The verdict of one law. Raises KeyError for a name that no law has."""
        return {law.name: law for law in self.laws}[name]

    def __str__(self) -> str:
        head = ("law", "checked", "wrong", "smallest failing input", "got", "wanted")
        rows = [head] + [
            (law.name, f"{law.checked:,}", f"{law.wrong:,}", law.input, law.got, law.wanted)
            for law in self.laws
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
        lines = [f"{self.source} to {self.fmt}, {self.rounding}, overflow {self.overflow}"]
        for row in rows:
            cells = [
                cell.rjust(width) if column in (1, 2) else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append("  ".join(cells).rstrip())
        return "\n".join([*lines, "all laws hold" if self.ok else "NOT CONFORMING"])


def check_cast(
    function: Callable[[Any], Any],
    fmt: Any,
    rounding: Rounding | str = Rounding.NEAREST_EVEN,
    source: str = "float32",
    *,
    overflow: Overflow | Compatibility | str = Overflow.INF,
    codes: bool = False,
) -> Report:
    """Put `function` through the laws of rounding to `fmt`.

    function   takes an array [n] of type `source`; returns the rounded values [n] in any float
               type, or with codes=True their codes [n]
    fmt        a FloatFormat, its name, or a float dtype
    source     "float16", "float32" or "float64"
    specials   any NaN passes for any other; NaN is not given where `fmt` has none; -0 and +0 differ

    What the function raises, and a result of another shape or kind, is reported with the input.

    Raises ValueError for unknown names, stochastic rounding and integer formats.
    """
    made = judged(fmt, rounding, source, overflow)
    target = made.fmt
    assert isinstance(target, FloatFormat)
    x = inputs(target, source)

    def cast(part: Floats) -> Doubles:
        return _values(function(part), part, target, codes)

    given = x.copy()
    try:
        got = cast(given)
    except Exception as error:  # whatever the cast under test throws is its verdict
        laws: tuple[Law, ...] = (_raised(cast, x, error),)
    else:
        laws = judge(x, got, made, source)
        laws += (_unchanged(x, given),)
    return report(made, source, laws)


def judged(
    fmt: Any, rounding: Rounding | str, source: str, overflow: Overflow | Compatibility | str
) -> Conversion:
    """The choices, checked. Raises ValueError as `check_cast` does."""
    if source not in SOURCES:
        raise ValueError(f"source={source!r} is not known; allowed: {', '.join(SOURCES)}")
    if rounding == Rounding.STOCHASTIC:
        raise ValueError(
            f"rounding='stochastic' has no one answer; allowed: {', '.join(DETERMINISTIC)}"
        )
    made = conversion(fmt, rounding=rounding, overflow=overflow)
    if not isinstance(made.fmt, FloatFormat):
        raise ValueError(f"{made.fmt} is an integer format; the laws are those of float formats")
    return made


def report(made: Conversion, source: str, laws: tuple[Law, ...]) -> Report:
    """The laws, with what they were judged for."""
    assert isinstance(made.fmt, FloatFormat)
    return Report(
        made.fmt, rounding=made.rounding, overflow=made.overflow, source=source, laws=laws
    )


def judge(x: Floats, got: Doubles, made: Conversion, source: str) -> tuple[Law, ...]:
    """The laws over the answers `got` to the inputs `x` of `conformance_inputs.inputs`."""
    fmt = made.fmt
    assert isinstance(fmt, FloatFormat)
    right = wanted(x, made)
    with np.errstate(over="ignore", under="ignore"):
        inexact = x.astype(np.float32) != x  # where a way through float32 rounds twice
    nan = np.isnan(x)
    beyond = np.abs(x.astype(np.float64)) > fmt.max
    symmetric = made.rounding not in _DIRECTED and fmt.has_minus_zero
    twin = _places(-x.astype(np.float64), x) if symmetric else np.full(len(x), -1)
    results = np.zeros(len(x), dtype=bool)  # inputs that are themselves an answer
    places = _places(got, x)
    results[places[places >= 0]] = True
    before = np.concatenate([[np.nan], got[:-1]])
    ordered = ~nan & ~np.isnan(before) & ~np.isnan(got)
    return (
        _law("exact", x, ~nan & ~beyond, got, right),
        _law("overflow", x, beyond, got, right),
        _law("NaN stays NaN", x, nan, got, right),
        _law("single rounding", x, ~nan & ~beyond & inexact, got, right),
        _law("monotone", x, ordered, got, np.where(got < before, before, got)),
        _law("idempotent", x, results & ~nan, got, x.astype(np.float64)),
        _law("sign-symmetric", x, (twin >= 0) & np.signbit(x) & ~nan, got, -got[twin]),
    )


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


def _law(name: str, x: Floats, where: Mask, got: Doubles, right: Doubles) -> Law:
    same = (got == right) & (np.signbit(got) == np.signbit(right))
    wrong = np.flatnonzero(where & ~same & ~(np.isnan(got) & np.isnan(right)))
    checked = int(np.count_nonzero(where))
    if not len(wrong):
        return Law(name, checked)
    at = wrong[np.argmin(np.abs(x[wrong]))]  # an input is NaN in one law alone
    return Law(name, checked, len(wrong), _show(x[at]), f"{got[at]}", f"{right[at]}")


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
        return array.astype(np.float64)
    if array.dtype.kind not in "iu":
        raise TypeError(f"the result is an array of {array.dtype}, not of codes")
    found, inverse = np.unique(array, return_inverse=True)
    values = [reference.value(int(code), fmt) for code in found]
    table = [float(v.value if isinstance(v, reference.Special) else v) for v in values]
    return np.array(table, np.float64)[inverse]


def _raised(cast: Callable[[Floats], Doubles], x: Floats, error: Exception) -> Law:
    """The law that a cast answers, with the smallest input that it does not answer."""
    part = x[np.argsort(np.abs(x), kind="stable")]
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
    at = changed[np.argmin(np.where(np.isnan(x[changed]), np.inf, np.abs(x[changed])))]
    return Law("input unchanged", len(x), len(changed), _show(x[at]), f"{given[at]}", f"{x[at]}")
