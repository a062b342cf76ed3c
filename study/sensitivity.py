"""Does what is not documented matter? The same work under every alternative, compared in bits."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from halfulp.dtypes import FP32, FloatFormat, Format
from halfulp.engines import NeuronCore
from halfulp.engines.open_questions import Question, questions

if TYPE_CHECKING:
    import torch

    from halfulp.quant import Policy
    from halfulp.study.tasks import Workload

Floats = npt.NDArray[np.float32]
SCHEMA = 1  # of the JSON


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

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "robust": self.robust}


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


def _each(core: NeuronCore, fmt: Format) -> Iterator[tuple[Question, str, NeuronCore]]:
    for question in questions(fmt):
        for name, other in question.cores(core).items():
            yield question, name, other


def of_matmul(
    core: NeuronCore, a: Floats, b: Floats, fmt: Format, begin: Callable[[str], None]
) -> list[Finding]:
    """A product, under each alternative; `begin` is told what runs. int32 results become fp32."""
    assumed = _product(core, a, b, fmt)
    found = []
    for question, name, other in _each(core, fmt):
        begin(f"{question.name}: {name}")
        found.append(compare(question, name, assumed, _product(other, a, b, fmt), FP32))
    return found


def _product(core: NeuronCore, a: Floats, b: Floats, fmt: Format) -> Floats:
    # sums of integers and those of the fp32 path must be numbers of one kind to be compared
    return np.asarray(core.tensor.matmul(a, b, a_format=fmt), dtype=np.float32)


def of_layer(
    core: NeuronCore, workload: "Workload", policy: "Policy", layer: str,
    begin: Callable[[str], None],
) -> list[Finding]:  # fmt: skip
    """What one module of a model puts out for the first batch, under each alternative.

    Raises ValueError for a layer that the model has not.
    """
    fmt = policy.operand_format
    assumed = _output(core, workload, policy, layer)
    found = []
    for question, name, other in _each(core, fmt):
        begin(f"{question.name}: {name}")
        result = _output(other, workload, policy, layer)
        found.append(compare(question, name, assumed, result, FP32))
    return found


def _output(core: NeuronCore, workload: "Workload", policy: "Policy", layer: str) -> Floats:
    import torch

    from halfulp.quant import emulate

    modules = dict(workload.module.named_modules())
    if layer not in modules:
        near = [name for name in modules if layer in name][:5]
        raise ValueError(f"no layer {layer!r}; near it: {', '.join(near) or 'none'}")
    kept: list[torch.Tensor] = []

    def keep(module: "torch.nn.Module", given: Any, output: Any) -> None:
        first = output[0] if isinstance(output, tuple) else output
        kept.append(first.detach().clone())

    with emulate(workload.module, core, policy), torch.inference_mode():
        handle = modules[layer].register_forward_hook(keep)
        try:
            workload.forward(0)
        finally:
            handle.remove()
    return np.ascontiguousarray(kept[0].float().numpy())


def of_model(
    core: NeuronCore, workload: "Workload", policy: "Policy", begin: Callable[[str], None]
) -> list[Finding]:
    """Logits and predictions of a model on its task, under each alternative."""
    from dataclasses import replace

    from halfulp.study import metrics

    assumed = _logits(core, workload, policy)
    predictions = metrics.predict(assumed)
    found = []
    for question, name, other in _each(core, policy.operand_format):
        begin(f"{question.name}: {name}")
        logits = _logits(other, workload, policy)
        changed = metrics.predict(logits)
        finding = compare(question, name, assumed, logits, FP32)
        found.append(
            replace(
                finding,
                flips=metrics.flips(changed, predictions),
                accuracy=metrics.accuracy(changed, workload.labels),
            )
        )
    return found


def _logits(core: NeuronCore, workload: "Workload", policy: "Policy") -> Floats:
    import torch

    from halfulp.quant import emulate

    with emulate(workload.module, core, policy), torch.inference_mode():
        parts = [workload.forward(index) for index in range(len(workload.batches))]
    return np.asarray(workload.assemble(parts), dtype=np.float32)


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
