"""The table, the JSON and the CSV of a sweep say the same, and nothing twice or cut short."""

import csv
import dataclasses
import io
import json

import pytest

from halfulp.study.report import TABLE, count, to_csv, to_json, to_text
from halfulp.study.result import COLUMNS, Row, as_data, finite
from tests.study.results import BROKEN, DETECTION, EXACT, ROW, sweep_of, whole

KEYS = {
    *("model", "task", "policy", "chip", "samples", "accuracy", "accuracy_low", "accuracy_high"),
    *("flips", "flips_p", "kl_divergence", "relative_error", "sqnr_db"),
    *("overflow", "underflow", "nan", "infinity", "collapsed"),
    *("peak_tops", "peak_unit", "peak_source", "seconds", "assumptions"),
    *("latency_ms", "latency_low_ms", "latency_high_ms", "roofline_ms", "sequences_per_s"),
    *("usd_per_million", "rate_source"),
}


def no_constant(name: str) -> object:
    raise AssertionError(f"JSON has no {name}")


def test_each_row_of_the_json_has_the_promised_keys_and_auc_only_for_detection() -> None:
    data = json.loads(to_json(sweep_of([ROW, DETECTION])), parse_constant=no_constant)
    assert data["schema"] == 1
    assert set(data) == {"schema", "rows", "refused", "notices", "references", "provenance"}
    assert set(data["rows"][0]) == KEYS
    assert set(data["rows"][1]) == KEYS | {"auc"}
    assert data["rows"][1]["auc"] == 0.8123
    assert data["rows"][0]["assumptions"] == ["the bias stays fp32"]
    assert data["refused"] == [
        {
            "model": "minilm",
            "task": "supersense",
            "policy": "fp32",
            "chip": "inferentia1",
            "reason": "no fp32 on NeuronCore-v1",
        }
    ]
    assert data["notices"] == ["minilm is not installed"]


def test_what_is_not_finite_is_null() -> None:
    row = json.loads(to_json(sweep_of([BROKEN])), parse_constant=no_constant)["rows"][0]
    assert row["sqnr_db"] is None and row["relative_error"] is None
    assert [finite(x) for x in (1.5, float("nan"), float("inf"), -float("inf"))] == [
        *(1.5, None, None, None)
    ]
    with pytest.raises(ValueError, match="JSON compliant"):
        to_json(sweep_of([dataclasses.replace(ROW, seconds=float("nan"))]))


@pytest.mark.parametrize("row", [ROW, EXACT, BROKEN, DETECTION])
def test_a_row_comes_back_from_its_json(row: Row) -> None:
    assert Row.from_json(json.loads(json.dumps(row.as_json()))) == row


def test_a_row_with_other_columns_is_refused() -> None:
    data = ROW.as_json()
    del data["flips"]
    with pytest.raises(ValueError, match="flips, latency"):
        Row.from_json({**data, "latency": 1})


def test_the_csv_has_the_columns_of_the_json() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(sweep_of([ROW, BROKEN, DETECTION])))))
    assert tuple(rows[0]) == COLUMNS
    assert set(COLUMNS) == KEYS | {"auc"}
    assert (rows[0]["auc"], rows[2]["auc"]) == ("", "0.8123")
    assert (rows[0]["collapsed"], rows[1]["collapsed"]) == ("false", "true")
    assert rows[1]["sqnr_db"] == ""
    assert float(rows[0]["flips"]) == 0.0012
    assert rows[0]["assumptions"] == "the bias stays fp32"


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_a_table_fits_its_width_and_cuts_no_number(width: int) -> None:
    rows = [ROW, EXACT, BROKEN, DETECTION]
    lines = to_text(sweep_of(rows), width=width).splitlines()
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert "…" not in text
    for row in rows:
        assert row.policy in text
    assert "torch float32: 77.00 %, AUC 0.8125" in text
    assert "0.8123" in text
    assert "46.8" in text and "exact" in text and "! 3.85" in text


def test_a_wide_table_has_every_column_and_a_narrow_one_names_the_missing() -> None:
    wide = to_text(sweep_of([DETECTION]), width=250)
    assert all(column.title in wide for column in TABLE)
    assert "not shown" not in wide
    narrow = to_text(sweep_of([DETECTION]), width=80).replace("\n  ", " ")
    missing = narrow.partition("not shown at this width: ")[2].partition(" (--csv")[0].split(", ")
    header = next(line for line in narrow.splitlines() if line.startswith("chip"))
    assert missing
    for column in TABLE:
        assert (column.title in missing) != (f" {column.title} " in f" {header} ")


def test_a_terminal_too_narrow_gets_long_lines_rather_than_cut_numbers() -> None:
    text = to_text(sweep_of([ROW]), width=30)
    assert "…" not in text
    assert "190 TFLOPS" in text and "46.8" in text


def test_the_text_names_sources_assumptions_refusals_and_notices_once() -> None:
    text = to_text(whole(), width=120)
    for line in (
        "data sheet of Inferentia2",
        "- the bias stays fp32",
        "refused: fp32 on inferentia1: no fp32 on NeuronCore-v1",
        "notice: minilm is not installed",
        "!: the model no longer",
    ):
        assert text.count(line) >= 1
    assert text.count("- the bias") == 1


def test_one_sample_and_one_token_are_told_as_one() -> None:
    for row, words in ((ROW, "supersense, 1 sample"), (DETECTION, "detection, 1 token")):
        text = to_text(sweep_of([dataclasses.replace(row, samples=1)]), width=120)
        assert words in text and f"{words}s" not in text


def test_names_are_never_read_as_markup() -> None:
    row = dataclasses.replace(ROW, model="[red]folder[/red]", policy="[bold]x")
    text = to_text(sweep_of([row]), width=100)
    assert "[red]folder[/red], supersense" in text
    assert "[bold]x" in text


def test_a_sweep_without_rows_still_says_why() -> None:
    assert "notice: minilm is not installed" in to_text(sweep_of([]), width=80)


def test_color_is_for_terminals_only() -> None:
    assert "\x1b[" in to_text(sweep_of([BROKEN]), width=120, color=True)
    assert "\x1b[" not in to_text(sweep_of([BROKEN]), width=120)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.0k"),
        (99_949, "99.9k"),
        (99_999, "100k"),
        (999_499, "999k"),
        (999_500, "1.0M"),
        (12_345_678, "12.3M"),
        (10**13, "10.0T"),
    ],
)
def test_counts_are_short(value: int, text: str) -> None:
    assert count(value) == text


def test_frozen_values_become_plain_data_and_others_are_refused() -> None:
    assert as_data(ROW.cell) == {
        "type": "Cell",
        "model": "minilm",
        "task": "supersense",
        "policy": "bf16-matmult",
        "chip": "inferentia2",
    }
    assert as_data({"b": (1, None), "a": frozenset({2, 1})}) == {"b": [1, None], "a": [1, 2]}
    with pytest.raises(TypeError, match="not plain data"):
        as_data(object())
