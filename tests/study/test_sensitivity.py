"""`halfulp sensitivity`: what is open, what it changes, and how that is told."""

import json
from dataclasses import replace
from math import inf, nan
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from halfulp.dtypes import BF16, FP32, INT8, INT16, INT32, Format
from halfulp.engines import NEURONCORE_V2, SYSTOLIC
from halfulp.engines.open_questions import QUESTIONS, questions
from halfulp.quant import named_policy
from halfulp.study import sensitivity
from halfulp.study.cli import app
from halfulp.study.sensitivity import Finding, compare
from tests.study.workloads import workload

QUESTION = QUESTIONS[0]


def ask(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["sensitivity", *map(str, arguments)])


def found(a: list[float], b: list[float]) -> Finding:
    left, right = np.array(a, np.float32), np.array(b, np.float32)
    return compare(QUESTION, "other", left, right, FP32)


def test_every_question_has_alternatives_that_are_no_assumption() -> None:
    names = [question.name for question in QUESTIONS]
    assert len(set(names)) == len(names)
    for question in QUESTIONS:
        assert "assumed:" in question.asks
        for core in question.cores(NEURONCORE_V2).values():
            assert core != NEURONCORE_V2


@pytest.mark.parametrize(
    ("fmt", "more", "less"),
    [
        (FP32, {"fp32 passes"}, {"start"}),
        (INT32, {"fp32 passes"}, {"start"}),
        (INT16, {"fp32 passes", "short integers"}, {"start"}),
        (INT8, {"int8", "int32 overflow"}, {q.name for q in questions(BF16)}),
    ],
    # a set's text differs from process to process
    ids=["fp32", "int32", "int16", "int8"],
)
def test_formats_have_questions_of_their_own(fmt: Format, more: set[str], less: set[str]) -> None:
    ours, floats = ({q.name for q in questions(one)} for one in (fmt, BF16))
    assert (ours - floats, floats - ours) == (more, less)
    assert "fp32 passes" not in floats


@pytest.mark.parametrize("fmt", [BF16, FP32, INT32, INT16, INT8], ids=str)
def test_every_alternative_takes_the_formats_that_it_is_about(fmt: Format) -> None:
    for question in questions(fmt):
        for core in question.cores(NEURONCORE_V2).values():
            core.tensor.check(fmt, fmt)


@pytest.mark.parametrize("fmt", [BF16, FP32], ids=str)
def test_the_other_direction_is_the_product_of_reversed_tiles(fmt: Format) -> None:
    random = np.random.default_rng(4)
    a, b = random.standard_normal((2, 300, 300)).astype(np.float32)
    (core,) = QUESTIONS[0].cores(NEURONCORE_V2).values()
    order = np.concatenate([np.arange(k, min(k + 128, 300))[::-1] for k in (0, 128, 256)])
    found = core.tensor.matmul(a, b, a_format=fmt)
    assert np.array_equal(found, NEURONCORE_V2.tensor.matmul(a[:, order], b[order], a_format=fmt))
    assert not np.array_equal(found, NEURONCORE_V2.tensor.matmul(a, b, a_format=fmt))


def test_integer_sums_and_those_of_the_fp32_path_are_compared_as_numbers() -> None:
    random = np.random.default_rng(5)
    a, b = (random.integers(100, 128, size).astype(np.float32) for size in ((9, 4096), (4096, 9)))

    def changed(terms: int) -> set[str]:
        one = sensitivity.of_matmul(NEURONCORE_V2, a[:, :terms], b[:terms], INT8, lambda what: None)
        return {f.question for f in one if not f.robust}

    assert changed(1040) == set()  # 1040 * 127^2 < 2^24
    assert changed(4096) == {"int8"}


def test_differences_are_counted_in_units_of_the_last_place() -> None:
    one = found([1.0, 2.0, 0.0, -1.0], [1.0 + 2**-23, 2.0, 0.0, -1.0 - 2**-22])
    assert (one.results, one.changed, one.largest_ulps, one.median_ulps) == (4, 0.5, 2, 1.5)
    assert not one.robust


def test_units_go_on_through_zero() -> None:
    assert found([2.0**-149], [-(2.0**-149)]).largest_ulps == 2
    assert found([0.0], [-0.0]).changed == 1  # other bits, the same number
    assert found([0.0], [-0.0]).largest_ulps == 0


@pytest.mark.parametrize(("a", "b"), [(1.0, nan), (inf, 1.0), (inf, -inf), (nan, inf)])
def test_a_number_that_was_lost_has_no_distance(a: float, b: float) -> None:
    assert found([a, 1.0], [b, 1.0]).largest_ulps is None


