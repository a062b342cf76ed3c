"""What both trainings share: AdamW with a linear schedule, and a record of what it cost."""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

WARM_UP = 0.05
CLIP_NORM = 1.0


def adamw(model: torch.nn.Module, rate: float) -> torch.optim.AdamW:
    """AdamW (0.9, 0.98); weight decay 0.01 on matrices only."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": 0.01},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), eps=1e-6)


def update(optimizer: torch.optim.Optimizer, loss: torch.Tensor, rate: float) -> None:
    """Take one step at learning rate `rate`, the gradient clipped to norm 1."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    torch.nn.utils.clip_grad_norm_(parameters, CLIP_NORM)
    optimizer.step()


def scheduled(rate: float, step: int, steps: int) -> float:
    """Linear warm-up over the first 5 % of the steps, then linear decay to zero."""
    done = step / steps
    return rate * min(1.0, done / WARM_UP + 1e-3, (1 - done) / (1 - WARM_UP) + 1e-3)


@dataclass
class Clock:
    """Wall and processor seconds since it was made."""

    wall: float = field(default_factory=time.monotonic)
    processor: float = field(default_factory=time.process_time)

    def seconds(self) -> dict[str, float]:
        """The seconds so far, `seconds_wall` and `seconds_processor`."""
        return {
            "seconds_wall": round(time.monotonic() - self.wall, 1),
            "seconds_processor": round(time.process_time() - self.processor, 1),
        }


def write_json(path: Path, record: object) -> None:
    """Write `record` whole or not at all."""
    beside = path.with_name(path.name + ".part")
    beside.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    beside.replace(path)
