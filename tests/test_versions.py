"""One version everywhere, and a CITATION.cff that citation tools accept."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from datetime import date
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

import halfulp
from tests.tree import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
HEADING = re.compile(r"## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d{2}-\d{2})")

#: Facts of the schema of Citation File Format 1.2.0: what must and what may stand at the top.
REQUIRED = frozenset(("authors", "cff-version", "message", "title"))
ALLOWED = REQUIRED | frozenset(
    (
        *("abstract", "commit", "contact", "date-released", "doi", "identifiers", "keywords"),
        *("license", "license-url", "preferred-citation", "references", "repository"),
        *("repository-artifact", "repository-code", "type", "url", "version"),
    )
)
ENTITY = frozenset(
    (
        *("address", "alias", "city", "country", "date-end", "date-start", "email", "fax"),
        *("location", "name", "orcid", "post-code", "region", "tel", "website"),
    )
)
PERSON = frozenset(
    (
        *("address", "affiliation", "alias", "city", "country", "email", "family-names", "fax"),
        *("given-names", "name-particle", "name-suffix", "orcid", "post-code", "region", "tel"),
        "website",
    )
)


def citation_faults(citation: Any) -> list[str]:
    """What in a parsed CITATION.cff breaks the schema of 1.2.0, as far as it is known above."""
    if not isinstance(citation, dict):
        return ["it is no mapping"]
    faults = [f"{key} is missing" for key in sorted(REQUIRED - set(citation))]
    faults += [f"{key} is no key of the schema" for key in sorted(set(citation) - ALLOWED)]
    texts = ("abstract", "message", "title", "version", "date-released", "license", "cff-version")
    for key in texts:
        value = citation.get(key, "text")
        if not (isinstance(value, str) and value.strip()):
            faults.append(f"{key} is no text: {value!r}")
    if citation.get("cff-version") != "1.2.0":
        faults.append("cff-version is not 1.2.0")
    if citation.get("type", "software") not in ("software", "dataset"):
        faults.append("type is neither software nor dataset")
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", str(citation.get("date-released", "2026-01-01"))):
        faults.append("date-released is no YYYY-MM-DD")
    for key in ("authors", "keywords"):
        items = citation.get(key, ["one"])
        unique = isinstance(items, list) and len({str(item) for item in items}) == len(items)
        if not (unique and items):
            faults.append(f"{key} is no list of one or more different items")
    return faults + _author_faults(citation.get("authors"))


def _author_faults(authors: Any) -> list[str]:
    faults = []
    for author in authors if isinstance(authors, list) else ():
        keys = set(author) if isinstance(author, dict) else set()
        if not (keys and (keys <= PERSON or ("name" in keys and keys <= ENTITY))):
            faults.append(f"{author!r} is neither a person nor an entity")
    return faults


def _citation() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    return found


def _releases() -> list[tuple[str, str]]:
    """(version, day) of each heading of the changelog, newest first."""
    return HEADING.findall((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))


def test_every_place_names_the_same_version() -> None:
    command = subprocess.run(
        [sys.executable, "-m", "halfulp", "--version"], capture_output=True, text=True, check=True
    )
    places = {
        "pyproject.toml": PROJECT["version"],
        "halfulp.__version__": halfulp.__version__,
        "CITATION.cff": _citation()["version"],
        "CHANGELOG.md": _releases()[0][0],
        "halfulp --version": command.stdout.removeprefix("halfulp ").rstrip("\n"),
        "the installed metadata": importlib.metadata.version("halfulp"),
    }
    assert set(places.values()) == {PROJECT["version"]}, places


def test_citation_and_changelog_name_the_same_day() -> None:
    assert _citation()["date-released"] == _releases()[0][1]


def test_the_changelog_is_in_order() -> None:
    releases = _releases()
    numbers = [tuple(map(int, version.split("."))) for version, _ in releases]
    days = [date.fromisoformat(day) for _, day in releases]
    assert numbers == sorted(numbers, reverse=True)
    assert len(set(numbers)) == len(numbers)
    assert days == sorted(days, reverse=True)
    headings = re.findall(r"^## .*", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert [h for h in headings if h != "## [Unreleased]" and not HEADING.fullmatch(h)] == []


def test_the_citation_is_valid() -> None:
    assert citation_faults(_citation()) == []


def test_the_citation_says_what_pyproject_says() -> None:
    citation = _citation()
    assert citation["license"] == PROJECT["license"]
    assert citation["title"].startswith(PROJECT["name"])


@pytest.mark.parametrize(
    "change",
    [
        {"cff-version": "1.1.0"},
        {"message": ""},
        {"title": None},
        {"authors": []},
        {"authors": [{"name": "A"}, {"name": "A"}]},
        {"authors": [{"name": "A", "family-names": "B"}]},
        {"version": 0.1},
        {"date-released": date(2026, 11, 23)},
        {"date-released": "23.11.2026"},
        {"type": "library"},
        {"keywords": ["a", "a"]},
        {"licence": "Apache-2.0"},
    ],
    ids=str,
)
def test_a_wrong_citation_is_found(change: dict[str, Any]) -> None:
    assert citation_faults({**_citation(), **change}) != []


@pytest.mark.parametrize("key", sorted(REQUIRED))
def test_a_citation_without_a_required_key_is_found(key: str) -> None:
    assert citation_faults({k: v for k, v in _citation().items() if k != key}) != []
