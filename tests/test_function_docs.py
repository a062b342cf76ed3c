"""docs/functions.md prints what it says, and its tables are those of the records."""

import json
import re
import subprocess
import sys
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from halfulp.dtypes import round_to
from halfulp.engines import Activation, functions
from halfulp.engines.hard_inputs import HARD_INPUTS
from tests.test_docs import table
from tests.tree import ROOT, script

TEXT = (ROOT / "docs/functions.md").read_text(encoding="utf-8")
VERIFIED: list[dict[str, Any]] = json.loads(
    (ROOT / "docs/functions_verified.json").read_text(encoding="utf-8")
)


EFFECTS = script("docs/function_effects.py")


@pytest.mark.parametrize("number", range(2))
def test_an_example_prints_what_the_page_says(number: int) -> None:
    examples, outputs = (
        re.findall(rf"```{name}\n(.*?)```", TEXT, re.S) for name in ("python", "text")
    )
    assert len(examples) == len(outputs) == 2
    command = [sys.executable, "-W", "error", "-c", examples[number]]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert printed.returncode == 0, printed.stderr
    assert printed.stdout == outputs[number]


def test_every_function_was_proven_on_every_input() -> None:
    assert {row["function"] for row in VERIFIED} == {one.value for one in Activation}
    assert all((row["inputs"], row["wrong"]) == (1 << 32, 0) for row in VERIFIED)
    assert all(row["seconds"] < 300 for row in VERIFIED), "five minutes a function are asked"


def test_the_tables_are_those_of_the_records() -> None:
    for text in (EFFECTS.proof(VERIFIED), *EFFECTS.tables(EFFECTS.recorded())):
        assert text in TEXT


def test_the_table_has_as_many_hard_inputs_as_the_engine() -> None:
    for row in VERIFIED:
        assert row["in_table"] == len(HARD_INPUTS.get(Activation(row["function"]), ()))


def test_all_functions_were_compared_with_torch_and_their_effect_bounds_the_whole() -> None:
    record = EFFECTS.recorded()
    assert [row["function"] for row in record["distances"]] == functions.__all__
    for model in record["models"]:
        assert model["whole"]["largest"] <= 1.1 * model["sum"]


def test_the_masks_become_what_the_page_says() -> None:
    rows = table(TEXT, "smallest of")
    for name, _, *cells in rows:
        smallest = float((ml_dtypes if name == "bfloat16" else np).finfo(name).min)
        for fmt, cell in zip(("fp32", "bf16", "fp16", "e5m2", "e4m3", "e3m4"), cells, strict=True):
            value = float(round_to(np.array([smallest]), fmt)[0])
            assert value == (smallest if cell == "itself" else float(cell)), (name, fmt)
