"""Why a number became what it became in a format: step by step, by the exact reference."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from halfulp.dtypes import FP32, FloatFormat, Overflow, Rounding, Subnormals, encode
from halfulp.dtypes.reference import Special, exact, nearest_code, value
from halfulp.dtypes.reference_rounding import exponent

#: What each rounding does between two neighbors, in words.
RULES: dict[Rounding, str] = {
    Rounding.NEAREST_EVEN: "the nearer one; at the midpoint the one whose last bit is 0",
    Rounding.NEAREST_AWAY: "the nearer one; at the midpoint the one farther from zero",
    Rounding.TOWARD_ZERO: "the one nearer to zero",
    Rounding.TOWARD_POSITIVE: "the greater one",
    Rounding.TOWARD_NEGATIVE: "the lesser one",
    Rounding.TO_ODD: "the one whose last bit is 1",
    Rounding.STOCHASTIC: "by chance: the farther from zero with the share that x lies beyond the"
    " nearer",
}
_TINY = {"float32": 2.0**-126, "float64": 2.0**-1022}


@dataclass(frozen=True)
class Question:
    """What is asked: the number as it was typed, and how it is converted."""

    text: str
    fmt: FloatFormat
    rounding: Rounding
    overflow: Overflow
    subnormals: Subnormals
    source: str  #: "float32" or "float64"


def read_number(text: str) -> float | Fraction:
    """The number that a text names, exactly: decimal, hexadecimal ("0x1.8p3"), inf, nan.

    Raises ValueError with what is allowed.
    """
    plain = text.strip().lower()
    try:
        if plain.lstrip("+-") in ("inf", "infinity", "nan"):
            return float(plain)
        if "0x" in plain:
            return float.fromhex(plain)
        number = Fraction(plain)
    except (ValueError, ZeroDivisionError, OverflowError):
        raise ValueError(
            f"{text!r} is no number; give a decimal (1.5, 1e-3), a hexadecimal (0x1.8p3),"
            " inf or nan"
        ) from None
    return -0.0 if number == 0 and plain.startswith("-") else number


def explain(question: Question) -> str:
    """The steps, a line each."""
    return "\n".join(_lines(question)) + "\n"


def _lines(question: Question) -> Iterator[str]:
    fmt, given = question.fmt, read_number(question.text)
    x, lines = _as_source(given, question)
    yield from lines
    code = None if question.rounding is Rounding.STOCHASTIC else _answer(x, question)
    number = exact(x)
    if isinstance(number, Fraction) and number != 0:
        flushed = abs(number) < Fraction(_TINY[question.source])
        if flushed and question.subnormals is Subnormals.FLUSH_INPUTS:
            yield f"flushed      it is subnormal in {question.source}, and taken for zero"
        else:
            yield from _neighbors(number, question)
    else:
        yield f"special      {_words(number, question)}"
    if code is None:
        return
    if question.subnormals is Subnormals.FLUSH_OUTPUTS:
        kept = _answer(x, dataclasses.replace(question, subnormals=Subnormals.KEEP))
        if kept != code:
            yield f"flushed      {_shown(kept, fmt)} is subnormal, and becomes zero"
    yield f"result       {_shown(code, fmt)}"
    with np.errstate(all="ignore"):
        got = encode(
            np.array([x], question.source),
            fmt,
            rounding=question.rounding,
            overflow=question.overflow,
            subnormals=question.subnormals,
            nan="zero",
        )
    agreed = int(got[0]) == code
    yield f"kernel       {'the same code' if agreed else f'DIFFERS: {int(got[0]):#x}'}"


def _as_source(given: float | Fraction, question: Question) -> tuple[float, list[str]]:
    """The number in the source's type, and how it got there: rounded to nearest even, once."""
    if question.source == "float32":
        code = nearest_code(given, FP32)
        held = value(code, FP32)
        x = held.value if isinstance(held, Special) else float(held)
        bits = f"{code:#010x}"
    else:
        x = _nearest_float64(given)
        bits = f"{int(np.array(x).view(np.uint64)):#018x}"
    lines = [f"x            {x!r} = {x.hex()}, {question.source} {bits}"]
    if isinstance(given, Fraction) and exact(x) != given:
        lines.append(f"typed        {question.text} is no {question.source}: rounded to x first")
    return x, lines


