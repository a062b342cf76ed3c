"""The command: its exits, its help, its files, and what it says when it is used wrongly."""

import contextlib
import csv
import importlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from transformers import ElectraConfig, ElectraForSequenceClassification
from typer.testing import CliRunner

import halfulp
from halfulp.study.artifacts import DATA
from halfulp.study.cli import app, extras, main
from halfulp.study.plan import plan
from halfulp.study.store import Store

HALFULP = [sys.executable, "-m", "halfulp"]
COMMANDS = ("sweep", "formats", "show", "explain", "policies", "chips", "doctor")
PROMISED = ("fp32", "bf16-matmult", "e4m3-matmult-scaled")
SMALL: dict[str, Any] = {
    "vocab_size": 8192,
    "hidden_size": 32,
    "embedding_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 128,
    "num_labels": 26,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random ELECTRA as a user's folder would hold it."""
    path = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    ElectraForSequenceClassification(ElectraConfig(**SMALL)).save_pretrained(path)
    shutil.copy(DATA / "electra-supersense/tokenizer.json", path)
    return path


def halfulp_(
    *arguments: object, environment: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run the command in a process of its own."""
    return subprocess.run(
        [*HALFULP, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(environment or {})},
        timeout=300,
    )


def small_sweep(folder: Path, store: Path, *more: object) -> list[str]:
    policies = [part for name in PROMISED for part in ("--policy", name)]
    arguments = ("--model", folder, "--store", store, "--chip", "inferentia2", *policies)
    return ["sweep", *map(str, (*arguments, "--samples", 8, *more))]


def examples(command: str) -> list[str]:
    text = CliRunner().invoke(app, [command, "--help"]).output
    lines = text.partition("Examples:")[2].splitlines()
    return [line.strip() for line in lines if line.strip()]


@pytest.mark.parametrize("command", COMMANDS)
def test_each_help_ends_in_three_examples_of_the_command(command: str) -> None:
    found = examples(command)
    assert len(found) == 3
    assert all(line.startswith(f"halfulp {command}") for line in found)


@pytest.mark.parametrize("example", [line for name in COMMANDS[1:] for line in examples(name)])
def test_the_examples_run(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, shlex.split(example.partition("|")[0])[1:])
    assert result.exit_code == 0, result.output
    assert result.output


@pytest.mark.parametrize("example", examples("sweep"))
def test_the_examples_of_sweep_name_what_there_is(example: str) -> None:
    command = typer.main.get_command(app)
    sweep = command.get_command(None, "sweep")  # type: ignore[attr-defined]
    given = sweep.make_context("sweep", shlex.split(example)[2:]).params
    assert plan(given["model"], given["task"], given["policy"], given["chip"])


def test_the_version_is_that_of_the_package() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"halfulp {halfulp.__version__}\n")


def test_the_command_starts_without_heavy_libraries() -> None:
    heavy = ("torch", "transformers", "matplotlib", "scipy", "numba", "numpy")
    code = f"import sys, halfulp.study.cli; print([x for x in {heavy} if x in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "e4m4x"], "no format is called 'e4m4x'; did you mean e4m3"),
        (["show", "cfp8(4,3,bias=99999)"], "out of range"),
        (["sweep", "--model", "minilmm"], "did you mean minilm"),
        (["sweep", "--task", "supersens"], "did you mean supersense"),
        (["sweep", "--chip", "inferentia"], "did you mean inferentia"),
        (["sweep", "--policy", "bf16-matmul"], "did you mean bf16-matmult"),
        (["sweep", "--model", "minilm", "--task", "detection"], "minilm does supersense"),
        (["sweep", "--samples", "0"], "--samples"),
        (["sweep", "--split", "train"], "--split"),
        (["sweep", "--sample", "3"], "--samples"),
        (["sweep", "--json", "/"], "is a folder"),
        (["swep"], "swep"),
    ],
)
def test_wrong_usage_ends_with_two_and_names_the_nearest(
    arguments: list[str], message: str
) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert message in result.output.replace("\n", " ")
    assert result.exception is None or isinstance(result.exception, SystemExit)


def test_a_closed_pipe_is_no_traceback() -> None:
    command = f"set -o pipefail; {shlex.join(HALFULP)} formats | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout == "0\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_under_stdout_is_an_error_in_words() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*HALFULP, "chips"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert "halfulp: cannot write to the standard output: No space" in done.stderr
    assert "Traceback" not in done.stderr


BLOCKED = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Block())
sys.argv = ["halfulp", *{arguments!r}]
from halfulp.study.cli import main
main()
"""


def without(blocked: tuple[str, ...], *arguments: str) -> "subprocess.CompletedProcess[str]":
    code = BLOCKED.format(blocked=blocked, arguments=arguments)
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("missing", ["torch", "transformers", "scipy"])
def test_a_missing_extra_is_named_with_the_line_that_installs_it(missing: str) -> None:
    done = without((missing,), "sweep")
    assert done.returncode == 1
    assert f"needs {missing}" in done.stderr
    assert "type: pip install 'halfulp[torch,study]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_matplotlib_a_picture_is_refused_before_the_work(tmp_path: Path) -> None:
    done = without(("matplotlib",), "sweep", "--png", str(tmp_path / "x.png"))
    assert done.returncode == 1
    assert "needs matplotlib" in done.stderr


@pytest.mark.parametrize("command", [("formats",), ("show", "bf16"), ("chips",)])
def test_lists_of_the_lower_layers_need_no_torch(command: tuple[str, ...]) -> None:
    done = without(("torch", "transformers", "scipy", "matplotlib"), *command)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@pytest.fixture(scope="module")
def undisturbed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files, the store and the output of a sweep that nothing stopped."""
    place = tmp_path_factory.mktemp("sweep")
    done = halfulp_(*small_sweep(folder, place / "store", *outputs(place)))
    assert done.returncode == 0, done.stderr
    (place / "stdout").write_text(done.stdout)
    (place / "stderr").write_text(done.stderr)
    return place


def outputs(place: Path) -> tuple[object, ...]:
    return ("--json", place / "a/s.json", "--csv", place / "s.csv", "--png", place / "s.png")


def test_a_sweep_prints_and_writes_its_cells(folder: Path, undisturbed: Path) -> None:
    progress = (undisturbed / "stderr").read_text()
    first, *cells = progress.splitlines()
    assert first == f"[0/3] {folder}, supersense: the reference in float32 ..."
    assert [line.partition("]")[0] for line in cells] == ["[1/3", "[2/3", "[3/3"]
    assert "from the store" not in progress
    result = json.loads((undisturbed / "a/s.json").read_text())
    assert [row["policy"] for row in result["rows"]] == list(PROMISED)
    assert result["rows"][0]["flips"] == 0
    assert result["rows"][0]["sqnr_db"] > 90
    assert {row["samples"] for row in result["rows"]} == {8}
    assert (undisturbed / "s.png").read_bytes().startswith(b"\x89PNG")
    with (undisturbed / "s.csv").open(newline="") as lines:
        assert [row["policy"] for row in csv.DictReader(lines)] == list(PROMISED)
    text = (undisturbed / "stdout").read_text()
    assert all(name in text for name in PROMISED)


def test_a_finished_sweep_is_read_from_its_store(
    folder: Path, undisturbed: Path, tmp_path: Path
) -> None:
    second = halfulp_(*small_sweep(folder, undisturbed / "store", *outputs(tmp_path)))
    assert second.returncode == 0
    assert second.stderr.count("from the store") == 3
    assert second.stdout == (undisturbed / "stdout").read_text()
    again, first = (json.loads((p / "a/s.json").read_text()) for p in (tmp_path, undisturbed))
    assert again["rows"] == first["rows"]


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.deep)]
)
def test_a_stopped_sweep_goes_on_when_the_command_is_given_again(
    folder: Path, undisturbed: Path, tmp_path: Path, number: signal.Signals
) -> None:
    for attempt in range(8):
        store = tmp_path / f"store{attempt}"
        arguments = small_sweep(folder, store, "--json", tmp_path / "s.json")
        process = subprocess.Popen(
            [*HALFULP, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # a shell that runs the tests in the background has told its children to ignore it
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )
        assert process.stderr is not None
        reference, first = process.stderr.readline(), process.stderr.readline()
        process.send_signal(number)
        _, errors = process.communicate()
        if process.returncode != 0:
            break
        # on a busy machine the small sweep may end before the signal comes: that shows nothing
        (tmp_path / "s.json").unlink()
    if number == signal.SIGINT:
        assert process.returncode == 130, errors
        assert f"kept in {store}: the same command goes on from there" in errors
        assert "Traceback" not in errors
    assert reference.startswith("[0/3]") and first.startswith("[1/3]")
    assert not (tmp_path / "s.json").exists()
    again = halfulp_(*arguments)
    assert again.returncode == 0, again.stderr
    assert again.stderr.splitlines()[0].endswith("from the store")
    assert without_seconds(tmp_path / "s.json") == without_seconds(undisturbed / "a/s.json")


def without_seconds(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(path.read_text())["rows"]
    for row in rows:
        del row["seconds"]
    return rows


@pytest.mark.deep
def test_a_chip_that_refuses_a_cell_is_no_failure(folder: Path, tmp_path: Path) -> None:
    done = halfulp_(
        *("sweep", "--model", folder, "--policy", "fp32", "--policy", "bf16-all"),
        *("--chip", "inferentia1", "--samples", 4, "--store", tmp_path / "store"),
        *("--json", tmp_path / "s.json"),
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "s.json").read_text())
    assert [row["policy"] for row in result["rows"]] == ["bf16-all"]
    (refused,) = result["refused"]
    assert (refused["policy"], refused["chip"]) == ("fp32", "inferentia1")
    assert refused["reason"]
    assert "refused: fp32 on inferentia1" in done.stdout


def test_what_cannot_run_is_named_and_ends_with_one(folder: Path, tmp_path: Path) -> None:
    pickled = tmp_path / "pickled"
    shutil.copytree(folder, pickled)
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    damaged = tmp_path / "damaged"
    shutil.copytree(folder, damaged)
    (damaged / "model.safetensors").write_bytes(b"\0" * 100)
    no_store = tmp_path / "no-store"
    no_store.write_bytes(b"text" * 1000)
    runner = CliRunner()
    for more, message in (
        (("--model", tmp_path / "missing"), "save_pretrained wrote, or"),
        (("--model", pickled), "pickled weights"),
        (("--model", damaged), "copy or download the file again"),
        (("--model", folder, "--store", no_store), "no-store is damaged"),
        (("--model", "minilm", "--task", "sentiment", "--archive", folder), "cannot be read"),
    ):
        arguments = ("sweep", "--store", tmp_path / "store", "--samples", 4, *more)
        result = runner.invoke(app, list(map(str, arguments)))
        assert result.exit_code == 1, result.output
        assert message in result.output.replace("\n  ", " ")
        assert isinstance(result.exception, SystemExit)


def test_interrupted_before_the_work_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as caught, extras():
        raise KeyboardInterrupt
    assert caught.value.exit_code == 130
    assert capsys.readouterr().err == "halfulp: stopped before the work began\n"


@pytest.mark.parametrize(
    ("arguments", "runs"),
    [
        (["reveal", "numpy.sum"], "halfulp.engines.reveal.reveal"),
        (["conformance", "--target", "numpy.float16"], "halfulp.dtypes.conformance.check_cast"),
        (["conformance", "gen", "e4m3"], "halfulp.study.conformance_pipe.questions"),
        (["verify", "--format", "e4m3"], "halfulp.study.verification.plan"),
        (["probe", "write", "p.npz"], "halfulp.engines.alternative_inputs.inputs"),
        (["sensitivity"], "halfulp.study.provenance.free_bytes"),
        (["chips"], "halfulp.study.catalog.chips"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_command_that_is_stopped_says_so(
    arguments: list[str], runs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*given: object, **choices: object) -> None:
        raise KeyboardInterrupt

    module, _, name = runs.rpartition(".")
    # the package has a function of that name too, which hides the module from getattr
    monkeypatch.setattr(importlib.import_module(module), name, stopped)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 130 and result.stdout == ""
    told = f"halfulp: stopped before `halfulp {arguments[0]}` was done; nothing is lost\n"
    assert result.stderr == told


@pytest.mark.parametrize("where", ["typer.core.TyperGroup.make_context", "typer.main.get_command"])
def test_stopped_before_a_command_is_known_it_says_so_too(
    where: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*given: object, **choices: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(where, stopped)
    monkeypatch.setattr(sys, "argv", ["halfulp", "chips"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 130
    assert capsys.readouterr().err.startswith("halfulp: stopped before ")


SLOW = """
import time

def total(x):
    print("called", flush=True)
    time.sleep(60)
"""


def test_ctrl_c_in_a_long_command_is_a_line_and_130(tmp_path: Path) -> None:
    (tmp_path / "slowly.py").write_text(SLOW)
    process = subprocess.Popen(
        [*HALFULP, "reveal", "slowly:total"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        # a shell that runs the tests in the background has told its children to ignore it
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None and process.stdout.readline() == "called\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == "halfulp: stopped before `halfulp reveal` was done; nothing is lost\n"


@pytest.mark.parametrize("option", ["--json", "--csv", "--png"])
def test_the_standard_output_is_no_file(option: str, tmp_path: Path) -> None:
    with contextlib.chdir(tmp_path):
        result = CliRunner().invoke(app, ["sweep", option, "-"])
    assert result.exit_code == 2
    assert "'-' is no file" in result.output
    assert not list(tmp_path.iterdir())


LIMITED = """
import resource, signal, sys
from functools import partial
from pathlib import Path
from halfulp.study.running import render, write
from tests.study.results import whole

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = Path(sys.argv[1])
new = render(whole(), folder / "s.json", folder / "s.csv", folder / "s.png")
largest = max(map(len, new.values()))
for step in range(51):
    for path in new:
        path.write_bytes(b"old")
    limit = largest * step // 49
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    failures = write(new)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    old = [path for path in new if path.read_bytes() == b"old"]
    assert all(path.read_bytes() == new[path] for path in new if path not in old), limit
    assert len(failures) == len(old)
    for path, failure in zip(old, failures, strict=True):
        assert failure.startswith(f"cannot write {path}: no space"), failure
    assert sorted(folder.iterdir()) == sorted(new)
    print(len(old))
"""


@pytest.mark.deep
def test_at_each_of_fifty_size_limits_every_file_is_old_or_new_and_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    old = [int(line) for line in done.stdout.split()]
    assert (len(old), old[0], old[-1]) == (51, 3, 0)
    assert old == sorted(old, reverse=True)
    assert {1, 2, 3} <= set(old)


@pytest.mark.deep
@pytest.mark.parametrize("limit", [0, 60_000])
def test_a_sweep_under_a_size_limit_says_where_there_is_no_space(
    folder: Path, tmp_path: Path, limit: int
) -> None:
    store, png = tmp_path / "store", tmp_path / "s.png"
    arguments = small_sweep(folder, store, "--png", png)
    code = (
        "import resource, sys; from halfulp.study.cli import main;"
        f" resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}));"
        f" sys.argv = ['halfulp', *{arguments!r}]; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no space" in done.stderr
    assert f"the store {store}" in done.stderr or f"cannot write {png}" in done.stderr
    assert "Traceback" not in done.stderr
    assert not png.exists()
    again = halfulp_(*arguments)
    assert again.returncode == 0, again.stderr
    with Store(store) as kept:
        assert len(kept) == 4
