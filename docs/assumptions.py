"""What the assumptions of docs/numerics.md change on the shipped models.

`python docs/assumptions.py measure FILE MODEL:POLICY:SAMPLES ...` runs the questions of
`halfulp sensitivity` and the alternatives below, and writes what it finds into FILE; runs that FILE
has of other models and policies stay. `python docs/assumptions.py print` prints the page's tables
from docs/assumptions.json.
"""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from halfulp.dtypes import FP32, round_to
from halfulp.engines import NEURONCORE_V2, NeuronCore
from halfulp.engines.open_questions import Question, questions
from halfulp.engines.scalar import ScalarEngine
from halfulp.engines.tensor import TensorEngine
from halfulp.engines.vector import VectorEngine
from halfulp.quant import Policy, emulate, named_policy
from halfulp.study import metrics, sensitivity
from halfulp.study.tasks import Workload, prepare

RECORD = Path(__file__).with_suffix(".json")
MODELS = {"electra": "ELECTRA", "minilm": "MiniLM"}
TASK = "supersense"


class Backwards(VectorEngine):
    """Every sum along a row from its last element to its first."""

    def softmax(self, x: Any, *, mask: Any = None, **choices: Any) -> Any:
        turned = None if mask is None else _flip(mask)
        return _flip(super().softmax(_flip(x), mask=turned, **choices))

    def layernorm(self, x: Any, gamma: Any, beta: Any, eps: float, **choices: Any) -> Any:
        return _flip(super().layernorm(_flip(x), _flip(gamma), _flip(beta), eps, **choices))

    def tensor_reduce(self, x: Any, op: Any, *, axis: int = -1, **choices: Any) -> Any:
        return super().tensor_reduce(_flip(x, axis), op, axis=axis, **choices)


class CoarseExponential(VectorEngine):
    """Softmax, instruction by instruction, with the exp of the core's Scalar Engine."""

    def softmax(
        self, x: Any, *, out_format: Any = FP32, scale: float = 1.0, mask: Any = None,
        scores_format: Any = FP32,
    ) -> Any:  # fmt: skip
        scores = self.tensor_scalar(x, scale, "multiply", out_format=scores_format)
        if mask is not None and mask.dtype == np.bool_:
            scores = np.where(mask, scores, np.float32(-np.inf))
        elif mask is not None:
            scores = self.tensor_tensor(scores, mask, "add")
        largest = self.tensor_reduce(scores, "max", keepdims=True)
        dead = np.isneginf(largest)
        shifted = self.tensor_tensor(scores, np.where(dead, np.float32(0), largest), "subtract")
        power = self.core.scalar.activation(shifted, "exp")
        total = self.tensor_reduce(power, "add", keepdims=True)
        inverse = self.reciprocal(np.where(dead, np.float32(1), total))
        return self.tensor_tensor(power, inverse, "multiply", out_format=out_format)


class CoarseFunctions(ScalarEngine):
    """A function's fp32 result cut to 16 bits: wrong by up to 2^-15 of it, always toward zero."""

    def activation(self, x: Any, function: Any, *, out_format: Any = FP32, **choices: Any) -> Any:
        exact = np.asarray(super().activation(x, function, **choices))
        cut = (exact.view(np.uint32) & np.uint32(0xFFFFFF00)).view(np.float32)
        return self.core.vector.tensor_copy(cut, out_format=out_format)


class ScoresInFp32(VectorEngine):
    """Attention's scores are not rounded before the softmax."""

    def softmax(self, x: Any, *, scores_format: Any = FP32, **choices: Any) -> Any:
        return super().softmax(x, scores_format=FP32, **choices)


class ScoresTwice(VectorEngine):
    """QK^T is rounded as it leaves PSUM, and once more when it is scaled."""

    def softmax(self, x: Any, *, scores_format: Any = FP32, **choices: Any) -> Any:
        first = self.tensor_copy(x, out_format=scores_format)
        return super().softmax(first, scores_format=scores_format, **choices)


class BiasApart(TensorEngine):
    """A sum is rounded to the result's format as it leaves PSUM, and again with its bias."""

    def matmul(
        self, a: Any, b: Any, *, bias: Any = None, out_format: Any = FP32, **choices: Any
    ) -> Any:
        product = super().matmul(a, b, out_format=out_format, **choices)
        if bias is None:
            return product
        return self.core.vector.tensor_tensor(product, bias, "add", out_format=out_format)


class BiasCast(TensorEngine):
    """A bias is rounded to the format of the operands."""

    def matmul(self, a: Any, b: Any, *, a_format: Any, bias: Any = None, **choices: Any) -> Any:
        cast = None if bias is None else round_to(bias, a_format)
        return super().matmul(a, b, a_format=a_format, bias=cast, **choices)


def _flip(x: Any, axis: int = -1) -> Any:
    # a copy: torch takes no negative strides
    return np.ascontiguousarray(np.flip(x, axis)) if np.ndim(x) else x


@dataclass(frozen=True)
class Other:
    """An alternative outside of the systolic array.

    policies  under which it is measured
    engines   those that take the place of the core's, by its attribute
    """

    question: str
    alternative: str
    policies: tuple[str, ...]
    engines: dict[str, type]

    def asked(self) -> Question:
        return Question(self.question, self.question, {})

    def core(self) -> NeuronCore:
        core = replace(NEURONCORE_V2)
        # where a core keeps its engines
        vars(core).update({name: engine(core) for name, engine in self.engines.items()})
        return core


