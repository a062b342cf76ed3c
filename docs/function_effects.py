"""What the nearest float32 functions change against torch's, for docs/functions.md.

`python docs/function_effects.py distances [EVERY]` compares every function with torch's on all 2^32
inputs, or on every so many of them; what the file has of more inputs stays;
`python docs/function_effects.py models [SAMPLES]` exchanges torch's functions for ours in the
shipped models, one at a time and all at once. Both write their part of docs/function_effects.json.
`python docs/function_effects.py print` prints the page's tables from that file.
"""

import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from halfulp.dtypes import FP32
from halfulp.engines import NEURONCORE_V2, Activation, NeuronCore, functions
from halfulp.engines.piecewise import PiecewiseCubic, Segment
from halfulp.engines.vector import VectorEngine
from halfulp.quant import emulate, named_policy
from halfulp.study import metrics
from halfulp.study.tasks import Workload, prepare

RECORD = Path(__file__).with_suffix(".json")
MODELS = {"electra": "ELECTRA", "minilm": "MiniLM"}
TASK = "supersense"
_CHUNK = 1 << 22


def torch_function(name: str) -> Callable[[Any], Any] | None:
    """torch's float32 operator of a function, where it has one."""
    import torch

    others: dict[str, Callable[[Any], Any]] = {
        "gelu": torch.nn.functional.gelu,
        "gelu_tanh": lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
        "silu": torch.nn.functional.silu,
        "softplus": torch.nn.functional.softplus,
        "mish": torch.nn.functional.mish,
        "leaky_relu": torch.nn.functional.leaky_relu,
    }
    found: Callable[[Any], Any] | None = others.get(name, getattr(torch, name, None))
    return found


def _ordered(x: Any) -> Any:
    """Integers in the order of the floats: neighbors differ by one, -0 and +0 by nothing."""
    bits = x.view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)


