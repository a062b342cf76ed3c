"""How float64 values become values and codes of formats, where a way through float32 is exact.

A value is rounded to odd in float32, and that number to the format: in one pass, so that the memory
never waits for the processor.
"""

from typing import Any

from halfulp.dtypes.codec import (
    Bodies,
    Directed,
    Given,
    Nearest,
    ToOdd,
    Way,
    encoding,
    quick_encode,
    quick_round,
    rounding,
)
from halfulp.dtypes.guards import Guard, Guards
from halfulp.dtypes.lanes import F32, F64, I8, I16, I32, I64, Lanes
from halfulp.dtypes.loops import Body, Quick, lane_loop
from halfulp.dtypes.parameters import MAGNITUDE32, MAGNITUDE64, NAMES32, SIGN32


def rounded_to_odd(x: Lanes) -> Lanes:
    """float64 bits to float32 bits, rounded to odd: rounding them again to 22 bits is right.

    Whatever the direction of rounding, the conversion gives one of the two neighbors of a number
    that float32 does not hold; of these the one nearer to zero, with its last bit set.
    """
    wide = x.bits(F64)
    single = wide.convert("fptrunc", F32)
    back = single.convert("fpext", F64)
    inexact = back.differs_from_number(wide)
    away = (back.bits(I64) & MAGNITUDE64) > (x & MAGNITUDE64)
    bits = single.bits(I32)
    cut = (inexact & away).where(bits - 1, bits)
    return inexact.where(cut | 1, bits)


def _narrow(inputs: list[Lanes], given: Given) -> Bodies:
    """float64 bits to float32 bits, rounded to odd."""
    return rounded_to_odd(inputs[0]), []


_LOW = (1 << 29) - 1  # the bits that float32 has not


def _quick_narrow(x: Lanes) -> Lanes:
    """As `rounded_to_odd` where the result is a normal number: what is cut off leaves one bit."""
    kept = (x | ((x & _LOW) + _LOW)) & ~_LOW
    return kept.bits(F64).convert("fptrunc", F32).bits(I32)


def _quickly(quick: Quick) -> Quick:
    """From float64, where `quick` serves the odd float32 and that is right."""

    def wide(inputs: list[Lanes], given: Given) -> tuple[Guards, Lanes]:
        single = _quick_narrow(inputs[0])
        guards, result = quick([single], given)
        # what is less wraps to more than any magnitude
        above = (single & MAGNITUDE32) - given["least_wide"]
        return [*guards, Guard(above, above.like(SIGN32))], result

    return wide


def _quick_round(inputs: list[Lanes], given: Given) -> tuple[Guards, Lanes]:
    guards, result = _quickly(quick_round)(inputs, given)
    return guards, result.bits(F32).convert("fpext", F64).bits(I64)


def _round(kind: type[Way]) -> Body:
    """float64 bits to float64 bits (parameters32)."""
    body = rounding(kind)

    def wide(inputs: list[Lanes], given: Given) -> Bodies:
        result, masks = body([rounded_to_odd(inputs[0])], given)
        return result.bits(F32).convert("fpext", F64).bits(I64), masks

    return wide


def _encode(kind: type[Way], width: Any) -> Body:
    """float64 bits to codes of a type (parameters32)."""
    body = encoding(kind, width)
    return lambda inputs, given: body([rounded_to_odd(inputs[0])], given)


def _rounder(name: str, kind: type[Way], directed: bool) -> Any:
    quick = _quick_round if kind is Nearest else None
    return lane_loop(
        name, _round(kind), [I64], I64, NAMES32, lanes=8, directed=directed, quick=quick
    )


def _encoder(name: str, kind: type[Way], width: Any, directed: bool, lanes: int) -> Any:
    body, quick = _encode(kind, width), _quickly(quick_encode(width)) if kind is Nearest else None
    return lane_loop(name, body, [I64], width, NAMES32, lanes=lanes, directed=directed, quick=quick)


narrow_loop = lane_loop("halfulp_narrow", _narrow, [I64], I32)
round_loop = _rounder("halfulp_wide_round", Nearest, False)
encode8_loop = _encoder("halfulp_wide_encode8", Nearest, I8, False, 64)
encode16_loop = _encoder("halfulp_wide_encode16", Nearest, I16, False, 32)
encode32_loop = _encoder("halfulp_wide_encode32", Nearest, I32, False, 16)
directed_round_loop = _rounder("halfulp_wide_directed_round", Directed, True)
directed_encode8_loop = _encoder("halfulp_wide_directed_encode8", Directed, I8, True, 64)
directed_encode16_loop = _encoder("halfulp_wide_directed_encode16", Directed, I16, True, 32)
directed_encode32_loop = _encoder("halfulp_wide_directed_encode32", Directed, I32, True, 16)
odd_round_loop = _rounder("halfulp_wide_odd_round", ToOdd, True)
odd_encode8_loop = _encoder("halfulp_wide_odd_encode8", ToOdd, I8, True, 64)
odd_encode16_loop = _encoder("halfulp_wide_odd_encode16", ToOdd, I16, True, 32)
odd_encode32_loop = _encoder("halfulp_wide_odd_encode32", ToOdd, I32, True, 16)
