"""What the documents say of the sweep, on the models themselves and a part of the glosses."""

import functools

import numpy as np
import pytest
import torch

from halfulp.engines import NEURONCORE_V2
from halfulp.quant import emulate, named_policy
from halfulp.study import metrics
from halfulp.study.models import ModelUnavailable
from halfulp.study.tasks import Workload, prepare

pytestmark = pytest.mark.model
SAMPLES = 256


@functools.cache
def workload(model: str) -> Workload:
    try:
        return prepare(model, "supersense", samples=SAMPLES)
    except ModelUnavailable as missing:
        pytest.skip(str(missing))


@functools.cache
def logits(model: str, policy: str | None) -> metrics.Logits:
    """Of the unmodified model in torch float32, or under a policy on a NeuronCore-v2."""
    work = workload(model)
    with torch.inference_mode():
        if policy is None:
            return work.assemble([work.forward(index) for index in range(len(work.batches))])
        with emulate(work.module, NEURONCORE_V2, named_policy(policy)):
            return work.assemble([work.forward(index) for index in range(len(work.batches))])


def flips(model: str, policy: str) -> float:
    return float(np.mean(logits(model, policy).argmax(1) != logits(model, None).argmax(1)))


def sqnr(model: str, policy: str) -> float:
    return metrics.sqnr_db(logits(model, policy), logits(model, None))


@pytest.mark.parametrize("model", [pytest.param("minilm", marks=pytest.mark.deep), "electra"])
def test_fp32_flips_nothing_and_bf16_hardly_anything(model: str) -> None:
    assert flips(model, "fp32") == 0
    assert flips(model, "bf16-matmult") < 0.005


@pytest.mark.parametrize("model", [pytest.param("minilm", marks=pytest.mark.deep), "electra"])
def test_the_error_grows_as_mantissa_bits_fall(model: str) -> None:
    policies = ("fp32", "tf32-matmult", "bf16-matmult", "e4m3-matmult", "e5m2-matmult")
    found = [sqnr(model, policy) for policy in policies]
    assert found == sorted(found, reverse=True)
    assert len(set(found)) == len(found)


@pytest.mark.deep
def test_only_scaling_lets_minilm_run_in_e3m4() -> None:
    assert np.isnan(logits("minilm", "e3m4-matmult")).all()
    assert flips("minilm", "e3m4-matmult-scaled") < 0.05


def test_the_models_rank_int8_and_scaled_e4m3_in_opposite_order() -> None:
    assert sqnr("minilm", "int8-matmult") < sqnr("minilm", "e4m3-matmult-scaled")
    assert sqnr("electra", "int8-matmult") > sqnr("electra", "e4m3-matmult-scaled")
