"""docs/accumulation.md shows what `halfulp show accumulation` prints."""

import shlex

import pytest
from typer.testing import CliRunner

from halfulp.engines import PRESETS
from halfulp.study.cli import app
from tests.test_docs import blocks
from tests.tree import ROOT

PAGE = (ROOT / "docs/accumulation.md").read_text(encoding="utf-8")
#: The section of the page.
TOLD = PAGE.partition("## One machine in words")[2].partition("\n## ")[0]
SHOWN = [*zip(blocks(TOLD, "console"), blocks(TOLD, "text"), strict=True)]


@pytest.mark.parametrize(("console", "text"), SHOWN, ids=[line.strip() for line, _ in SHOWN])
def test_the_page_has_what_the_command_prints(console: str, text: str) -> None:
    """After a change: type the command, and put what it prints into the page."""
    (command,) = console.splitlines()
    result = CliRunner().invoke(app, shlex.split(command)[1:])
    assert result.exit_code == 0
    assert text == result.stdout


def test_the_page_shows_an_assumed_machine_and_one_with_outputs() -> None:
    names = [console.split()[3] for console, _ in SHOWN]
    assert {PRESETS[name].standing.value for name in names} == {"assumed", "vectors"}
    assert f"{len(PRESETS)} presets" in TOLD
