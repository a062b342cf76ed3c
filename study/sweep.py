"""Models x policies x chips: each cell run once, measured against float32, kept, and found again.

Flips, errors and SQNR are against the unmodified model in torch float32. A finished cell is read
from the store, so that a sweep that was stopped goes on where it was.
"""

import dataclasses
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from halfulp.engines import CHIPS, Chip, Ledger, NeuronCore, UnsupportedFormat
from halfulp.quant import Policy, emulate, named_policy
from halfulp.study import metrics
from halfulp.study.artifacts import CorruptedModel, sha256_of
from halfulp.study.calibrated import CALIBRATION
from halfulp.study.folders import ModelUnavailable
from halfulp.study.progress import SILENT, Progress
from halfulp.study.provenance import provenance, source_sha256, version
from halfulp.study.result import (
    Cell,
    Outcomes,
    Reference,
    Refusal,
    Row,
    Sweep,
    as_data,
    finite,
)
from halfulp.study.store import Store, cell_key
from halfulp.study.sweep_rates import outline_of, peak_columns, rate_columns
from halfulp.study.tasks import DETECTION, TASKS, Task, Workload, prepare

Float32s = NDArray[np.float32]


class Recorded(Protocol):
    """What an emulation gives beside the logits: the ledger of what ran."""

    @property
    def ledger(self) -> Ledger: ...


Emulate = Callable[[torch.nn.Module, NeuronCore, Policy], AbstractContextManager[Recorded]]


class NotPrepared(RuntimeError):
    """A model and its task cannot be made ready; the message says why."""


class Prepare(Protocol):
    """The signature of `halfulp.study.tasks.prepare`, which a test may replace."""

    def __call__(
        self,
        model_name: str,
        task_name: str,
        *,
        samples: int | None,
        split: str,
        archive: Path | None,
    ) -> Workload: ...


def run(
    plan: Sequence[Cell],
    store: Store,
    *,
    samples: int | None = None,
    split: str = "test",
    archive: Path | None = None,
    fresh: bool = False,
    progress: Progress = SILENT,
    prepare: Prepare = prepare,
    emulate: Emulate = emulate,
) -> Sweep:
    """Run what `store` does not hold yet, in the plan's order; `fresh` runs everything again.

    A model that is not to be had becomes a notice, and a cell that its chip refuses a refusal; the
    others go on. Whatever else fails ends the sweep, and finished cells stay in the store.
    """
    started = datetime.now(UTC).isoformat(timespec="seconds")
    rows: list[Row] = []
    references: list[Reference] = []
    refused: list[Refusal] = []
    notices = [] if store.notice is None else [store.notice]
    for (model, task), group in itertools.groupby(plan, lambda cell: (cell.model, cell.task)):
        wanted = list(group)
        progress.begin(f"{model}, {task}: loading")
        try:
            workload = _prepared(prepare, model, TASKS[task], samples, split, archive)
        except ModelUnavailable as error:
            notices.append(str(error))
            progress.skip(len(wanted), str(error))
            continue
        bench = Bench(workload, store, fresh=fresh, progress=progress, emulate=emulate)
        references.append(bench.reference)
        for answer in bench.answers(wanted):
            rows.append(answer) if isinstance(answer, Row) else refused.append(answer)
    made = {"started": started, "split": split, "samples_asked": samples, **provenance()}
    made["policies"] = {name: as_data(named_policy(name)) for name in _names(plan)}
    told = tuple(dict.fromkeys(notices))
    return Sweep(tuple(rows), tuple(references), tuple(refused), told, made)


def _prepared(
    prepare: Prepare, model: str, task: Task, asked: int | None, split: str, archive: Path | None
) -> Workload:
    given = archive if task.needs_archive else None
    try:
        return prepare(
            model, task.name, samples=_samples(task, asked, split), split=split, archive=given
        )
    except CorruptedModel:
        raise
    except ValueError as error:
        raise NotPrepared(f"{model}, {task.name}: {error}") from error


def _samples(task: Task, asked: int | None, split: str) -> int | None:
    """What to ask a task for: its default size, or `asked` but no more than its frozen rows."""
    if asked is None:
        return task.samples if split == "test" else None
    return asked if task.needs_archive else min(asked, task.samples)


def _names(plan: Sequence[Cell]) -> Iterator[str]:
    return iter(dict.fromkeys(cell.policy for cell in plan))


