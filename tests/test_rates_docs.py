"""docs/rates.md has the tables of the code; its example runs, its example of a file is read."""

import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib.image import imread

from halfulp.study.included import include
from tests.test_docs import blocks
from tests.tree import ROOT, script

TEXT = (ROOT / "docs/rates.md").read_text(encoding="utf-8")


TABLES = script("docs/rates_tables.py")


@pytest.mark.parametrize("name", ["calibration", "announced", "unread"])
def test_a_table_is_that_of_the_code(name: str) -> None:
    assert getattr(TABLES, name)() in TEXT


def test_the_example_prints_what_the_page_says() -> None:
    (example,), (printed,) = blocks(TEXT, "python"), blocks(TEXT, "text")
    command = [sys.executable, "-W", "error", "-c", example]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout == printed


def test_the_picture_is_there() -> None:
    height, width = imread(TABLES.PICTURE).shape[:2]
    assert width > height > 500


def test_the_file_of_one_s_own_is_read(tmp_path: Path) -> None:
    (text,) = blocks(TEXT, "toml")
    path = tmp_path / "own.toml"
    path.write_text(text, encoding="utf-8")
    hardware = include(path)
    assert hardware.instances["wide-box"].chip.cores == 4
    assert hardware.instances["inf2.xlarge"].price().value == 0.5
