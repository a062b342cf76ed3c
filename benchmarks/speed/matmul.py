"""The systolic sum against torch and numpy.

python benchmarks/speed/matmul.py [--tiny] [--json FILE]

Operands and result are cast inside our time; weights are packed before, once, as a model does.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from measure import Call, Effort, Row, compare, fastest, header, once_for_each, show, write
from product_peers import product_peers

from halfulp.dtypes import BF16, FP16, FP32, round_to
from halfulp.dtypes.threads import set_num_threads
from halfulp.engines import (
    NEURONCORE_V2,
    PRESETS,
    Accumulation,
    IntegerAccumulator,
    matmul,
)
from halfulp.engines.presets import E8M13

SHAPES = (
    (128, 1024, 1024), (128, 1024, 4096), (128, 4096, 1024), (1280, 1024, 1024),
    (1280, 1024, 4096), (1280, 4096, 1024), (512, 768, 768),
)  # fmt: skip
HEADS = 16
#: Right operand transposed or not, then M, K, N.
ATTENTION = ((True, 128, 64, 128), (False, 128, 128, 64))
tensor = NEURONCORE_V2.tensor


def _normal(*shape: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def systolic(effort: Effort, shapes: Sequence[tuple[int, int, int]]) -> list[Row]:
    """bf16 and e4m3 operands and results, against the faster of torch.mm and numpy."""
    rows = []
    for m, k, n in shapes:
        a, b, out = _normal(m, k), _normal(k, n), np.empty((m, n), np.float32)
        left, right, result = torch.from_numpy(a), torch.from_numpy(b), torch.empty(m, n)
        others: dict[str, Call] = {
            "torch.mm": partial(torch.mm, left, right, out=result),
            "numpy": partial(np.matmul, a, b, out=np.empty((m, n), np.float32)),
        }
        for fmt in ("bf16", "e4m3"):
            packed = tensor.pack(b, fmt)
            ours = partial(tensor.matmul, a, packed, a_format=fmt, out_format=fmt, out=out)
            found = compare(f"systolic {fmt} {m}x{k}x{n}", ours, others, effort)
            rows.append(fastest(found, 1.0))
            show(rows[-1])
    return rows


def attention(effort: Effort) -> list[Row]:
    """Scores and context of BERT-large's heads, no operand packed before."""
    rows = []
    for transposed, m, k, n in ATTENTION:
        a, b = _normal(HEADS, m, k), _normal(HEADS, n, k) if transposed else _normal(HEADS, k, n)
        left, right = torch.from_numpy(a), torch.from_numpy(b)
        if transposed:
            right = right.transpose(1, 2)
        out, result = np.empty((HEADS, m, n), np.float32), torch.empty(HEADS, m, n)
        ours = partial(tensor.matmul, a, b, a_format="bf16", transpose_b=transposed, out=out)
        theirs = {"torch.bmm": partial(torch.bmm, left, right, out=result)}
        work = f"attention {HEADS} x {m}x{k}x{n} bf16"
        rows += compare(work, ours, theirs, effort, must=0.95)
        show(rows[-1])
    return rows


def others(effort: Effort, shape: tuple[int, int, int]) -> list[Row]:
    """One row, int8, fp32."""
    m, k, n = shape
    a, b, out = _normal(m, k), _normal(k, n), np.empty((m, n), np.float32)
    left, right, result = torch.from_numpy(a), torch.from_numpy(b), torch.empty(m, n)
    packed, full = tensor.pack(b, "bf16"), tensor.pack(b, "fp32")
    rng = np.random.default_rng(1)
    x, y = (rng.integers(-128, 128, size).astype(np.int8) for size in ((m, k), (k, n)))
    codes, sums = tensor.pack(y, "int8"), np.empty((m, n), np.int32)

    ours = partial(tensor.matmul, a[:1], packed, a_format="bf16")
    theirs: dict[str, Call] = {"torch.mm": partial(torch.mm, left[:1], right)}
    rows = compare(f"one row 1x{k}x{n} bf16", ours, theirs, effort, must=1.1)
    ours = partial(tensor.matmul, x, codes, a_format="int8", out=sums)
    theirs = {"torch._int_mm": lambda: torch._int_mm(torch.from_numpy(x), torch.from_numpy(y))}
    rows += compare(f"int8 {m}x{k}x{n} into int32", ours, theirs, effort, must=1.05)
    ours = partial(tensor.matmul, a, full, a_format="fp32", out=out)
    theirs = {"4 x torch.mm": partial(torch.mm, left, right, out=result)}
    work = f"fp32 in four passes {m}x{k}x{n}"
    rows += compare(work, ours, theirs, effort, must=1.05, times=4.0)
    for row in rows:
        show(row)
    return rows


