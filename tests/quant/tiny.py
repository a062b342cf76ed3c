"""Tiny models of random weights, whose bits come from integers and so are the same everywhere."""

from functools import cache
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor, nn

from halfulp.engines import NEURONCORE_V2, NeuronCore
from halfulp.quant import Emulation, Policy, emulate, named_policy

ARCHITECTURES = {
    "BertModel": transformers.BertConfig,
    "BertForSequenceClassification": transformers.BertConfig,
    "BertForTokenClassification": transformers.BertConfig,
    "BertForPreTraining": transformers.BertConfig,
    "ElectraForPreTraining": transformers.ElectraConfig,
    "ElectraForSequenceClassification": transformers.ElectraConfig,
}


def fill(model: nn.Module, seed: int) -> None:
    """Parameters of about 0.2, gains of about 1, as multiples of 2^-14."""
    rng = np.random.default_rng(seed)
    for name, parameter in model.named_parameters():
        values = rng.integers(-6000, 6000, tuple(parameter.shape)).astype(np.float32) / 2.0**14
        gain = name.endswith("LayerNorm.weight")
        parameter.data = torch.from_numpy(values + np.float32(gain))


@cache
def tiny(architecture: str, attention: str = "sdpa", layers: int = 2) -> Any:
    """A model of hidden size 64 in eval mode; the same object for the same arguments."""
    config = ARCHITECTURES[architecture](
        vocab_size=60,
        hidden_size=64,
        embedding_size=32,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=96,
        max_position_embeddings=24,
        attn_implementation=attention,
    )
    model = getattr(transformers, architecture)(config).eval()
    fill(model, seed=len(architecture))
    return model


def inputs(rows: int = 3, tokens: int = 9, *, padded: bool = True) -> dict[str, Tensor]:
    """Token ids and a mask; row r ends r tokens early."""
    rng = np.random.default_rng(7)
    ids = torch.from_numpy(rng.integers(1, 60, (rows, tokens)))
    mask = torch.ones_like(ids)
    for row in range(rows if padded else 0):
        mask[row, tokens - 2 * row :] = 0
    return {"input_ids": ids, "attention_mask": mask}


def emulated(
    model: nn.Module, policy: Policy | str, given: dict[str, Any], core: NeuronCore = NEURONCORE_V2
) -> tuple[Tensor, Emulation]:
    """The model's first output under the policy, and the emulation."""
    chosen = named_policy(policy) if isinstance(policy, str) else policy
    with torch.no_grad(), emulate(model, core, chosen) as emulation:
        result = model(**given)[0]
    return result, emulation


def same(a: Tensor, b: Tensor) -> bool:
    """Equal bits; NaN equals NaN."""
    return a.shape == b.shape and bool(torch.equal(a.view(torch.int32), b.view(torch.int32)))


class Attention(nn.Module):
    """Attention without projections, in the two ways that transformers has."""

    def __init__(self, eager: bool) -> None:
        super().__init__()
        self.eager = eager

    def forward(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        if not self.eager:
            return nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        scores = torch.matmul(q, k.transpose(2, 3)) * q.shape[-1] ** -0.5
        if mask is not None:
            scores = scores + torch.where(mask, torch.tensor(0.0), torch.finfo(torch.float32).min)
        return torch.matmul(nn.functional.softmax(scores, dim=-1), v)


def heads(size: float, tokens: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (2, 3, tokens, 16)
    return tuple(torch.randint(-8, 9, shape, generator=generator) * size / 8 for _ in range(3))  # type: ignore[return-value]


def run(module: nn.Module, policy: str | Policy, *given: Any) -> Tensor:
    module.eval()
    chosen = named_policy(policy) if isinstance(policy, str) else policy
    with emulate(module, NEURONCORE_V2, chosen):
        return module(*given)
