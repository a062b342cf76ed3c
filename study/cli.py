"""The command `halfulp`: text on stdout, progress on stderr; 0 done, 1 failed, 2 wrong usage.

torch, transformers and matplotlib are imported inside the commands, so that `--help` is quick.
"""

import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

import halfulp
from halfulp.study import (
    conformance_command,
    format_commands,
    probe_command,
    rates_command,
    reveal_command,
    sensitivity_command,
    verify_command,
)
from halfulp.study.extras import EXTRAS, INSTALL_EXTRAS
from halfulp.study.stopping import Stoppable

if TYPE_CHECKING:
    from halfulp.study.result import Sweep

_WIDTH = 120  # of a table that no terminal limits

app = typer.Typer(
    name="halfulp",
    cls=Stoppable,
    help="Number formats and engines of Inferentia1 and Inferentia2, bit for bit, on any CPU.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


class Split(StrEnum):
    """The part of a task's samples that is used."""

    TEST = "test"
    DEV = "dev"


def _names(option: str, text: str) -> Any:
    return typer.Option(option, metavar="NAME", help=text)


def _file(option: str, text: str) -> Any:
    return typer.Option(option, metavar="FILE", help=text)


Models = Annotated[list[str] | None, _names("--model", "Shipped model, folder or hub name.")]
Tasks = Annotated[list[str] | None, _names("--task", "Task; each model's own.")]
Policies = Annotated[list[str] | None, _names("--policy", "Policy; see `halfulp policies`.")]
Chips = Annotated[list[str] | None, _names("--chip", "Chip; see `halfulp chips`.")]
Samples = Annotated[
    int | None, typer.Option("--samples", min=1, metavar="N", help="At most N a task.")
]
Json = Annotated[Path | None, _file("--json", "Write JSON.")]
Csv = Annotated[Path | None, _file("--csv", "Write CSV.")]
Png = Annotated[Path | None, _file("--png", "Draw the picture.")]
StoreFile = Annotated[
    Path | None, _file("--store", "Finished cells; by default in your data folder.")
]
Archive = Annotated[Path | None, _file("--archive", "Downloaded text of the sentiment task.")]


def _examples(*lines: str) -> str:
    return "\n\n".join(["Examples:", *(f"  {line}" for line in lines)])


def fail(message: str) -> NoReturn:
    """Say on stderr what failed, and end with 1."""
    print(f"halfulp: {message}", file=sys.stderr)
    raise typer.Exit(1)


def say(text: str) -> None:
    """Write text to stdout; a reader who closed the pipe has had enough, which is no failure."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # What is left in the buffer must not fail again when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        fail(f"cannot write to the standard output: {error.strerror}")


def usage(option: str, message: str) -> NoReturn:
    """End with 2 and the option's name."""
    raise typer.BadParameter(message, param_hint=option)


@contextlib.contextmanager
def extras() -> Iterator[None]:
    """Turn a missing optional package into the line that installs it, and Ctrl-C into a word."""
    try:
        yield
    except KeyboardInterrupt:
        print("halfulp: stopped before the work began", file=sys.stderr)
        raise typer.Exit(130) from None
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in EXTRAS:
            raise
        fail(f"this command needs {missing}, which is not installed; type: {INSTALL_EXTRAS}")


def _version(wanted: bool) -> None:
    if wanted:
        say(f"halfulp {halfulp.__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    pass


@app.command(
    epilog=_examples(
        "halfulp sweep --samples 50",
        "halfulp sweep --model electra --task detection --json sweep.json",
        "halfulp sweep --policy bf16-all --policy 'cfp8(2,5,bias=3)-matmult'",
    )
)
def sweep(
    model: Models = None,
    task: Tasks = None,
    policy: Policies = None,
    chip: Chips = None,
    samples: Samples = None,
    split: Annotated[Split, typer.Option("--split", help="Which samples.")] = Split.TEST,
    json: Json = None,
    csv: Csv = None,
    png: Png = None,
    store: StoreFile = None,
    archive: Archive = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Run finished cells again too.")] = False,
) -> None:
    """Run models x policies x chips and print accuracy, flips and error beside the peak rates.

    The options --model, --task, --policy and --chip may be repeated; without them the defaults run.
    Finished cells are kept: a sweep that was stopped goes on when the same command is given again.
    """
    with extras():
        from halfulp.study import running
        from halfulp.study.files import FileNotWritten, check_target
        from halfulp.study.plan import WrongName
        from halfulp.study.plan import plan as planned

        if png is not None:
            import halfulp.study.picture  # noqa: F401  # missing matplotlib is told before the work
    taken: dict[Path, str] = {}
    for option, path in {"--store": store, "--json": json, "--csv": csv, "--png": png}.items():
        if path is not None and (first := taken.setdefault(path.resolve(), option)) != option:
            usage(option, f"{path} is also {first}; give each a file of its own")
    for option, path in {"--json": json, "--csv": csv, "--png": png}.items():
        try:
            if path is not None:
                check_target(path)
        except FileNotWritten as error:
            usage(option, str(error))
    try:
        plan = planned(model or (), task or (), policy or (), chip or (), archive)
        result = running.watched(
            plan, store, samples=samples, split=split.value, archive=archive, fresh=fresh
        )
    except WrongName as error:
        usage(error.option, str(error))
    except running.Stopped as stop:
        print(f"halfulp: {stop}", file=sys.stderr)
        raise typer.Exit(130) from stop
    except running.FAILURES as error:
        fail(str(error))
    _finish(result, model or [], json, csv, png)


def _finish(
    result: "Sweep",
    asked: Sequence[str],
    json: Path | None,
    csv: Path | None,
    png: Path | None,
) -> None:
    from halfulp.study.report import to_text
    from halfulp.study.running import render, write

    # Files first: a closed pipe must not cost them.
    failures = write(render(result, json, csv, png))
    width = shutil.get_terminal_size((_WIDTH, 40)).columns
    say(to_text(result, width=width, color=sys.stdout.isatty()))
    missing = set(asked) - {reference.model for reference in result.references}
    if missing:
        failures.append(f"not run: {', '.join(sorted(missing))}")
    elif not result.rows:
        failures.append("no cell was run")
    if failures:
        fail("\nhalfulp: ".join(failures))


for _command, _lines in (
    (format_commands.formats, format_commands.FORMATS_EXAMPLES),
    (format_commands.show, format_commands.SHOW_EXAMPLES),
    (format_commands.explain, format_commands.EXPLAIN_EXAMPLES),
):
    app.command(epilog=_examples(*_lines))(_command)


@app.command(
    epilog=_examples("halfulp policies", "halfulp policies --help", "halfulp policies | head -4")
)
def policies() -> None:
    """List the policies that each chip runs by default, and how others are named."""
    with extras():
        from halfulp.study import catalog
    say(catalog.policies())


@app.command(epilog=_examples("halfulp chips", "halfulp chips --help", "halfulp chips | head -4"))
def chips() -> None:
    """List the chips, their peak rates and the sources of these."""
    with extras():
        from halfulp.study import catalog
    say(catalog.chips())


app.command("verify", epilog=_examples(*verify_command.EXAMPLES))(verify_command.verify)
app.add_typer(conformance_command.command(_examples), name="conformance")
app.add_typer(probe_command.command(_examples), name="probe")
app.command("rates", epilog=_examples(*rates_command.EXAMPLES))(rates_command.rates)
app.command("reveal", epilog=_examples(*reveal_command.EXAMPLES))(reveal_command.reveal)
app.command("sensitivity", epilog=_examples(*sensitivity_command.EXAMPLES))(
    sensitivity_command.sensitivity
)


@app.command(
    epilog=_examples(
        "halfulp doctor", "halfulp doctor --json doctor.json", "halfulp doctor --store cells.sqlite"
    )
)
def doctor(json: Json = None, store: StoreFile = None) -> None:
    """Say what a bug report needs: versions, processor, threads, folders, and what is missing.

    Ends with 1 when something is broken, and says what to type.
    """
    from halfulp.study import doctor as doctors
    from halfulp.study.files import FileNotWritten, write_whole

    checks = tuple(doctors.checks(store))
    say(doctors.to_text(checks))
    if json is not None:
        try:
            write_whole(json, doctors.to_json(checks).encode())
        except FileNotWritten as error:
            fail(str(error))
    if any(check.state is doctors.State.BROKEN for check in checks):
        raise typer.Exit(1)


def main() -> None:
    """The entry point of the command."""
    # A file-size limit must come as an error of the write, not as the end of the process.
    if hasattr(signal, "SIGXFSZ"):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        app(prog_name="halfulp")
    except KeyboardInterrupt:  # before the command is known
        print("halfulp: stopped before the work began", file=sys.stderr)
        sys.exit(130)
