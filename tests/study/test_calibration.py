"""The calibration finds what was put in, keeps its gates, and is the fit of the shipped rows."""

import csv
import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest

from halfulp.engines.chips import INFERENTIA1, INFERENTIA2, RATED_CHIPS, TRAINIUM1
from halfulp.quant import named_policy
from halfulp.study.calibrated import (
    CALIBRATION,
    Errors,
    UnknownEra,
    as_data,
    calibrate,
    eras_of,
    left_out,
    of_chips,
    shipped,
)
from halfulp.study.calibration import REFERENCE_ERA, V1, V2, Features, Structure, fit, latency
from halfulp.study.measured import (
    ERAS,
    MEASURED_ROWS,
    Configuration,
    MeasurementError,
    Observation,
    observations,
    read_rows,
)
from halfulp.study.rates import features_of, rate

SHIPPED = shipped()


def made_up(where: Configuration) -> Features:
    """Features without any model: they grow with the configuration's size."""
    size = where.batch * where.tokens
    scale = {"bert-base": 1.0, "bert-large": 3.5, "distilbert": 0.5}[where.model]
    return Features(
        tensor_s=2e-7 * size * scale,
        vector_s=2.4e-7 * size * scale,
        scalar_s=4e-8 * size * scale,
        fetched=int(1.7e8 * scale),
        spilled=int(max(0, size - 1000) * 5e4 * scale),
        output=size * 3000 if where.output else 0,
        operations=int(160 * scale**0.5),
    )


def observed(structure: Structure, values: dict[str, float], seed: int = 0) -> list[Observation]:
    """Measurements that the equation explains wholly."""
    eras = (
        ("v1",)
        if structure is V1
        else ("hf-feb-2023", "2.8-2.9", "2.10-2.14", "2.15-2.22", "2.23+")
    )
    chips = ("inferentia1",) if structure is V1 else ("inferentia2", "trainium1")
    found = []
    for model in ("bert-base", "bert-large", "distilbert"):
        for chip in chips:
            for batch in (1, 2, 4, 8, 16):
                for output in (False, True):
                    where = Configuration(model, chip, batch, 128, 1, output)
                    for era in eras:
                        seconds = latency(
                            values, made_up(where), structure, RATED_CHIPS[chip], 1, era
                        )
                        found.append(Observation(where, era, "a test", seconds, 1))
    return found


TRUE = {
    "launch_s": 300e-6, "each_s": 0.5e-6, "host_bytes_per_s": 9e9, "spill_share": 0.4,
    "inferentia2": 1.06, "era hf-feb-2023": 1.5, "era 2.8-2.9": 1.15, "era 2.10-2.14": 1.03,
    "era 2.23+": 0.93, **V2.fixed,
}  # fmt: skip
TRUE1 = {"launch_s": 260e-6, "bytes_per_s": 26e9, "least_s": 18e-6, "elementwise": 0.8, **V1.fixed}


@pytest.mark.parametrize(("structure", "values"), [(V2, TRUE), (V1, TRUE1)], ids=("v2", "v1"))
def test_a_fit_finds_the_numbers_that_made_the_measurements(
    structure: Structure, values: dict[str, float]
) -> None:
    found = fit(observed(structure, values), structure, made_up, prior=0.0)
    for name in structure.fitted:
        # where the search stops: a step of 1e-8 of a number, or of the sum of squares
        assert abs(found.values[name] / values[name] - 1) < 1e-4, name


def test_start_values_decide_what_no_measurement_does() -> None:
    # one era, nothing that spills, no output
    measured = [
        one for one in observed(V2, TRUE)
        if one.era == REFERENCE_ERA and not one.configuration.output
        and not made_up(one.configuration).spilled
    ]  # fmt: skip
    found = fit(measured, V2, made_up)
    for name in ("era 2.23+", "spill_share", "host_bytes_per_s"):
        assert math.isclose(found.values[name], V2.fitted[name].start, rel_tol=1e-6)


def test_the_equation_of_v2_by_hand() -> None:
    features = Features(1e-3, 2e-3, 5e-4, 272_000_000, 27_200_000, 9_000_000, 100)
    busy = 1.15 * 1.06 * (1e-3 + 2e-3 + 5e-4 + 100 * 0.5e-6)
    expected = 300e-6 + (1e-3**6 + busy**6) ** (1 / 6) + 0.4 * 27.2e6 / 272e9 + 9e6 / 9e9
    found = latency(TRUE, features, V2, INFERENTIA2, 1, "2.8-2.9")
    assert math.isclose(found, expected, rel_tol=1e-12)
    # Trainium1 and the reference era have the factor one
    busy /= 1.15 * 1.06
    expected = 300e-6 + (1e-3**6 + busy**6) ** (1 / 6) + 0.4 * 27.2e6 / 272e9 + 1e-3
    found = latency(TRUE, features, V2, TRAINIUM1, 1, REFERENCE_ERA)
    assert math.isclose(found, expected, rel_tol=1e-12)


