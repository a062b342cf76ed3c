"""The policies of other libraries, by their names."""

import numpy as np
import pytest

from halfulp.dtypes import COMPATIBILITY, FloatFormat, encode, round_to
from tests.strategies import FLOATS

PAST = np.array([1e30, -1e30, np.inf, -np.inf], np.float32)


@pytest.mark.parametrize("policy", COMPATIBILITY.values(), ids=str)
def test_a_policy_is_known_by_its_name(policy: object) -> None:
    assert COMPATIBILITY[str(policy)] is policy


@pytest.mark.parametrize("fmt", [f for f in FLOATS.values() if f.max < 1e30], ids=str)
def test_saturating_as_ocp_has_it_nothing_becomes_infinite(fmt: FloatFormat) -> None:
    most, sign = fmt.max_code, fmt.sign_code
    assert encode(PAST, fmt, overflow="ocp").tolist() == [most, most + sign] * 2
    assert np.array_equal(
        encode(PAST, fmt, overflow=COMPATIBILITY["ocp"]), encode(PAST, fmt, overflow="saturate_all")
    )


def test_torch_saturates_one_format_alone() -> None:
    assert round_to(PAST, "e4m3fn", overflow="torch").tolist() == [448.0, -448.0] * 2
    assert round_to(PAST, "e5m2", overflow="torch").tolist() == [np.inf, -np.inf] * 2


@pytest.mark.parametrize("name", ["neuron", "ml_dtypes"])
def test_the_other_libraries_go_by_the_format(name: str) -> None:
    for fmt in ("e4m3", "e4m3fn", "e2m1fn"):
        assert np.array_equal(encode(PAST, fmt, overflow=name), encode(PAST, fmt))
    assert encode(np.array([np.nan]), "e2m1fn", overflow=name).tolist() == [0]
