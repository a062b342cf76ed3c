"""The files of `halfulp probe`: whole, the same each time, and refused where they were changed."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from halfulp.engines import alternatives
from halfulp.engines.alternative_inputs import DEPTH
from halfulp.engines.presets import NEURONCORE
from halfulp.study import probe_answers, probe_files
from halfulp.study.probe_files import Probe
from tests.study.probing import ONE, about, judged, probe, rewrite, words


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The inputs for the NeuronCore's alternatives."""
    path = tmp_path_factory.mktemp("probe") / "probe.npz"
    result = probe("write", path)
    assert result.exit_code == 0, result.output
    path.with_suffix(".txt").write_text(result.stdout)
    return path


@pytest.fixture
def asked(written: Path) -> Probe:
    return probe_files.read(written)


def test_the_words_beside_are_those_of_the_arrays(written: Path, asked: Probe) -> None:
    found = json.loads(written.with_suffix(".json").read_text())
    arrays = probe_files.load(written)
    inside = json.loads(str(arrays["about"]))
    assert {key: found[key] for key in inside} == inside
    assert found["run"] == asked.run() and "one matmul" in found["run"]
    for key, codes in (("rows of a", arrays["a"]), ("columns of b", arrays["b"].T)):
        typed = [[int(word, 16) for word in line.split(" ")] for line in found[key]]
        assert np.array_equal(typed, codes)
    assert arrays["a"].dtype == np.uint16 and arrays["b"].shape == (DEPTH, len(asked.inputs))
    assert found["sha256"] in written.with_suffix(".txt").read_text()


def test_the_same_bytes_are_written_each_time(written: Path, asked: Probe, tmp_path: Path) -> None:
    again = tmp_path / "probe.npz"
    probe_files.write(again, asked)
    assert again.read_bytes() == written.read_bytes()
    beside = probe_files.beside(again).read_bytes()
    assert beside == probe_files.beside(written).read_bytes()


WRITINGS: dict[str, Callable[[Any, Path], object]] = {
    "words": lambda x, path: path.write_text("".join(f"{w:08x}\n" for w in x)),
    "capitals": lambda x, path: path.write_bytes(b"\r\n# hm\r\n0X" + b"\r\n0x".join(
        b"%08X" % w for w in x.tolist())),
    "numbers": lambda x, path: np.save(path, x.view(np.float32)),
    "bits": lambda x, path: np.save(path, x),
    "int32": lambda x, path: np.save(path, x.view(np.int32)),
    "big endian": lambda x, path: np.save(path, x.view(np.float32).astype(">f4")),
    "matrix": lambda x, path: np.save(path, np.diag(x) + np.tri(len(x), k=-1, dtype=np.uint32)),
    "one array": lambda x, path: np.savez(path, x),
}  # fmt: skip


@pytest.mark.parametrize("writing", WRITINGS)
def test_answers_may_be_written_in_many_ways(
    writing: str, written: Path, asked: Probe, tmp_path: Path
) -> None:
    found = alternatives.answers(asked.inputs, NEURONCORE[ONE])
    named = {"one array": "answers.npz", "words": "answers.txt", "capitals": "answers"}
    path = tmp_path / named.get(writing, "answers.npy")
    WRITINGS[writing](found, path)
    result, verdict = judged(written, path)
    assert (result.exit_code, verdict["remaining"]) == (0, [[ONE]]), result.output


def test_any_nan_is_a_nan(tmp_path: Path, asked: Probe) -> None:
    given = np.array([0xFFC00001, 0x3F800000], np.uint32)
    assert alternatives.canonical(given).tolist() == [alternatives.NAN, 0x3F800000]
    few = replace(asked, inputs=asked.inputs.take([0, 1]))
    (tmp_path / "answers").write_text("ffc00001\n3f800000\n")
    assert probe_answers.read(tmp_path / "answers", few).tolist() == given.tolist()


