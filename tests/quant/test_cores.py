"""Whole models on cores that add otherwise: `emulate` takes any core."""

from dataclasses import replace

import pytest
import torch

from halfulp.engines import (
    NEURONCORE_V2,
    SYSTOLIC,
    Accumulation,
    IntegerMatmul,
    NeuronCore,
    UnsupportedFormat,
)
from halfulp.engines.accumulation import SYSTOLIC_BF16
from halfulp.engines.presets import NEURONCORE
from halfulp.quant import emulate, named_policy
from tests.quant.tiny import inputs, tiny


def logits(core: NeuronCore, policy: str) -> torch.Tensor:
    model, given = tiny("BertForSequenceClassification"), inputs(rows=2, tokens=9)
    with emulate(model, core, named_policy(policy)):
        found: torch.Tensor = model(**given).logits
    return found


@pytest.mark.parametrize("policy", ["bf16-all", "fp32", "int8-matmult", "int16-matmult"])
def test_general_sums_of_the_same_order_give_the_same_model(policy: str) -> None:
    twin = replace(NEURONCORE_V2, accumulation=replace(SYSTOLIC, seed=1))
    assert torch.equal(logits(twin, policy), logits(NEURONCORE_V2, policy))


def test_other_sums_give_another_model() -> None:
    usual = logits(NEURONCORE_V2, "bf16-matmult")
    narrow = logits(replace(NEURONCORE_V2, accumulation=SYSTOLIC_BF16), "bf16-matmult")
    assert not torch.equal(narrow, usual) and torch.allclose(narrow, usual, atol=0.1)
    # products of two bf16 have 16 bits: truncating sums of 24 shows where the operands are wider
    usual = logits(NEURONCORE_V2, "fp32")
    cut = NEURONCORE["neuroncore-assumed-chains4-sequential-truncated"]
    truncated = logits(replace(NEURONCORE_V2, accumulation=cut), "fp32")
    assert not torch.equal(truncated, usual) and torch.allclose(truncated, usual, atol=1e-4)
    # a tiny model: no sum of int8 products leaves fp32's integers
    by_fp32 = replace(NEURONCORE_V2, integer_matmul=IntegerMatmul.FP32)
    assert torch.equal(logits(by_fp32, "int8-matmult"), logits(NEURONCORE_V2, "int8-matmult"))


def test_a_policy_that_the_accumulation_does_not_add_is_refused_at_once() -> None:
    core = replace(NEURONCORE_V2, accumulation=Accumulation())
    with pytest.raises(UnsupportedFormat, match="four passes"):
        emulate(tiny("BertForSequenceClassification"), core, named_policy("fp32"))
