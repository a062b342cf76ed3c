"""`halfulp conformance`: targets, the pipe, and what it says to wrong usage and broken answers."""

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from halfulp.dtypes import E4M3, encode, round_to
from halfulp.dtypes.conformance_inputs import inputs
from halfulp.study import conformance_command
from halfulp.study.cli import app
from tests.test_docs import blocks
from tests.tree import ROOT

PAGE = (ROOT / "docs/conformance.md").read_text(encoding="utf-8")
RIGHT = "kept += rest > half || (rest == half && (kept & 1));"
WRONG = "kept += rest >= half;"
MODULE = """
import numpy as np
from halfulp.dtypes import encode, round_to

def cast(x):
    return round_to(x, "e4m3")

def codes(x):
    return encode(x, "e4m3")

def away(x):
    return round_to(x, "e4m3", rounding="nearest_away")

def broken(x):
    raise RuntimeError("no such thing")

number = 3

class Casts:
    class_cast = staticmethod(cast)
"""


def run(*arguments: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(app, ["conformance", *arguments], input=stdin)


def words(result: Result) -> str:
    return " ".join(result.output.replace("│", " ").split())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a module that nobody imported before."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "mymodule.py").write_text(MODULE)
    monkeypatch.delitem(sys.modules, "mymodule", raising=False)
    return tmp_path


def answered(
    source: str = "float32", rounding: str = "nearest_even", overflow: str = "inf"
) -> list[str]:
    """The lines of a right cast to e4m3."""
    x = inputs(E4M3, source)
    patterns = x.view(f"u{x.itemsize}").tolist()
    codes = encode(x, E4M3, rounding=rounding, overflow=overflow).tolist()
    width = 2 * x.itemsize
    return [f"{a:0{width}x} {b:02x}\n" for a, b in zip(patterns, codes, strict=True)]


def joined(lines: list[str]) -> bytes:
    return "".join(lines).encode()


def test_a_type_of_a_library_is_judged_by_its_name() -> None:
    for name in ("ml_dtypes.float8_e4m3fn", "numpy.float16", "torch.float8_e4m3fn"):
        result = run("--target", name)
        assert result.exit_code == 0, result.output
        assert result.stdout.startswith(f"{name}: float32 to ")
        assert result.stdout.endswith("all laws hold\n")


def test_a_broken_law_ends_with_one_and_stands_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "report.json"
    options = ("--source", "float64", "--json", str(path))
    result = run("--target", "ml_dtypes.float8_e3m4", *options)
    found = json.loads(path.read_text())
    assert found["target"] == "ml_dtypes.float8_e3m4" and found["kind"] == "halfulp conformance"
    single = next(law for law in found["laws"] if law["name"] == "single rounding")
    if not single["wrong"]:
        pytest.skip("this ml_dtypes rounds float64 once")
    assert result.exit_code == 1 and not found["ok"]
    assert single["input"] in result.stdout and "NOT CONFORMING" in result.stdout


def test_a_library_is_judged_by_its_own_policy_and_by_another() -> None:
    assert run("--target", "torch.float8_e4m3fn").exit_code == 0
    result = run("--target", "torch.float8_e4m3fn", "--overflow", "inf")
    assert result.exit_code == 1
    assert "past the largest value it does as overflow saturate_all" in result.stdout


@pytest.mark.parametrize(
    ("name", "options", "code"),
    [
        ("mymodule:cast", [], 0),
        ("mymodule:Casts.class_cast", [], 0),
        ("mymodule:codes", ["--codes"], 0),
        ("mymodule:codes", [], 1),
        ("mymodule:away", [], 1),
        ("mymodule:away", ["--rounding", "nearest_away"], 0),
        ("mymodule:broken", [], 1),
    ],
)
@pytest.mark.usefixtures("folder")
def test_a_function_of_a_module_is_judged(name: str, options: list[str], code: int) -> None:
    result = run("--target", name, "--format", "e4m3", *options)
    assert result.exit_code == code, result.output
    assert name != "mymodule:broken" or "RuntimeError: no such thing" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a cast to judge, or `gen` or `check`"),
        (["--target", "jax.bfloat16"], "give a type of ml_dtypes, numpy, torch"),
        (["--target", "torch"], "is no target"),
        (["--target", "ml_dtypes.float8_e4m3x"], "ml_dtypes has no type 'float8_e4m3x'"),
        (["--target", "numpy.sum"], "numpy has no type 'sum'"),
        (["--target", "numpy.float64"], "has no format here"),
        (["--target", "numpy.int8"], "int8 is an integer format"),
        (["--target", "nowhere:cast"], "cannot import nowhere: ModuleNotFoundError"),
        (["--target", "mymodule:nothing"], "mymodule has no 'nothing'"),
        (["--target", "mymodule:number"], "is an int, no function"),
        (["--target", "mymodule:cast"], "says no format; give one"),
        (["--target", "mymodule:cast", "--format", "e4m4x"], "did you mean e4m3"),
        (["--target", "numpy.float16", "--source", "bfloat16"], "float16, float32, float64"),
        (["--target", "numpy.float16", "--rounding", "stochastic"], "has no one answer"),
        (["--target", "numpy.float16", "--overflow", "wrap"], "allowed: 'inf'"),
        (["--target", "numpy.float16", "--level", "3"], "allowed: 1, 2"),
        (["--target", "numpy.float16", "--json", "/"], "is a folder"),
        (["--target", "numpy.float16", "gen", "e4m3"], "gen takes none"),
        (["gen"], "FORMAT"),
        (["gen", "int8"], "integer format"),
        (["check", "e4m3", "--result", "float8"], "allowed: code, float16"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_wrong_usage_ends_with_two_and_says_what_is_right(
    arguments: list[str], message: str
) -> None:
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert message in words(result)
    assert isinstance(result.exception, SystemExit)


def test_a_module_that_fails_is_told_in_words(folder: Path) -> None:
    (folder / "failing.py").write_text("1 / 0")
    result = run("--target", "failing:cast", "--format", "e4m3")
    assert result.exit_code == 2 and "ZeroDivisionError" in words(result)


@pytest.mark.parametrize(
    ("command", "lines"),
    [
        ([], conformance_command.EXAMPLES),
        (["gen"], conformance_command.GEN_EXAMPLES),
        (["check"], conformance_command.CHECK_EXAMPLES),
    ],
)
def test_each_help_ends_in_three_examples(command: list[str], lines: tuple[str, ...]) -> None:
    assert len(lines) == 3
    text = run(*command, "--help").output.partition("Examples:")[2]
    assert [line.strip() for line in text.splitlines() if line.strip()] == [*lines]


@pytest.mark.deep
def test_the_examples_run(folder: Path) -> None:
    halfulp = shlex.join([sys.executable, "-m", "halfulp"])
    script = "import sys; from halfulp.dtypes import encode; import numpy as np\n" + (
        "for line in sys.stdin: print(line.strip(),"
        " '%02x' % encode(np.uint32(int(line, 16)).view('f4'), 'e4m3'))"
    )
    cast = folder / "my_cast"
    cast.write_text(f"#!{sys.executable}\n{script}\n")
    cast.chmod(0o755)
    for example in (*conformance_command.EXAMPLES, *conformance_command.GEN_EXAMPLES):
        line = example.replace("halfulp", halfulp)
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), example
    for example in conformance_command.CHECK_EXAMPLES[1:]:
        options = shlex.split(example.partition("<")[0])[2:]
        assert "no answer came" in run(*options, stdin=b"").output


def test_gen_prints_each_input_once() -> None:
    for source, width in (("float16", 4), ("float32", 8), ("float64", 16)):
        lines = run("gen", "e4m3", "--source", source).stdout.splitlines()
        found = np.array([int(line, 16) for line in lines], f"u{width // 2}")
        assert {len(line) for line in lines} == {width}
        assert np.array_equal(found.view(source), inputs(E4M3, source), equal_nan=True)


def test_right_answers_pass_in_any_order_and_writing() -> None:
    lines = answered()
    for variant in (
        lines,
        lines[::-1],
        [line.upper().replace("\n", "\r\n") for line in lines],
        [f"  0x{line.replace(' ', chr(9) + '0x')}\n" for line in lines],
    ):
        result = run("check", "e4m3", stdin=joined(variant))
        assert result.exit_code == 0, result.output
        assert result.stdout.startswith("standard input: float32 to e4m3, nearest_even")


def test_answers_may_be_values() -> None:
    x = inputs(E4M3, "float64")
    values = round_to(x, E4M3).view("u8")
    lines = [
        f"{a:016x} {b:016x}\n" for a, b in zip(x.view("u8").tolist(), values.tolist(), strict=True)
    ]
    options = ("check", "e4m3", "--source", "float64", "--result", "float64")
    assert run(*options, stdin=joined(lines)).exit_code == 0
    result = run(*options[:-2], stdin=joined(lines))
    assert result.exit_code == 1 and "--result says what answers are" in words(result)


def test_the_choices_reach_the_judge() -> None:
    lines = joined(answered(rounding="nearest_away", overflow="saturate"))
    right = ("--rounding", "nearest_away", "--overflow", "saturate")
    assert run("check", "e4m3", *right, stdin=lines).exit_code == 0
    for wrong in (right[:2], right[2:]):
        assert run("check", "e4m3", *wrong, stdin=lines).exit_code == 1


def _garbled(lines: list[str]) -> list[str]:
    return [*lines[:7], "Segmentation fault\n", *lines[7:]]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda lines: [], "no answer came"),
        (lambda lines: ["\n"] * 9, "no answer came"),
        (lambda lines: lines[:40], "40 of 67,214 inputs are answered, "),
        (lambda lines: [*lines[:-1], lines[-1][:5]], "line 67214 is 'ff"),
        (lambda lines: [*lines, lines[0]], "line 67215: there were only 67,214 inputs"),
        (lambda lines: [*lines[:-1], lines[0]], "ff800000 is answered 2 times"),
        (_garbled, "line 8 is 'Segmentation fault'"),
        (lambda lines: [line.split()[1] + "\n" for line in lines], "line 1 is 'f8'"),
        (lambda lines: [lines[0].strip() + " 3\n", *lines[1:]], "two hexadecimal numbers"),
        (lambda lines: ["f" * 1000, *lines], "line 1 is 'fff"),
        (lambda lines: ["\0\x80\xff", *lines], "line 1 is '\\x00"),
        (lambda lines: ["3f800000 138\n", *lines[1:]], "line 1: 138 is no code of e4m3"),
        (
            lambda lines: ["3f912345 38\n", *lines[1:]],
            "answer 1 is to 3f912345, no input of `gen e4m3",
        ),
        (lambda lines: answered("float64"), "give check the --source that gen had"),
    ],
)
def test_answers_that_cannot_be_judged_end_with_one(broken: object, message: str) -> None:
    lines: list[str] = broken(answered())  # type: ignore[operator]
    result = run("check", "e4m3", stdin="".join(lines).encode("latin-1"))
    assert result.exit_code == 1, result.output
    assert result.stdout == "" and message in result.stderr
    assert isinstance(result.exception, SystemExit)


