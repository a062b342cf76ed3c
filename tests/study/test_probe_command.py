"""`halfulp probe`: a machine's answers name its alternative, or say that it is none."""

import errno
import json
import os
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from halfulp.engines import SYSTOLIC, alternatives
from halfulp.engines.presets import NEURONCORE
from halfulp.study import probe_command, probe_files
from halfulp.study.probe_files import Probe
from tests.study.probing import ONE, judged, probe, words


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The inputs for the NeuronCore's alternatives, and what was printed, in a file beside them."""
    path = tmp_path_factory.mktemp("probe") / "probe.npz"
    result = probe("write", path)
    assert result.exit_code == 0, result.output
    path.with_suffix(".txt").write_text(result.stdout)
    return path


@pytest.fixture
def asked(written: Path) -> Probe:
    return probe_files.read(written)


@pytest.mark.parametrize("name", NEURONCORE)
def test_each_alternative_is_found_through_files(name: str, written: Path, tmp_path: Path) -> None:
    path = tmp_path / f"answers.{('txt', 'npy', 'npz')[len(name) % 3]}"
    assert probe("ask", name, written, path).exit_code == 0
    result, found = judged(written, path)
    assert result.exit_code == 0, result.output
    (group,) = found["remaining"]
    assert name in group and not found["nearest"]
    others = {other for one in found["ruled_out"] for other in one["candidates"]}
    assert others == set(NEURONCORE) - set(group)
    assert "remaining: 1 of 24 classes" in result.stdout
    for one in found["ruled_out"]:
        first = one["failures"][0]
        assert first["expected"] != first["given"]
        assert f"expected {first['expected']}, given {first['given']}" in result.stdout


@pytest.mark.parametrize("format", ["fp16", "fp32"])
def test_other_operands_make_the_round_trip(format: str, tmp_path: Path) -> None:
    path, answers = tmp_path / "probe.npz", tmp_path / "answers.txt"
    names = ["neuroncore-assumed-chains2-t*", "neuroncore-assumed-chains1"]
    more = [word for name in names for word in ("--candidates", name)]
    assert probe("write", path, "--format", format, *more).exit_code == 0
    assert probe("ask", names[1], path, answers).exit_code == 0
    result, found = judged(path, answers)
    assert result.exit_code == 0
    assert found["remaining"] == [[names[1]]]
    digits = json.loads(path.with_suffix(".json").read_text())["rows of a"][0].split()[0]
    assert len(digits) == (4 if format == "fp16" else 8)


def test_a_machine_that_is_none_is_told_the_nearest(
    written: Path, asked: Probe, tmp_path: Path
) -> None:
    found = alternatives.answers(asked.inputs, NEURONCORE[ONE])
    path = tmp_path / "answers.txt"
    found[1] = 0x7FFFFFFF
    path.write_text("".join(f"{word:08x}\n" for word in found))
    result, verdict = judged(written, path)
    assert result.exit_code == 1 and verdict["remaining"] == []
    assert [ONE] in verdict["nearest"] and len(verdict["ruled_out"]) == 24
    assert "remaining: 0 of 24 classes\nnearest: 1 of 4 answers differs" in result.stdout
    line = f"    input 2 ({asked.inputs.names[1]}): expected 00000000, given 7fffffff"
    assert f"  {ONE}\n{line}\n" in result.stdout


def test_several_classes_remain_where_others_are_asked_about(tmp_path: Path) -> None:
    path, answers = tmp_path / "probe.npz", tmp_path / "answers.txt"
    names = (ONE, f"{ONE}-truncated")
    chosen = [word for name in names for word in ("--candidates", name)]
    assert probe("write", path, *chosen).exit_code == 0
    assert len(probe_files.read(path).inputs) == 1
    assert probe("ask", ONE, path, answers).exit_code == 0
    assert judged(path, answers)[0].exit_code == 0
    result, verdict = judged(path, answers, "--candidates", "neuroncore-assumed-*")
    assert result.exit_code == 1 and len(verdict["remaining"]) > 1


def test_what_tells_nothing_apart_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "probe.npz"
    alone = probe("write", path, "--candidates", ONE)
    assert alone.exit_code == 2 and not list(tmp_path.iterdir())
    assert f"{ONE} is the only candidate: there is nothing to tell apart" in words(alone)
    alike = probe("write", path, "--candidates", "neuroncore-v?-matmul-bf16-fp32")
    assert alike.exit_code == 2 and not list(tmp_path.iterdir())
    assert "v2-matmul-bf16-fp32 answer every input alike: there is nothing" in words(alike)


def test_with_every_input_one_candidate_is_asked_about(tmp_path: Path) -> None:
    path, answers = tmp_path / "probe.npz", tmp_path / "answers.npy"
    assert ", 1 class\n" in probe("write", path, "--every", "--candidates", ONE).stdout
    for name, code in ((ONE, 0), (f"{ONE}-truncated", 1)):
        assert probe("ask", name, path, answers).exit_code == 0
        result, _ = judged(path, answers)
        assert result.exit_code == code
        assert f"remaining: {1 - code} of 1 class\n" in result.stdout


