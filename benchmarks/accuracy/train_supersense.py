"""Train the small ELECTRA that names the supersense of a WordNet noun gloss.

    python -m benchmarks.accuracy.train_supersense --wordnet FOLDER --out FOLDER

Writes tokenizer.json, config.json, model.safetensors and metrics.json. Steps and seed are fixed;
the bits of the weights still depend on the machine, so the shipped ones are known by their sha256.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import ElectraConfig, ElectraForSequenceClassification

from benchmarks.accuracy.corpus import (
    CLS,
    FIRST_NOUN_FILE,
    SEP,
    Synset,
    packed_split,
    read_synsets,
    save_tokenizer,
    train_tokenizer,
)
from benchmarks.accuracy.optimization import Clock, adamw, scheduled, update, write_json
from halfulp.study.wordnet import SUPERSENSES

VOCABULARY = 8192
LENGTH = 128
GLOSS_LENGTH = 40
"""Token limit of a gloss, [CLS] and [SEP] included."""
EMBEDDING_STD = 0.06
POSITION_STD = 0.08


def ppmi_embeddings(rows: np.ndarray, dim: int, window: int = 5) -> torch.Tensor:
    """Token vectors from a truncated SVD of positive pointwise mutual information, (8192, dim).

    A start that costs seconds where learning it would cost epochs.
    Source: Levy and Goldberg, Neural Word Embedding as Implicit Matrix Factorization (2014);
    context distribution smoothed with exponent 0.75 as in Levy, Goldberg and Dagan (2015).
    """
    flat = torch.from_numpy(rows.reshape(-1))
    counts = torch.zeros(VOCABULARY * VOCABULARY)
    for distance in range(1, window + 1):
        pairs = flat[:-distance] * VOCABULARY + flat[distance:]
        counts += torch.bincount(pairs, minlength=VOCABULARY * VOCABULARY) / distance
    counts = counts.view(VOCABULARY, VOCABULARY)
    counts = counts + counts.T
    totals = counts.sum(1)
    smoothed = totals.clamp_min(1e-3) ** 0.75
    ratio = counts * smoothed.sum() / (totals.clamp_min(1)[:, None] * smoothed[None, :])
    left, singular, _ = torch.svd_lowrank(ratio.clamp_min_(1).log_(), q=dim + 16, niter=3)
    vectors = (left * singular.sqrt())[:, :dim]
    return vectors / vectors.std() * EMBEDDING_STD


def sinusoids(length: int, dim: int) -> torch.Tensor:
    """Start of the learned positions: "the token before" is then easy to attend to."""
    angle = torch.arange(length)[:, None] / 1000.0 ** (torch.arange(dim // 2) / (dim // 2))
    return POSITION_STD * torch.cat([angle.sin(), angle.cos()], 1)


def build(rows: np.ndarray, dropout: float) -> ElectraForSequenceClassification:
    """A fresh 4 x 128 ELECTRA.

    At this width the library's initializer_range of 0.02 leaves attention uniform; 0.08 does not.
    """
    config = ElectraConfig(
        vocab_size=VOCABULARY,
        embedding_size=128,
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=512,
        max_position_embeddings=LENGTH,
        type_vocab_size=1,
        initializer_range=0.08,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=0.0,
        id2label=dict(enumerate(SUPERSENSES)),
        label2id={name: i for i, name in enumerate(SUPERSENSES)},
    )
    model = ElectraForSequenceClassification(config)
    embeddings = model.electra.embeddings
    with torch.no_grad():
        embeddings.word_embeddings.weight.copy_(ppmi_embeddings(rows, config.embedding_size))
        embeddings.position_embeddings.weight.copy_(sinusoids(LENGTH, config.embedding_size))
    return model


def glosses(tokenizer: Tokenizer, synsets: list[Synset]) -> tuple[list[list[int]], np.ndarray]:
    """Token ids (the gloss alone, not the lemmas) and supersense 0 to 25 of noun synsets."""
    encodings = tokenizer.encode_batch([s.gloss for s in synsets], add_special_tokens=False)
    ids = [[CLS, *e.ids[: GLOSS_LENGTH - 2], SEP] for e in encodings]
    return ids, np.array([s.lexicographer_file - FIRST_NOUN_FILE for s in synsets])


def padded(ids: list[list[int]]) -> dict[str, torch.Tensor]:
    """One batch, padded with 0 to its longest row."""
    width = max(map(len, ids))
    tokens = torch.zeros(len(ids), width, dtype=torch.long)
    mask = torch.zeros_like(tokens)
    for row, sequence in enumerate(ids):
        tokens[row, : len(sequence)] = torch.tensor(sequence)
        mask[row, : len(sequence)] = 1
    return {"input_ids": tokens, "attention_mask": mask}


def epochs(ids: list[list[int]], batch: int, seed: int) -> Iterator[np.ndarray]:
    """Index batches for ever: rows of similar length together, batches in random order."""
    random = np.random.default_rng(seed)
    lengths = np.array([len(sequence) for sequence in ids])
    while True:
        order = np.argsort(lengths + random.uniform(0, 4, len(ids)), kind="stable")
        starts = random.permutation(np.arange(0, len(ids), batch))
        yield from (order[start : start + batch] for start in starts)


@torch.no_grad()
def accuracy(
    model: torch.nn.Module, ids: list[list[int]], labels: np.ndarray, batch: int = 64
) -> float:
    """Share of glosses whose largest logit is the label."""
    model.eval()
    order = np.argsort([len(sequence) for sequence in ids], kind="stable")
    hits = 0
    for start in range(0, len(order), batch):
        index = order[start : start + batch]
        logits = model(**padded([ids[i] for i in index])).logits
        hits += int((logits.argmax(-1).numpy() == labels[index]).sum())
    model.train()
    return hits / len(ids)


def train(arguments: argparse.Namespace) -> None:
    """Tokenizer, embeddings, classifier; the test split is scored once, at the end."""
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    clock = Clock()
    arguments.out.mkdir(parents=True, exist_ok=True)
    synsets = read_synsets(arguments.wordnet)
    tokenizer = train_tokenizer((s.text for s in synsets if s.split == "train"), VOCABULARY)
    save_tokenizer(tokenizer, arguments.out, GLOSS_LENGTH)
    nouns = [s for s in synsets if s.key.startswith("noun")]
    parts = {
        split: glosses(tokenizer, [s for s in nouns if s.split == split])
        for split in ("train", "dev", "test")
    }
    model = build(packed_split(tokenizer, synsets, "train", LENGTH), arguments.dropout)
    optimizer = adamw(model, arguments.rate)
    ids, labels = parts["train"]
    order = epochs(ids, arguments.batch, arguments.seed)
    print({split: len(part[0]) for split, part in parts.items()}, clock.seconds(), flush=True)
    losses: list[float] = []
    for step in range(arguments.steps):
        index = next(order)
        logits = model(**padded([ids[i] for i in index])).logits
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels[index]))
        update(optimizer, loss, scheduled(arguments.rate, step, arguments.steps))
        losses.append(loss.item())
        if (step + 1) % 500 == 0:
            dev = accuracy(model, *parts["dev"])
            mean = np.mean(losses[-500:])
            print(f"step {step + 1} loss {mean:.3f} dev {dev:.4f} {clock.seconds()}", flush=True)
            model.save_pretrained(arguments.out)
    model.save_pretrained(arguments.out)
    record = {
        "recipe": {k: v for k, v in vars(arguments).items() if not isinstance(v, Path)},
        "parameters": sum(p.numel() for p in model.parameters()),
        "examples": {split: len(part[0]) for split, part in parts.items()},
        "epochs": arguments.steps * arguments.batch / len(ids),
        "accuracy": {split: accuracy(model, *parts[split]) for split in ("dev", "test")},
        "majority_test": float(np.bincount(parts["test"][1]).max() / len(parts["test"][1])),
        **clock.seconds(),
    }
    write_json(arguments.out / "metrics.json", record)
    print(record)


def main(argv: list[str]) -> None:
    """Read the options and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wordnet", type=Path, required=True, help="folder with data.noun ...")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=9856, help="default: 4 epochs")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=8e-4)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    train(parser.parse_args(argv))


if __name__ == "__main__":
    main(sys.argv[1:])
