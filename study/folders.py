"""`transformers` models from folders and from the hub: safetensors only, no code from outside."""

import hashlib
import json
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import huggingface_hub
import torch
import transformers
from safetensors import SafetensorError
from tokenizers import Tokenizer
from transformers.utils import logging as transformers_logging

from halfulp.study.artifacts import CorruptedModel, sha256_of

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
HUB_FILES = ("*.safetensors", "*.safetensors.index.json", "config.json", "tokenizer*.json")


class ModelUnavailable(RuntimeError):
    """A model is not here, or in no form that halfulp reads; the message says what to do."""


@dataclass(frozen=True, slots=True, eq=False)
class ModelFolder:
    """A folder with config.json and safetensors weights, read where it lies."""

    path: Path

    def __post_init__(self) -> None:
        if not self.path.is_dir():
            from halfulp.study.models import MODELS  # which stands on this module

            raise ModelUnavailable(
                f"{self.path}: no such model folder; name one that save_pretrained wrote, or a"
                f" shipped model: {', '.join(MODELS)}"
            )
        if not (self.path / "config.json").is_file():
            raise ModelUnavailable(
                f"{self.path}: has no config.json, so it is no model folder;"
                " save the model there with save_pretrained"
            )
        if not self.weights:
            others = sorted(f.name for f in self.path.glob("*.bin")) or ["no weights at all"]
            raise ModelUnavailable(
                f"{self.path}: has no *.safetensors ({', '.join(others)}); pickled weights can run"
                " code and are never read: save the model with save_pretrained"
            )

    @property
    def weights(self) -> tuple[Path, ...]:
        """The weight files, in the order of their names."""
        return tuple(sorted(self.path.glob("*.safetensors")))

    @property
    def config(self) -> dict[str, Any]:
        """config.json as it stands.

        Raises:
            CorruptedModel: it is not a JSON object.
        """
        return _json_object(self.path / "config.json")

    @property
    def architecture(self) -> str:
        """The class that config.json names first, or an empty string."""
        return str((self.config.get("architectures") or [""])[0])

    @property
    def sha256(self) -> str:
        """Digest of the weights: of the file, or of the shards' digests in order."""
        digests = [sha256_of(file) for file in self.weights]
        if len(digests) == 1:
            return digests[0]
        return hashlib.sha256("".join(digests).encode()).hexdigest()

    def load(self, auto_class: Any) -> torch.nn.Module:
        """The model as `auto_class` makes it: eval, sdpa attention, float32.

        Raises:
            CorruptedModel: the weights are unreadable or leave a parameter of the model unset.
        """
        try:
            with _quiet_transformers():
                model, report = auto_class.from_pretrained(
                    self.path,
                    local_files_only=True,
                    use_safetensors=True,
                    trust_remote_code=False,
                    attn_implementation="sdpa",
                    output_loading_info=True,
                )
        except (OSError, SafetensorError, RuntimeError) as error:
            files = ", ".join(str(file) for file in self.weights)
            raise CorruptedModel(
                f"{files}: the weights cannot be read ({error});"
                " copy or download the file again, or save the model anew with save_pretrained"
            ) from error
        unset = sorted(report["missing_keys"])
        if unset:
            raise CorruptedModel(
                f"{self.path}: the weights hold nothing for {', '.join(unset[:4])}"
                f" ({len(unset)} in all), which {type(model).__name__} needs"
            )
        return model.float().eval()

    def tokenizer(self) -> tuple[Tokenizer, int | None]:
        """The folder's tokenizer and the longest input that it allows, where it says.

        Raises:
            ModelUnavailable: there is no tokenizer.json.
            CorruptedModel: it cannot be read.
        """
        path = self.path / "tokenizer.json"
        if not path.is_file():
            raise ModelUnavailable(
                f"{self.path}: has no tokenizer.json; save the tokenizer with save_pretrained"
            )
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the tokenizers library raises nothing narrower
            raise CorruptedModel(f"{path}: cannot be read ({error})") from error
        settings = self.path / "tokenizer_config.json"
        limit = _json_object(settings).get("model_max_length") if settings.is_file() else None
        return tokenizer, limit


def folder_of(name: str) -> ModelFolder:
    """The local folder `name`, else the hub's model of that name, fetched without pickles.

    Raises:
        ModelUnavailable: there is neither, or it has no safetensors.
    """
    if Path(name).is_dir() or not HUB_NAME.fullmatch(name):
        return ModelFolder(Path(name))
    try:
        path = huggingface_hub.snapshot_download(name, allow_patterns=list(HUB_FILES))
    except Exception as error:  # http, cache and name errors share no base across versions
        raise ModelUnavailable(
            f"{name}: no such folder here, and the model hub did not give it"
            f" ({type(error).__name__}: {error}); check the name, or download the model where there"
            " is a network and name its folder"
        ) from error
    return ModelFolder(Path(path))


def _json_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorruptedModel(f"{path}: cannot be read ({error})") from error
    if not isinstance(value, dict):
        raise CorruptedModel(f"{path}: not a JSON object")
    return value


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Without bars and reports on stderr; the caller's settings are back afterwards."""
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformers_logging.disable_progress_bar()
        try:
            yield
        finally:
            transformers_logging.set_verbosity(verbosity)
            if bars:
                transformers_logging.enable_progress_bar()


SEQUENCE_CLASSIFIER = transformers.AutoModelForSequenceClassification
DETECTOR = transformers.ElectraForPreTraining