def test_one_input_and_one_answer_are_told_as_one(tmp_path: Path) -> None:
    path, answers = tmp_path / "probe.npz", tmp_path / "answers.txt"
    two = ("--candidates", ONE, "--candidates", f"{ONE}-truncated")
    told = probe("write", path, *two).stdout
    assert ": 1 input of 256 bf16 products, 2 classes\n" in told
    assert "or a text of 1 line, one word" in words_of(told)
    answers.write_text("00000000\n" * 2)
    assert "has 2 answers; needed: 1, one" in words(probe("read", path, answers))
    answers.write_text("7fffffff\n")
    result, _ = judged(path, answers)
    assert "nearest: 1 of 1 answer differs\n" in result.stdout


def words_of(text: str) -> str:
    return " ".join(text.split())


def test_the_few_inputs_say_nothing_of_what_no_candidate_does_and_every_one_does(
    written: Path, asked: Probe, tmp_path: Path
) -> None:
    other = replace(SYSTOLIC, psum_rounding="toward_zero")  # type: ignore[arg-type]
    every, answers = tmp_path / "every.npz", tmp_path / "answers.npy"
    assert probe("write", every, "--every", "--candidates", "*-chains1*").exit_code == 0
    for path, code in ((written, 0), (every, 1)):
        inputs = probe_files.read(path).inputs
        np.save(answers, alternatives.answers(inputs, other))
        assert judged(path, answers)[0].exit_code == code
    assert len(inputs) > 200


def test_without_a_file_the_answers_are_printed(written: Path, asked: Probe) -> None:
    result = probe("ask", "h100-wmma-bf16-fp32", written)
    first, *lines = result.stdout.splitlines()
    assert first == f"# inputs {asked.sha256}" and len(lines) == len(asked.inputs)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["write", "probe"], "has no suffix .npz"),
        (["write", "/dev/null/probe.npz"], "is a file, not a folder"),
        (["write", "p.npz", "--format", "e4m3"], "allowed: bf16, fp16, fp32"),
        (["write", "p.npz", "--candidates", "neuroncore-assumed-chain"], "the nearest: neuron"),
        (["write", "p.npz", "--candidates", "nothing-*"], "no preset 'nothing-*'"),
        (["write", "p.npz", "--candidates", "h100-wmma-fp16-fp16"], "does not multiply bf16"),
        (["write", "p.npz", "--candidates", "zen4-vnni*"], "no preset"),
        (["write", "p.npz", "--candidates", "zen4-vpdpbusd-*"], "zen4-vpdpbusd-uint8-int32 does"),
        (["ask", "chains1", "WRITTEN"], "no preset 'chains1'"),
        (["ask", "neuroncore-assumed-*", "WRITTEN"], "is a pattern"),
        (["ask", "h100-wmma-fp16-fp16", "WRITTEN"], "fp16 does not hold bf16"),
        (["ask", ONE, "WRITTEN", "/"], "is a folder"),
        (["ask", ONE, "none.npz"], "none.npz"),
        (["read", "WRITTEN", "none.txt"], "cannot read none.txt"),
        (["read", "WRITTEN", "/"], "cannot read /"),
        (["read", "WRITTEN"], "ANSWERS"),
        (["read"], "FILE"),
    ],
)
def test_wrong_usage_ends_with_two_and_says_what_is_right(
    arguments: list[str], message: str, written: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    result = probe(*(str(written) if word == "WRITTEN" else word for word in arguments))
    assert result.exit_code == 2 and message in words(result), result.output
    assert isinstance(result.exception, SystemExit)
    assert list(tmp_path.iterdir()) == []


def test_files_are_old_or_new_where_the_disk_is_full(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("probe.npz", "probe.json", "answers.txt", "verdict.json")
    for name in names:
        (tmp_path / name).write_text("old")
    answers = tmp_path / "given.txt"
    assert probe("ask", ONE, written, answers).exit_code == 0

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    few = ("--candidates", ONE, "--candidates", f"{ONE}-truncated")
    for arguments in (
        ("write", tmp_path / names[0], *few),
        ("ask", ONE, written, tmp_path / names[2]),
        ("read", written, answers, "--json", tmp_path / names[3]),
    ):
        result = probe(*arguments)
        assert result.exit_code in (1, 2) and "no space" in words(result)
    assert {path.name for path in tmp_path.iterdir()} == {*names, "given.txt"}
    assert all((tmp_path / name).read_text() == "old" for name in names)


@pytest.mark.parametrize(
    ("part", "lines"),
    [
        ([], probe_command.EXAMPLES),
        (["write"], probe_command.WRITE_EXAMPLES),
        (["ask"], probe_command.ASK_EXAMPLES),
        (["read"], probe_command.READ_EXAMPLES),
    ],
)
def test_each_help_ends_in_three_examples(part: list[str], lines: tuple[str, ...]) -> None:
    assert len(lines) == 3
    text = probe(*part, "--help").output.partition("Examples:")[2]
    assert [line.strip() for line in text.splitlines() if line.strip()] == [*lines]


def test_the_examples_run(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "probe.npz").write_bytes(written.read_bytes())
    *asking, piped = probe_command.ASK_EXAMPLES
    lines = (*probe_command.WRITE_EXAMPLES[1:], *asking, *probe_command.READ_EXAMPLES)
    assert {*probe_command.EXAMPLES} <= {probe_command.WRITE_EXAMPLES[0], *lines}
    for line in lines:
        assert probe(*shlex.split(line)[2:]).exit_code == 0, line
    line = piped.replace("halfulp", shlex.join([sys.executable, "-m", "halfulp"]))
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, len(done.stdout.splitlines())) == (0, "", 3)
