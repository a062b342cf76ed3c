"""Operands on their way into an engine, and sums on their way out of PSUM: lane by lane.

Every native of this module is a `lane_grid`; the masks that it counts are, in this order, COUNTS.
"""

from halfulp.dtypes.codec import quick_round, round_lanes
from halfulp.dtypes.guards import Guard, Guards
from halfulp.dtypes.lanes import F32, I32, Lanes
from halfulp.dtypes.parameters import INF32, MAGNITUDE32, NAMES32, NAN32, SIGN32
from halfulp.engines.grid import lane_grid
from halfulp.engines.microkernel import PANEL

#: overflow: a finite value became infinite, NaN or the largest one; underflow: a value became zero;
#: then results that are NaN, and results that are infinite.
COUNTS = ("overflow", "underflow", "nan", "infinity")
#: Names of an integer format's parameters: bits of the float32 limits.
INTEGER_NAMES = ("limit_plus", "limit_minus")
_EXACT_INTEGERS = 2.0**23  # from here on every float32 is an integer

Given = dict[str, Lanes]
Result = tuple[Lanes, list[Lanes]]


def float_cast(x: Lanes, given: Given) -> Result:
    """float32 bits rounded to a float format, with the masks of COUNTS."""
    magnitude, result = x & MAGNITUDE32, round_lanes(x, given)
    rounded = result & MAGNITUDE32
    finite = magnitude < INF32
    overflow = finite & (rounded >= INF32)
    underflow = rounded.equals(0) & magnitude.differs(0) & (magnitude < INF32)
    # a format without NaN gives +0 for it: still a NaN to be counted
    nan = (magnitude > INF32) | (rounded > INF32)
    return result, [overflow, underflow, nan, rounded.equals(INF32)]


def integer_cast(x: Lanes, given: Given) -> Result:
    """float32 bits to the nearest integer, ties to even, clamped to the format; as float32 bits.

    NaN gives 0, -0 gives 0. Parameters: INTEGER_NAMES.
    """
    magnitude = x & MAGNITUDE32
    value = magnitude.bits(F32)
    nearest = (value < _EXACT_INTEGERS).where((value + _EXACT_INTEGERS) - _EXACT_INTEGERS, value)
    negative = (x >> 31).differs(0)
    limit = negative.where(given["limit_minus"], given["limit_plus"]).bits(F32)
    clamped = (nearest > limit).where(limit, nearest)
    nan = magnitude > INF32
    number = nan.where(x.like(0), clamped.bits(I32))
    result = number.equals(0).where(number, number | (x & SIGN32))
    finite = magnitude < INF32
    overflow = finite & (nearest > limit)
    underflow = number.equals(0) & magnitude.differs(0) & finite
    return result, [overflow, underflow, nan, nan & overflow]


def high_part(x: Lanes) -> Lanes:
    """The code with its low 12 bits cleared; infinity and NaN stay what they are."""
    return ((x & MAGNITUDE32) >= INF32).where(x, x & 0xFFFFF000)


def low_part(x: Lanes) -> Lanes:
    """x minus its high part, exact; +0 for infinity and NaN."""
    difference = x.bits(F32) - high_part(x).bits(F32)
    return ((x & MAGNITUDE32) >= INF32).where(x.like(0), difference.bits(I32))


def _scaled(x: Lanes, scale: Lanes) -> Lanes:
    return (x.bits(F32) * scale).bits(I32)


def _float_operand(inputs: list[Lanes], given: Given, scale: Lanes) -> Result:
    return float_cast(_scaled(inputs[0], scale), given)


def _integer_operand(inputs: list[Lanes], given: Given, scale: Lanes) -> Result:
    return integer_cast(_scaled(inputs[0], scale), given)


def _float_high(inputs: list[Lanes], given: Given, scale: Lanes) -> Result:
    result, masks = float_cast(_scaled(inputs[0], scale), given)
    return high_part(result), masks


def _float_low(inputs: list[Lanes], given: Given, scale: Lanes) -> Result:
    return low_part(float_cast(_scaled(inputs[0], scale), given)[0]), []


def _integer_high(inputs: list[Lanes], given: Given, scale: Lanes) -> Result:
    result, masks = integer_cast(_scaled(inputs[0], scale), given)
    return high_part(result), masks


