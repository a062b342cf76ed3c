"""The tasks of a study, and a model on a task made ready to run."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from halfulp.study.artifacts import artifact
from halfulp.study.examples import Examples, chosen
from halfulp.study.models import LoadedModel, load_model
from halfulp.study.sentiment import DataUnavailable, read_snippets
from halfulp.study.wordnet import SUPERSENSES, read_glosses

__all__ = ["TASKS", "Batch", "DataUnavailable", "Task", "Workload", "prepare"]

CLASSIFICATION = "classification"
DETECTION = "detection"
BATCH = 32
FROZEN_TOKENIZER = "electra-detector/tokenizer.json"


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is asked of a model; `samples` is the size of a default run on the test split."""

    name: str
    kind: str
    description: str
    licence: str
    label_names: tuple[str, ...]
    samples: int
    length_limit: int
    """Longest input in tokens; the rest of a longer text is cut off."""
    needs_archive: bool = False

    def __post_init__(self) -> None:
        if self.kind not in (CLASSIFICATION, DETECTION):
            raise ValueError(f"{self.name}: kind={self.kind!r}; need classification or detection")

    @property
    def classes(self) -> int:
        """Number of labels."""
        return len(self.label_names)


_TASKS = (
    Task(
        name="supersense",
        kind=CLASSIFICATION,
        description="noun gloss of WordNet 3.0 -> its lexicographer file (26 supersenses)",
        licence="WordNet 3.0 licence (Princeton University)",
        label_names=SUPERSENSES,
        samples=1636,
        length_limit=64,
    ),
    Task(
        name="detection",
        kind=DETECTION,
        description="which tokens of a row of WordNet text were replaced (160 frozen rows)",
        licence="WordNet 3.0 licence (Princeton University)",
        label_names=("original", "replaced"),
        samples=160,
        length_limit=128,
    ),
    Task(
        name="sentiment",
        kind=CLASSIFICATION,
        description="polarity of movie-review snippets (VADER), text downloaded by the user",
        licence="ratings MIT (C.J. Hutto); rights in the sentences unclear, never shipped",
        label_names=("negative", "positive"),
        samples=1000,
        length_limit=64,
        needs_archive=True,
    ),
)
TASKS: dict[str, Task] = {task.name: task for task in _TASKS}


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """One forward pass: keyword inputs, and the sample that each row of its logits belongs to.

    `scored` (detection only) marks the token positions whose logits are kept, in row-major order.
    """

    inputs: dict[str, torch.Tensor]
    rows: np.ndarray
    scored: torch.Tensor | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Workload:
    """One model on one task: `module` is in eval mode, float32, with sdpa attention.

    `labels` is (n,) int64: one a text, or for detection one a scored token, 1 if it was replaced.
    """

    model_name: str
    task_name: str
    split: str
    module: torch.nn.Module
    batches: tuple[Batch, ...]
    labels: np.ndarray
    label_names: tuple[str, ...]
    data_sha256: str
    """Digest of the texts (or token rows) and labels of this workload."""
    weights_sha256: str

    @property
    def classes(self) -> int:
        """Number of labels: 26, or 2."""
        return len(self.label_names)

    def forward(self, index: int) -> np.ndarray:
        """Logits of batch `index`, (m, columns) float32, in the order of the batch's `rows`.

        One column a class; a model with a single logit z gives one column, and predicts 1 where
        z > 0.
        """
        batch = self.batches[index]
        with torch.no_grad():
            output = self.module(**batch.inputs)
        logits = output if isinstance(output, torch.Tensor) else output.logits
        if batch.scored is not None:
            logits = logits[batch.scored].unsqueeze(-1)
        return logits.numpy()

    def assemble(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        """Logits of all batches, given in their order, in the order of `labels`: (n, columns).

        Raises:
            ValueError: there is not one part of the right length for each batch.
        """
        if len(parts) != len(self.batches):
            raise ValueError(f"{len(parts)} parts of logits for {len(self.batches)} batches")
        whole = np.empty((len(self.labels), parts[0].shape[1]), dtype=np.float32)
        for position, (batch, part) in enumerate(zip(self.batches, parts, strict=True)):
            if part.shape != (len(batch.rows), whole.shape[1]):
                raise ValueError(
                    f"part {position} has shape {part.shape};"
                    f" need {(len(batch.rows), whole.shape[1])}"
                )
            whole[batch.rows] = part
        return whole


def prepare(
    model_name: str,
    task_name: str,
    *,
    samples: int | None = None,
    split: str = "test",
    archive: Path | None = None,
) -> Workload:
    """Load a model and the samples of a task.

    `model_name` is a name of MODELS, a local folder or a hub name. `samples` texts (detection:
    rows) are chosen by their digest, all of them without it; batches of 32 hold texts of similar
    length. `archive` is the downloaded source distribution that the sentiment task reads.

    Raises:
        ValueError: an unknown task or split, a model that cannot do the task, too many samples.
        ModelUnavailable: the model is not on this machine.
        CorruptedModel: a file differs from its known sha256 or cannot be read.
        DataUnavailable: the text of the sentiment task is not on this machine.
    """
    if task_name not in TASKS:
        raise ValueError(f"task {task_name!r} is not one of {', '.join(TASKS)}")
    if split not in ("test", "dev"):
        raise ValueError(f"split {split!r} is not one of test, dev")
    task = TASKS[task_name]
    if archive is not None and not task.needs_archive:
        raise ValueError(f"the task {task_name} reads no archive, but {archive} was given")
    detection = task.kind == DETECTION
    # the text first: a missing archive is told before a large model is read
    examples = None if detection else _examples(task, split, archive).subset(samples)
    model = load_model(model_name, task_name, label_names=task.label_names, detection=detection)
    if examples is None:
        return _detection(model_name, task, split, samples, model)
    return Workload(
        model_name=model_name,
        task_name=task_name,
        split=split,
        module=model.module,
        batches=text_batches(examples.texts, model, task.length_limit),
        labels=examples.labels,
        label_names=task.label_names,
        data_sha256=examples.sha256,
        weights_sha256=model.weights_sha256,
    )


def text_batches(texts: Sequence[str], model: LoadedModel, limit: int) -> tuple[Batch, ...]:
    """Batches of up to 32 texts, shortest first, padded to the longest of each batch."""
    tokenizer = model.tokenizer
    tokenizer.no_padding()
    tokenizer.enable_truncation(min(limit, model.length_limit or limit))
    ids = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
    order = np.argsort([len(sequence) for sequence in ids], kind="stable")
    batches = []
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        width = len(ids[rows[-1]])
        tokens = np.full((len(rows), width), model.padding, dtype=np.int64)
        mask = np.zeros_like(tokens)
        for i, row in enumerate(rows):
            tokens[i, : len(ids[row])] = ids[row]
            mask[i, : len(ids[row])] = 1
        inputs = {
            "input_ids": torch.from_numpy(tokens),
            "attention_mask": torch.from_numpy(mask),
        }
        batches.append(Batch(inputs, rows))
    return tuple(batches)


def _examples(task: Task, split: str, archive: Path | None) -> Examples:
    return read_snippets(split, archive) if task.needs_archive else read_glosses(split)


def _detection(
    model_name: str, task: Task, split: str, samples: int | None, model: LoadedModel
) -> Workload:
    own = Tokenizer.from_file(str(artifact(FROZEN_TOKENIZER)))
    if model.tokenizer.get_vocab() != own.get_vocab():
        raise ValueError(
            f"{model_name}: its vocabulary is not that of the frozen rows, which are token numbers"
        )
    tensors = load_file(artifact(f"detection/{split}.safetensors"))
    index = chosen([row.tobytes() for row in tensors["ids"]], samples)
    ids, labels, scored = (tensors[name][index] for name in ("ids", "labels", "scored"))
    batches = []
    first = 0
    for start in range(0, len(ids), BATCH):
        part = slice(start, start + BATCH)
        count = int(scored[part].sum())
        batches.append(
            Batch(
                {"input_ids": torch.from_numpy(ids[part].astype(np.int64))},
                np.arange(first, first + count),
                torch.from_numpy(scored[part]),
            )
        )
        first += count
    digest = hashlib.sha256(b"".join(array.tobytes() for array in (ids, labels, scored)))
    return Workload(
        model_name=model_name,
        task_name=task.name,
        split=split,
        module=model.module,
        batches=tuple(batches),
        labels=labels[scored].astype(np.int64),
        label_names=task.label_names,
        data_sha256=digest.hexdigest(),
        weights_sha256=model.weights_sha256,
    )
