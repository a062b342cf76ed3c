"""Which cases of the proofs of casts and functions there are, and what each runs."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from halfulp.dtypes import (
    FORMATS,
    FloatFormat,
    Format,
    IntFormat,
    Overflow,
    Philox,
    Rounding,
    parse_format,
)
from halfulp.dtypes.conversion import Conversion, conversion
from halfulp.dtypes.draws import verify_draws
from halfulp.dtypes.exhaustive import SOURCES, Progress, Verdict, patterns_of, verify
from halfulp.dtypes.intervals import PATTERNS, SEARCHED_BITS
from halfulp.dtypes.rounding import DETERMINISTIC, Subnormals, choice
from halfulp.dtypes.threads import get_num_threads
from halfulp.engines import Activation
from halfulp.engines.function_proof import FunctionVerdict, verify_function


class WrongCase(ValueError):
    """An option that makes no case; `option` is its name."""

    def __init__(self, option: str, message: str) -> None:
        super().__init__(message)
        self.option = option


@dataclass(frozen=True)
class Case:
    """A conversion from a source; `part` (first pattern, stop) is None for all of its inputs."""

    made: Conversion
    source: str = "float32"
    part: tuple[int, int] | None = None

    def __str__(self) -> str:
        made = self.made
        words = [made.fmt.name, made.rounding.value, made.overflow.value]
        words += [made.subnormals.value] if made.subnormals is not Subnormals.KEEP else []
        words += [f"nan={made.nan.value}"] if made.nan is not None else []
        words += [f"from {self.source}"] if self.source != "float32" else []
        words += [f"part {self.part[0]:#x}:{self.part[1]:#x}"] if self.part is not None else []
        return " ".join(words)

    @property
    def layers(self) -> tuple[str, ...]:
        """The folders of sources that decide the outcome."""
        return ("dtypes",)

    def run(self, progress: Progress) -> Verdict:
        """Judge every input; `progress` is told the share that is done."""
        part = patterns_of(self.source) if self.part is None else range(*self.part)
        if self.made.rounding is Rounding.STOCHASTIC:
            return verify_draws(self.made, part=part, progress=progress)
        threads = get_num_threads()
        return verify(self.made, source=self.source, part=part, threads=threads, progress=progress)


@dataclass(frozen=True)
class FunctionCase:
    """A function of the engines over all float32 inputs, or a part of them."""

    function: Activation
    part: tuple[int, int] | None = None

    def __str__(self) -> str:
        words = [f"function {self.function.value}"]
        words += [f"part {self.part[0]:#x}:{self.part[1]:#x}"] if self.part is not None else []
        return " ".join(words)

    @property
    def layers(self) -> tuple[str, ...]:
        return "dtypes", "engines"

    def run(self, progress: Progress) -> FunctionVerdict:
        """Judge every input; `progress` is told the share that is done."""
        part = range(PATTERNS) if self.part is None else range(*self.part)
        threads = get_num_threads()
        return verify_function(self.function, part=part, threads=threads, progress=progress)


@dataclass(frozen=True)
class Asked:
    """The options of the command; what is empty stands for the default, or with `every` for all.

    functions   names of functions of the engines, or "all"; then nothing else is asked but `part`
    """

    functions: Sequence[str] = ()
    formats: Sequence[str] = ()
    roundings: Sequence[str] = ()
    overflows: Sequence[str] = ()
    subnormals: str = "keep"
    nan: str | None = None
    source: str = "float32"
    part: str | None = None
    every: bool = False


def plan(asked: Asked) -> list[Case]:
    """The cases of casts: roundings x overflows x formats.

    All named float formats and all deterministic roundings are taken where `every` is set and none
    are named. A NaN must become something where the format has none: 0 when nothing is said.

    Raises WrongCase.
    """
    if not asked.formats and not asked.every:
        raise WrongCase("--format", "name a format or a function (--function), or give --all")
    if asked.source not in SOURCES:
        allowed = ", ".join(SOURCES)
        raise WrongCase("--source", f"{asked.source!r} is not known; allowed: {allowed}")
    part = None if asked.part is None else _part(asked.part, patterns_of(asked.source))
    roundings = asked.roundings or (DETERMINISTIC if asked.every else [Rounding.NEAREST_EVEN])
    formats = [_format(name) for name in asked.formats] or [
        fmt for fmt in FORMATS.values() if isinstance(fmt, FloatFormat)
    ]
    modes = itertools.product(roundings, asked.overflows or [Overflow.INF], formats)
    return [
        Case(made, asked.source, part)
        for rounding, overflow, fmt in modes
        for made in _conversions(asked, fmt, rounding, overflow)
    ]


def plan_functions(asked: Asked) -> list[FunctionCase]:
    """The cases of functions.

    Raises WrongCase.
    """
    if asked != Asked(functions=asked.functions, part=asked.part):
        raise WrongCase("--function", "functions have no options of casts; --part alone goes along")
    part = None if asked.part is None else _part(asked.part, range(PATTERNS))
    names = [*Activation] if "all" in asked.functions else asked.functions
    try:
        found = [choice(Activation, name, "function") for name in names]
    except ValueError as error:
        raise WrongCase("--function", f"{error}, or 'all'") from None
    return [FunctionCase(function, part) for function in found]


def _conversions(asked: Asked, fmt: Format, rounding: str, overflow: str) -> Iterator[Conversion]:
    """One, or none where all are asked for and the format cannot have the policy."""
    stochastic = rounding == Rounding.STOCHASTIC
    _refuse(fmt, stochastic, asked.source)
    no_nan = isinstance(fmt, FloatFormat) and not fmt.has_nan
    if asked.every and no_nan and overflow == Overflow.NAN:
        return
    try:
        yield conversion(
            fmt,
            rounding=rounding,
            overflow=overflow,
            subnormals=asked.subnormals,
            nan=asked.nan or ("zero" if no_nan else None),
            random=Philox(0) if stochastic else None,
        )
    except ValueError as error:
        raise WrongCase("--rounding, --overflow, --subnormals, --nan", str(error)) from None


def _refuse(fmt: Format, stochastic: bool, source: str) -> None:
    wide = fmt.bits > SEARCHED_BITS and source == "float32"
    if stochastic and source != "float32":
        raise WrongCase("--source", "stochastic rounding is proven from float32 alone")
    if isinstance(fmt, IntFormat):
        if stochastic:
            raise WrongCase("--rounding", f"{fmt}: stochastic is proven for float formats alone")
        if wide:
            message = f"{fmt}: integer formats are proven up to {SEARCHED_BITS} bits"
            raise WrongCase("--format", message)
    elif wide and not stochastic and not fmt.subnormals:
        message = f"{fmt}: without subnormals, formats are proven up to {SEARCHED_BITS} bits"
        raise WrongCase("--format", message)


def _format(name: str) -> Format:
    try:
        return parse_format(name)
    except ValueError as error:
        raise WrongCase("--format", str(error)) from None


def _part(text: str, whole: range) -> tuple[int, int]:
    try:
        first, stop = (int(number, 0) for number in text.split(":"))
    except ValueError:
        message = f"{text!r} is no FIRST:STOP, such as 0x3f800000:0x40000000"
        raise WrongCase("--part", message) from None
    if not whole.start <= first < stop <= whole.stop:
        raise WrongCase("--part", f"{text} is empty, or not inside 0x0:{whole.stop:#x}")
    return first, stop
