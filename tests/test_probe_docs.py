"""docs/numerics.md says what the inputs of `halfulp probe` and the answers to them are."""

import shlex
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from halfulp.engines import SYSTOLIC, alternatives
from halfulp.engines.alternative_inputs import Inputs, inputs
from halfulp.engines.presets import NEURONCORE
from halfulp.study import probe_files
from tests.study.probing import probe
from tests.test_docs import NUMERICS, blocks, table

#: The section of the page.
TOLD = NUMERICS.partition("## What a real machine would tell")[2].partition("\n## ")[0]


@cache
def few() -> Inputs:
    return alternatives.telling(inputs("bf16"), NEURONCORE)


def test_the_page_has_the_inputs_with_their_answers() -> None:
    """Each alternative's part of a name, in the table, stands for the answer beside it."""
    rows = table(TOLD, "input")
    assert [row[0] for row in rows] == list(few().names)
    for name, how in NEURONCORE.items():
        expected = alternatives.answers(few(), how)
        number = f"{how.chains}, {how.join}" if how.chains == 4 else f"{how.chains}"
        truncated = how.rounding is not SYSTOLIC.rounding
        if not truncated:
            sums = dict(part.split(": ") for part in rows[0][2].split("; "))
            assert np.float32(sums[number]) == expected[:1].view(np.float32)[0], name
        wide = bool(how.extra_exponent_bits)
        for place, differs in ((1, truncated), (2, wide), (3, how.rounds_products and not wide)):
            plain, other = (word for word in rows[place][2].split(", else "))
            value = expected[place : place + 1].view(np.float32)[0]
            assert (value == _number(plain)) is not differs, (name, place)
            assert not differs or other == "not" or value == _number(other), (name, place)


def _number(text: str) -> float:
    base, _, power = text.partition("^")
    return float(base) ** int(power) if power else float(text)


def test_the_page_has_the_counts_of_the_library() -> None:
    counts = table(TOLD, "operands")
    assert [row[0] for row in counts] == ["bf16", "fp16", "fp32, four passes"]
    for row in counts:
        fmt, library, designed, needed, groups = row[0].partition(",")[0], *map(int, row[1:])
        found = inputs(fmt)
        assert (library, designed) == (len(found), found.designed)
        # for fp32, whose sums are slow, the same inputs are chosen
        chosen = found.take([found.names.index(name) for name in few().names if fmt != "fp16"])
        if fmt == "fp16":
            chosen = alternatives.telling(found, NEURONCORE)
        words = alternatives.table(chosen, NEURONCORE)
        got = len(chosen), len(alternatives.classes(words, NEURONCORE))
        assert got == (needed, groups), fmt


def test_the_commands_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (console,), (shown,) = blocks(TOLD, "console"), blocks(TOLD, "text")
    for line in console.splitlines():
        result = probe(*shlex.split(line)[2:])
        assert result.exit_code == 0, line
    assert result.stdout.startswith(shown)
    assert probe_files.read(tmp_path / "probe.npz").sha256 in TOLD
