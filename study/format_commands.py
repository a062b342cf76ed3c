"""The commands `formats`, `show` and `explain`."""

from typing import Annotated, Any

import typer

FORMATS_EXAMPLES = ("halfulp formats", "halfulp formats --help", "halfulp formats | head -4")
SHOW_EXAMPLES = (
    "halfulp show e4m3",
    "halfulp show format bfloat16",
    "halfulp show 'cfp8(2,5,bias=3)'",
)
EXPLAIN_EXAMPLES = (
    "halfulp explain 431.99999999999994 e4m3fn",
    "halfulp explain 1.0625 e4m3 --rounding to_odd",
    "halfulp explain 0x1.01p-9 bf16 --source float32 --subnormals flush_outputs",
)


def _name(option: str, text: str) -> Any:
    return typer.Option(option, metavar="NAME", help=text)


def formats() -> None:
    """List the named number formats."""
    from halfulp.study import catalog, cli

    cli.say(catalog.formats())


def show(
    words: Annotated[
        list[str],
        typer.Argument(metavar="[format] FORMAT", help="A name, see `halfulp formats`."),
    ],
) -> None:
    """Show all facts of one number format: ranges, spacings, special codes and the values."""
    from halfulp.study import catalog, cli

    name = words[-1]
    if len(words) > 2 or (len(words) == 2 and words[0] != "format"):
        cli.usage("FORMAT", f"give one name, not {' '.join(words)}")
    cli.say(catalog.one_format(_format(name)))


def explain(
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="1.5, 1e-3, 0x1.8p3, inf, nan")],
    name: Annotated[str, typer.Argument(metavar="FORMAT", help="A float format.")],
    rounding: Annotated[str, _name("--rounding", "Rounding mode.")] = "nearest_even",
    overflow: Annotated[str, _name("--overflow", "Policy past the largest value.")] = "inf",
    subnormals: Annotated[str, _name("--subnormals", "Subnormal numbers.")] = "keep",
    source: Annotated[str, _name("--source", "Type of the number.")] = "float64",
) -> None:
    """Tell step by step why a number becomes what it becomes in a format.

    A negative number stands behind `--`: halfulp explain -- -1.5 e4m3
    """
    from halfulp.dtypes import FloatFormat
    from halfulp.dtypes.conversion import conversion
    from halfulp.dtypes.rounding import Rounding
    from halfulp.study import cli
    from halfulp.study.explanation import Question, explain, read_number

    fmt = _format(name)
    if not isinstance(fmt, FloatFormat):
        cli.usage("FORMAT", f"{fmt} is an integer format; give a float format")
    if source not in ("float32", "float64"):
        cli.usage("--source", f"{source!r} is not known; allowed: 'float32', 'float64'")
    try:
        read_number(number)
    except ValueError as error:
        cli.usage("NUMBER", str(error))
    try:
        stochastic = rounding == Rounding.STOCHASTIC
        made = conversion(
            fmt,
            rounding="nearest_even" if stochastic else rounding,
            overflow=overflow,
            subnormals=subnormals,
        )
    except ValueError as error:
        cli.usage(f"--{str(error).partition('=')[0]}", str(error))
    mode = Rounding.STOCHASTIC if stochastic else made.rounding
    cli.say(explain(Question(number, fmt, mode, made.overflow, made.subnormals, source)))


def _format(name: str) -> Any:
    from halfulp.dtypes import parse_format
    from halfulp.study import cli

    try:
        return parse_format(name)
    except ValueError as error:
        cli.usage("FORMAT", str(error))
