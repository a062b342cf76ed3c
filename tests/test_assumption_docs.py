"""docs/numerics.md says what every assumption changes; its tables are those of the record."""

import json
import re
from typing import Any

import numpy as np
import pytest

from halfulp.dtypes import round_to
from halfulp.engines import NEURONCORE_V2
from halfulp.quant import POLICIES
from tests.quant.tiny import emulated, inputs, tiny
from tests.study.workloads import workload
from tests.test_docs import NUMERICS, table
from tests.tree import script

ASSUMPTIONS = script("docs/assumptions.py")
RUNS = ASSUMPTIONS.recorded()
MEASURED = {one["question"] for run in RUNS for one in run["found"]}
QUESTION = re.compile(r"`([A-Za-z0-9 ]+)`")


def rules() -> list[list[str]]:
    tables = re.findall(r"^\| rule \| standing \|.*?\n\n", NUMERICS, re.M | re.S)
    return [row for text in tables for row in table(text, "rule")]


def test_the_tables_are_those_of_the_record() -> None:
    assert ASSUMPTIONS.tables(RUNS) in NUMERICS


def test_the_record_has_every_alternative_of_today_for_both_models() -> None:
    assert {(run["model"], run["policy"]) for run in RUNS} == {
        (model, policy) for model in ASSUMPTIONS.MODELS for policy in ASSUMPTIONS.POLICIES
    }
    for run in RUNS:
        found = [(one["question"], one["alternative"]) for one in run["found"]]
        asked = ASSUMPTIONS.asked(run["policy"])
        assert found == [(question.name, alternative) for question, alternative, _ in asked]
        assert run["policy"] in POLICIES["inferentia2"]


def test_no_number_was_lost_in_the_runs_of_the_record() -> None:
    assert all(run["nan"] == run["infinity"] == 0 for run in RUNS)


def test_every_assumption_says_what_it_changes() -> None:
    named = set()
    for rule, standing, _, _, effect in rules():
        questions = QUESTION.findall(effect)
        named.update(questions)
        if "assumed" in standing:
            assert questions or re.match("none: |.*not measured: ", effect), rule
        assert set(questions) <= MEASURED, rule
    assert named == MEASURED


def test_every_rule_says_where_it_is_and_what_tests_it() -> None:
    for rule, _, _, where, _ in rules():
        code, _, tests = where.partition("; ")
        assert re.fullmatch("(`(dtypes|engines|quant)/[a-z_0-9]+.py`(, )?)+", code), rule
        assert re.fullmatch("`tests/[a-z]+/test_[a-z_0-9]+.py`", tests), rule


#: With heads of 16 the scale of the tiny models is a power of two, which moves no rounding.
ELSEWHERE = "scores rounded before the scale too"


@pytest.mark.parametrize(
    "other", [one for one in ASSUMPTIONS.OTHERS if one.alternative != ELSEWHERE], ids=str
)
def test_every_other_engine_changes_a_model(other: Any) -> None:
    cores = NEURONCORE_V2, other.core()
    policy = other.policies[0]
    as_is, changed = (emulated(tiny("BertModel"), policy, inputs(), core)[0] for core in cores)
    assert 0 < (as_is - changed).abs().max() < 0.1 * as_is.abs().max()


def test_scores_are_rounded_as_they_say() -> None:
    x = np.array([[0.0, 1 + 2.0**-8]], np.float32)
    choices: dict[str, Any] = {"scale": 1.25, "scores_format": "bf16"}
    scores = {
        NEURONCORE_V2.vector: round_to(x * np.float32(1.25), "bf16"),
        ASSUMPTIONS.ScoresInFp32(NEURONCORE_V2): x * np.float32(1.25),
        ASSUMPTIONS.ScoresTwice(NEURONCORE_V2): np.array([[0.0, 1.25]], np.float32),
    }
    assert len({float(value[0, 1]) for value in scores.values()}) == 3
    for engine, value in scores.items():
        assert np.array_equal(engine.softmax(x, **choices), NEURONCORE_V2.vector.softmax(value))


@pytest.mark.parametrize("kind", ["none", "booleans", "addends"])
def test_softmax_by_instructions_is_softmax(kind: str) -> None:
    random = np.random.default_rng(1)
    x = random.standard_normal((4, 3, 50)).astype(np.float32)
    kept = random.random((4, 1, 50)) < 0.8
    kept[0] = False
    addends = np.where(kept, np.float32(0), np.float32(-np.inf))
    choices: dict[str, Any] = {"mask": {"none": None, "booleans": kept, "addends": addends}[kind]}
    by_parts = ASSUMPTIONS.CoarseExponential(NEURONCORE_V2)
    for fmt in ("fp32", "bf16"):
        choices |= {"scale": 0.3, "scores_format": fmt, "out_format": fmt}
        assert np.array_equal(
            by_parts.softmax(x, **choices), NEURONCORE_V2.vector.softmax(x, **choices)
        )


def test_backwards_is_the_other_order_of_a_sum() -> None:
    x = np.array([2.0**24, 1.0, 1.0], np.float32)
    backwards = ASSUMPTIONS.Backwards(NEURONCORE_V2)
    assert NEURONCORE_V2.vector.tensor_reduce(x, "add") == 2.0**24
    assert backwards.tensor_reduce(x, "add") == 2.0**24 + 2
    random = np.random.default_rng(2)
    rows, gamma, beta = random.standard_normal((3, 7, 7)).astype(np.float32)
    given = rows, gamma[0], beta[0], 1e-5
    assert np.allclose(backwards.layernorm(*given), NEURONCORE_V2.vector.layernorm(*given), 1e-4)


def test_biases_are_added_as_they_say() -> None:
    a, b, bias = (np.array(x, np.float32) for x in ([[3]], [[1]], [2.0**-7 + 2.0**-20]))
    given: dict[str, Any] = {"a_format": "bf16", "bias": bias, "out_format": "bf16"}
    cast, apart = (kind(NEURONCORE_V2) for kind in (ASSUMPTIONS.BiasCast, ASSUMPTIONS.BiasApart))
    assert NEURONCORE_V2.tensor.matmul(a, b, **given) == round_to(3 + bias[0], "bf16")
    assert cast.matmul(a, b, **given) == round_to(3 + round_to(bias[0], "bf16"), "bf16")
    sums, minus_one = np.array([[1 + 2.0**-9]], np.float32), np.array([-1], np.float32)
    whole: dict[str, Any] = {"a_format": "fp32", "bias": minus_one, "out_format": "bf16"}
    assert NEURONCORE_V2.tensor.matmul(sums, b, **whole) == 2.0**-9
    assert apart.matmul(sums, b, **whole) == 0


def test_measuring_makes_a_record() -> None:
    some = workload("electra", samples=9)
    made = []
    for policy in ASSUMPTIONS.POLICIES:
        begun: list[str] = []
        run = ASSUMPTIONS.measure(some, policy, begun.append)
        assert len(begun) == len(run["found"]) + 1
        made.append({**run, "measured": "2026-11-27"})
    again = json.loads(json.dumps(made))
    assert again == made
    text = ASSUMPTIONS.tables(again)
    assert text.count("(ELECTRA 9 predictions; 2026-11-27):") == len(made)
    changed = sum(one["changed"] > 0 for run in made for one in run["found"])
    assert len(re.findall(r"^\| (?!open|as assumed)", text, re.M)) == changed
