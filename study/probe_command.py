"""The command `halfulp probe`: which of the accumulations that may be a machine's are its."""

import difflib
import fnmatch
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from halfulp.engines.accumulation import Accumulation
    from halfulp.study.probe_files import Probe

EXAMPLES = (
    "halfulp probe write probe.npz",
    "halfulp probe ask neuroncore-assumed-chains2 probe.npz answers.txt",
    "halfulp probe read probe.npz answers.txt",
)
WRITE_EXAMPLES = (
    "halfulp probe write probe.npz",
    "halfulp probe write probe16.npz --format fp16 --every",
    "halfulp probe write two.npz --candidates '*-chains[12]'",
)
ASK_EXAMPLES = (
    "halfulp probe ask neuroncore-assumed-chains2 probe.npz answers.txt",
    "halfulp probe ask neuroncore-assumed-chains1-wide probe.npz answers.npy",
    "halfulp probe ask neuroncore-v2-matmul-bf16-fp32 probe.npz | head -3",
)
READ_EXAMPLES = (
    "halfulp probe read probe.npz answers.txt",
    "halfulp probe read probe.npz answers.npy --json verdict.json",
    "halfulp probe read probe.npz answers.txt --candidates 'neuroncore-*'",
)
_DEFAULT = "neuroncore-assumed-*"

File = Annotated[Path, typer.Argument(metavar="FILE", help="The .npz of `halfulp probe write`.")]


def _candidates(default: str) -> Any:
    text = f"Preset that the machine may be, or a pattern; may be repeated. [{default}]"
    return typer.Option("--candidates", metavar="NAME", help=text)


def write(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An .npz; a .json comes beside it.")],
    format: Annotated[
        str, typer.Option("--format", metavar="NAME", help="Operands: bf16, fp16, or fp32.")
    ] = "bf16",
    candidates: Annotated[list[str] | None, _candidates(_DEFAULT)] = None,
    every: Annotated[
        bool, typer.Option("--every", help="All inputs of the library, not only a few.")
    ] = False,
) -> None:
    """Write the few inputs that tell the candidates apart, and say what to run.

    FILE.npz holds the operands as words, a (n, 256) and b (256, n), and their sha256; FILE.json the
    same in hexadecimal, to be typed into a kernel. fp32 operands take four passes.

    The inputs tell candidates apart, nothing else: a machine that is none of them may answer like
    one. With --every it will hardly do so, and a single candidate can be asked about.
    """
    from halfulp.engines.alternative_inputs import inputs
    from halfulp.engines.alternatives import telling
    from halfulp.study import cli, probe_files
    from halfulp.study.files import FileNotWritten

    if format not in probe_files.FORMATS:
        cli.usage("--format", f"{format!r}; allowed: {', '.join(probe_files.FORMATS)}")
    found = _found(candidates or [_DEFAULT], format)
    try:
        probe_files.check_targets(file)
    except (FileNotWritten, ValueError) as error:
        cli.usage("FILE", str(error))
    library = inputs(format)
    probe = probe_files.Probe(library if every else telling(library, found), tuple(found))
    if not every:
        _refuse_one_class(probe)
    try:
        probe_files.write(file, probe)
    except FileNotWritten as error:
        cli.fail(str(error))
    cli.say(_written(file, probe))


def ask(
    preset: Annotated[str, typer.Argument(metavar="PRESET", help="Who answers.")],
    file: File,
    answers: Annotated[
        Path | None, typer.Argument(metavar="ANSWERS", help="An .npy, an .npz, or a text.")
    ] = None,
) -> None:
    """Answer the inputs as a preset would: a rehearsal of what a machine does.

    Without ANSWERS the words are printed.
    """
    from halfulp.engines import alternatives
    from halfulp.study import cli, probe_answers
    from halfulp.study.files import FileNotWritten

    probe = _probe(file)
    name, how = next(iter(_found([preset], str(probe.inputs.fmt), "PRESET").items()))
    if name != preset:
        cli.usage("PRESET", f"{preset} is a pattern; give one name")
    _check("ANSWERS", answers)
    words = alternatives.answers(probe.inputs, how)
    if answers is None:
        cli.say(probe_answers.text(words, probe))
        return
    try:
        probe_answers.write(answers, words, probe)
    except FileNotWritten as error:
        cli.fail(str(error))