def accumulations(effort: Effort, shape: tuple[int, int, int]) -> list[Row]:
    """Other accumulators and machines, against the systolic sum of the same operands.

    Right operands are packed before, as a model packs them; those of formats that the array adds
    otherwise, fp32 in one pass and e4m3fn, are cast and laid out inside our time.
    """
    m, k, n = shape
    a, b, out = _normal(m, k), _normal(k, n), np.empty((m, n), np.float32)
    sums = np.empty((m, n), np.int32)
    tile = partial(Accumulation, tile=128, entry="end", psum=FP32)
    own = {
        "bf16, each step": (4, "bf16", tile(accumulator=BF16)),
        "fp16, each step": (4, "fp16", tile(accumulator=FP16)),
        "fp32 toward zero": (20, "bf16", tile(rounding="toward_zero")),
        "fp32 in 4 chains": (20, "bf16", tile(chains=4, join="pairwise")),
        "fp32, rounded products": (20, "fp32", tile(rounds_products=True)),
        "fp32 to odd": (20, "bf16", tile(rounding="to_odd")),
        "fp32 stochastic": (20, "bf16", tile(rounding="stochastic")),
        "bf16 stochastic": (20, "bf16", tile(rounding="stochastic", accumulator=BF16)),
        "float(8,13) toward zero": (20, "bf16", tile(accumulator=E8M13, rounding="toward_zero")),
        "fp32 in pairs of 128": (20, "bf16", tile("pairwise", block=128)),
        "exact, 16 at once": (20, "bf16", Accumulation("exact", block=16)),
        "int16, each step": (20, "int8", Accumulation(accumulator=IntegerAccumulator(16))),
    }
    for name in ("v100-wmma-fp16-fp32", "a100-wmma-bf16-fp32", "h100-wgmma-e4m3fn-fp32"):
        own[name] = 20, PRESETS[name].a_format.name, PRESETS[name].accumulation
    systolic = {
        fmt: partial(tensor.matmul, a, tensor.pack(b, fmt), a_format=fmt, out=out)
        for fmt in ("bf16", "fp16")
    }
    rows = []
    for name, (must, fmt, accumulation) in own.items():
        core = replace(NEURONCORE_V2, accumulation=accumulation).tensor
        given: dict[str, Any] = {"a_format": fmt}
        if fmt in ("bf16", "fp16", "int8"):
            given["out"] = sums if fmt == "int8" else out
            ours = partial(core.matmul, a, core.pack(b, fmt), **given)
        else:
            ours = partial(matmul, a, b, accumulation=accumulation, **given)
        theirs = {"systolic": systolic.get(fmt, systolic["bf16"])}
        rows += compare(f"{name} {m}x{k}x{n}", ours, theirs, effort, must=must)
        show(rows[-1])
    return rows


def beside_peers(effort: Effort) -> list[Row]:
    """Libraries that let their user choose the accumulator, each on a product of its own size.

    Raises AssertionError where the bits differ: then it would not be the same work.
    """
    rows = []
    for peer in product_peers():
        m, k, n = peer.shape
        a, b = (round_to(x, peer.fmt) for x in (_normal(m, k), _normal(k, n)))
        theirs = peer.call(a, b)
        ours = partial(matmul, a, b, accumulation=peer.accumulation, a_format=peer.fmt)
        assert np.array_equal(ours(), theirs()), f"{peer.name} has other bits"
        work = f"{peer.fmt} {m}x{k}x{n}, the same bits"
        rows += compare(work, ours, {peer.name: theirs}, effort)
        show(rows[-1])
    return rows


def measure(threads: int, tiny: bool) -> list[Row]:
    """Every row, in this process."""
    set_num_threads(threads)
    torch.set_num_threads(threads)
    effort = Effort(threads, 1, 0.0) if tiny else Effort(threads, 9, 0.03)
    rows = systolic(effort, ((3, 130, 33),) if tiny else SHAPES)
    rows += attention(effort)
    rows += others(effort, (5, 64, 40) if tiny else (128, 1024, 4096))
    rows += accumulations(effort, (3, 40, 20) if tiny else (128, 1024, 1024))
    return rows + beside_peers(effort)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="small shapes, one round: does it run?")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    parser.add_argument("--inside", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        write(measure(given.inside, given.tiny), given.json)
        return 0
    header(["torch", *(peer.package for peer in product_peers())], given.tiny)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for threads in (1, 2):
            part = Path(folder) / f"{threads}.json"
            options = ["--tiny"] if given.tiny else []
            status = once_for_each(__file__, [threads], [*options, "--json", str(part)])
            if status:
                return status
            rows += [Row(**row) for row in json.loads(part.read_text(encoding="utf-8"))]
    write(rows, given.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
