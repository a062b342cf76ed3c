"""Casts of other libraries differ from ours exactly as was recorded, over 10^7 inputs a case."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from halfulp.dtypes import FORMATS, FloatFormat, encode
from tests.dtypes import fleet
from tests.dtypes.fleet import COUNT, RENEW, Difference, Found, Record, changes, compare
from tests.dtypes.fleet_inputs import weighted
from tests.dtypes.fleet_kinds import KINDS
from tests.dtypes.fleet_libraries import CASES, LIBRARIES, SOURCES, Case
from tests.dtypes.opinion import bits, convert
from tests.strategies import Array, magnitudes
from tests.test_docs import table
from tests.tree import ROOT

RECORD = Record.read()
PAGE = (ROOT / "docs/verification.md").read_text(encoding="utf-8")
#: Enough to meet every kind that a case has.
FEW = 20_000
BY_NAME = {str(case): case for case in CASES}
NAMED = ("ml_dtypes e4m3fn float64 inf", "ml_dtypes bf16 float32 inf", "torch e4m3fn float64 inf")


def needs(case: Case) -> None:
    if not case.library.installed:
        pytest.skip(f"{case.library.name} is not installed")


@pytest.mark.deep
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_differences_are_exactly_those_recorded(case: Case) -> None:
    """Any version of the library is compared; the message says which ones were recorded."""
    needs(case)
    lines = changes(compare(case, COUNT), RECORD.cases[str(case)])
    recorded = ", ".join(RECORD.versions[case.library.name])
    head = f"{case}, version {case.library.version}, recorded of {recorded}:"
    assert not lines, "\n".join([head, *lines, f"To renew the record: {RENEW}"])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_few_inputs_differ_in_no_other_way(case: Case) -> None:
    needs(case)
    if case.library.version not in RECORD.versions[case.library.name]:
        pytest.skip(f"{case.library.name} {case.library.version} is not recorded; see -m deep")
    kinds = compare(case, 2000).kinds
    assert kinds.keys() <= RECORD.cases[str(case)].kinds.keys(), kinds


def test_the_record_is_of_these_cases_and_inputs() -> None:
    assert RECORD.cases.keys() == BY_NAME.keys()
    assert RECORD.versions.keys() == LIBRARIES.keys()
    for name, found in RECORD.cases.items():
        assert found.inputs == COUNT or not BY_NAME[name].library.given_nan
        assert COUNT * 0.99 < found.inputs <= COUNT
    assert fleet.RECORD.read_text(encoding="utf-8") == RECORD.text()


def test_nothing_recorded_is_ours_or_unexplained_and_every_other_kind_is_found() -> None:
    found = {kind for case in RECORD.cases.values() for kind in case.kinds}
    never = {"halfulp is not exact", "unexplained"}
    assert found == {*KINDS, "their value is not that of the code"} - never


def test_the_page_shows_the_record() -> None:
    assert table(PAGE, fleet.COMPARED[0]) == RECORD.compared()
    assert table(PAGE, fleet.DIFFERENCES[0]) == RECORD.differences()


def away(x: Array, fmt: FloatFormat, **options: Any) -> Array:
    return encode(x, fmt, rounding="nearest_away", **options)


def twice(x: Array, fmt: FloatFormat, **options: Any) -> Array:
    return encode(x.astype(np.float32), fmt, **options)


def flushed(x: Array, fmt: FloatFormat, **options: Any) -> Array:
    return encode(x, fmt, subnormals="flush_outputs", **options)


def saturated(x: Array, fmt: FloatFormat, **options: Any) -> Array:
    return encode(x, fmt, **(options | {"overflow": "saturate"}))


@pytest.mark.parametrize("name", NAMED[:2])
@pytest.mark.parametrize("wrong", [away, flushed, saturated])
def test_a_fault_of_ours_is_a_new_difference(
    monkeypatch: pytest.MonkeyPatch, wrong: Any, name: str
) -> None:
    recorded = compare(BY_NAME[name], FEW)
    assert changes(recorded, recorded) == []
    monkeypatch.setattr(fleet, "encode", wrong)
    lines = changes(compare(BY_NAME[name], FEW), recorded)
    assert any(line.startswith("new: halfulp is not exact: ") for line in lines)
    assert any(line.startswith("new: our value is not that of the code: ") for line in lines)


@pytest.mark.parametrize(
    ("wrong", "name", "kind"),
    [(twice, NAMED[0], "rounded twice, by way of float32"),
     (saturated, NAMED[2], "the largest value past it")],
)  # fmt: skip
def test_a_fault_that_the_other_has_too_makes_a_difference_vanish(
    monkeypatch: pytest.MonkeyPatch, wrong: Any, name: str, kind: str
) -> None:
    recorded = compare(BY_NAME[name], FEW)
    monkeypatch.setattr(fleet, "encode", wrong)
    lines = changes(compare(BY_NAME[name], FEW), recorded)
    assert any(line.startswith(f"vanished: {kind}: recorded ") for line in lines)


def test_what_the_other_does_anew_is_unexplained() -> None:
    case = BY_NAME[NAMED[1]]

    def cast(x: Array, *rest: Any) -> tuple[Array, Array]:
        codes, theirs = case.library.cast(x, *rest)
        up = codes + (bits(x) == 0x3F800000)  # one code too far for 1 alone
        return up, np.where(up == codes, theirs, np.float32(1.0078125))

    changed = dataclasses.replace(case, library=dataclasses.replace(case.library, cast=cast))
    (line,) = changes(compare(changed, FEW), compare(case, FEW))
    assert line.startswith("new: unexplained: ")
    assert line.endswith(" first 0x3f800000: 0x3f81, ours 0x3f80")


def test_changes_name_what_is_new_vanished_or_counted_otherwise() -> None:
    one, more = (Difference(count, "0x3f800001", "0x1", "0x2") for count in (1, 2000))
    then = Found(10, {"gone": one, "stays": one, "grows": one})
    now = Found(9, {"come": one, "stays": one, "grows": more})
    assert changes(now, then) == [
        "inputs: 9, recorded 10",
        "new: come: 1, first 0x3f800001: 0x2, ours 0x1",
        "vanished: gone: recorded 1, first 0x3f800001: 0x2, ours 0x1",
        "changed: grows: 2,000, first 0x3f800001: 0x2, ours 0x1;"
        " recorded 1, first 0x3f800001: 0x2, ours 0x1",
    ]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", ["e4m3fn", "bf16", "e8m0fnu"])
def test_the_inputs_are_weighted_to_where_casts_differ(name: str, source: str) -> None:
    fmt = FORMATS[name]
    assert isinstance(fmt, FloatFormat)
    x = weighted(fmt, source, FEW)
    assert x.dtype == source and len(x) == FEW
    size = np.abs(convert(x, np.float64))
    codes = np.arange(fmt.max_code + 1)
    values, following = magnitudes(codes, fmt), magnitudes(codes + 1, fmt)
    found = {
        "NaN": np.isnan(x),
        "infinite": np.isinf(x),
        "below half the smallest": (size > 0) & (size < fmt.smallest_subnormal / 2),
        "beyond": np.isfinite(size) & (size > fmt.max),
        "values": np.isin(size, values),
        "ties": np.isin(size, (values + following) / 2),
    }
    share = {what: np.mean(which) for what, which in found.items()}
    assert all(share.values())
    assert share["values"] > 0.05 and share["ties"] > 0.05  # of random ones next to none