def read(
    file: File,
    answers: Annotated[
        Path, typer.Argument(metavar="ANSWERS", help="An .npy or .npz, or words, one a line.")
    ],
    candidates: Annotated[list[str] | None, _candidates("those of FILE")] = None,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write JSON.")] = None,
) -> None:
    """Say which candidates a machine's answers leave, and which input ruled out each other.

    ANSWERS are float32 or uint32, (n,) or the whole result (n, n), or a text of 8 hexadecimal
    digits a line. A NaN counts as a NaN, whatever its bits.

    Ends with 0 when exactly one class of candidates remains, with 1 when none or several do, with 2
    when the files are not what they should be.
    """
    from halfulp.study import cli, probe_answers
    from halfulp.study.probe_verdict import verdict

    probe = _probe(file)
    found = _found(candidates or list(probe.candidates), str(probe.inputs.fmt))
    try:
        given = probe_answers.read(answers, probe)
    except probe_answers.BadAnswers as error:
        cli.usage("ANSWERS", str(error))
    _check("--json", json)
    judged = verdict(probe, found, given)
    failure = "" if json is None else _kept(json, {"sha256": probe.sha256, **judged.as_json()})
    cli.say(f"{_title(file, probe, len(judged.failures))}\n{judged}\n")
    if failure:
        cli.fail(failure)
    if len(judged.remaining) != 1:
        raise typer.Exit(1)


def command(epilog: Any) -> typer.Typer:
    """The command with its parts; `epilog` makes the end of a help from examples."""
    app = typer.Typer(
        rich_markup_mode=None,
        no_args_is_help=True,
        epilog=epilog(*EXAMPLES),
        help="Tell by a few inputs which of the presets that a machine may be it is.",
    )
    app.command(epilog=epilog(*WRITE_EXAMPLES))(write)
    app.command(epilog=epilog(*ASK_EXAMPLES))(ask)
    app.command(epilog=epilog(*READ_EXAMPLES))(read)
    return app


def _written(file: Path, probe: "Probe") -> str:
    """What was asked, who answers alike, and what to run."""
    from halfulp.engines.alternatives import classes, table
    from halfulp.study.probe_verdict import joined

    candidates = probe.accumulations
    groups = classes(table(probe.inputs, candidates), candidates)
    lines = [_title(file, probe, len(groups)), f"sha256 {probe.sha256}", "", "inputs:"]
    lines += [f"  {number} {name}" for number, name in enumerate(probe.inputs.names, 1)]
    alike = [f"  {joined(group)}" for group in groups if len(group) > 1]
    lines += ["not told apart by these inputs:"] * bool(alike) + alike
    return "\n".join([*lines, "", probe.run()]) + "\n"


def _refuse_one_class(probe: "Probe") -> None:
    """End with 2 where the candidates leave nothing to tell apart."""
    from halfulp.engines.alternatives import classes, table
    from halfulp.study import cli
    from halfulp.study.probe_verdict import joined

    groups = classes(table(probe.inputs, probe.accumulations), probe.candidates)
    if len(groups) == 1:
        same = "answer every input alike" if len(groups[0]) > 1 else "is the only candidate"
        cli.usage(
            "--candidates",
            f"{joined(groups[0])} {same}: there is nothing to tell apart. Give candidates that"
            " differ, or --every to ask whether a machine is this one",
        )


def _title(file: Path, probe: "Probe", groups: int) -> str:
    from halfulp.dtypes.wording import counted

    inputs = probe.inputs
    products = f"{counted(len(inputs), 'input')} of {inputs.a.shape[1]} {inputs.fmt} products"
    return f"{file}: {products}, {counted(groups, 'class')}"


def _kept(path: Path, found: dict[str, Any]) -> str:
    """Write a verdict as JSON; return why it could not be written."""
    from json import dumps

    from halfulp.study.files import FileNotWritten, write_whole

    body = {"kind": "halfulp probe verdict", "schema": 1, **found}
    try:
        write_whole(path, (dumps(body, indent=1) + "\n").encode())
    except FileNotWritten as error:
        return str(error)
    return ""


def _check(option: str, path: Path | None) -> None:
    from halfulp.study import cli
    from halfulp.study.files import FileNotWritten, check_target

    try:
        if path is not None:
            check_target(path)
    except FileNotWritten as error:
        cli.usage(option, str(error))


def _probe(file: Path) -> "Probe":
    from halfulp.study import cli, probe_files

    try:
        return probe_files.read(file)
    except probe_files.BadProbe as error:
        cli.usage("FILE", str(error))


def _found(
    patterns: list[str], format: str, option: str = "--candidates"
) -> "Mapping[str, Accumulation]":
    """The presets that patterns name. Ends with 2 for a pattern of none, and for other operands."""
    from halfulp.engines.presets import PRESETS
    from halfulp.study import cli, probe_files

    names: dict[str, None] = {}
    for pattern in patterns:
        matched = fnmatch.filter(PRESETS, pattern)
        if not matched:
            near = difflib.get_close_matches(pattern, PRESETS, 3, 0)
            cli.usage(option, f"no preset {pattern!r}; the nearest: {', '.join(near)}")
        names |= dict.fromkeys(matched)
    try:
        return probe_files.accumulations(tuple(names), format)
    except probe_files.BadProbe as error:
        cli.usage(option, str(error))
