"""Why a number became what it became in a format: step by step, by the exact reference."""

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from halfulp.dtypes import FP32, FloatFormat, GivenBits, Overflow, Rounding, Subnormals, encode
from halfulp.dtypes.reference import Noise, Special, exact, nearest_code, value
from halfulp.dtypes.reference_rounding import exponent

#: What each rounding does between two neighbors, in words.
RULES: dict[Rounding, str] = {
    Rounding.NEAREST_EVEN: "the nearer one; at the midpoint the one whose last bit is 0",
    Rounding.NEAREST_AWAY: "the nearer one; at the midpoint the one farther from zero",
    Rounding.TOWARD_ZERO: "the one nearer to zero",
    Rounding.TOWARD_POSITIVE: "the greater one",
    Rounding.TOWARD_NEGATIVE: "the lesser one",
    Rounding.TO_ODD: "the one whose last bit is 1",
    Rounding.STOCHASTIC: "by chance: the farther from zero with the share that x lies on the way"
    " there, cut to the number of random bits",
}
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]{1,4})?")
_HEXADECIMAL = re.compile(r"([+-]?)0x([0-9a-f]*)\.?([0-9a-f]*)(?:p([+-]?[0-9]{1,4}))?")
#: The least and the greatest draw, of 32 bits.
_DRAWS = (Noise(0, 32), Noise((1 << 32) - 1, 32))
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
    if plain.lstrip("+-") in ("inf", "infinity", "nan"):
        return float(plain)
    number = _fraction(plain)
    if number is None:
        raise ValueError(
            f"{text!r} is no number; give a decimal (1.5, 1e-3), a hexadecimal (0x1.8p3),"
            " with an exponent of at most four digits, inf or nan"
        )
    return -0.0 if number == 0 and plain.startswith("-") else number


def _fraction(text: str) -> Fraction | None:
    """A decimal or hexadecimal number exactly; float.fromhex would round it."""
    try:
        if _DECIMAL.fullmatch(text):
            return Fraction(text)
        match = _HEXADECIMAL.fullmatch(text)
        if match is None or not match[2] + match[3]:
            return None
        power = int(match[4] or 0) - 4 * len(match[3])
        return int(f"{match[1]}{match[2]}{match[3]}", 16) * Fraction(2) ** power
    except ValueError:  # more digits than Python reads
        return None


def explain(question: Question) -> str:
    """The steps, a line each."""
    return "\n".join(_lines(question)) + "\n"


def _lines(question: Question) -> Iterator[str]:
    given = read_number(question.text)
    x, lines = _as_source(given, question)
    yield from lines
    number = exact(x)
    if isinstance(number, Fraction) and number != 0:
        flushed = abs(number) < Fraction(_TINY[question.source])
        if flushed and question.subnormals is Subnormals.FLUSH_INPUTS:
            yield f"flushed      it is subnormal in {question.source}, and taken for zero"
        else:
            yield from _neighbors(number, question)
    else:
        yield f"special      {_words(number, question)}"
    draws = _DRAWS if question.rounding is Rounding.STOCHASTIC else (None,)
    if len({_answer(x, question, draw) for draw in draws}) == 1:
        yield from _result(x, question, draws[0])
        return
    for draw, words in zip(draws, ("least", "greatest"), strict=True):
        yield f"draw         the {words} random bits"
        yield from _result(x, question, draw)


def _result(x: float, question: Question, draw: Noise | None) -> Iterator[str]:
    """What x becomes by the reference, and whether the kernel agrees."""
    fmt, code = question.fmt, _answer(x, question, draw)
    if question.subnormals is Subnormals.FLUSH_OUTPUTS:
        kept = _answer(x, dataclasses.replace(question, subnormals=Subnormals.KEEP), draw)
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
            random=None if draw is None else GivenBits(np.array([draw.value]), draw.bits),
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


def _answer(x: float, question: Question, draw: Noise | None) -> int:
    return nearest_code(
        x,
        question.fmt,
        question.rounding,
        question.overflow,
        subnormals=question.subnormals,
        source_tiny=_TINY[question.source],
        nan="zero",
        noise=draw,
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
        # past float64's largest number there is one place: that of 2^1024
        text = "2^1024" if neighbor >= 2**1024 else repr(float(neighbor))
        yield f"{name:12s} {sign}{text}{_code_of(neighbor, number < 0, fmt)}"
    share = (size - below) / unit
    if share == 0:
        yield "exact        x is a value of the format"
    else:
        half = Fraction(1, 2)
        side = "at" if share == half else "below" if share < half else "above"
        middle = float(below + unit / 2)
        yield f"midpoint     {sign}{middle!r}: x lies {_exactly(share)} of the way, {side} it"
        yield f"rule         {question.rounding.value}: {RULES[question.rounding]}"
    if above > Fraction(fmt.max) and (share or below > Fraction(fmt.max)):
        yield f"overflow     past {fmt.max!r} the policy is {question.overflow.value!r}"


def _exactly(share: Fraction) -> str:
    """A part of a spacing; its denominator is a power of two."""
    power = share.denominator.bit_length() - 1
    text = f"{share.numerator}/2^{power}"
    return f"{text} = {float(share)!r}" if float(share) == share else text


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
