"""docs/tensor.md prints what it says."""

import re
import subprocess
import sys
from pathlib import Path

TEXT = (Path(__file__).parents[1] / "docs/tensor.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    return str(found)


def test_the_example_prints_what_the_page_says() -> None:
    command = [sys.executable, "-c", block("python")]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert printed.stdout == block("text")
