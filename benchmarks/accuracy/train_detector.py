"""Train the small ELECTRA that detects replaced tokens, from the body of the supersense classifier.

    python -m benchmarks.accuracy.train_detector --wordnet FOLDER --body FOLDER --out FOLDER

15 % of the ordinary tokens of each packed row are swapped for draws from the unigram distribution
of the training text; the model says for each token whether it was swapped. `--body` is the output
of train_supersense. Writes tokenizer.json, config.json, model.safetensors, metrics.json and the
frozen rows test.safetensors and dev.safetensors.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from transformers import ElectraForPreTraining, ElectraForSequenceClassification

from benchmarks.accuracy.corpus import ORDINARY, packed_split, read_synsets, save_tokenizer
from benchmarks.accuracy.optimization import Clock, adamw, scheduled, update, write_json
from halfulp.study import metrics

LENGTH = 128
SWAPPED = 0.15
LOSS_SCALE = 50.0
"""ELECTRA's weight of the detection loss; the gradient is then clipped to norm 1 at every step."""
FROZEN_ROWS = 160
FROZEN_SEEDS = {"test": 1234, "dev": 1235}


def unigrams(rows: torch.Tensor, vocabulary: int) -> torch.Tensor:
    """Cumulative distribution of the ordinary tokens, (vocabulary,)."""
    counts = torch.bincount(rows.reshape(-1), minlength=vocabulary).double()
    counts[:ORDINARY] = 0
    return (counts.cumsum(0) / counts.sum()).float()


def swap(
    ids: torch.Tensor, cumulative: torch.Tensor, random: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Swap tokens of `ids`: (new ids, 1.0 where the token changed, True where a token is scored).

    A draw that equals the token it replaces counts as original.
    """
    scored = ids >= ORDINARY
    chosen = (torch.rand(ids.shape, generator=random) < SWAPPED) & scored
    draws = torch.rand(int(chosen.sum()), generator=random)
    new = ids.clone()
    new[chosen] = torch.searchsorted(cumulative, draws, right=True).clamp_max(len(cumulative) - 1)
    return new, (new != ids).float(), scored


def batches(rows: torch.Tensor, size: int, random: torch.Generator) -> Iterator[torch.Tensor]:
    """Random batches for ever, each row once an epoch."""
    while True:
        order = torch.randperm(len(rows), generator=random)
        for start in range(0, len(rows) - size + 1, size):
            yield rows[order[start : start + size]]


@torch.no_grad()
def measure(model: torch.nn.Module, frozen: dict[str, np.ndarray]) -> dict[str, float]:
    """Area under the ROC curve, accuracy and F1 at logit 0, over the scored tokens."""
    model.eval()
    ids = torch.from_numpy(frozen["ids"].astype(np.int64))
    logits = np.concatenate([model(input_ids=part).logits.numpy() for part in ids.split(32)])
    model.train()
    scored = frozen["scored"]
    z, labels = logits[scored][:, None], frozen["labels"][scored].astype(np.int64)
    found = metrics.predict(z)
    both = float((found & labels).sum())
    return {
        "auc": metrics.auc(z, labels),
        "accuracy": metrics.accuracy(found, labels),
        "majority": float((labels == 0).mean()),
        "f1": 2 * both / max(float(found.sum() + labels.sum()), 1.0),
        "tokens": len(z),
    }


def freeze(rows: torch.Tensor, cumulative: torch.Tensor, seed: int) -> dict[str, np.ndarray]:
    """160 rows spread evenly over a split, corrupted once: ids int16, labels int8, scored bool."""
    spread = torch.arange(FROZEN_ROWS) * len(rows) // FROZEN_ROWS
    new, changed, scored = swap(rows[spread], cumulative, torch.Generator().manual_seed(seed))
    return {
        "ids": new.numpy().astype(np.int16),
        "labels": changed.numpy().astype(np.int8),
        "scored": scored.numpy(),
    }


def from_body(folder: Path) -> ElectraForPreTraining:
    """A detector whose body is the trained classifier's, without dropout."""
    body = ElectraForSequenceClassification.from_pretrained(folder, local_files_only=True)
    config = body.config
    config.hidden_dropout_prob = 0.0
    config.num_labels = 2
    model = ElectraForPreTraining(config)
    model.electra.load_state_dict(body.electra.state_dict())
    return model


def train(arguments: argparse.Namespace) -> None:
    """Fixed steps; the test rows are scored once, at the end."""
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    clock = Clock()
    arguments.out.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.from_file(str(arguments.body / "tokenizer.json"))
    save_tokenizer(tokenizer, arguments.out, LENGTH)
    synsets = read_synsets(arguments.wordnet)
    rows = {
        split: torch.from_numpy(packed_split(tokenizer, synsets, split, LENGTH))
        for split in ("train", "dev", "test")
    }
    cumulative = unigrams(rows["train"], tokenizer.get_vocab_size())
    frozen = {split: freeze(rows[split], cumulative, seed) for split, seed in FROZEN_SEEDS.items()}
    for split, tensors in frozen.items():
        save_file(tensors, arguments.out / f"{split}.safetensors")
    model = from_body(arguments.body).train()
    optimizer = adamw(model, arguments.rate)
    random = torch.Generator().manual_seed(arguments.seed + 1)
    order = batches(rows["train"], arguments.batch, random)
    print({split: len(part) for split, part in rows.items()}, clock.seconds(), flush=True)
    losses: list[float] = []
    for step in range(arguments.steps):
        new, changed, scored = swap(next(order), cumulative, random)
        logits = model(input_ids=new).logits
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits[scored], changed[scored])
        update(optimizer, LOSS_SCALE * loss, scheduled(arguments.rate, step, arguments.steps))
        losses.append(loss.item())
        if (step + 1) % 500 == 0:
            dev = measure(model, frozen["dev"])
            mean = np.mean(losses[-500:])
            print(f"step {step + 1} loss {mean:.4f} dev {dev} {clock.seconds()}", flush=True)
            model.save_pretrained(arguments.out)
    model.save_pretrained(arguments.out)
    record = {
        "recipe": {k: v for k, v in vars(arguments).items() if not isinstance(v, Path)},
        "parameters": sum(p.numel() for p in model.parameters()),
        "rows": {split: len(part) for split, part in rows.items()},
        "epochs": arguments.steps * arguments.batch / len(rows["train"]),
        "dev": measure(model, frozen["dev"]),
        "test": measure(model, frozen["test"]),
        **clock.seconds(),
    }
    write_json(arguments.out / "metrics.json", record)
    print(record)


def main(argv: list[str]) -> None:
    """Read the options and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wordnet", type=Path, required=True, help="folder with data.noun ...")
    parser.add_argument("--body", type=Path, required=True, help="output of train_supersense")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=12000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=7e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    train(parser.parse_args(argv))


if __name__ == "__main__":
    main(sys.argv[1:])