BROKEN_FILES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "nothing": (lambda path: path.with_name("none.npz"), "is no readable .npz"),
    "a folder": (lambda path: path.parent, "is no readable .npz"),
    "text": (lambda path: path.with_suffix(".txt"), "is no readable .npz"),
    "an operand": (
        lambda path: rewrite(path, a=probe_files.load(path)["a"] ^ np.uint16(1)),
        "it was changed",
    ),
    "the hash": (lambda path: rewrite(path, about=about(path, sha256="0" * 64)), "it was changed"),
    "no hash": (lambda path: rewrite(path, about=about(path, sha256=None)), "it was changed"),
    "the type": (
        lambda path: rewrite(path, a=probe_files.load(path)["a"].astype(np.uint32)),
        "needed: uint16 (4, 256)",
    ),
    "a pickle": (lambda path: rewrite(path, a=np.array([{}])), "is no readable .npz"),
    "a part": (lambda path: rewrite(path, b=None), "holds a, about"),
    "a later schema": (lambda path: rewrite(path, about=about(path, schema=2)), "schema 2"),
    "another format": (lambda path: rewrite(path, about=about(path, format="e4m3")), "'e4m3'"),
    "a format of lists": (lambda path: rewrite(path, about=about(path, format=[])), "format []"),
    "no names": (lambda path: rewrite(path, about=about(path, inputs=[])), "inputs is no list"),
    "numbers": (lambda path: rewrite(path, about=about(path, candidates=[1])), "is no list"),
    "no JSON": (lambda path: rewrite(path, about=np.array("{")), "is no description"),
    "a list": (lambda path: rewrite(path, about=np.array("[]")), "is no description"),
    "a preset": (
        lambda path: rewrite(path, about=about(path, candidates=["chains9"])),
        "no preset 'chains9'",
    ),
}


@pytest.mark.parametrize("broken", BROKEN_FILES)
def test_a_file_of_inputs_that_was_changed_is_refused(
    broken: str, written: Path, tmp_path: Path
) -> None:
    for path in (written, written.with_suffix(".txt")):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    change, message = BROKEN_FILES[broken]
    answers = tmp_path / "answers.txt"
    answers.write_text("00000000\n" * 4)
    result = probe("read", change(tmp_path / "probe.npz"), answers)
    assert result.exit_code == 2 and message in words(result), result.output
    assert isinstance(result.exception, SystemExit)


def test_a_file_of_inputs_that_was_cut_is_refused_everywhere(written: Path, tmp_path: Path) -> None:
    data, path = written.read_bytes(), tmp_path / "probe.npz"
    for size in range(0, len(data), len(data) // 40):
        path.write_bytes(data[:size])
        with pytest.raises(probe_files.BadProbe):
            probe_files.read(path)


BROKEN_ANSWERS: dict[str, tuple[bytes | np.ndarray, str]] = {
    "too few": (b"3f800000\n" * 3, "has 3 answers; needed: 4"),
    "too many": (b"3f800000\n" * 5, "has 5 answers; needed: 4"),
    "nothing": (b"", "has 0 answers; needed: 4"),
    "cut": (b"3f800000\n" * 3 + b"3f80000", "line 4 is '3f80000'; needed: 8 hexadecimal"),
    "bf16": (b"3f80\n" * 4, "line 1 is '3f80'"),
    "a number": (b"1.0\n" * 4, "line 1 is '1.0'"),
    "no hex": (b"3f80000g\n" * 4, "needed: 8 hexadecimal digits"),
    "two a line": (b"3f800000 3f800000\n" * 2, "NaN may be any"),
    "bytes": (b"\0\xff\x80" * 9, "line 1 is '\\x00"),
    "endless": (b"0" * 1_000_000, "is too long; needed: 4 answers"),
    "of others": (b"# inputs " + b"0" * 64 + b"\n" + b"3f800000\n" * 4, "with sha256 000"),
    "float64": (np.zeros(4), "holds float64; needed: float32 numbers, or their bits as uint32"),
    "uint16": (np.zeros(4, np.uint16), "holds uint16"),
    "objects": (np.array([None] * 4), "is no readable .npy"),
    "three": (np.zeros(3, np.float32), "has shape (3,); needed: (4,) or (4, 4)"),
    "a row": (np.zeros((1, 4), np.float32), "has shape (1, 4)"),
    "half a header": (b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'for", "is no readable .npy"),
    "half a zip": (b"PK\x03\x04" + b"\0" * 40, "is no readable .npz"),
}


@pytest.mark.parametrize("broken", BROKEN_ANSWERS)
def test_answers_that_are_none_are_refused_with_what_is_needed(
    broken: str, written: Path, tmp_path: Path
) -> None:
    data, message = BROKEN_ANSWERS[broken]
    path = tmp_path / "answers"
    if isinstance(data, bytes):
        path.write_bytes(data)
    else:
        with path.open("wb") as file:
            np.save(file, data)
    result = probe("read", written, path)
    assert result.exit_code == 2 and message in words(result), result.output
    assert isinstance(result.exception, SystemExit)


def test_archives_of_answers_name_their_inputs(written: Path, tmp_path: Path) -> None:
    path, four = tmp_path / "answers.npz", np.zeros(4, np.float32)
    for members, message in (
        ({"answers": four, "sha256": np.array("0" * 64)}, "answers the inputs with sha256 000"),
        ({"answers": four, "more": four}, "holds answers, more; needed: one array"),
        ({"sha256": np.array(probe_files.read(written).sha256)}, "holds no array"),
    ):
        np.savez(path, **members)
        result = probe("read", written, path)
        assert result.exit_code == 2 and message in words(result), result.output
