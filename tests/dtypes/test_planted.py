"""Faults planted in the kernels' own code are all found by default tests."""

from pathlib import Path

import pytest

from tests.dtypes.planted import PLANTED
from tests.planting import Planted, assert_found, assert_pass, assert_stand_once


def test_what_a_planted_fault_replaces_stands_once_in_the_sources() -> None:
    assert_stand_once("dtypes", PLANTED)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled kernels; changed sources have entries of their own."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.deep
def test_the_tests_pass_without_a_fault(cache: Path, tmp_path: Path) -> None:
    assert_pass(PLANTED, cache, tmp_path)


@pytest.mark.deep
@pytest.mark.parametrize("fault", PLANTED, ids=lambda fault: fault.why)
def test_a_planted_fault_is_found(fault: Planted, cache: Path, tmp_path: Path) -> None:
    assert_found("dtypes", fault, cache, tmp_path)
