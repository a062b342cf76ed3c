"""A sweep measures each cell once, keeps it, and goes on from what it kept."""

import dataclasses
import json
import math
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from halfulp.dtypes import BF16, E4M3, round_to
from halfulp.study import metrics, provenance, sweep
from halfulp.study.artifacts import CorruptedModel
from halfulp.study.folders import ModelUnavailable
from halfulp.study.result import Cell, Row, Sweep
from halfulp.study.store import Store, cell_key
from halfulp.study.sweep import NotPrepared
from tests.study.workloads import Emulated, Prepared, workload

POLICIES = ("bf16-matmult", "e4m3-matmult", "fp16-all")
PLAN = tuple(Cell("minilm", "supersense", policy, "inferentia2") for policy in POLICIES)

SLOW = """
import sys, time
from pathlib import Path
from halfulp.study import sweep
from halfulp.study.store import Store
from tests.study.test_sweep import PLAN
from tests.study.workloads import Emulated, Prepared

class Told:
    def begin(self, what): print("begin", what, flush=True)
    announce = begin
    def part(self, share): time.sleep(0.02)
    def finish(self, cell, row, *, kept): print("kept" if kept else "ran", cell.policy, flush=True)
    def skip(self, count, reason): print("skip", reason, flush=True)

with Store(Path(sys.argv[1])) as store:
    sweep.run(PLAN, store, progress=Told(), prepare=Prepared(), emulate=Emulated())
"""


def ran(
    store: Path, cells: tuple[Cell, ...] = PLAN, *, emulated: Emulated | None = None, **more: Any
) -> tuple[Sweep, list[str]]:
    """The sweep over the store at that path, and the policies that it really ran."""
    emulated = emulated or Emulated()
    more.setdefault("prepare", Prepared())
    with Store(store) as kept:
        result = sweep.run(cells, kept, emulate=emulated, **more)
    return result, emulated.policies


def without_seconds(result: Sweep) -> list[Row]:
    return [dataclasses.replace(row, seconds=0.0) for row in result.rows]


def test_a_row_says_what_the_metrics_say_of_the_logits(tmp_path: Path) -> None:
    result, _ = ran(tmp_path / "store")
    load = workload()
    with torch.no_grad():
        reference = load.assemble([load.forward(i) for i in range(4)])
    logits = round_to(reference, E4M3)
    labels, predictions = load.labels, metrics.predict(logits)
    row = result.rows[1]
    assert row.policy == "e4m3-matmult"
    assert row.samples == 40
    assert row.accuracy == np.mean(logits.argmax(1) == labels)
    assert (row.accuracy_low, row.accuracy_high) == metrics.accuracy_interval(predictions, labels)
    assert row.flips == np.mean(logits.argmax(1) != reference.argmax(1))
    assert row.relative_error == metrics.relative_error(logits, reference)
    assert row.sqnr_db == pytest.approx(-20 * math.log10(row.relative_error or 0.0))
    assert row.kl_divergence == metrics.kl_divergence(logits, reference)
    assert not row.detection and "auc" not in row.as_json()
    assert (row.overflow, row.underflow, row.nan, row.infinity) == (0, 0, 0, 0)
    assert (row.peak_tops, row.peak_unit) == (190.0, "TFLOPS")
    assert row.assumptions and row.seconds > 0


def test_the_reference_is_the_unmodified_model(tmp_path: Path) -> None:
    result, _ = ran(tmp_path / "store")
    load = workload()
    with torch.no_grad():
        logits = load.assemble([load.forward(i) for i in range(4)])
    (reference,) = result.references
    assert reference.accuracy == np.mean(logits.argmax(1) == load.labels)
    assert reference.samples == 40
    assert reference.auc is None


def test_a_detection_has_an_auc(tmp_path: Path) -> None:
    cells = (Cell("electra", "detection", "bf16-matmult", "inferentia2"),)
    result, _ = ran(tmp_path / "store", cells)
    load = workload("electra", "detection", outputs=1)
    with torch.no_grad():
        logits = round_to(load.assemble([load.forward(i) for i in range(4)]), BF16)
    assert result.rows[0].as_json()["auc"] == metrics.auc(logits, load.labels)
    assert result.references[0].auc is not None


