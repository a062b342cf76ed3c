"""The command `halfulp verify`: what it runs, says, writes and keeps."""

import json
import re
import shlex
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from halfulp.dtypes import FORMATS, FloatFormat, Rounding, cast
from halfulp.dtypes.exhaustive import Verdict
from halfulp.dtypes.rounding import DETERMINISTIC
from halfulp.engines import Activation, function_proof
from halfulp.engines.functions import evaluate
from halfulp.study import verified, verify_command
from halfulp.study.cli import app
from halfulp.study.verification import Asked, Case, plan, plan_functions

FLOATS = [fmt for fmt in FORMATS.values() if isinstance(fmt, FloatFormat)]
PART = "0x3f800000:0x3f810000"
SMALL = ("--format", "e4m3", "--part", PART)


def verify(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["verify", *map(str, arguments)])


def test_a_case_is_judged_and_its_line_printed() -> None:
    result = verify(*SMALL)
    assert result.exit_code == 0
    assert re.search(rf"^e4m3 nearest_even inf part {PART}  65,536 +0 +\d", result.stdout, re.M)
    assert result.stderr.startswith(f"[1/1] e4m3 nearest_even inf part {PART}: 0 wrong of 65,536")


@pytest.mark.parametrize("example", verify_command.EXAMPLES)
def test_the_examples_run_and_find_nothing_wrong(
    example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = verify(*shlex.split(example)[2:])
    assert result.exit_code == 0, result.output
    assert ("--json" in example) is (tmp_path / "verified.json").exists()


def test_the_help_ends_in_the_examples() -> None:
    assert len(verify_command.EXAMPLES) == 4
    help_text = verify("--help").output.partition("Examples:")[2]
    assert [line.strip() for line in help_text.splitlines() if line.strip()] == [
        *verify_command.EXAMPLES
    ]


@pytest.fixture
def wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """encode is off by one code for the inputs from 1.0 to 1.0 plus two ulps."""
    right = cast.encode

    def encode(x: Any, fmt: Any, *, out: Any = None, **options: Any) -> Any:
        codes = right(x, fmt, out=out, **options)
        patterns = x.view("u4")
        codes[(patterns >= 0x3F800000) & (patterns < 0x3F800003)] += 1
        return codes

    monkeypatch.setattr(cast, "encode", encode)


@pytest.mark.usefixtures("wrong")
def test_wrong_inputs_are_shown_and_end_with_one(tmp_path: Path) -> None:
    result = verify(*SMALL, "--json", tmp_path / "v.json")
    assert result.exit_code == 1
    assert ": 3 wrong of 65,536" in result.stderr
    for last in (0, 1, 2):
        assert f"0x3f80000{last}: encode gave 0x39, wanted 0x38" in result.stdout
    (case,) = json.loads((tmp_path / "v.json").read_text())["cases"]
    assert (case["inputs"], case["wrong"], len(case["first"])) == (65_536, 3, 3)


@pytest.mark.usefixtures("wrong")
def test_wrong_draws_are_shown_and_end_with_one() -> None:
    result = verify(*SMALL, "--rounding", "stochastic")
    assert result.exit_code == 1
    assert "0x3f800000 with draw 0 of 1 bit: encode gave 0x39, wanted 0x38" in result.stdout


def names(**asked: Any) -> list[str]:
    return [str(case) for case in plan(Asked(**asked))]


def test_all_is_every_float_format_in_every_deterministic_rounding() -> None:
    cases = plan(Asked(every=True))
    assert {(case.made.fmt, case.made.rounding) for case in cases} == {
        (fmt, rounding) for fmt in FLOATS for rounding in DETERMINISTIC
    }
    assert len(cases) == 6 * len(FLOATS)
    with_nan = [fmt for fmt in FLOATS if fmt.has_nan]
    assert len(plan(Asked(every=True, overflows=["nan"]))) == 6 * len(with_nan)
    assert names(every=True, formats=["e4m3"]) == [
        f"e4m3 {rounding} inf" for rounding in DETERMINISTIC
    ]


def test_a_case_is_named_by_all_that_makes_it() -> None:
    assert names(formats=["E4M3FN"], overflows=["torch"]) == ["e4m3fn nearest_even saturate_all"]
    assert names(formats=["e2m1fn"]) == ["e2m1fn nearest_even inf nan=zero"]
    (name,) = names(
        formats=["int8"],
        roundings=["to_odd"],
        subnormals="flush_inputs",
        source="float16",
        part="1:9",
    )
    assert name == "int8 to_odd inf flush_inputs from float16 part 0x1:0x9"
    made = plan(Asked(formats=["e4m3"], roundings=["stochastic"]))[0].made
    assert made.rounding is Rounding.STOCHASTIC


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a format or a function (--function), or give --all"),
        (["--format", "e4m4x"], "did you mean e4m3"),
        (["--format", "e4m3", "--rounding", "nearst"], "allowed: 'nearest_even'"),
        (["--format", "e4m3", "--overflow", "wrap"], "allowed: 'inf'"),
        (["--format", "e2m1fn", "--overflow", "nan"], "has no NaN"),
        (["--format", "e4m3", "--source", "float64"], "allowed: float32, float16, bfloat16"),
        (["--format", "e4m3", "--part", "0:"], "FIRST:STOP"),
        (["--format", "e4m3", "--part", "9:9"], "is empty, or not inside"),
        (["--format", "e4m3", "--source", "float16", "--part", "0:0x10001"], "not inside"),
        (["--format", "int32"], "up to 16 bits"),
        (["--format", "int8", "--rounding", "stochastic"], "float formats alone"),
        (["--format", "float(8,20,bias=127,no_subnormals)"], "up to 16 bits"),
        (
            ["--format", "e4m3", "--rounding", "stochastic", "--source", "float16"],
            "from float32 alone",
        ),
        ([*SMALL, "--json", "/"], "is a folder"),
    ],
)
def test_wrong_usage_is_told_in_words(arguments: list[str], message: str) -> None:
    result = verify(*arguments)
    assert result.exit_code in (1, 2) and result.stdout == ""
    assert message in " ".join(result.stderr.split())
    assert isinstance(result.exception, SystemExit)


