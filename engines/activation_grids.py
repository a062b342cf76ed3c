"""Loops over one function, with scale, bias, cast and counts or plain: see `activation_kernels`."""

from typing import Any

from llvmlite import ir

from halfulp.dtypes.guards import passing, unless_all
from halfulp.dtypes.lanes import F32, I32, Lanes
from halfulp.dtypes.parameters import INF32, MAGNITUDE32, NAMES32, NAN32
from halfulp.engines.activations import Activation
from halfulp.engines.casts import COUNTS, float_cast, quick_cast
from halfulp.engines.function_lanes import apply
from halfulp.engines.grid import lane_grid

Given = dict[str, Lanes]
#: After a format's parameters: bits of leaky_relu's slope; and whether the format is fp32, in which
#: every finite result stays as it is.
OWN = ("slope", "plain")


def _cast(x: Lanes, given: Given) -> tuple[Lanes, list[Lanes]]:
    """`float_cast`, behind a jump where nothing is to be counted."""
    builder = x.builder
    plain = builder.extract_element(given["plain"].value, I32(0))
    with builder.if_else(builder.icmp_unsigned("!=", plain, I32(0))) as (then, otherwise):
        with then:
            finite = (x & MAGNITUDE32) < INF32
            as_it_is = builder.block
        with otherwise:
            guards, rounded = quick_cast(x, given)
            fits = passing(guards)
            rounding = builder.block
    both = [((finite, as_it_is), (fits, rounding)), ((x, as_it_is), (rounded, rounding))]
    ordinary, result = (_joined(*pair) for pair in both)
    never = ordinary ^ ordinary

    def slow() -> list[Lanes]:
        exact, masks = float_cast(x, given)
        return [exact, *masks]

    quick = [result, *([never] * len(COUNTS))]
    found, *masks = unless_all(builder, ordinary, quick, slow)
    return found, masks


def _joined(*ways: tuple[Lanes, ir.Block]) -> Lanes:
    builder = ways[0][0].builder
    phi = builder.phi(ways[0][0].value.type)
    for lanes, block in ways:
        phi.add_incoming(lanes.value, block)
    return Lanes(builder, phi)


def activation_grid(function: Activation) -> Any:
    def body(inputs: list[Lanes], given: Given, scale: Lanes) -> tuple[Lanes, list[Lanes]]:
        x, bias = (lanes.bits(F32) for lanes in inputs)
        slope = given["slope"].bits(F32)
        return _cast(apply(function, x * scale + bias, slope).bits(I32), given)

    name, names = f"halfulp_activation_{function.value}", (*NAMES32, *OWN)
    return lane_grid(name, body, [I32, I32], I32, names, len(COUNTS), at_address=True)


def plain_grid(function: Activation) -> Any:
    """The function alone; the scale is the slope. Its arguments have no bias."""

    def body(inputs: list[Lanes], given: Given, scale: Lanes) -> tuple[Lanes, list[Lanes]]:
        result = apply(function, inputs[0].bits(F32), scale, inline=True)
        return result.is_nan().where(inputs[0].like(NAN32), result.bits(I32)), []

    return lane_grid(f"halfulp_plain_{function.value}", body, [I32], I32, (), 0, at_address=True)
