"""Small workloads of random weights, and stand-ins for what prepares and emulates them."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from halfulp.dtypes import FloatFormat, round_to
from halfulp.engines import Ledger, UnsupportedFormat
from halfulp.quant import Policy
from halfulp.study.tasks import Batch, Workload


class Net(torch.nn.Module):
    """Two linear layers, the second with `outputs` outputs."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.first = torch.nn.Linear(8, 16)
        self.second = torch.nn.Linear(16, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.nn.functional.gelu(self.first(x)))


def workload(
    model: str = "minilm",
    task: str = "supersense",
    *,
    samples: int = 40,
    outputs: int = 26,
    split: str = "test",
) -> Workload:
    """A workload whose rows are out of order, so that `assemble` has work."""
    draw = torch.Generator().manual_seed(8)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        net = Net(outputs).eval()
    x = 4 * torch.randn(samples, 8, generator=draw)
    order = torch.randperm(samples, generator=draw).numpy()
    parts = np.array_split(order, 4)
    labels = torch.randint(0, max(outputs, 2), (samples,), generator=draw).numpy()
    return Workload(
        model_name=model,
        task_name=task,
        split=split,
        module=net,
        batches=tuple(Batch({"x": x[torch.from_numpy(rows)]}, rows) for rows in parts),
        labels=labels,
        label_names=tuple(map(str, range(max(outputs, 2)))),
        data_sha256=f"{samples:064d}",
        weights_sha256="a" * 64,
    )


@dataclasses.dataclass
class Prepared:
    """Stands for `prepare`; remembers what it was asked."""

    asked: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    def __call__(
        self,
        model_name: str,
        task_name: str,
        *,
        samples: int | None,
        split: str,
        archive: Path | None,
    ) -> Workload:
        self.asked.append({"model": model_name, "task": task_name, "samples": samples})
        outputs = 1 if task_name == "detection" else 26
        return workload(
            model_name, task_name, samples=min(samples or 40, 40), outputs=outputs, split=split
        )


@dataclasses.dataclass
class RoundedLogits:
    """Stands for an emulation: the model's own logits, rounded to the policy's operand format."""

    ledger: Ledger = dataclasses.field(default_factory=Ledger)


@dataclasses.dataclass
class Emulated:
    """Stands for `emulate`; remembers under which policies it ran, and refuses where told to."""

    refuse: str | None = None
    policies: list[str] = dataclasses.field(default_factory=list)

    @contextlib.contextmanager
    def __call__(
        self, module: torch.nn.Module, core: object, policy: Policy
    ) -> Iterator[RoundedLogits]:
        if policy.name == self.refuse:
            raise UnsupportedFormat(f"no {policy.name} here")
        self.policies.append(policy.name)
        fmt = policy.operand_format
        assert isinstance(fmt, FloatFormat)

        def rounded(net: torch.nn.Module, given: object, logits: torch.Tensor) -> torch.Tensor:
            return round_to(logits, fmt)

        handle = module.register_forward_hook(rounded)
        try:
            yield RoundedLogits()
        finally:
            handle.remove()
