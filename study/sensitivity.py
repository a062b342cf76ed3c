"""Does what is not documented matter? The same work under every alternative, compared in bits."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from halfulp.dtypes import FP32, FloatFormat, Format
from halfulp.dtypes.wording import counted
from halfulp.engines import NeuronCore
from halfulp.engines.open_questions import Question, questions

if TYPE_CHECKING:
    from halfulp.quant import Policy
    from halfulp.study.tasks import Workload

Floats = npt.NDArray[np.float32]
#: What `findings` runs first.
ASSUMED = "what is assumed"
_NOTHING: Mapping[str, "Finding"] = MappingProxyType({})


@dataclass(frozen=True)
class Finding:
    """One alternative beside what is assumed.

    changed        share of the results whose bits differ
    largest_ulps   the largest difference, in units of the last place of the results' format; None
                   where one of the two is NaN or infinite and the other is another number
    median_ulps    of those that differ
    relative       root of the mean square of the differences over that of the results
    flips          share of the predictions that change; None without a model's task
    accuracy       on the task; None likewise
    """

    question: str
    alternative: str
    results: int
    changed: float
    largest_ulps: int | None
    median_ulps: float
    relative: float
    flips: float | None = None
    accuracy: float | None = None

    @property
    def robust(self) -> bool:
        """Whether the alternative changes nothing: no prediction, or without a task no bit."""
        return self.changed == 0 if self.flips is None else self.flips == 0

    @property
    def name(self) -> str:
        """Which alternative it is of."""
        return f"{self.question}: {self.alternative}"

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "robust": self.robust}

    def __str__(self) -> str:
        flips = "" if self.flips is None else f", {self.flips:.2%} flips"
        return f"{self.name}: {self.changed:.2%} changed{flips}"


def _ordered(x: Floats, fmt: FloatFormat) -> npt.NDArray[np.int64]:
    """Numbers of a format counted from zero on, so that neighbors differ by one."""
    codes = x.view(np.uint32).astype(np.int64)
    places = (codes & 0x7FFFFFFF) >> (23 - fmt.mantissa_bits)
    return np.where(codes >> 31, -places, places)


def compare(
    question: Question, alternative: str, assumed: Floats, other: Floats, fmt: FloatFormat
) -> Finding:
    """What an alternative does to results of a format with float32's exponents."""
    differs = assumed.view(np.uint32) != other.view(np.uint32)
    finite = np.isfinite(assumed) & np.isfinite(other)
    ulps = np.abs(_ordered(assumed, fmt) - _ordered(other, fmt))[differs & finite]
    a, b = assumed[finite].astype(np.float64), other[finite].astype(np.float64)
    size = float(np.sqrt(np.mean(a**2))) if len(a) else 0.0
    error = float(np.sqrt(np.mean((a - b) ** 2))) if len(a) else 0.0
    lost = bool((differs & ~finite).any())
    return Finding(
        question=question.name,
        alternative=alternative,
        results=assumed.size,
        changed=float(differs.mean()) if assumed.size else 0.0,
        largest_ulps=None if lost else int(ulps.max(initial=0)),
        median_ulps=float(np.median(ulps)) if len(ulps) else 0.0,
        relative=error / size if size else 0.0,
    )


class Subject(Protocol):
    """What is run under each alternative."""

    @property
    def format(self) -> Format:
        """Of the operands."""

    def run(self, core: NeuronCore) -> Floats:
        """Its results on a core."""

    def judged(self, finding: Finding, assumed: Floats, other: Floats) -> Finding:
        """A finding with what a task adds to it."""


@dataclass(frozen=True, eq=False)
class Product:
    """A product. int32 results become fp32."""

    a: Floats
    b: Floats
    format: Format

    def run(self, core: NeuronCore) -> Floats:
        # sums of integers and those of the fp32 path must be numbers of one kind to be compared
        found = core.tensor.matmul(self.a, self.b, a_format=self.format)
        return np.asarray(found, dtype=np.float32)

    def judged(self, finding: Finding, assumed: Floats, other: Floats) -> Finding:
        return finding


