"""What the documents say is so: examples run, tables equal the code's, links lead somewhere."""

import dataclasses
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from halfulp.dtypes import FORMATS, FloatFormat
from halfulp.engines import CHIPS
from halfulp.quant import POLICIES
from halfulp.study.cli import app
from halfulp.study.models import MODELS
from halfulp.study.result import COLUMNS, Refusal, Sweep
from halfulp.study.tasks import TASKS
from tests.tree import ROOT, project_files

README = (ROOT / "README.md").read_text(encoding="utf-8")
ACCURACY = (ROOT / "docs/accuracy.md").read_text(encoding="utf-8")
NUMERICS = (ROOT / "docs/numerics.md").read_text(encoding="utf-8")
DOCUMENTS = [path for path in project_files() if path.suffix == ".md"]
WRITTEN = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
WRITTEN += sorted((ROOT / "docs").glob("*.md"))


def blocks(text: str, kind: str) -> list[str]:
    """The fenced blocks of one kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.M | re.S)


def shown(text: str) -> str:
    """The text without comments and fenced blocks."""
    return re.sub(r"<!--.*?-->|^```.*?^```$", "", text, flags=re.M | re.S)


def table(text: str, first: str) -> list[list[str]]:
    """The cells of the table whose first column has this title, without its two upper lines."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {first} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return rows


def test_the_tour_prints_what_the_readme_says() -> None:
    (tour,) = blocks(README, "python")
    (printed,) = blocks(README, "text")
    assert len(tour.splitlines()) <= 25
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", tour], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == printed


def test_the_readme_begins_with_three_lines_and_two_commands() -> None:
    promise = re.split(r"\n\n", README)[1]
    assert len(promise.splitlines()) == 3
    assert blocks(README, "console")[0].splitlines() == ["make sweep", "make test"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_to_files_of_the_project(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", shown(document.read_text(encoding="utf-8"))):
        if not target.startswith(("https://", "#")):
            place = (document.parent / target.partition("#")[0]).resolve()
            assert place.is_relative_to(ROOT) and place.exists(), target


@pytest.mark.parametrize("document", WRITTEN, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_files_that_documents_name_exist(document: Path) -> None:
    named = re.findall(r"`([\w.-]+(?:/[\w.-]+)+)`", document.read_text(encoding="utf-8"))
    own = {path.name for path in ROOT.iterdir()} - {"results", "build"}
    for name in named:
        if name.partition("/")[0] in own:
            assert (ROOT / name).exists(), name


@pytest.mark.parametrize("document", WRITTEN, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_commands_that_documents_name_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    text = "\n".join(blocks(text, "console") + re.findall(r"`[^`\n]+`", text))
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for name in re.findall(r"^`?halfulp ([a-z]\w*)", text, re.M):
        assert name in commands, name
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^(\w+):", makefile, re.M))
    for name in re.findall(r"^`?(?:[A-Z_]+=\w+ )?make ([a-z]\w*)", text, re.M):
        assert name in targets, name


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_lists_every_target() -> None:
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.M)
    listed = re.findall(r"^make (\w+)", done.stdout, re.M)
    assert listed == [target for target in phony.split() if target not in ("help", "always")]


def test_the_table_of_formats_is_that_of_the_code() -> None:
    expected = [
        [
            name,
            *map(str, (fmt.bits, fmt.exponent_bits, fmt.mantissa_bits, fmt.bias)),
            f"{fmt.max:.8g}",
            f"2^{math.frexp(fmt.smallest_subnormal)[1] - 1}",
            fmt.specials.value,
        ]
        for name, fmt in FORMATS.items()
        if isinstance(fmt, FloatFormat)
    ]
    assert [row[:8] for row in table(NUMERICS, "name")] == expected
    assert all(row[8] for row in table(NUMERICS, "name"))
    for name, fmt in FORMATS.items():
        assert isinstance(fmt, FloatFormat) or re.search(rf"\b{name}\b", NUMERICS)


def test_every_rule_has_a_standing() -> None:
    tables = re.findall(r"^\| rule \| standing \|.*?\n\n", NUMERICS, re.M | re.S)
    assert len(tables) == NUMERICS.count("| rule | standing |") > 0
    words = ("documented", "derived", "assumed", "extrapolated", "chosen", "a choice of halfulp")
    for rows in tables:
        for rule, standing, source, *_ in table(rows, "rule"):
            assert standing.startswith(words), rule
            assert source or "assumed" in standing or standing == "documented", rule


def test_the_peak_rates_are_those_of_the_code() -> None:
    for chip in CHIPS.values():
        for peak in filter(None, (chip.int8, chip.half, chip.wide)):
            assert re.search(rf"\b{peak.tera:g}\s+[A-Z0-9/c]+\s+{peak.unit}\b", NUMERICS), peak


def test_the_columns_are_those_of_the_rows() -> None:
    assert [row[0] for row in table(ACCURACY, "column")] == [*_without_auc(), "auc"]


def _without_auc() -> list[str]:
    return [name for name in COLUMNS if name != "auc"]


def test_the_keys_are_those_of_the_json() -> None:
    sweep = Sweep(rows=(), references=(), refused=(), notices=(), provenance={})
    rows = {key: text for key, text in table(ACCURACY, "key")}
    assert list(rows) == list(sweep.as_json())
    assert rows["schema"] == str(sweep.as_json()["schema"])
    assert ", ".join(f.name for f in dataclasses.fields(Refusal)) in rows["refused"]


def test_the_models_and_tasks_are_those_of_the_code() -> None:
    models = {row[0]: row[3] for row in table(ACCURACY, "model")}
    assert models == {name: ", ".join(entry.tasks) for name, entry in MODELS.items()}
    tasks = {row[0]: row[2] for row in table(ACCURACY, "task")}
    assert tasks == {name: str(task.samples) for name, task in TASKS.items()}


def test_the_default_policies_are_those_of_the_code() -> None:
    text = re.sub(r" \(.*?\)", "", ACCURACY)
    for chip, policies in POLICIES.items():
        (listed,) = re.findall(rf"^- {chip}: (.*?)(?=\n-|\n\n)", text, re.M | re.S)
        assert tuple(re.split(r",\s+", listed)) == policies
