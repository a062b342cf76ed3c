"""Fit the linear heads of MiniLM: supersenses, and sentiment where the archive is given.

    python -m benchmarks.accuracy.fit_heads --wordnet FOLDER --out FOLDER [--archive FILE]

Logistic regression on the mean of MiniLM's last layer, read through halfulp's own tokenization and
pooling. Writes minilm-supersense/head.safetensors (and minilm-sentiment/head.safetensors) with
weight (outputs, 384) and bias (outputs,), and metrics.json. Features are kept beside and reused.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from benchmarks.accuracy.corpus import FIRST_NOUN_FILE, read_synsets
from benchmarks.accuracy.optimization import Clock, write_json
from halfulp.study import metrics
from halfulp.study.examples import Examples
from halfulp.study.models import (
    MINILM_PADDING,
    LoadedModel,
    PooledClassifier,
    minilm_encoder,
    minilm_folder,
)
from halfulp.study.sentiment import read_snippets
from halfulp.study.tasks import TASKS, text_batches

SPLITS = ("train", "dev", "test")
MINILM_WIDTH = 384
LARGEST_WEIGHT = 8.0
"""A head beyond it would spoil every 8-bit format: unscaled e3m4 ends at 15.5."""

Read = Callable[[str], Examples]


@torch.no_grad()
def features(model: LoadedModel, texts: tuple[str, ...], limit: int) -> np.ndarray:
    """Mean-pooled last layer, (n, 384) float32; the head of `model` is the identity."""
    rows = np.empty((len(texts), MINILM_WIDTH), np.float32)
    for batch in text_batches(texts, model, limit):
        rows[batch.rows] = model.module(**batch.inputs).numpy()
    return rows


def fit(x: np.ndarray, y: np.ndarray, outputs: int, l2: float) -> tuple[np.ndarray, np.ndarray]:
    """Softmax (outputs > 1) or logistic (outputs = 1) regression: weight (outputs, features), bias.

    One common scale for all features. A scale for each would give MiniLM's nearly constant outlier
    dimension a weight of several hundred: the same accuracy in float32, and a head that overflows
    8-bit formats and flushes itself to zero under a scale per tensor.
    """
    mean, scale = x.mean(0), x.std(0).mean()
    inputs, labels = torch.from_numpy((x - mean) / scale), torch.from_numpy(y)
    weight = torch.zeros(x.shape[1], outputs, requires_grad=True)
    bias = torch.zeros(outputs, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=200, line_search_fn="strong_wolfe", history_size=20
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        z = inputs @ weight + bias
        if outputs == 1:
            loss = torch.nn.functional.binary_cross_entropy_with_logits(z[:, 0], labels.float())
        else:
            loss = torch.nn.functional.cross_entropy(z, labels)
        loss = loss + l2 * (weight * weight).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    # safetensors writes the memory as it lies: a transposed view would be stored transposed
    raw = np.ascontiguousarray(weight.detach().numpy().T / scale, dtype=np.float32)
    return raw, (bias.detach().numpy() - raw @ mean).astype(np.float32)


def right(z: np.ndarray, y: np.ndarray) -> float:
    """Accuracy of logits z."""
    return metrics.accuracy(metrics.predict(z), y)


def fit_task(
    task: str, outputs: int, read: Read, model: LoadedModel, arguments: argparse.Namespace
) -> dict[str, object]:
    """Embed the three splits, fit on train, write the head; return what was measured."""
    clock = Clock()
    folder = arguments.out / f"minilm-{task}"
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "features.safetensors"
    examples = {split: read(split) for split in SPLITS}
    if kept.exists():
        x = load_file(kept)
    else:
        limit = TASKS[task].length_limit
        x = {split: features(model, examples[split].texts, limit) for split in SPLITS}
        save_file(x, kept)
    embedded = clock.seconds()
    print(task, {split: len(part) for split, part in x.items()}, embedded, flush=True)
    weight, bias = fit(x["train"], examples["train"].labels, outputs, arguments.l2)
    largest = float(np.abs(weight).max())
    if not largest < LARGEST_WEIGHT:
        raise SystemExit(f"{task}: max|W| is {largest}, need less than {LARGEST_WEIGHT}")
    save_file({"weight": weight, "bias": bias}, folder / "head.safetensors")
    test = examples["test"].labels
    return {
        "examples": {split: len(part) for split, part in x.items()},
        "accuracy": {s: right(x[s] @ weight.T + bias, examples[s].labels) for s in SPLITS},
        "majority_test": float(np.bincount(test).max() / len(test)),
        "largest_weight": largest,
        "l2": arguments.l2,
        "embedding": embedded,
        **clock.seconds(),
    }


def glosses(wordnet: Path) -> Read:
    """Reader of the noun glosses of a split, training split included."""
    synsets = read_synsets(wordnet, ["noun"])

    def read(split: str) -> Examples:
        part = [s for s in synsets if s.split == split]
        labels = [s.lexicographer_file - FIRST_NOUN_FILE for s in part]
        return Examples(tuple(s.gloss for s in part), np.array(labels, dtype=np.int64))

    return read


def main(argv: list[str]) -> None:
    """Read the options and fit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wordnet", type=Path, required=True, help="folder with data.noun ...")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--archive", type=Path, help="vaderSentiment-3.3.2.tar.gz")
    parser.add_argument("--l2", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    folder = minilm_folder()
    tokenizer, limit = folder.tokenizer()
    pooled = PooledClassifier(minilm_encoder(folder), torch.nn.Identity()).eval()
    model = LoadedModel(pooled, tokenizer, limit, MINILM_PADDING, folder.sha256)
    record = {}
    if arguments.archive is not None:
        archive = arguments.archive
        record["sentiment"] = fit_task(
            "sentiment", 1, lambda split: read_snippets(split, archive), model, arguments
        )
        print(record, flush=True)
    classes = TASKS["supersense"].classes
    read = glosses(arguments.wordnet)
    record["supersense"] = fit_task("supersense", classes, read, model, arguments)
    write_json(arguments.out / "metrics.json", record)
    print(record)


if __name__ == "__main__":
    main(sys.argv[1:])