@dataclass(frozen=True, eq=False)
class Layer:
    """What one module of a model puts out for the first batch: its output's first tensor.

    Raises ValueError for a layer that the model has not, and for one that puts out none.
    """

    workload: "Workload"
    policy: "Policy"
    name: str

    def __post_init__(self) -> None:
        from halfulp.study.layers import check_layer

        check_layer(self.workload, self.name)

    @property
    def format(self) -> Format:
        return self.policy.operand_format

    def run(self, core: NeuronCore) -> Floats:
        import torch

        from halfulp.quant import emulate
        from halfulp.study.layers import kept_outputs

        model = self.workload.module
        module = model.get_submodule(self.name)
        with (
            emulate(model, core, self.policy),
            torch.inference_mode(),
            kept_outputs(module) as kept,
        ):
            self.workload.forward(0)
        return np.ascontiguousarray(kept[0].float().numpy())

    def judged(self, finding: Finding, assumed: Floats, other: Floats) -> Finding:
        return finding


@dataclass(frozen=True, eq=False)
class Model:
    """Logits and predictions of a model on its task."""

    workload: "Workload"
    policy: "Policy"

    @property
    def format(self) -> Format:
        return self.policy.operand_format

    def run(self, core: NeuronCore) -> Floats:
        import torch

        from halfulp.quant import emulate

        workload = self.workload
        with emulate(workload.module, core, self.policy), torch.inference_mode():
            parts = [workload.forward(index) for index in range(len(workload.batches))]
        return np.asarray(workload.assemble(parts), dtype=np.float32)

    def judged(self, finding: Finding, assumed: Floats, other: Floats) -> Finding:
        from halfulp.study import metrics

        changed = metrics.predict(other)
        return replace(
            finding,
            flips=metrics.flips(changed, metrics.predict(assumed)),
            accuracy=metrics.accuracy(changed, self.workload.labels),
        )


def alternatives(core: NeuronCore, fmt: Format) -> list[tuple[Question, str, NeuronCore]]:
    """Each question about operands of a format with an alternative and the core of it."""
    return [
        (question, name, other)
        for question in questions(fmt)
        for name, other in question.cores(core).items()
    ]


def findings(
    subject: Subject, core: NeuronCore, kept: Mapping[str, Finding] = _NOTHING,
    begin: Callable[[str], None] = lambda what: None,
) -> Iterator[Finding]:  # fmt: skip
    """The subject under each alternative; `begin` is told what runs.

    kept   findings by their `name`, which are not found again
    """
    assumed: Floats | None = None
    for question, alternative, other in alternatives(core, subject.format):
        name = f"{question.name}: {alternative}"
        if name in kept:
            yield kept[name]
            continue
        if assumed is None:
            begin(ASSUMED)
            assumed = subject.run(core)
        begin(name)
        results = subject.run(other)
        finding = compare(question, alternative, assumed, results, FP32)
        yield subject.judged(finding, assumed, results)


def table(found: Sequence[Finding]) -> list[list[str]]:
    """Rows for people, the head first."""
    task = any(finding.flips is not None for finding in found)
    head = ["question", "alternative", "changed", "median ulps", "largest", "relative"]
    rows = [[*head, *(["flips", "accuracy"] if task else []), ""]]
    for finding in found:
        largest = "not finite" if finding.largest_ulps is None else str(finding.largest_ulps)
        row = [
            finding.question, finding.alternative, f"{finding.changed:.2%}",
            f"{finding.median_ulps:g}", largest, f"{finding.relative:.1e}",
        ]  # fmt: skip
        if task:
            row += [f"{finding.flips:.2%}", f"{finding.accuracy:.2%}"]
        rows.append([*row, "robust" if finding.robust else "open"])
    return rows


def verdict(found: Sequence[Finding]) -> str:
    """How many alternatives matter, and which questions they are of."""
    task = any(finding.flips is not None for finding in found)
    what, count = "a prediction" if task else "the result", counted(len(found), "alternative")
    matter = [finding for finding in found if not finding.robust]
    if matter:
        names = ", ".join(dict.fromkeys(finding.question for finding in matter))
        return f"{len(matter)} of {count} change{'s' * (len(matter) == 1)} {what}: {names}"
    logits = sum(finding.changed > 0 for finding in found)
    also = f"; {logits} of them change{'s' * (logits == 1)} logits, as the table shows"
    return f"robust: none of {count} changes {what}{also * bool(logits)}"