def test_the_same_specials_are_the_same() -> None:
    one = found([nan, inf, 1.0], [nan, inf, 1.0])
    assert one.robust
    assert (one.changed, one.largest_ulps, one.relative) == (0, 0, 0)


def test_nothing_compares_with_nothing() -> None:
    assert found([], []).robust


def test_a_product_shows_what_it_depends_on() -> None:
    # one tile, and integers that are exact in any order
    a, b = np.full((3, 64), 2, np.float32), np.full((64, 5), 3, np.float32)
    told: list[str] = []
    exact = sensitivity.of_matmul(NEURONCORE_V2, a, b, BF16, told.append)
    assert all(one.robust for one in exact)
    assert told == [f"{one.question}: {one.alternative}" for one in exact]
    assert len(exact) == sum(len(q.alternatives) for q in questions(BF16))


def test_an_order_shows_where_it_matters() -> None:
    # some keep the one that the large number swallows; four strided chains join in that order
    a = np.array([[1.0, 2.0**30, 0.0, -(2.0**30)]], np.float32)
    one = sensitivity.of_matmul(
        NEURONCORE_V2, a, np.ones((4, 1), np.float32), BF16, lambda what: None
    )
    changed = {(f.question, f.alternative) for f in one if not f.robust}
    assert changed == {
        ("direction", "from row 127 down"),
        ("order", "a tile, rounded once"),
        ("chains", "2 strided"),
    }


def test_subnormals_show_where_they_occur() -> None:
    tiny = np.full((1, 1), 2.0**-130, np.float32)
    one = sensitivity.of_matmul(
        NEURONCORE_V2, tiny, np.ones((1, 1), np.float32), BF16, lambda what: None
    )
    assert {f.question for f in one if not f.robust} == {"subnormals"}


def test_a_model_is_judged_by_its_predictions() -> None:
    some, policy = workload(), named_policy("bf16-matmult")
    core = replace(NEURONCORE_V2, accumulation=replace(SYSTOLIC, tile=64))
    given = sensitivity.of_model(core, some, policy, lambda what: None)
    assert all(one.flips is not None and one.accuracy is not None for one in given)
    assert all(one.robust == (one.flips == 0) for one in given)
    (same,) = (one for one in given if one.question == "tile")
    assert same.changed == 0 == same.flips  # it is what this core has


def test_a_layer_is_judged_by_its_bits() -> None:
    some, policy = workload(), named_policy("bf16-matmult")
    one = sensitivity.of_layer(NEURONCORE_V2, some, policy, "first", lambda what: None)
    assert all(finding.flips is None for finding in one)
    with pytest.raises(ValueError, match="near it: first"):
        sensitivity.of_layer(NEURONCORE_V2, some, policy, "irs", lambda what: None)


def test_the_command_prints_and_writes_its_findings(tmp_path: Path) -> None:
    file = tmp_path / "open.json"
    result = ask("--shape", "5x130x7", "--json", file)
    assert result.exit_code == 0
    body = json.loads(file.read_text())
    assert body["schema"] == sensitivity.SCHEMA and body["shape"] == "5x130x7"
    lines = result.stdout.splitlines()
    assert len(lines) == len(body["found"]) + 3
    changed = [one for one in body["found"] if not one["robust"]]
    assert f"{len(changed)} of {len(body['found'])} alternatives change the result" in lines[-1]
    for one, line in zip(body["found"], lines[1:], strict=False):
        assert line.split()[-1] == ("robust" if one["robust"] else "open")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--shape", "3x4"), "three positive numbers"),
        (("--shape", "0x4x1"), "three positive numbers"),
        (("--format", "e4m3fn"), "EVRF051"),
        (("--format", "fp7"), "fp7"),
        (("--chip", "inf3"), "inferentia2"),
        (("--layer", "first"), "--model"),
        (("--model", "electra", "--policy", "bf17"), "bf17"),
        (("--model", "electra", "--task", "chess"), "supersense"),
    ],
    ids=str,
)
def test_wrong_usage_is_told_with_what_is_allowed(arguments: tuple[str, ...], named: str) -> None:
    result = ask(*arguments)
    assert result.exit_code == 2
    assert named in " ".join(result.stderr.replace("│", "").split())


def test_a_model_that_is_nowhere_is_told() -> None:
    result = ask("--model", "nowhere")
    assert result.exit_code == 1
    assert "nowhere: no such model folder" in result.stderr