_MATMULT, _ALL = "bf16-matmult", "bf16-all"
_EVERY = ("fp32", _MATMULT, _ALL)
OTHERS: tuple[Other, ...] = (
    Other("Vector sums", "from the last element", _EVERY, {"vector": Backwards}),
    Other(
        "functions",
        "exp, tanh, gelu cut to 16 bits",
        _EVERY,
        {"scalar": CoarseFunctions, "vector": CoarseExponential},
    ),
    Other("bias", "cast as the operands are", (_MATMULT,), {"tensor": BiasCast}),
    Other("bias", "added after a cast", (_ALL,), {"tensor": BiasApart}),
    Other("attention", "scores not rounded", (_ALL,), {"vector": ScoresInFp32}),
    Other("attention", "scores rounded before the scale too", (_ALL,), {"vector": ScoresTwice}),
)


#: What is asked under a policy besides: all that its format's products can meet, or some.
_RANGE = ("products", "exponents", "subnormals")
POLICIES: dict[str, tuple[str, ...] | None] = {
    _MATMULT: None,
    _ALL: (),
    "fp32": None,
    "fp16-matmult": _RANGE,
    "e4m3-matmult": _RANGE,
    "int8-matmult": None,
    "int16-matmult": ("fp32 passes", "short integers"),
}


def asked(policy: str) -> list[tuple[Question, str, NeuronCore]]:
    """Each question with an alternative and the core of it, for a policy."""
    names = POLICIES[policy]
    found = [
        (question, name, core)
        for question in questions(named_policy(policy).operand_format)
        if names is None or question.name in names
        for name, core in question.cores(NEURONCORE_V2).items()
    ]
    others = [other for other in OTHERS if policy in other.policies]
    return [*found, *((other.asked(), other.alternative, other.core()) for other in others)]


def measure(workload: Workload, name: str, begin: Callable[[str], None]) -> dict[str, Any]:
    """One model under one policy, and under everything that is asked of it."""
    policy, found = named_policy(name), []
    begin("what is assumed")
    assumed, counts = _run(NEURONCORE_V2, workload, policy)
    predictions = metrics.predict(assumed)
    for question, alternative, core in asked(name):
        begin(f"{question.name}: {alternative}")
        logits, _ = _run(core, workload, policy)
        changed = metrics.predict(logits)
        finding = replace(
            sensitivity.compare(question, alternative, assumed, logits, FP32),
            flips=metrics.flips(changed, predictions),
            accuracy=metrics.accuracy(changed, workload.labels),
        )
        found.append(finding.as_json())
    return {
        "model": workload.model_name,
        "policy": name,
        "samples": len(workload.labels),
        "accuracy": metrics.accuracy(predictions, workload.labels),
        **counts,
        "found": found,
    }


def _run(core: NeuronCore, workload: Workload, policy: Policy) -> tuple[Any, dict[str, int]]:
    """Logits, and how many casts met NaN or infinity."""
    import torch

    with emulate(workload.module, core, policy) as emulation, torch.inference_mode():
        parts = [workload.forward(index) for index in range(len(workload.batches))]
    totals = emulation.ledger.totals()
    logits = np.asarray(workload.assemble(parts), np.float32)
    return logits, {name: totals[name] for name in ("nan", "infinity")}


def recorded() -> list[dict[str, Any]]:
    """The runs of docs/assumptions.json."""
    runs: list[dict[str, Any]] = json.loads(RECORD.read_text(encoding="utf-8"))
    return runs


def tables(runs: Sequence[dict[str, Any]]) -> str:
    """A table for each policy, with a column group for each model."""
    policies = dict.fromkeys(run["policy"] for run in runs)
    return "\n".join(_table([run for run in runs if run["policy"] == name]) for name in policies)


def _table(runs: Sequence[dict[str, Any]]) -> str:
    given = {run["model"]: run for run in runs}
    runs = [given[name] for name in MODELS if name in given]
    policy = runs[0]["policy"]
    head = ["open", "alternative"]
    for run in runs:
        head += [f"{MODELS[run['model']]}: logits changed", "relative", "flips", "accuracy"]
    as_is = ["as assumed", ""]
    for run in runs:
        as_is += ["", "", "", f"{run['accuracy']:.2%}"]
    rows, same = [as_is], []
    for found in zip(*(run["found"] for run in runs), strict=True):
        row = [found[0]["question"], found[0]["alternative"]]
        if not any(one["changed"] for one in found):
            same.append(": ".join(row))
            continue
        for one in found:
            row += [
                f"{one['changed']:.1%}", f"{one['relative']:.1e}", f"{one['flips']:.2%}",
                f"{one['accuracy']:.2%}",
            ]  # fmt: skip
        rows.append(row)
    samples = ", ".join(f"{MODELS[run['model']]} {run['samples']}" for run in runs)
    lines = [f"`{policy}` ({samples} predictions; {runs[0]['measured']}):", ""]
    lines += [_line(head), "|---|---|" + "--:|" * (len(head) - 2), *map(_line, rows), ""]
    if same:
        lines += [f"No logit changes with {'; '.join(same)}.", ""]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _main(command: str, *arguments: str) -> None:
    if command == "print":
        print(tables(recorded()))
        return
    import datetime

    file = Path(arguments[0])
    runs = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    for wanted in arguments[1:]:
        model, policy, samples = wanted.split(":")
        workload = prepare(model, TASK, samples=int(samples))
        begin = partial(print, f"{model} {policy}", file=sys.stderr)
        run = {**measure(workload, policy, begin), "measured": f"{datetime.date.today()}"}
        runs = [one for one in runs if (one["model"], one["policy"]) != (model, policy)] + [run]
        file.write_text(json.dumps(runs, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    _main(*sys.argv[1:])
