"""Faults planted in a copy of the package's own sources, and the tests that run there."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.dtypes.processes import copy_of_sources
from tests.tree import ROOT


class Planted(NamedTuple):
    """`old` stands exactly once in a file of a layer; with `new` in its place a test must fail."""

    why: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def named(file: str, test: str, *cases: str) -> tuple[str, ...]:
    """Names of default tests, of one function; `file` is below tests/."""
    names = [f"{test}[{case}]" for case in cases] or [test]
    return tuple(f"tests/{file}::{name}" for name in names)


def assert_stand_once(layer: str, faults: Sequence[Planted]) -> None:
    assert len(faults) >= 20 and len({fault.why for fault in faults}) == len(faults)
    for fault in faults:
        assert (ROOT / layer / fault.file).read_text().count(fault.old) == 1, fault
        assert fault.old != fault.new


def _run(tests: Sequence[str], packages: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    """Run tests of this tree with the package of a folder."""
    settings = {"PYTHONPATH": str(packages), "HALFULP_CACHE_DIR": str(cache)}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | settings, capture_output=True, text=True, timeout=900
    )


def assert_pass(faults: Sequence[Planted], cache: Path, folder: Path) -> None:
    """Without a fault every test that is named passes."""
    tests = sorted({test for fault in faults for test in fault.tests})
    done = _run(tests, copy_of_sources(folder), cache)
    assert done.returncode == 0, done.stdout


def assert_found(layer: str, fault: Planted, cache: Path, folder: Path) -> None:
    packages = copy_of_sources(folder)
    path = packages / "halfulp" / layer / fault.file
    path.write_text(path.read_text().replace(fault.old, fault.new))
    done = _run(fault.tests, packages, cache)
    # a failed test; a crash is one too, but neither a source nor a test that cannot be read
    assert done.returncode == 1 or done.returncode < 0, done.stdout + done.stderr
