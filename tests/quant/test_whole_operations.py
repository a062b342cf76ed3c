"""Composite operations taken whole give what their parts give; results reuse memory unseen."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from halfulp.engines import NEURONCORE_V2, memory
from halfulp.quant import UnsupportedOp, emulate, named_policy
from tests.quant.test_operations import run
from tests.quant.tiny import inputs, same, tiny

POLICIES = ["bf16-matmult", "bf16-all", "e4m3-all-scaled", "int8-matmult"]


def values(*shape: int) -> Tensor:
    rng = np.random.default_rng(sum(shape))
    return torch.from_numpy(rng.standard_normal(shape).astype(np.float32))


W, BIAS = values(7, 5), values(7)
WHOLE: dict[str, tuple[Callable[..., Any], tuple[Tensor, ...]]] = {
    "two axes": (F.linear, (values(4, 5), W, BIAS)),
    "three axes": (F.linear, (values(3, 4, 5), W, BIAS)),
    "three axes in another order": (F.linear, (values(4, 3, 5).transpose(0, 1), W, BIAS)),
    "four axes": (F.linear, (values(2, 3, 4, 5), W, BIAS)),
    "one axis": (F.linear, (values(5), W, BIAS)),
    "no bias": (F.linear, (values(3, 4, 5), W)),
    "norm": (lambda x: F.layer_norm(x, (5,)), (values(3, 4, 5),)),
    "norm with weight": (lambda x, g: F.layer_norm(x, (5,), g), (values(3, 4, 5), values(5))),
    "norm with bias": (
        lambda x, g: F.layer_norm(x, (5,), bias=g, eps=1e-3),
        (values(3, 4, 5), values(5)),
    ),
}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(("function", "given"), WHOLE.values(), ids=WHOLE)
def test_inference_mode_gives_what_no_grad_gives(
    function: Callable[..., Any], given: tuple[Tensor, ...], policy: str
) -> None:
    with torch.no_grad():
        parts = run(function, *given, policy=policy)
    with torch.inference_mode():
        assert same(run(function, *given, policy=policy), parts)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_bias_of_another_shape_is_refused_with_its_layer(mode: Any) -> None:
    with mode(), pytest.raises(UnsupportedOp, match="bias of shape"):
        run(F.linear, values(4, 5), W, values(1))


@pytest.mark.parametrize("shape", [(1, 1), (2, 1), (1, 3)])
def test_values_of_attention_may_be_one_for_all(shape: tuple[int, int]) -> None:
    q = values(2, 6, 3, 4).transpose(1, 2)  # the heads of a token side by side
    k, v = values(2, 3, 6, 4), values(*shape, 6, 4)
    everywhere = v.expand(2, 3, 6, 4).contiguous()
    with torch.inference_mode():
        one = run(F.scaled_dot_product_attention, q, k, v)
        assert same(one, run(F.scaled_dot_product_attention, q, k, everywhere))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("architecture", ["BertModel", "ElectraForSequenceClassification"])
def test_reused_memory_is_not_seen(
    architecture: str, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [inputs(tokens=tokens) for tokens in (9, 5, 9)]

    def forwards() -> list[Tensor]:
        """Outputs and all hidden states of each, kept until the last has run."""
        model = tiny(architecture)
        with torch.inference_mode(), emulate(model, NEURONCORE_V2, named_policy(policy)):
            kept = [model(**text, output_hidden_states=True) for text in texts]
        return [tensor for found in kept for tensor in (found[0], *found.hidden_states)]

    fresh = forwards()
    monkeypatch.setattr(memory, "_SMALL", 0)
    for reused, wanted in zip(forwards(), fresh, strict=True):
        assert same(reused, wanted)
