"""THE TABLE of architectures that have rates without weights, and folders with a config.json."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from halfulp.engines import Chip, Ledger
from halfulp.quant import Policy, UnsupportedOp, emulate

_LARGE = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
}
_BASE = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
}


@dataclass(frozen=True)
class Architecture:
    """A model of `transformers` by its configuration.

    name    on the command line
    model   class of the model without a head
    config  class of its configuration
    fields  of the configuration, where they are not the defaults
    note    what was chosen
    """

    name: str
    model: str
    config: str
    fields: Mapping[str, Any]
    note: str = ""

    def configuration(self) -> Any:
        return getattr(transformers, self.config)(**self.fields)


def _entry(
    name: str, model: str, config: str, fields: Mapping[str, Any], note: str = ""
) -> Architecture:
    return Architecture(name, model, config, MappingProxyType(dict(fields)), note)


#: GELU by tanh is one function of the Scalar Engine; these models spell it as nine operations.
_TANH = "GELU by tanh as one function (assumed: the compiler finds it)"
#: Every architecture by its name.
ARCHITECTURES: dict[str, Architecture] = {
    one.name: one
    for one in (
        _entry("bert-base", "BertModel", "BertConfig", _BASE),
        _entry("bert-large", "BertModel", "BertConfig", _LARGE),
        _entry("electra-base", "ElectraModel", "ElectraConfig", {**_BASE, "embedding_size": 768}),
        _entry(
            "electra-large", "ElectraModel", "ElectraConfig", {**_LARGE, "embedding_size": 1024}
        ),
        _entry("distilbert", "DistilBertModel", "DistilBertConfig", {}),
        _entry(
            "albert-base",
            "AlbertModel",
            "AlbertConfig",
            {
                "hidden_size": 768,
                "num_attention_heads": 12,
                "intermediate_size": 3072,
                "hidden_act": "gelu_pytorch_tanh",
            },
            _TANH,
        ),
        _entry(
            "xlm-roberta-base-mlm",
            "XLMRobertaForMaskedLM",
            "XLMRobertaConfig",
            {**_BASE, "vocab_size": 250002, "max_position_embeddings": 514},
        ),
        _entry(
            "gpt-175b",
            "GPT2LMHeadModel",
            "GPT2Config",
            {
                "n_embd": 12288,
                "n_layer": 96,
                "n_head": 96,
                "n_positions": 2048,
                "activation_function": "gelu_pytorch_tanh",
            },
            f"the largest of arXiv 2005.14165; {_TANH}",
        ),
    )
}


class UnknownModel(ValueError):
    """A name that is no architecture, and a folder that has no configuration of such a model."""


class TooManyTokens(ValueError):
    """More tokens than a model has positions."""


@dataclass(frozen=True)
class Survey:
    """What one forward of a model would do.

    model         its name
    batch         sequences
    tokens        of each
    ledger        what the engines do, without data
    output_bytes  of the results that go back to the host
    parameters    elements of all parameters
    cached        elements of the keys and values that it keeps, if it generates text
    note          what was chosen of the architecture
    """

    model: str
    batch: int
    tokens: int
    ledger: Ledger
    output_bytes: int
    parameters: int
    cached: int = 0
    note: str = ""


def outlined(name: str) -> nn.Module:
    """A model on the meta device: of `ARCHITECTURES`, or of a folder with a config.json.

    Raises UnknownModel for another name, and for a folder whose configuration `transformers` has
    no model for; code in a folder is never run.
    """
    if name in ARCHITECTURES:
        return _made(name)
    with torch.device("meta"):
        folder = Path(name)
        if not (folder / "config.json").is_file():
            raise UnknownModel(
                f"{name!r} is no architecture and no folder with a config.json; allowed:"
                f" {', '.join(ARCHITECTURES)}"
            )
        try:
            config = transformers.AutoConfig.from_pretrained(
                str(folder), local_files_only=True, trust_remote_code=False
            )
            kind: Any = getattr(transformers, (config.architectures or [""])[0], None)
            if isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel):
                made = kind(config)
            else:
                made = transformers.AutoModel.from_config(config)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UnknownModel(f"{folder / 'config.json'}: {error}") from None
    return made.float().eval()


@lru_cache(4)
def _made(name: str) -> nn.Module:
    """Made once: an emulation leaves it as it was."""
    entry = ARCHITECTURES[name]
    with torch.device("meta"):
        made: nn.Module = getattr(transformers, entry.model)(entry.configuration())
    return made.eval()


def survey(name: str, batch: int, tokens: int, chip: Chip, policy: Policy) -> Survey:
    """What a forward of `batch` sequences of `tokens` tokens does on a core of the chip.

    With a mask, as traced models have. Raises UnknownModel, TooManyTokens, UnsupportedFormat,
    UnsupportedOp.
    """
    model = outlined(name)
    positions = _positions(model.config)
    if positions is not None and tokens > positions:
        raise TooManyTokens(f"tokens={tokens}; {name} has {positions} positions")
    given: dict[str, Any] = {
        key: torch.ones((batch, tokens), dtype=torch.long, device="meta")
        for key in ("input_ids", "attention_mask")
    }
    if getattr(model.config, "use_cache", False):
        given["use_cache"] = False
    try:
        found = survey_of(model, name, given, chip, policy)
    except UnsupportedOp:
        raise
    except (TypeError, AttributeError, KeyError, RuntimeError, IndexError) as error:
        raise UnknownModel(
            f"{name}: {type(model).__name__} cannot be called with input_ids and attention_mask"
            f" alone ({type(error).__name__}: {error})"
        ) from error
    note = ARCHITECTURES[name].note if name in ARCHITECTURES else ""
    return replace(found, cached=_cached(model, batch, tokens), note=note)


def _positions(config: Any) -> int | None:
    """The longest text of a model; the RoBERTa family counts from after its padding."""
    positions: int | None = getattr(config, "max_position_embeddings", None)
    if positions is not None and "roberta" in config.model_type:
        return positions - config.pad_token_id - 1
    return positions


def _cached(model: Any, batch: int, tokens: int) -> int:
    """Keys and values of all layers that a model which generates keeps."""
    if not model.can_generate():
        return 0
    config = model.config
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return 2 * int(config.num_hidden_layers) * batch * tokens * int(heads) * int(size)


def survey_of(
    model: nn.Module, name: str, given: Mapping[str, Any], chip: Chip, policy: Policy
) -> Survey:
    """What one call of a model on the meta device does; its first tensor is (batch, tokens)."""
    with emulate(model, chip.core, policy, allow_unused_rules=True) as emulation:
        results = model(**given)
    batch, tokens = next(one.shape for one in given.values() if isinstance(one, Tensor))
    return Survey(
        name,
        batch,
        tokens,
        emulation.ledger,
        sum(one.numel() * one.element_size() for one in _tensors(results)),
        sum(one.numel() for one in model.parameters()),
    )


def _tensors(results: Any) -> list[Tensor]:
    if isinstance(results, Tensor):
        return [results]
    values = results.values() if isinstance(results, Mapping) else results
    return [value for value in values if isinstance(value, Tensor)]
