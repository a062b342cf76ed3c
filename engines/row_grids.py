"""What is done to each element of a row once the row's own numbers are known: natives of `rows`.

They read and write the rows as they lie in memory; the cast is in the same pass.
"""

from collections.abc import Callable
from typing import Any

from halfulp.dtypes.guards import Guards
from halfulp.dtypes.lanes import F32, I32, Lanes
from halfulp.dtypes.parameters import NAMES32
from halfulp.engines.activations import Activation
from halfulp.engines.casts import COUNTS, Given, Result, float_cast, quick_cast
from halfulp.engines.function_lanes import apply
from halfulp.engines.grid import lane_grid


def _power(inputs: list[Lanes], given: Given, scale: Lanes) -> Result:
    """exp(x - max), in fp32."""
    x, largest = inputs
    return apply(Activation.EXP, x.bits(F32) - largest, inline=True).bits(I32), []


def _share(inputs: list[Lanes]) -> Lanes:
    """A power times the reciprocal of its row's sum; +0 in a row of -inf only."""
    power, inverse, kept = inputs
    return (power.bits(F32) * inverse).bits(I32) & kept.bits(I32)


def _normal(inputs: list[Lanes]) -> Lanes:
    """((x - mean) * spread) * gamma + beta, every operation rounded to float32."""
    x, gamma, beta = (lanes.bits(F32) for lanes in inputs[:3])
    mean, spread = inputs[3:]
    return ((x - mean) * spread * gamma + beta).bits(I32)


def _scaled(inputs: list[Lanes]) -> Lanes:
    """(x * spread) * gamma"""
    x, gamma, spread = inputs[0].bits(F32), inputs[1].bits(F32), inputs[2]
    return (x * spread * gamma).bits(I32)


def _cast(name: str, rule: Callable[[list[Lanes]], Lanes], inputs: int, scalars: int) -> Any:
    """The grid of a rule that gives float32 bits, which are then cast."""

    def body(given_inputs: list[Lanes], given: Given, scale: Lanes) -> Result:
        return float_cast(rule(given_inputs), given)

    def quick(given_inputs: list[Lanes], given: Given, scale: Lanes) -> tuple[Guards, Lanes]:
        return quick_cast(rule(given_inputs), given)

    return lane_grid(name, body, [I32] * inputs, I32, NAMES32, len(COUNTS), quick, scalars=scalars)


power_grid = lane_grid("halfulp_powers", _power, [I32], I32, (), 0, scalars=1)
share_grid = _cast("halfulp_shares", _share, 1, 2)
normal_grid = _cast("halfulp_normalize", _normal, 3, 2)
scaled_grid = _cast("halfulp_rms", _scaled, 2, 1)
