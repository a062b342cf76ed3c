"""The commands `formats`, `show` and `explain`."""

from pathlib import Path
from typing import Annotated, Any

import typer

FORMATS_EXAMPLES = ("halfulp formats", "halfulp formats --help", "halfulp formats | head -4")
SHOW_EXAMPLES = (
    "halfulp show e4m3",
    "halfulp show format 'cfp8(2,5,bias=3)'",
    "halfulp show accumulation neuroncore-v2-matmul-bf16-fp32 --k 300",
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
        typer.Argument(
            metavar="[format] FORMAT | accumulation [NAME]",
            help="A format, see `halfulp formats`; or a machine's sums, without NAME all of them.",
        ),
    ],
    k: Annotated[
        int | None,
        typer.Option(
            "--k", metavar="N", help="Products in an accumulation's tree. [two tiles or blocks]"
        ),
    ] = None,
    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write an accumulation as JSON.")
    ] = None,
) -> None:
    """Show all facts of one number format, or of the sums in one machine's matrix instruction.

    A format: ranges, spacings, special codes and the values. An accumulation: what happens inside a
    dot product, how each of that is known, what it might be where it is assumed, and the tree by
    which k products and the accumulator input c are added.
    """
    from halfulp.study import accumulation_command, catalog, cli

    if words[0] == "accumulation":
        accumulation_command.show(words[1:], k, json)
        return
    for option, given in {"--k": k, "--json": json}.items():
        if given is not None:
            cli.usage(option, f"it is of an accumulation: halfulp show accumulation NAME {option}")
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