def test_what_is_finished_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "v.json"
    first = verify(*SMALL, "--json", path)
    runs: list[str] = []
    original = Case.run

    def run(case: Case, progress: Any) -> Verdict:
        runs.append(str(case))
        return original(case, progress)

    monkeypatch.setattr(Case, "run", run)
    again = verify(*SMALL, "--rounding", "nearest_even", "--rounding", "to_odd", "--json", path)
    assert runs == [f"e4m3 to_odd inf part {PART}"]
    assert again.stderr.splitlines()[0].endswith("from the file")
    assert first.stdout.splitlines()[1] in again.stdout
    assert len(json.loads(path.read_text())["cases"]) == 2
    monkeypatch.setattr(verified, "proven_here", lambda layers: "other sources")
    assert verify(*SMALL, "--json", path).exit_code == 0
    assert len(runs) == 2 and len(json.loads(path.read_text())["cases"]) == 2


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"kind": "halfulp verify", "schema": 9}', "\0"]
)
def test_a_file_of_another_kind_is_left_alone(content: str, tmp_path: Path) -> None:
    path = tmp_path / "v.json"
    path.write_text(content)
    result = verify(*SMALL, "--json", path)
    assert result.exit_code == 1 and "name another file" in result.stderr
    assert path.read_text() == content


def test_an_interrupted_proof_says_how_far_it_was_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "v.json"
    both = (*SMALL, "--rounding", "to_odd", "--rounding", "toward_zero", "--json", path)
    original = Case.run

    def interrupted(case: Case, progress: Any) -> Verdict:
        if case.made.rounding is Rounding.TOWARD_ZERO:
            progress(0.43)
            raise KeyboardInterrupt
        return original(case, progress)

    with monkeypatch.context() as patch:
        patch.setattr(Case, "run", interrupted)
        result = verify(*both)
    assert result.exit_code == 130
    assert (
        f"stopped in e4m3 toward_zero inf part {PART} at 43%; 1 of 2 cases is finished"
        f" and kept in {path}: the same command goes on from there"
    ) in result.stderr
    again = verify(*both)
    assert again.exit_code == 0 and again.stderr.count("from the file") == 1


def test_a_proof_that_is_stopped_at_once_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(layers: tuple[str, ...]) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(verified, "proven_here", stopped)
    result = verify(*SMALL)
    assert result.exit_code == 130
    assert "stopped in the beginning; 0 of 1 case is finished" in result.stderr


def test_ctrl_c_ends_the_command_with_130() -> None:
    command = [sys.executable, "-m", "halfulp", "verify", "--format", "e2m1fn", "--all"]
    process = subprocess.Popen(
        [*command, "--part", "0:0x4000000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell that runs the tests in the background has told its children to ignore it
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr is not None
    assert process.stderr.readline().startswith("[1/6]")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "with --json FILE they are kept" in errors and "Traceback" not in errors


FUNCTION_PART = "0xc0000000:0xc0010000"


def test_a_function_is_judged_and_its_hardest_input_named(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    asked = ("--function", "gelu", "--function", "sign", "--part", FUNCTION_PART)
    result = verify(*asked, "--json", str(path))
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].endswith("nearest to a tie")
    pattern = rf"^function gelu part {FUNCTION_PART}  65,536 +0 +\d.* \(2\^-\d+\.\d of a unit\)$"
    assert re.search(pattern, lines[1])
    assert lines[2].startswith("function sign") and lines[2].split()[4:6] == ["65,536", "0"]
    again = verify(*asked, "--json", str(path))
    assert again.stderr.count("from the file") == 2 and again.stdout == result.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--function", "gelo"), "function='gelo' is not known; allowed: 'copy', 'exp', "),
        (("--function", "gelu", "--format", "e4m3"), "functions have no options of casts"),
        (("--function", "all", "--part", "5:5"), "5:5 is empty"),
    ],
)
def test_wrong_functions_are_told_in_words(arguments: tuple[str, ...], told: str) -> None:
    result = verify(*arguments)
    assert result.exit_code == 2
    assert told in " ".join(result.output.replace("│", " ").split())


def test_all_functions_are_all() -> None:
    cases = plan_functions(Asked(functions=["all"]))
    assert [case.function for case in cases] == [*Activation]


def test_a_wrong_function_ends_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def off(function: Activation, x: Any, slope: float) -> Any:
        return evaluate(function, x, slope=slope) * np.float32(1.0000001)

    monkeypatch.setattr(function_proof, "evaluate", off)
    result = verify("--function", "exp", "--part", "0x3f800000:0x3f800010")
    assert result.exit_code == 1
    assert "0x3f800000: gave 0x" in result.stdout
