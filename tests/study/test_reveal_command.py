"""The command `halfulp reveal`: what it prints and writes, and what it refuses."""

import functools
import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from halfulp.engines.reveal import reveal as recover
from halfulp.engines.trees import Tree
from halfulp.study import reveal_command
from halfulp.study.cli import app
from halfulp.study.reveal_targets import TARGETS, names, target

EVERY = [full for name in TARGETS for full in names(name)]
MODULE = """
import numpy as np

def total(x):
    assert x.dtype == np.float32 and x.ndim == 1
    return x[::-1].cumsum()[-1]

def broken(x):
    return x.sum() / (x.max() == 1)

def silent(x):
    pass

constant = 3
"""


def reveal(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["reveal", *map(str, arguments)])


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module of the user's in the current folder."""
    (tmp_path / "mymodule.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield "mymodule"
    sys.modules.pop("mymodule", None)


def test_the_tree_is_printed_and_drawn() -> None:
    result = reveal("numpy.sum", "--n", 18)
    assert result.exit_code == 0
    line, nothing, *drawing = result.stdout.splitlines()
    tree = "((((((0 8) (1 9)) ((2 10) (3 11))) (((4 12) (5 13)) ((6 14) (7 15)))) 16) 17)"
    assert (line, nothing) == (tree, "")
    assert drawing[:6] == [
        "chain of 4", "├─ sum", "│  ├─ sum", "│  │  ├─ sum: 0 8", "│  │  └─ sum: 1 9",
        "│  └─ sum",
    ]  # fmt: skip
    assert drawing[14:17] == ["│     └─ sum: 7 15", "└─ 16 17", ""]
    calls = re.search(r"^numpy.sum: 18 numbers, (\d+) probes$", result.stdout, re.M)
    assert calls and 17 + 1 + 32 < int(calls[1]) < 100
    assert re.search(
        rf"^libraries: halfulp .*, numpy {re.escape(np.__version__)}", result.stdout, re.M
    )
    for name in ("python", "processor", "vector units", "environment"):
        assert re.search(rf"^{name}: .", result.stdout, re.M)


@pytest.mark.parametrize("example", reveal_command.EXAMPLES)
def test_the_examples_run(example: str, module: str) -> None:
    result = reveal(*shlex.split(example)[2:])
    assert result.exit_code == 0, result.output
    assert ("--json" in example) is Path("tree.json").exists()


def test_the_help_names_every_target_and_ends_in_the_examples() -> None:
    text = reveal("--help").output
    assert f"Targets: {', '.join(TARGETS)}." in words(text)
    lines = [line.strip() for line in text.partition("Examples:")[2].splitlines()]
    assert len(reveal_command.EXAMPLES) == 3
    assert [line for line in lines if line] == [*reveal_command.EXAMPLES]


@pytest.mark.parametrize("name", EVERY)
def test_every_target_adds(name: str) -> None:
    function, fmt = target(name)
    tree = recover(function, 11, fmt=fmt)
    assert sorted(tree.leaves()) == [*range(11)]
    if name.startswith("numpy.cumsum"):
        assert str(tree) == "((((((((((0 1) 2) 3) 4) 5) 6) 7) 8) 9) 10)"


def test_the_file_has_what_is_printed(tmp_path: Path) -> None:
    path = tmp_path / "a/tree.json"
    result = reveal("torch.dot:bf16", "--n", 5, "--json", path)
    body = json.loads(path.read_text())
    assert body["tree"] == result.stdout.splitlines()[0] and Tree.parse(body["tree"]).size == 5
    assert (body["schema"], body["target"], body["n"]) == (1, "torch.dot:bf16", 5)
    assert f", {body['probes']} probes\n" in result.stdout
    assert f"torch {torch.__version__} (" in body["libraries"]
    assert {"python", "processor", "vector_units", "environment"} < set(body)


def test_a_sum_that_loses_nothing_is_said_to_have_no_order() -> None:
    result = reveal("math.fsum", "--n", 6)
    assert result.stdout.startswith(
        "[0 1 2 3 4 5]\n\nexact: 0 1 … 5\n\nmath.fsum: 6 numbers, 38 probes\n"
    )
    assert "it loses nothing, so that the order is not seen" in result.stdout


def test_one_number_is_told_as_one(module: str) -> None:
    result = reveal("numpy.sum", "--n", 1)
    assert re.search(r"^numpy.sum: 1 number, \d+ probes?$", result.stdout, re.M)
    assert "1 probes" not in result.stdout


def test_a_function_of_a_module_is_revealed(module: str) -> None:
    result = reveal(f"{module}:total", "--n", 4)
    assert result.exit_code == 0 and result.stdout.startswith("(0 (1 (2 3)))\n")
    assert reveal("mymodule:total", "--n", 4, "--format", "bf16").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["numpy.sums"], 2, f"'numpy.sums' is no target; allowed: {', '.join(TARGETS)}, these"),
        (["numpy.sum:bf16"], 2, "numpy.sum has no 'bf16'; allowed: numpy.sum, numpy.sum:fp64"),
        (["math.fsum:fp32"], 2, "math.fsum has no 'fp32'; allowed: math.fsum"),
        (["numpy.sum", "--format", "fp16"], 2, "numpy.sum says its format itself"),
        (["numpy.sum", "--n", "0"], 2, "--n: n=0 is out of range; allowed: 1 to 65536"),
        (["numpy.sum", "--json", "/"], 2, "is a folder"),
        (["nomodule:f"], 2, "cannot import nomodule"),
        (["mymodule:nothing"], 2, "mymodule has no 'nothing'"),
        (["mymodule:constant"], 2, "mymodule:constant is an int, no function"),
        (["mymodule:total", "--format", "e4m3"], 2, "e4m3 in fp32 goes from 2^-9 to 2^7"),
        (["mymodule:total", "--format", "e4mm"], 2, "did you mean e4m3"),
        (["mymodule:silent"], 1, "TypeError: the function returned None, of type NoneType"),
        (["mymodule:broken"], 1, "mymodule:broken: RuntimeWarning: "),
        (["numpy:max"], 1, "numpy:max: of 32 times 1 it makes 1, not 32: no plain sum"),
    ],
)
def test_what_cannot_be_revealed_is_told(
    arguments: list[str], code: int, message: str, module: str
) -> None:
    result = reveal(*arguments)
    assert result.exit_code == code and result.stdout == ""
    assert message in words(result.stderr)
    assert isinstance(result.exception, SystemExit)


def test_without_torch_its_targets_say_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    result = reveal("torch.sum")
    assert result.exit_code == 1
    assert "needs torch, which is not installed; type: pip install" in result.stderr
    assert "torch" not in reveal("numpy.dot", "--n", 3).stdout


def test_two_chains_are_seen_in_a_function_of_ones_own() -> None:
    def total(x: "np.ndarray[tuple[int], np.dtype[np.float32]]") -> np.float32:
        left, right = (functools.reduce(np.add, part) for part in (x[::2], x[1::2]))
        return np.float32(left + right)

    assert str(recover(total, 8)) == "((((0 2) 4) 6) (((1 3) 5) 7))"