def test_the_equation_of_v1_by_hand() -> None:
    features = Features(5e-3, 1e-3, 2e-4, 260_000_000, 10**9, 10**9, 200)
    busy = 5e-3 + 0.8 * (10 * 1e-3 + 3 * 2e-4)
    for cores, bandwidth in ((1, 26e9), (4, 50 * 2**30 / 4)):
        fetch, floor = 260e6 / bandwidth, 200 * 18e-6
        expected = 260e-6 + (fetch**3 + busy**3 + floor**3) ** (1 / 3)
        found = latency(TRUE1, features, V1, INFERENTIA1, cores, "v1")
        assert math.isclose(found, expected, rel_tol=1e-12)


#: What must be reached: median, ninth decile and worst, with a configuration left out.
GATES = {V2.name: (0.04, 0.12, 0.20), V1.name: (0.05, 0.16, 0.22)}


@pytest.mark.parametrize("name", GATES)
def test_errors_of_what_was_left_out(name: str) -> None:
    errors = SHIPPED.fitted[name].configuration
    assert all(found <= most for found, most in zip(
        (errors.median, errors.p90, errors.worst), GATES[name], strict=True))  # fmt: skip
    if name == V2.name:
        apart = SHIPPED.fitted[name].architecture
        assert apart is not None and apart.median <= 0.05


def test_the_shipped_numbers_are_the_fit_of_the_shipped_rows() -> None:
    rows, _ = read_rows()
    measured = observations(row for row in rows if row.is_fit)
    for structure in (V1, V2):
        group = of_chips(measured, structure)
        again = fit(group, structure, features_of)
        kept = SHIPPED.fitted[structure.name]
        assert kept.in_sample.observations == kept.configuration.observations == len(group)
        for name in structure.fitted:
            # another processor's sums may differ in their last bits, and the search with them
            assert math.isclose(again.values[name], kept.calibration.values[name], rel_tol=1e-3)
    stored = json.loads(CALIBRATION.read_text(encoding="utf-8"))
    assert stored["rows"]["sha256"] == hashlib.sha256(MEASURED_ROWS.read_bytes()).hexdigest()


@pytest.mark.deep
def test_the_shipped_errors_are_those_of_the_shipped_rows() -> None:
    rows, _ = read_rows()
    measured = observations(row for row in rows if row.is_fit)
    for structure in (V1, V2):
        again = calibrate(of_chips(measured, structure), structure, features_of)
        kept = SHIPPED.fitted[structure.name]
        for kind in ("in_sample", "configuration", "architecture"):
            new, old = getattr(again, kind), getattr(kept, kind)
            for field in ("median", "p90", "worst"):
                assert math.isclose(getattr(new, field), getattr(old, field), rel_tol=0.02)


def test_what_is_left_out_is_left_out() -> None:
    measured = observed(V1, TRUE1)
    # one configuration three times too slow: left out, the others do not see it
    odd = measured[0].configuration
    spoilt = [
        one if one.configuration != odd
        else Observation(odd, one.era, one.origin, 3 * one.service_s, 1)
        for one in measured
    ]  # fmt: skip
    errors = dict.fromkeys(left_out(spoilt, V1, made_up, lambda one: one.configuration))
    misses = {one.configuration: error for one, error in errors}
    assert abs(misses[odd] - (1 / 3 - 1)) < 0.02


def test_no_number_is_of_one_row_only() -> None:
    rows, _ = read_rows()
    measured = observations(row for row in rows if row.is_fit)
    for structure in (V1, V2):
        group = of_chips(measured, structure)
        configurations = {one.configuration for one in group}
        assert len(structure.fitted) * 4 <= len(configurations)
        for era in structure.eras:
            assert len({one.configuration for one in group if one.era == era}) >= 5


def test_the_announcement_is_never_fitted() -> None:
    rows, _ = read_rows()
    announced = [row for row in rows if row.origin == "announcement"]
    assert len(announced) == 8 and not any(row.is_fit for row in announced)
    aside = [row for row in rows if row.is_set_aside]
    assert {row.model for row in aside} == {"albert-base"} and len(aside) == 7