def test_a_stream_without_end_is_not_read_to_its_end() -> None:
    with Path("/dev/zero").open("rb") as stream:
        done = subprocess.run(
            [sys.executable, "-m", "halfulp", "conformance", "check", "e4m3"],
            stdin=stream,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1 and "line 1 is " in done.stderr


def test_gen_into_a_cast_that_ends_early_is_no_traceback() -> None:
    command = shlex.join([sys.executable, "-m", "halfulp", "conformance", "gen", "e4m3"])
    line = f"{command} | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("ff800000\n0\n", "")


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler here")
def test_the_c_program_of_the_page_fails_until_its_fault_is_mended(tmp_path: Path) -> None:
    (program,) = blocks(PAGE, "c")
    shown = next(text for text in blocks(PAGE, "text") if text.startswith("standard input"))
    assert program.count(WRONG) == 1 and RIGHT in PAGE
    for source, code in ((program, 1), (program.replace(WRONG, RIGHT), 0)):
        (tmp_path / "my_cast.c").write_text(source)
        compiler = ["cc", "-Wall", "-Wextra", "-Werror", "-o", "my_cast", "my_cast.c"]
        subprocess.run(compiler, cwd=tmp_path, check=True, capture_output=True)
        halfulp = shlex.join([sys.executable, "-m", "halfulp", "conformance"])
        done = subprocess.run(
            ["bash", "-c", f"{halfulp} gen e4m3 | ./my_cast | {halfulp} check e4m3"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (code, "")
        assert (done.stdout == shown) is (code == 1)
        assert done.stdout.endswith("all laws hold\n") is (code == 0)


def test_the_python_of_the_page_runs() -> None:
    (program,) = blocks(PAGE, "python")
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