class Bench:
    """One workload on the bench: its float32 reference and its cells, from the store or run."""

    def __init__(
        self,
        workload: Workload,
        store: Store,
        *,
        fresh: bool,
        progress: Progress,
        emulate: Emulate,
    ) -> None:
        self.workload, self.store, self.fresh = workload, store, fresh
        self.progress, self.emulate = progress, emulate
        self.detection = TASKS[workload.task_name].kind == DETECTION

    def identity(self, policy: object, chip: str) -> dict[str, Any]:
        """All that decides the numbers of a cell; the store finds it again by the hash of this."""
        workload = self.workload
        return {
            "model": workload.model_name,
            "weights_sha256": workload.weights_sha256,
            "task": workload.task_name,
            "data_sha256": workload.data_sha256,
            "split": workload.split,
            "samples": len(workload.labels),
            "policy": policy,
            "chip": chip,
            "source_sha256": source_sha256(),
            "calibration_sha256": sha256_of(CALIBRATION),
            "libraries": {name: version(name) for name in ("torch", "transformers")},
        }

    @cached_property
    def float32(self) -> Float32s:
        """The logits of the unmodified model in torch float32, (n, classes)."""
        workload = self.workload
        self.progress.announce(
            f"{workload.model_name}, {workload.task_name}: the reference in float32"
        )
        return self._logits()

    @cached_property
    def reference(self) -> Reference:
        """What float32 reaches on the task, from the store where it is there."""
        identity = self.identity("float32", "torch")
        kept = None if self.fresh else self.store.row(cell_key(identity))
        if kept is not None:
            return Reference(**{f.name: kept[f.name] for f in dataclasses.fields(Reference)})
        workload = self.workload
        labels, predictions = workload.labels, metrics.predict(self.float32)
        low, high = metrics.accuracy_interval(predictions, labels)
        reference = Reference(
            model=workload.model_name,
            task=workload.task_name,
            split=workload.split,
            samples=len(labels),
            accuracy=metrics.accuracy(predictions, labels),
            accuracy_low=low,
            accuracy_high=high,
            weights_sha256=workload.weights_sha256,
            data_sha256=workload.data_sha256,
            auc=finite(metrics.auc(self.float32, labels)) if self.detection else None,
        )
        row = {**dataclasses.asdict(reference), "policy": "float32", "chip": "torch"}
        self.store.put(identity, row, _outcomes(self.float32, labels))
        return reference

    def answers(self, wanted: Iterable[Cell]) -> Iterator[Row | Refusal]:
        """Each cell's row, or the chip's reason to refuse it."""
        for cell in wanted:
            policy, chip = named_policy(cell.policy), CHIPS[cell.chip]
            identity = self.identity(as_data(policy), cell.chip)
            kept = None if self.fresh else self.store.row(cell_key(identity))
            if kept is not None:
                row = Row.from_json(kept)
                self.progress.finish(cell, row, kept=True)
                yield row
                continue
            reference = self.float32
            self.progress.begin(str(cell))
            try:
                row, outcomes = self._run(cell, policy, chip, reference)
            except UnsupportedFormat as error:
                self.progress.skip(1, f"{cell}: {error}")
                yield Refusal(cell.model, cell.task, cell.policy, cell.chip, str(error))
                continue
            self.store.put(identity, row.as_json(), outcomes)
            self.progress.finish(cell, row, kept=False)
            yield row

    def _run(
        self, cell: Cell, policy: Policy, chip: Chip, reference: Float32s
    ) -> tuple[Row, Outcomes]:
        labels = self.workload.labels
        start = time.perf_counter()
        with self.emulate(self.workload.module, chip.core, policy) as emulation:
            logits = self._logits()
        seconds = time.perf_counter() - start
        totals = emulation.ledger.totals()
        outcomes = _outcomes(logits, labels)
        scores = scores_of(logits, reference, labels, detection=self.detection)
        row = Row(
            **dataclasses.asdict(cell),
            samples=len(labels),
            **scores,
            overflow=int(totals["overflow"]),
            underflow=int(totals["underflow"]),
            nan=int(totals["nan"]),
            infinity=int(totals["infinity"]),
            **peak_columns(chip, policy),
            **self.rates(chip, policy),
            seconds=round(seconds, 6),
            assumptions=tuple(policy.assumptions),
            detection=self.detection,
        )
        return row, outcomes

    def rates(self, chip: Chip, policy: Policy) -> dict[str, Any]:
        """The columns that say what the chip makes of the model."""
        inputs = self.workload.batches[0].inputs
        return rate_columns(self._outlined, inputs, self.workload.model_name, chip, policy)

    @cached_property
    def _outlined(self) -> torch.nn.Module:
        return outline_of(self.workload.module)

    def _logits(self) -> Float32s:
        batches = len(self.workload.batches)
        parts = []
        with torch.inference_mode():
            for index in range(batches):
                parts.append(self.workload.forward(index))
                self.progress.part((index + 1) / batches)
        return np.asarray(self.workload.assemble(parts), dtype=np.float32)


def scores_of(
    logits: Float32s, reference: Float32s, labels: NDArray[Any], *, detection: bool
) -> dict[str, Any]:
    """Every metric of `logits` under its column's name; None where it is not finite."""
    predictions, exact = metrics.predict(logits), metrics.predict(reference)
    low, high = metrics.accuracy_interval(predictions, labels)
    values = {
        "accuracy": metrics.accuracy(predictions, labels),
        "accuracy_low": low,
        "accuracy_high": high,
        "flips": metrics.flips(predictions, exact),
        "flips_p": metrics.flips_p(predictions, exact, labels),
        "kl_divergence": metrics.kl_divergence(logits, reference),
        "relative_error": metrics.relative_error(logits, reference),
        "sqnr_db": metrics.sqnr_db(logits, reference),
        "auc": metrics.auc(logits, labels) if detection else float("nan"),
    }
    collapsed = metrics.collapsed(logits, reference, labels)
    return {**{name: finite(value) for name, value in values.items()}, "collapsed": collapsed}


def _outcomes(logits: Float32s, labels: NDArray[Any]) -> Outcomes:
    return Outcomes(labels.astype(np.int32), metrics.predict(logits), metrics.margins(logits))
