"""Functions, layernorm and softmax against torch's float32 operators, and numpy's.

python benchmarks/speed/elementwise.py [--tiny] [--json FILE]
"""

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import Call, Effort, Row, aligned, compare, header, show, write

from halfulp.dtypes import BF16
from halfulp.dtypes.threads import set_num_threads
from halfulp.engines import NEURONCORE_V2, functions

LARGE, CACHED = 1 << 24, 1 << 16
#: What the project asks of a function; of the others nothing is asked.
MUST = {"exp": 0.9, "tanh": 0.9, "sigmoid": 0.9, "erf": 0.9, "gelu": 2.0}
#: Functions of positive numbers.
POSITIVE = ("log", "log2", "log1p", "sqrt", "rsqrt")
#: Rows and columns of the normalizations: of BERT-large, 10 x 128 tokens.
LAYERNORM, SOFTMAX = (1280, 1024), (160, 128, 128)


def _torch(name: str, x: torch.Tensor, out: torch.Tensor) -> Call:
    """torch's operator, with its result at `out` where it takes one."""
    module = torch._C._nn
    into = {
        "gelu": lambda: module.gelu(x, out=out),
        "gelu_tanh": lambda: module.gelu(x, approximate="tanh", out=out),
        "silu": lambda: module.silu(x, out=out),
        "softplus": lambda: module.softplus(x, out=out),
        "leaky_relu": lambda: module.leaky_relu(x, 0.01, out=out),
        "mish": lambda: module.mish(x, out=out),
        "relu": lambda: torch.clamp_min(x, 0.0, out=out),
    }
    if name in into:
        return into[name]
    return partial(getattr(torch, name), x, out=out)


def _numpy(name: str, x: Any, out: Any) -> dict[str, Call]:
    """numpy's function of the same name, where there is one."""
    own = getattr(np, name, None)
    return {f"np.{name}": partial(own, x, out=out)} if isinstance(own, np.ufunc) else {}


def _functions(effort: Effort, count: int, cached: int) -> list[Row]:
    drawn = np.random.default_rng(0).standard_normal(count, np.float32)
    x, out, place = aligned(count), aligned(count), aligned(count)
    rows = []
    for name in functions.__all__:
        x[:] = np.abs(drawn) if name in POSITIVE else drawn
        ours = getattr(functions, name)
        for size in (count, cached):
            part, into, other = x[:size], out[:size], place[:size]
            tensors = torch.from_numpy(part), torch.from_numpy(other)
            against: dict[str, Call] = {f"torch {name}": _torch(name, *tensors)}
            against |= _numpy(name, part, other) if effort.threads == 1 else {}
            size_text = f"{size >> 20} M" if size >> 20 else str(size)
            must = MUST.get(name) if size == count else None
            found = compare(f"{name}, {size_text}", partial(ours, part, out=into), against, effort)
            # the condition stands against torch alone
            rows += [replace(row, must=must if row is found[0] else None) for row in found]
    return rows


def _normalizations(effort: Effort, tiny: bool) -> list[Row]:
    random, vector = np.random.default_rng(1), NEURONCORE_V2.vector
    shape = (17, 33) if tiny else LAYERNORM
    x = random.standard_normal(shape, np.float32)
    gamma, beta = (random.standard_normal(shape[-1:], np.float32) for _ in range(2))
    tensors = [torch.from_numpy(array) for array in (x, gamma, beta)]
    norm = torch.nn.functional.layer_norm
    theirs = partial(norm, tensors[0], shape[-1:], tensors[1], tensors[2], 1e-12)
    ours = partial(vector.layernorm, x, gamma, beta, 1e-12, out_format=BF16)
    name = f"layernorm {shape}, bf16 out"
    rows = compare(name, ours, {"torch layer_norm": theirs}, effort, must=1.5)
    shape = (3, 17, 33) if tiny else SOFTMAX
    x = random.standard_normal(shape, np.float32)
    theirs = partial(torch.softmax, torch.from_numpy(x), -1)
    ours = partial(vector.softmax, x, out_format=BF16)
    name = f"softmax {shape}, bf16 out"
    return rows + compare(name, ours, {"torch softmax": theirs}, effort, must=1.5)


def measure(effort: Effort, tiny: bool) -> list[Row]:
    """The rows of the project's performance targets, and every other function."""
    set_num_threads(effort.threads)
    torch.set_num_threads(effort.threads)
    count, cached = (4096, 256) if tiny else (LARGE, CACHED)
    # numpy's warnings of what the inputs give
    with torch.inference_mode(), np.errstate(all="ignore"):
        return [*_functions(effort, count, cached), *_normalizations(effort, tiny)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="small arrays, one round: does it run?")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    given = parser.parse_args()
    header(["torch"], given.tiny)
    rows = []
    for threads in (1, 2):
        effort = Effort(threads, 1, 0.0) if given.tiny else Effort(threads, 9, 0.05)
        for row in measure(effort, given.tiny):
            show(row)
            rows.append(row)
    write(rows, given.json)


if __name__ == "__main__":
    main()
