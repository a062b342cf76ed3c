"""The rate columns of a sweep: what the model under a policy reaches on a chip."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from halfulp.engines.chips import Chip
from halfulp.quant import Policy
from halfulp.study.architectures import survey_of
from halfulp.study.calibrated import shipped
from halfulp.study.instances import INSTANCES, SMALLEST
from halfulp.study.rates import MEASURED_POLICY, rate_of
from halfulp.study.rates_data import Offer

#: Of the forward that is rated: what a service does that answers one question.
BATCH, TOKENS = 1, 128
COLUMNS = (
    *("latency_ms", "latency_low_ms", "latency_high_ms", "roofline_ms"),
    *("sequences_per_s", "usd_per_million"),
)


def outline_of(module: nn.Module) -> nn.Module:
    """The module without data: its parameters and buffers on the meta device."""
    memo: dict[int, Any] = {}
    for one in module.parameters():
        memo[id(one)] = nn.Parameter(torch.empty_like(one, device="meta"), one.requires_grad)
    for buffer in module.buffers():
        memo[id(buffer)] = torch.empty_like(buffer, device="meta")
    return copy.deepcopy(module, memo)


def rate_columns(
    outlined: nn.Module, inputs: Mapping[str, Tensor], name: str, chip: Chip, policy: Policy
) -> dict[str, Any]:
    """Columns of one row, for a batch of one text of 128 tokens on one core.

    inputs   of a batch: what the model is called with

    A model that cannot be run without data has no rates, and the source says why.
    """
    given = {
        key: torch.ones((BATCH, TOKENS), dtype=value.dtype, device="meta")
        for key, value in inputs.items()
    }
    try:
        surveyed = survey_of(outlined, name, given, chip, policy)
        rate = rate_of(surveyed, chip, policy, calibrated=shipped())
    except (RuntimeError, TypeError, ValueError, LookupError, AttributeError) as error:
        text = f"none: without data the model does not run ({type(error).__name__}: {error})"
        return {**dict.fromkeys(COLUMNS), "rate_source": text}
    offer = Offer(rate, rate, INSTANCES[SMALLEST[chip.key]])
    row = offer.as_json()
    beyond = "" if policy.name == MEASURED_POLICY else f"; measurements are of {MEASURED_POLICY}"
    source = (
        f"batch {BATCH}, {TOKENS} tokens, one core; calibrated for the compiler of"
        f" {row['era']}{beyond}; {offer.instance.name}, {row['price_source']}"
    )
    return {
        "latency_ms": row["calibrated_ms"],
        "latency_low_ms": row["calibrated_low_ms"],
        "latency_high_ms": row["calibrated_high_ms"],
        "roofline_ms": row["roofline_ms"],
        "sequences_per_s": row["sequences_per_s"],
        "usd_per_million": row["usd_per_million"],
        "rate_source": source,
    }
