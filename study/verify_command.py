"""The command `halfulp verify`: options in, the table on stdout."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

EXAMPLES = (
    "halfulp verify --format e4m3 --part 0x43000000:0x43800000",
    "halfulp verify --format fp16 --rounding to_odd --source bfloat16",
    "halfulp verify --format e2m1fn --rounding stochastic --json verified.json",
    "halfulp verify --function gelu --part 0xc0000000:0xc0100000",
)


def _name(option: str, text: str) -> Any:
    return typer.Option(option, metavar="NAME", help=text)


def verify(
    function: Annotated[
        list[str] | None,
        _name("--function", "Function of the engines, or all; may be repeated. Without casts."),
    ] = None,
    format: Annotated[list[str] | None, _name("--format", "Format; may be repeated.")] = None,
    rounding: Annotated[
        list[str] | None, _name("--rounding", "Rounding; may be repeated. [nearest_even]")
    ] = None,
    overflow: Annotated[
        list[str] | None, _name("--overflow", "Overflow policy; may be repeated. [inf]")
    ] = None,
    subnormals: Annotated[str, _name("--subnormals", "Subnormal numbers.")] = "keep",
    nan: Annotated[
        str | None, _name("--nan", "What NaN becomes in formats without NaN. [zero]")
    ] = None,
    source: Annotated[str, _name("--source", "Type of the inputs.")] = "float32",
    every: Annotated[
        bool, typer.Option("--all", help="All named float formats, all deterministic roundings.")
    ] = False,
    part: Annotated[
        str | None,
        typer.Option("--part", metavar="FIRST:STOP", help="Only these bit patterns of the source."),
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write JSON; its finished cases are kept."),
    ] = None,
) -> None:
    """Compare casts or functions with exact rounding on every float32 input: all 2^32 of them.

    A cast takes 10 to 60 seconds on two cores, a function one to three minutes. Ends with 1 when
    any input is wrong. With --json, what is finished is written after each case, and not run again
    when the command is given again.

    With --rounding stochastic, on chosen inputs: every draw of 1 to 16 random bits, and the draws
    at both sides of each threshold of 32.
    """
    from halfulp.dtypes.jit import KernelsDisabled
    from halfulp.study import cli, verification, verified, verifying
    from halfulp.study.files import FileNotWritten, check_target

    asked = verification.Asked(
        functions=function or (),
        formats=format or (),
        roundings=rounding or (),
        overflows=overflow or (),
        subnormals=subnormals,
        nan=nan,
        source=source,
        part=part,
        every=every,
    )
    try:
        if json is not None:
            check_target(json)
        if function:
            finished = verifying.run(verification.plan_functions(asked), json)
        else:
            finished = verifying.run(verification.plan(asked), json)
    except verification.WrongCase as error:
        cli.usage(error.option, str(error))
    except (FileNotWritten, verified.Unreadable, KernelsDisabled) as error:
        cli.fail(str(error))
    except verifying.Stopped as stop:
        print(f"halfulp: {stop}", file=sys.stderr)
        raise typer.Exit(130) from stop
    cli.say(verified.to_text(finished))
    if any(case.wrong for case in finished):
        raise typer.Exit(1)
