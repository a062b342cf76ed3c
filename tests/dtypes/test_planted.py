"""Faults planted in the kernels' own code are all found by default tests."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.dtypes.planted import PLANTED, Planted
from tests.dtypes.processes import copy_of_sources
from tests.tree import ROOT

LAYER = ROOT / "dtypes"


def test_what_a_planted_fault_replaces_stands_once_in_the_sources() -> None:
    assert len(PLANTED) >= 20 and len({fault.why for fault in PLANTED}) == len(PLANTED)
    for fault in PLANTED:
        assert (LAYER / fault.file).read_text().count(fault.old) == 1, fault
        assert fault.old != fault.new


def run(tests: tuple[str, ...], packages: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    """Run tests of this tree with the package of a folder."""
    settings = {"PYTHONPATH": str(packages), "HALFULP_CACHE_DIR": str(cache)}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | settings, capture_output=True, text=True, timeout=900
    )


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled kernels; changed sources have entries of their own."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.deep
def test_the_tests_pass_without_a_fault(cache: Path, tmp_path: Path) -> None:
    tests = sorted({test for fault in PLANTED for test in fault.tests})
    done = run(tuple(tests), copy_of_sources(tmp_path), cache)
    assert done.returncode == 0, done.stdout


@pytest.mark.deep
@pytest.mark.parametrize("fault", PLANTED, ids=lambda fault: fault.why)
def test_a_planted_fault_is_found(fault: Planted, cache: Path, tmp_path: Path) -> None:
    packages = copy_of_sources(tmp_path)
    path = packages / "halfulp" / "dtypes" / fault.file
    path.write_text(path.read_text().replace(fault.old, fault.new))
    done = run(fault.tests, packages, cache)
    # a failed test; a crash is one too, but neither a source nor a test that cannot be read
    assert done.returncode == 1 or done.returncode < 0, done.stdout + done.stderr
