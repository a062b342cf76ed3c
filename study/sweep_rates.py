"""The rate columns of a sweep: peak, and what the model under a policy reaches on a chip."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from halfulp.engines import UnsupportedFormat
from halfulp.engines.chips import Chip
from halfulp.quant import Policy
from halfulp.study.architectures import survey_of
from halfulp.study.calibrated import shipped
from halfulp.study.instances import INSTANCES, SMALLEST
from halfulp.study.rates import MEASURED_POLICY, rate_of

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
    if rate.calibrated is None:
        return {**dict.fromkeys(COLUMNS), "rate_source": "none: no measurement is of this chip"}
    estimate, instance = rate.calibrated, INSTANCES[SMALLEST[chip.key]]
    price = instance.price()
    beyond = "" if policy.name == MEASURED_POLICY else f"; measurements are of {MEASURED_POLICY}"
    source = (
        f"batch {BATCH}, {TOKENS} tokens, one core; calibrated for the compiler of"
        f" {estimate.era}{beyond}; {instance.name}, {price.source}, {price.as_of}"
    )
    latencies = estimate.seconds, estimate.low, estimate.high, rate.roofline_s
    values = (
        *(seconds * 1e3 for seconds in latencies),
        *(rate.sequences_per_s, instance.usd(rate.latency_s) / BATCH * 1e6),
    )
    return {**dict(zip(COLUMNS, values, strict=True)), "rate_source": source}


def peak_columns(chip: Chip, policy: Policy) -> dict[str, Any]:
    """What the chip's data sheet allows the policy's operands, or why it says nothing."""
    try:
        peak = chip.peak(policy.operand_format)
    except UnsupportedFormat as error:
        return {"peak_tops": None, "peak_unit": None, "peak_source": str(error)}
    return {"peak_tops": peak.tera, "peak_unit": peak.unit, "peak_source": peak.source}
