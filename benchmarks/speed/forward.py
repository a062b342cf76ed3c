"""A whole emulated forward against the same model in torch float32.

python benchmarks/speed/forward.py [--tiny] [--policy NAME] [--json FILE]

BERT-large's shape, random weights, 128 tokens, batch 1 and 10, sdpa attention. The weights are
packed at the first emulated forward of a context; that is not in the ratio, its time is printed
beside.
"""

import argparse
import statistics
import time
from pathlib import Path

import torch
from measure import Row, header, show, write
from transformers import BertConfig, BertModel

from halfulp.dtypes.threads import set_num_threads
from halfulp.engines import NEURONCORE_V2
from halfulp.quant import emulate, named_policy

LARGE = BertConfig(
    hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096
)
TINY = BertConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64)


def _seconds(model: BertModel, tokens: torch.Tensor, count: int) -> list[float]:
    times = []
    for _ in range(count):
        start = time.perf_counter()
        model(input_ids=tokens)
        times.append(time.perf_counter() - start)
    return times


def measure(
    model: BertModel, batch: int, threads: int, policy: str, must: float, rounds: int, calls: int
) -> Row:
    """Blocks of plain and of emulated forwards in turn; the first of each block is not counted."""
    set_num_threads(threads)
    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, model.config.vocab_size, (batch, 128), generator=generator)
    plain, ours, packing, ratios = [], [], [], []
    with torch.inference_mode():
        for _ in range(rounds):
            theirs = _seconds(model, tokens, calls + 1)[1:]
            with emulate(model, NEURONCORE_V2, named_policy(policy)):
                first, *mine = _seconds(model, tokens, calls + 1)
            ratios.append(statistics.median(mine) / statistics.median(theirs))
            packing.append(first - statistics.median(mine))
            plain += theirs
            ours += mine
    ratios.sort()
    note = f"(packing {statistics.median(packing):.1f} s)"
    return Row(
        f"BERT-large {batch} x 128, {policy}", "torch float32", threads,
        statistics.median(ratios), ratios[0], ratios[-1], must,
        statistics.median(ours) * 1e3, statistics.median(plain) * 1e3, note,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="a tiny model, one round: does it run?")
    parser.add_argument("--policy", action="append", help="policies; default bf16-matmult")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    given = parser.parse_args()
    header(["torch", "transformers"], given.tiny)
    torch.manual_seed(0)
    model = BertModel(TINY if given.tiny else LARGE).eval()
    model.set_attn_implementation("sdpa")
    rows = []
    for policy in given.policy or ["bf16-matmult"]:
        for threads in (1, 2):
            for batch, calls in ((1, 5), (10, 2)):
                must = 0.95 if policy == "bf16-matmult" else 1.15
                effort = (1, 1) if given.tiny else (3, calls)
                row = measure(model, batch, threads, policy, must, *effort)
                show(row)
                rows.append(row)
    write(rows, given.json)


if __name__ == "__main__":
    main()
