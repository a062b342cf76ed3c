"""docs/custom_operators.md prints what it says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

TEXT = (Path(__file__).parents[1] / "docs/custom_operators.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("number", range(2))
def test_an_example_prints_what_the_page_says(number: int) -> None:
    examples, outputs = blocks("python"), blocks("text")
    assert len(examples) == len(outputs) == 2
    command = [sys.executable, "-W", "error", "-c", examples[number]]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert printed.returncode == 0, printed.stderr
    assert printed.stdout == outputs[number]