def _integer_low(inputs: list[Lanes], given: Given, scale: Lanes) -> Result:
    return low_part(integer_cast(_scaled(inputs[0], scale), given)[0]), []


def _sum_out(inputs: list[Lanes]) -> Lanes:
    """Bits of sum * multiplier + bias, two float32 roundings, as in `activation`."""
    total, multiplier, bias = (lanes.bits(F32) for lanes in inputs)
    return (total * multiplier + bias).bits(I32)


def _evacuate(inputs: list[Lanes], given: Given, scale: Lanes) -> Result:
    return float_cast(_sum_out(inputs), given)


def quick_cast(x: Lanes, given: Given) -> tuple[Guards, Lanes]:
    """Guards of lanes of which `float_cast` counts nothing, and their results."""
    guards, result = quick_round([x], given)
    # not so small that it becomes zero: numbers below 0 wrap, and those next to it are largest
    small = Guard(x.like(0) - (x & MAGNITUDE32), x.like(0) - given["vanishing"])
    return [*guards, small], result


def _quick_operand(inputs: list[Lanes], given: Given, scale: Lanes) -> tuple[Guards, Lanes]:
    return quick_cast(_scaled(inputs[0], scale), given)


def _quick_evacuate(inputs: list[Lanes], given: Given, scale: Lanes) -> tuple[Guards, Lanes]:
    return quick_cast(_sum_out(inputs), given)


def _quick_canonical(inputs: list[Lanes], given: Given, scale: Lanes) -> tuple[Guards, Lanes]:
    x = inputs[0]
    return [Guard(x & MAGNITUDE32, x.like(INF32))], x


def _canonical(inputs: list[Lanes], given: Given, scale: Lanes) -> Result:
    """float32 bits with every NaN quiet, sign 0."""
    x, never = inputs[0], inputs[0].differs(inputs[0])
    magnitude = x & MAGNITUDE32
    nan = magnitude > INF32
    return nan.where(x.like(NAN32), x), [never, never, nan, magnitude.equals(INF32)]


def _evacuate_integer(inputs: list[Lanes], given: Given, scale: Lanes) -> Result:
    return _evacuate([inputs[0].convert("sitofp", F32).bits(I32), *inputs[1:]], given, scale)


def _add_integer(inputs: list[Lanes], given: Given, scale: Lanes) -> Result:
    """int32 sum + float32 that holds an integer; wraps."""
    return inputs[0] + inputs[1].bits(F32).convert("fptosi", I32), []


def _to_integer(inputs: list[Lanes], given: Given, scale: Lanes) -> Result:
    return inputs[0].bits(F32).convert("fptosi", I32), []


_KINDS = len(COUNTS)
cast_float = lane_grid(
    "halfulp_cast_float", _float_operand, [I32], I32, NAMES32, _KINDS, _quick_operand
)
cast_panel = lane_grid(
    "halfulp_cast_panel", _float_operand, [I32], I32, NAMES32, _KINDS, _quick_operand, width=PANEL
)
cast_float_high = lane_grid("halfulp_cast_float_high", _float_high, [I32], I32, NAMES32, _KINDS)
cast_float_low = lane_grid("halfulp_cast_float_low", _float_low, [I32], I32, NAMES32, 0)
cast_integer = lane_grid(
    "halfulp_cast_integer", _integer_operand, [I32], I32, INTEGER_NAMES, _KINDS
)
cast_integer_high = lane_grid(
    "halfulp_cast_integer_high", _integer_high, [I32], I32, INTEGER_NAMES, _KINDS
)
cast_integer_low = lane_grid("halfulp_cast_integer_low", _integer_low, [I32], I32, INTEGER_NAMES, 0)
evacuate = lane_grid(
    "halfulp_evacuate", _evacuate, [I32, I32, I32], I32, NAMES32, _KINDS, _quick_evacuate
)
canonical_nan = lane_grid("halfulp_canonical", _canonical, [I32], I32, (), _KINDS, _quick_canonical)
evacuate_integer = lane_grid(
    "halfulp_evacuate_integer", _evacuate_integer, [I32, I32, I32], I32, NAMES32, _KINDS
)
add_integer = lane_grid("halfulp_add_integer", _add_integer, [I32, I32], I32, (), 0)
to_integer = lane_grid("halfulp_to_integer", _to_integer, [I32], I32, (), 0)