def test_a_finished_cell_is_never_run_again(tmp_path: Path) -> None:
    first, ran_first = ran(tmp_path / "store", PLAN[:2])
    second, ran_second = ran(tmp_path / "store")
    third, ran_third = ran(tmp_path / "store")
    assert (ran_first, ran_second, ran_third) == (list(POLICIES[:2]), [POLICIES[2]], [])
    assert second.rows[:2] == first.rows
    assert third.rows == second.rows
    assert third.references == first.references


def test_a_sweep_that_is_all_kept_runs_no_forward_pass(tmp_path: Path) -> None:
    first, _ = ran(tmp_path / "store")

    def broken(*args: Any, **keywords: Any) -> Any:
        load = workload()
        load.module.forward = None  # type: ignore[assignment]
        return load

    second, _ = ran(tmp_path / "store", prepare=broken)
    assert second.rows == first.rows


def test_fresh_runs_everything_again(tmp_path: Path) -> None:
    first, _ = ran(tmp_path / "store")
    second, policies = ran(tmp_path / "store", fresh=True)
    assert policies == list(POLICIES)
    assert without_seconds(second) == without_seconds(first)


def test_each_samples_outcome_is_kept(tmp_path: Path) -> None:
    ran(tmp_path / "store")
    load = workload()
    with torch.no_grad():
        logits = round_to(load.assemble([load.forward(i) for i in range(4)]), BF16)
    with Store(tmp_path / "store") as store:
        identities = [
            json.loads(line[0]) for line in store._database.execute("SELECT identity FROM cells")
        ]
        assert len(identities) == 4
        identity = next(i for i in identities if i["policy"] != "float32" and is_bf16(i))
        outcomes = store.outcomes(cell_key(identity))
    assert outcomes is not None
    assert np.array_equal(outcomes.labels, load.labels)
    assert np.array_equal(outcomes.predictions, logits.argmax(1))
    ordered = np.sort(logits.astype(np.float64), axis=1)
    assert np.array_equal(outcomes.margins, (ordered[:, -1] - ordered[:, -2]).astype(np.float32))


def is_bf16(identity: dict[str, Any]) -> bool:
    return bool(identity["policy"]["name"] == "bf16-matmult")


@pytest.mark.parametrize(
    "change",
    [
        {"weights_sha256": "c" * 64},
        {"data_sha256": "c" * 64},
        {"split": "dev"},
        {"model_name": "other"},
    ],
)
def test_another_workload_is_another_cell(tmp_path: Path, change: dict[str, str]) -> None:
    ran(tmp_path / "store")

    def changed(*args: Any, **keywords: Any) -> Any:
        return dataclasses.replace(workload(), **change)  # type: ignore[arg-type]

    _, policies = ran(tmp_path / "store", prepare=changed)
    assert policies == list(POLICIES)


def test_changed_sources_meet_no_old_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran(tmp_path / "store")
    monkeypatch.setattr(sweep, "source_sha256", lambda: "other")
    _, policies = ran(tmp_path / "store")
    assert policies == list(POLICIES)


def test_every_source_that_decides_a_number_is_in_the_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("dtypes/kernel.py", "engines/a.py", "quant/b.py", "study/new.py", "study/cli.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x = 1\n")
    monkeypatch.setattr(provenance, "package_folder", lambda: tmp_path)
    hashed = provenance.source_sha256.__wrapped__
    before = hashed()
    for name in ("dtypes/kernel.py", "engines/a.py", "quant/b.py", "study/new.py"):
        (tmp_path / name).write_text("x = 2\n")
        after = hashed()
        assert after != before, name
        before = after
    (tmp_path / "study/cli.py").write_text("x = 2\n")
    assert hashed() == before


def test_another_chip_is_another_cell(tmp_path: Path) -> None:
    other = tuple(dataclasses.replace(cell, chip="inferentia1") for cell in PLAN)
    ran(tmp_path / "store")
    result, policies = ran(tmp_path / "store", (*PLAN[:1], *other[:1]))
    assert policies == ["bf16-matmult"]
    assert [(row.chip, row.peak_tops) for row in result.rows] == [
        ("inferentia2", 190.0),
        ("inferentia1", 64.0),
    ]