def test_eras_are_named() -> None:
    assert eras_of(V1) == ("v1",) and set(eras_of(V2)) == set(ERAS) - {"v1"}
    with pytest.raises(UnknownEra, match="era='2.99'; NeuronCore-v2 has: hf-feb-2023, 2.8-2.9"):
        rate(
            "distilbert", 1, 8, INFERENTIA2, named_policy("bf16-matmult"), calibrated=SHIPPED,
            era="2.99",
        )  # fmt: skip


def test_the_interval_is_that_of_the_errors() -> None:
    found = rate(
        "distilbert", 1, 128, INFERENTIA2, named_policy("bf16-matmult"), calibrated=SHIPPED
    ).calibrated
    assert found is not None
    p90 = SHIPPED.fitted[V2.name].configuration.p90
    # measurements at the ends are missed by as much
    for measured in (found.low, found.high):
        assert math.isclose(abs(found.seconds / measured - 1), p90, rel_tol=1e-9)


def test_errors_of_misses() -> None:
    errors = Errors.of([-0.5, 0.1, 0.2, 0.3])
    assert errors == Errors(0.25, float(np.percentile([0.5, 0.1, 0.2, 0.3], 90)), 0.5, 4)


HEADER = "model,chip,batch,seq_len,cores_used,service_ms"


def table(folder: Path, *lines: str, header: str = HEADER) -> Path:
    path = folder / "rows.csv"
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def test_a_table_of_one_s_own(tmp_path: Path) -> None:
    path = table(tmp_path, "bert-base,inferentia2,1,128,1,1.5", "mine,inferentia2,1,128,1,2")
    (row,), (unread,) = read_rows(path)
    assert (row.model, row.batch, row.service_s, row.era) == ("bert-base", 1, 1.5e-3, "2.23+")
    assert row.is_fit and row.output
    assert unread.line == 3 and "no architecture is known for 'mine'" in unread.reason


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("bert-base,inferentia2,0,128,1,1.5", "line 2: batch='0'; needed: 1, 2, ..."),
        ("bert-base,inferentia2,1,128,1,fast", "line 2: service_ms='fast'; needed: milliseconds"),
        ("bert-base,inferentia2,1,128,1,-3", "service_ms='-3'"),
        ("bert-base,inferentia2,1,128,1,inf", "service_ms='inf'"),
        ("bert-base,inferentia2,1,128,half,1", "cores_used='half'"),
    ],
)
def test_a_wrong_table_is_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(MeasurementError) as error:
        read_rows(table(tmp_path, line))
    assert message in str(error.value) and "rows.csv" in str(error.value)


def test_a_line_that_ends_early_has_a_reason(tmp_path: Path) -> None:
    rows, (unread,) = read_rows(table(tmp_path, "bert-base,inferentia2,1,128"))
    assert not rows and unread.reason == "service_ms is not stated"
    path = table(tmp_path, "1,bert-base,inferentia2,1,128,1", "1,bert-base,inferentia2,1,128",
                 header="service_ms,model,chip,batch,seq_len,cores_used,task")  # fmt: skip
    with pytest.raises(MeasurementError, match="line 3: cores_used=''; needed: 1, 2"):
        read_rows(path)


@pytest.mark.parametrize("broken", ["missing", "columns", "bytes"])
def test_no_table_at_all(tmp_path: Path, broken: str) -> None:
    path = tmp_path / "rows.csv"
    if broken == "columns":
        table(tmp_path, header="model,chip")
    if broken == "bytes":
        path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(MeasurementError, match="rows.csv"):
        read_rows(path)


def test_nothing_to_fit(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no measurement to fit"):
        fit([], V2, made_up)
    one = observed(V2, TRUE)[:1]
    with pytest.raises(ValueError, match="two configurations or more"):
        calibrate(one, V2, made_up)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"cores": {"NeuronCore-v2": {}}}'])
def test_a_damaged_calibration_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "calibration.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="calibration.json: no calibration"):
        shipped(path)


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "again.json"
    path.write_text(json.dumps(as_data(SHIPPED, MEASURED_ROWS, "a command")), encoding="utf-8")
    assert shipped(path) == SHIPPED


def test_every_shipped_row_is_read_or_has_a_reason() -> None:
    rows, unread = read_rows()
    with MEASURED_ROWS.open(newline="", encoding="utf-8") as file:
        total = len(list(csv.DictReader(file)))
    assert len(rows) + len(unread) == total == 824 and len(rows) == 789
    assert all(one.reason for one in unread)
