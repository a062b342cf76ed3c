"""The command `halfulp conformance`: any cast, put through the laws of rounding."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from halfulp.dtypes.conformance import Report
    from halfulp.dtypes.conversion import Conversion

EXAMPLES = (
    "halfulp conformance --target ml_dtypes.float8_e4m3fn",
    "halfulp conformance --target mymodule:cast --format e4m3 --source float64",
    "halfulp conformance gen e4m3 | ./my_cast | halfulp conformance check e4m3",
)
GEN_EXAMPLES = (
    "halfulp conformance gen e4m3 | head -4",
    "halfulp conformance gen e5m2 --source float64",
    "halfulp conformance gen bf16 --level 2 > inputs.txt",
)
CHECK_EXAMPLES = (
    "halfulp conformance gen e4m3 | ./my_cast | halfulp conformance check e4m3",
    "halfulp conformance check e4m3 --result float32 < answers.txt",
    "halfulp conformance check e5m2 --rounding toward_zero < answers.txt",
)


def _name(option: str, text: str) -> Any:
    return typer.Option(option, metavar="NAME", help=text)


Format = Annotated[str, typer.Argument(metavar="FORMAT", help="A name, see `halfulp formats`.")]
Source = Annotated[str, _name("--source", "Type of the inputs: float16, float32, float64.")]
RoundingName = Annotated[str, _name("--rounding", "Rounding mode that the cast claims.")]
Level = Annotated[
    int, typer.Option("--level", metavar="N", help="1: seconds; 2: more inputs, up to two minutes.")
]
Json = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write JSON.")]


def conformance(
    context: typer.Context,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            metavar="TARGET",
            help="A type of ml_dtypes, numpy or torch, or module:function.",
        ),
    ] = None,
    format: Annotated[
        str | None, _name("--format", "Format to judge by; by default that of the type's name.")
    ] = None,
    source: Source = "float32",
    rounding: RoundingName = "nearest_even",
    overflow: Annotated[
        str | None,
        _name("--overflow", "Policy past the largest value. [that of the type's library, or inf]"),
    ] = None,
    codes: Annotated[
        bool, typer.Option("--codes", help="The function returns codes, not values.")
    ] = False,
    level: Level = 1,
    json: Json = None,
) -> None:
    """Put a cast through the laws of rounding; show each broken law's smallest failing input.

    The laws: exact, the overflow policy, NaN stays NaN, a single rounding, monotone, idempotent,
    sign-symmetric, input unchanged. Ends with 1 when one is broken.

    A function takes a numpy array of the source's type and returns the rounded values. To name a
    module IMPORTS it: its code runs, with your rights. The current folder is looked in first.

    A cast in another language reads the lines of `gen` and is judged by `check`.
    """
    from halfulp.study import cli

    if context.invoked_subcommand is not None:
        if target is not None:
            cli.usage("--target", f"{context.invoked_subcommand} takes none; leave it away")
        return
    from halfulp.study.conformance_targets import NoTarget
    from halfulp.study.conformance_targets import target as found

    if target is None:
        cli.usage("--target", "give a cast to judge, or `gen` or `check` for one behind a pipe")
    try:
        with cli.extras():
            cast = found(target)
    except NoTarget as error:
        cli.usage("--target", str(error))
    if format is None and cast.fmt is None:
        cli.usage("--format", f"{target} says no format; give one")
    policy = cast.overflow if overflow is None else overflow
    named = "--format" if format else "--target"
    made = _judged(format or cast.fmt, rounding, source, policy, level, named)
    _check_json(json)
    from halfulp.dtypes.conformance import check_cast

    report = check_cast(
        cast.cast,
        made.fmt,
        made.rounding,
        source,
        overflow=made.overflow,
        codes=codes,
        level=level,
    )
    _finish(target, report, json)


def gen(format: Format, source: Source = "float32", level: Level = 1) -> None:
    """Print the inputs for a cast to FORMAT: the hexadecimal pattern of one a line.

    The cast answers each with a line, in any order: the input, a blank, and its result.
    """
    from halfulp.study import cli
    from halfulp.study.conformance_pipe import questions

    made = _judged(format, "nearest_even", source, "inf", level)
    cli.say(questions(made.fmt, source, level))  # type: ignore[arg-type]  # a float format


def check(
    format: Format,
    source: Source = "float32",
    rounding: RoundingName = "nearest_even",
    overflow: Annotated[str, _name("--overflow", "Policy past the largest value.")] = "inf",
    result: Annotated[
        str, _name("--result", "What an answer is: a code, or the pattern of a float type.")
    ] = "code",
    level: Level = 1,
    json: Json = None,
) -> None:
    """Judge a cast by its answers on standard input: lines of an input of `gen` and the result.

    Both are hexadecimal; the result is the code in FORMAT, or with --result float32 the pattern of
    the value in that type. FORMAT, --source and --level are those that `gen` had. Ends with 1 when
    a law is broken, and when answers are missing or cannot be read.
    """
    from halfulp.study import cli
    from halfulp.study.conformance_pipe import RESULTS, BadAnswers, answers

    if result not in RESULTS:
        cli.usage("--result", f"{result!r} is not known; allowed: {', '.join(RESULTS)}")
    made = _judged(format, rounding, source, overflow, level)
    _check_json(json)
    if sys.stdin.isatty():
        cli.usage("check", "the answers come from standard input; pipe the cast into it")
    from halfulp.dtypes.conformance import judge

    try:
        got = answers(sys.stdin.buffer, made.fmt, source, level, result)  # type: ignore[arg-type]
    except BadAnswers as error:
        cli.fail(str(error))
    _finish("standard input", judge(got, made, source, level), json)


def command(epilog: Any) -> typer.Typer:
    """The command with its two parts; `epilog` makes the end of a help from examples."""
    app = typer.Typer(rich_markup_mode=None)
    app.callback(invoke_without_command=True, epilog=epilog(*EXAMPLES))(conformance)
    app.command(epilog=epilog(*GEN_EXAMPLES))(gen)
    app.command(epilog=epilog(*CHECK_EXAMPLES))(check)
    return app


def _judged(
    format: Any, rounding: str, source: str, overflow: str, level: int, named: str = "FORMAT"
) -> "Conversion":
    from halfulp.dtypes.conformance import judged
    from halfulp.study import cli

    try:
        return judged(format, rounding, source, overflow, level)
    except ValueError as error:
        option = str(error).partition("=")[0]
        known = ("rounding", "source", "overflow", "level")
        cli.usage(f"--{option}" if option in known else named, str(error))


def _check_json(json: Path | None) -> None:
    from halfulp.study import cli
    from halfulp.study.files import FileNotWritten, check_target

    try:
        if json is not None:
            check_target(json)
    except FileNotWritten as error:
        cli.usage("--json", str(error))


def _finish(name: str, report: "Report", json: Path | None) -> None:
    from json import dumps

    from halfulp.study import cli
    from halfulp.study.files import FileNotWritten, write_whole

    failure = ""
    if json is not None:
        try:
            write_whole(
                json, (dumps({**report.as_json(), "target": name}, indent=1) + "\n").encode()
            )
        except FileNotWritten as error:
            failure = str(error)
    cli.say(f"{name}: {report}\n")
    if failure:
        cli.fail(failure)
    if not report.ok:
        raise typer.Exit(1)