def _nearest_float64(given: float | Fraction) -> float:
    try:
        return float(given)
    except OverflowError:
        return float("-inf") if given < 0 else float("inf")


def _answer(x: float, question: Question) -> int:
    return nearest_code(
        x,
        question.fmt,
        question.rounding,
        question.overflow,
        subnormals=question.subnormals,
        source_tiny=_TINY[question.source],
        nan="zero",
    )


def _neighbors(number: Fraction, question: Question) -> Iterator[str]:
    fmt, size = question.fmt, abs(number)
    sign = "-" if number < 0 else ""
    if not fmt.signed and number < 0:
        yield "special      a scale has no negative values"
        return
    unit, below = _grid(size, fmt)
    above = below + unit
    where = "between zero and the smallest value" if below == 0 and size < unit else "around x"
    yield f"spacing      {float(unit)!r} ({fmt}, {where})"
    for name, neighbor in (("toward zero", below), ("away", above)):
        yield f"{name:12s} {sign}{float(neighbor)!r}{_code_of(neighbor, number < 0, fmt)}"
    share = (size - below) / unit
    if share == 0:
        yield "exact        x is a value of the format"
    else:
        half = Fraction(1, 2)
        side = "at" if share == half else "below" if share < half else "above"
        middle = float(below + unit / 2)
        yield f"midpoint     {sign}{middle!r}: x lies {float(share)!r} of the way, {side} it"
        yield f"rule         {question.rounding.value}: {RULES[question.rounding]}"
    if above > Fraction(fmt.max) and (share or below > Fraction(fmt.max)):
        yield f"overflow     past {fmt.max!r} the policy is {question.overflow.value!r}"


def _grid(size: Fraction, fmt: FloatFormat) -> tuple[Fraction, Fraction]:
    """The spacing at a magnitude, and the multiple of it that is not above; exponent unbounded."""
    smallest = Fraction(fmt.tiny)
    if not fmt.subnormals and size < smallest:
        return smallest, Fraction(0)
    unit = Fraction(2) ** (max(exponent(size), fmt.emin) - fmt.mantissa_bits)
    return unit, size // unit * unit


def _code_of(neighbor: Fraction, negative: bool, fmt: FloatFormat) -> str:
    if neighbor > Fraction(fmt.max):
        return "  (past the largest finite value)"
    signed: Any = Special.MINUS_ZERO if negative and not neighbor else neighbor
    code = nearest_code(-signed if negative and neighbor else signed, fmt)
    return f"  code {code:#x}, {_bits(code, fmt)}"


def _bits(code: int, fmt: FloatFormat) -> str:
    """Sign, exponent field and fraction, apart."""
    text = f"{code:0{fmt.bits}b}"
    cuts = [int(fmt.signed), int(fmt.signed) + fmt.exponent_bits, fmt.bits]
    parts = [text[start:stop] for start, stop in zip([0, *cuts], cuts, strict=False)]
    return " ".join(part for part in parts if part)


def _words(number: Any, question: Question) -> str:
    fmt = question.fmt
    if number is Special.NAN:
        return "NaN" if fmt.has_nan else f"NaN, and {fmt} has none: shown as nan='zero' makes it"
    if number in (Special.INFINITY, Special.MINUS_INFINITY):
        return f"infinity; the policy is {question.overflow.value!r}"
    return "zero" if fmt.has_zero else f"zero, and {fmt} has none"


def _shown(code: int, fmt: FloatFormat) -> str:
    held = value(code, fmt)
    number = held.value if isinstance(held, Special) else float(held)
    return f"{number!r}, code {code:#x}, {_bits(code, fmt)}"