def distance(name: str, every: int) -> dict[str, Any]:
    """The largest distance from torch, in units of the last place; of every so many inputs."""
    import torch

    ours, theirs = getattr(functions, name), torch_function(name)
    assert theirs is not None
    largest, at, differ = 0, 0.0, 0
    for start in range(0, 1 << 32, _CHUNK * every):
        stop = min(start + _CHUNK * every, 1 << 32)
        x = np.arange(start, stop, every, dtype=np.uint32).view(np.float32)
        y, z = ours(x), theirs(torch.from_numpy(x)).numpy()
        places = np.flatnonzero(y.view(np.uint32) != z.view(np.uint32))
        y, z = y[places], z[places]
        both = np.isnan(y) & np.isnan(z)
        numbers = ~(np.isnan(y) | np.isnan(z))
        apart = np.where(numbers, np.abs(_ordered(y) - _ordered(z)), 0)
        # one of them a number, the other none; a zero of another sign is no distance
        differ += int(np.count_nonzero(apart)) + int(np.count_nonzero(~numbers & ~both))
        if apart.size and apart.max() > largest:
            place = int(apart.argmax())
            largest, at = int(apart[place]), float(x[places[place]])
    inputs = -(-(1 << 32) // every)
    return {"function": name, "inputs": inputs, "ulps": largest, "at": at.hex(), "differ": differ}


class TorchTable(PiecewiseCubic):
    """torch's function in the place of a table."""

    def __call__(self, x: Any) -> Any:
        import torch

        theirs = torch_function(self.name)
        assert theirs is not None
        return theirs(torch.from_numpy(np.ascontiguousarray(x))).numpy()


class Composed(VectorEngine):
    """Layer normalization instruction by instruction, its rsqrt on Scalar."""

    def layernorm(
        self, x: Any, gamma: Any, beta: Any, eps: float, *, out_format: Any = FP32
    ) -> Any:
        chunks = [x[..., start : start + 512] for start in range(0, x.shape[-1], 512)]
        found = self.bn_aggr(np.concatenate([self.bn_stats(chunk) for chunk in chunks], axis=-1))
        spread = self.core.scalar.activation(found[..., 1:], Activation.RSQRT, bias=eps)
        y = self.tensor_scalar(x, found[..., :1], "subtract", operand1=spread, op1="multiply")
        scaled = self.tensor_tensor(y, gamma, "multiply")
        return self.tensor_tensor(scaled, beta, "add", out_format=out_format)


def core_with(names: Iterable[Activation]) -> NeuronCore:
    """A core some of whose functions are torch's, softmax's exp among them."""
    none = (Segment(0.0, 0.0, (0.0, 0.0, 0.0, 0.0)),)
    core = replace(NEURONCORE_V2, tables={name: TorchTable(name, none, 1.0) for name in names})
    # where a core keeps its engines
    vars(core).update({"vector": Composed(core)})
    return core


def _logits(core: NeuronCore, workload: Workload) -> tuple[Any, set[str]]:
    """Logits in fp32, and the functions that ran."""
    import torch

    with emulate(workload.module, core, named_policy("fp32")) as emulation, torch.inference_mode():
        parts = [workload.forward(index) for index in range(len(workload.batches))]
    ran = {
        record.instruction.removeprefix("activation(").removesuffix(")")
        for record in emulation.ledger.records
        if record.engine == "scalar"
    }
    if any(record.instruction == "softmax" for record in emulation.ledger.records):
        ran.add("exp")
    return np.asarray(workload.assemble(parts), np.float64), ran


def exchanged(name: str, samples: int | None) -> dict[str, Any]:
    """A model's logits with torch's functions exchanged for ours, one at a time and at once."""
    workload = prepare(name, TASK, samples=samples)
    ours, ran = _logits(core_with([]), workload)
    used = sorted(Activation(one) for one in ran if one in {*Activation} and one != "copy")
    theirs, _ = _logits(core_with(used), workload)
    rows = []
    for function in used:
        only, _ = _logits(core_with([one for one in used if one != function]), workload)
        rows.append({"function": function.value, **_change(theirs, only)})
    whole = _change(theirs, ours)
    total = sum(row["largest"] for row in rows)
    return {"model": name, "samples": len(workload.labels), "functions": rows, "whole": whole,
            "sum": total}  # fmt: skip


def _change(before: Any, after: Any) -> dict[str, Any]:
    flips = metrics.flips(metrics.predict(after), metrics.predict(before))
    return {"largest": float(np.abs(after - before).max()), "flips": flips}


def recorded() -> dict[str, Any]:
    """What docs/function_effects.json holds."""
    if not RECORD.exists():
        return {}
    data: dict[str, Any] = json.loads(RECORD.read_text(encoding="utf-8"))
    return data


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _grid(head: list[str], rows: list[list[str]]) -> str:
    rule = "|---|" + "--:|" * (len(head) - 1)
    return "\n".join([_line(head), rule, *map(_line, rows)]) + "\n"


def proof(rows: list[dict[str, Any]]) -> str:
    """The table of docs/functions_verified.json."""
    head = ["function", "inputs", "wrong", "nearest to a tie", "in the table", "s"]
    lines = [
        # half a unit is as far from a tie as a number can be: the function meets none
        [row["function"], f"{row['inputs']:,}", f"{row['wrong']:,}",
         "no tie near" if "(2^-1.0 " in row["hardest"] else row["hardest"],
         f"{row['in_table']}", f"{row['seconds']:.0f}"]
        for row in rows
    ]  # fmt: skip
    return _grid(head, lines)


def tables(record: dict[str, Any]) -> list[str]:
    """The tables of distances and of models."""
    far = [
        [row["function"], f"{row['inputs']:,}", f"{row['ulps']:,}", row["at"], f"{row['differ']:,}"]
        for row in record["distances"]
    ]
    lines = []
    for model in record["models"]:
        name = f"{MODELS[model['model']]} ({model['samples']})"
        for row in model["functions"]:
            lines.append([name, row["function"], f"{row['largest']:.2e}", f"{row['flips']:.2%}"])
        lines.append([name, "sum of these", f"{model['sum']:.2e}", ""])
        whole = model["whole"]
        lines.append([name, "all at once", f"{whole['largest']:.2e}", f"{whole['flips']:.2%}"])
    return [
        _grid(["function", "inputs", "largest distance (ulps)", "at", "results that differ"], far),
        _grid(["model (predictions)", "exchanged", "largest change of a logit", "flips"], lines),
    ]


def _keep(part: str, rows: Any) -> None:
    RECORD.write_text(json.dumps(recorded() | {part: rows}, indent=1) + "\n", encoding="utf-8")


def _distances(every: int) -> None:
    """Compare, and keep what the record has of more inputs."""
    before = recorded().get("distances", ())
    rows = {row["function"]: row for row in before if row["inputs"] > (1 << 32) // every}
    for name in functions.__all__:
        if name not in rows:
            rows[name] = distance(name, every)
            print(rows[name], flush=True)
            _keep("distances", [rows[one] for one in functions.__all__ if one in rows])


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["distances"]:
        _distances(int(arguments[1]) if arguments[1:] else 1)
    elif arguments[:1] == ["models"]:
        samples = int(arguments[1]) if arguments[1:] else None
        _keep("models", [exchanged(name, samples) for name in MODELS])
    else:
        print(*tables(recorded()), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