def test_a_refused_cell_stands_with_its_reason_and_the_others_go_on(tmp_path: Path) -> None:
    result, policies = ran(tmp_path / "store", emulated=Emulated(refuse="e4m3-matmult"))
    assert policies == ["bf16-matmult", "fp16-all"]
    assert [row.policy for row in result.rows] == policies
    (refusal,) = result.refused
    assert (refusal.policy, refusal.chip) == ("e4m3-matmult", "inferentia2")
    assert refusal.reason == "no e4m3-matmult here"


def test_a_rate_that_the_data_sheet_does_not_give_is_null_with_the_reason(tmp_path: Path) -> None:
    cells = (Cell("minilm", "supersense", "e4m3-matmult", "inferentia1"),)
    result, _ = ran(tmp_path / "store", cells)
    assert result.rows[0].peak_tops is None
    assert "e4m3" in result.rows[0].peak_source


def test_a_model_that_is_not_to_be_had_is_a_notice_and_the_others_go_on(tmp_path: Path) -> None:
    def partly(model: str, task: str, **keywords: Any) -> Any:
        if model == "minilm":
            raise ModelUnavailable("minilm is not here; type: pip install it")
        return workload(model, task)

    cells = (*PLAN, dataclasses.replace(PLAN[0], model="electra"))
    result, policies = ran(tmp_path / "store", cells, prepare=partly)
    assert result.notices == ("minilm is not here; type: pip install it",)
    assert [row.model for row in result.rows] == ["electra"]


def test_a_workload_that_cannot_be_prepared_ends_the_sweep_by_name(tmp_path: Path) -> None:
    def wrong(model: str, task: str, **keywords: Any) -> Any:
        raise ValueError("has 3 labels, the task has 26")

    with pytest.raises(NotPrepared, match="minilm, supersense: has 3 labels"):
        ran(tmp_path / "store", prepare=wrong)

    def damaged(model: str, task: str, **keywords: Any) -> Any:
        raise CorruptedModel("sha256 is another")

    with pytest.raises(CorruptedModel, match="sha256"):
        ran(tmp_path / "store", prepare=damaged)


@pytest.mark.parametrize(
    ("task", "asked", "split", "given"),
    [
        ("supersense", None, "test", 1636),
        ("supersense", 20, "test", 20),
        ("supersense", 5000, "test", 1636),
        ("detection", 1000, "test", 160),
        ("supersense", None, "dev", None),
        ("sentiment", None, "test", 1000),
        ("sentiment", 1500, "test", 1500),
    ],
)
def test_a_task_gives_no_more_samples_than_it_has(
    tmp_path: Path, task: str, asked: int | None, split: str, given: int | None
) -> None:
    prepared = Prepared()
    cells = (Cell("minilm", task, "bf16-matmult", "inferentia2"),)
    ran(tmp_path / "store", cells, prepare=prepared, samples=asked, split=split)
    assert prepared.asked[0]["samples"] == given


def test_the_result_says_where_it_comes_from(tmp_path: Path) -> None:
    result, _ = ran(tmp_path / "store")
    made = result.provenance
    assert made["policies"]["bf16-matmult"]["rules"][0]["operands"]["mantissa_bits"] == 7
    assert made["source_sha256"] == provenance.source_sha256()
    assert made["versions"]["torch"] is not None
    assert (made["split"], made["samples_asked"]) == ("test", None)
    json.dumps(result.as_json(), allow_nan=False)


@pytest.mark.deep
def test_killed_at_any_moment_a_sweep_goes_on_from_its_finished_cells(tmp_path: Path) -> None:
    undisturbed, _ = ran(tmp_path / "undisturbed")
    store = tmp_path / "store"
    finished = 0
    for stop in ("begin minilm, supersense: e4m3", "ran e4m3", "begin minilm, supersense: fp16"):
        process = subprocess.Popen(
            [sys.executable, "-c", SLOW, str(store)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith(stop):
                break
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate()
        lines += rest.splitlines(keepends=True)
        assert sum(line.startswith("kept") for line in lines) == finished
        finished += sum(line.startswith("ran") for line in lines)
    assert 2 <= finished <= 3
    result, policies = ran(store)
    assert policies == list(POLICIES[finished:])
    assert without_seconds(result) == without_seconds(undisturbed)
