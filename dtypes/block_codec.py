"""How scales are found, and how elements become codes beside the scale of their block; and back."""

from typing import Any

from halfulp.dtypes.block_loops import BlockBody, block_loop, maxima_loop
from halfulp.dtypes.lanes import F32, F64, I8, I32, I64, Lanes
from halfulp.dtypes.loops import lane_loop
from halfulp.dtypes.parameters import INF32, MAGNITUDE32, MAGNITUDE64, NAMES32, NAN32

Given = dict[str, Lanes]
Bodies = tuple[Lanes, list[Lanes]]
_INF64, _NAN64 = 0x7FF << 52, 0x7FF8 << 48
#: Added to a float32 of fewer than 23 bits and taken away again, it leaves a whole number.
_WHOLE = 8388608.0


def _odd_quotient(size: Lanes, divisor: Lanes, integer: Any) -> Lanes:
    """Bits of size / divisor, both positive, rounded to odd.

    Rounding that again to two bits less is right. The remainder tells on which side of the quotient
    the exact one lies.
    """
    quotient = size / divisor
    remainder = (quotient * -1.0).fma(divisor, size)
    below = quotient.bits(integer) + remainder.bits(integer).arithmetic_shift(integer.width - 1)
    inexact = (remainder < 0.0) | (remainder > 0.0)
    return inexact.where(below | 1, below)


def _power_quotient(x: Lanes, inverse: Lanes, given: Given) -> Lanes:
    """float32 bits of |x| / scale, by the inverse of a power of two.

    Exact, or too small to matter.
    """
    return ((x & MAGNITUDE32).bits(F32) * inverse).bits(I32)


def _quotient(x: Lanes, scale: Lanes, given: Given) -> Lanes:
    """float32 bits of |x| / (scale * tensor scale) rounded to odd; the product is rounded once.

    `lift` keeps the remainder off the subnormal numbers, where it would be rounded.
    """
    lift = given["lift"].bits(F32)
    divisor = scale * given["tensor_scale"].bits(F32) * lift
    return _odd_quotient((x & MAGNITUDE32).bits(F32) * lift, divisor, I32)


def _divide_wide(x: Lanes, scale: Lanes, given: Given) -> Lanes:
    """float64 bits of x / (scale * tensor scale) rounded to odd; NaN becomes 0."""
    divisor = (scale * given["tensor_scale"].bits(F32)).convert("fpext", F64)
    bits = _odd_quotient((x & MAGNITUDE64).bits(F64), divisor, I64)
    return (bits > _INF64).where(bits.like(0), bits | (x & ~MAGNITUDE64))


def _float_code(size: Lanes, x: Lanes, given: Given) -> Lanes:
    """Codes of a float element (parameters32), nearest even and saturating, and the sign of x.

    Simpler than the codec's: there are no specials; NaN, a whole block of them, becomes 0.
    """
    odd = (size >> given["shift"]) & given["odd"]
    above = (size + (given["half"] - given["base"]) + odd) >> given["shift"]
    below = (size.bits(F32) + given["magic"].bits(F32)).bits(I32) - given["magic"]
    code = (size < given["min_normal"]).where(below, above).call("umin", given["max_code"])
    code = code | ((x >> 31) << given["sign_shift"])
    return (size > INF32).where(code.like(0), code).convert("trunc", I8)


def _fixed_code(size: Lanes, x: Lanes, given: Given) -> Lanes:
    """Integers in units of `unit`, nearest even, from -most to most; NaN becomes 0."""
    units = (size.bits(F32) * given["per_unit"].bits(F32)).bits(I32)
    units = units.call("umin", given["most"]).bits(F32)
    whole = ((units + _WHOLE) - _WHOLE).convert("fptosi", I32)
    negative = x.arithmetic_shift(31)
    code = (whole ^ negative) - negative
    return (size > INF32).where(code.like(0), code).convert("trunc", I8)


def _encoder(quotient: BlockBody, code: BlockBody) -> BlockBody:
    def body(x: Lanes, scale: Lanes, given: Given) -> Lanes:
        return code(quotient(x, scale, given), x, given)

    return body


def _encode_fixed(inputs: list[Lanes], given: Given) -> Bodies:
    """float32 bits to integers in units of `unit`."""
    return _fixed_code(inputs[0] & MAGNITUDE32, inputs[0], given), []


def _scaled(element: Lanes, scale: Lanes) -> Lanes:
    """float32 bits of element * scale, which is exact but for e8m0's ends; NaN is canonical."""
    result = element * scale
    return result.is_nan().where(result.bits(I32).like(NAN32), result.bits(I32))


def _decode_fixed(code: Lanes, scale: Lanes, given: Given) -> Lanes:
    """Integers to the float32 bits of what they stand for, times their scale."""
    whole = code.convert("sext", I32).convert("sitofp", F32)
    return _scaled(whole * given["unit"].bits(F32), scale)


def _decode_float(code: Lanes, scale: Lanes, given: Given) -> Lanes:
    """Codes of a float element (parameters32) to float32 bits, times both scales."""
    code = code.convert("zext", I32)
    magnitude = code & given["magnitude_codes"]
    below = (magnitude.convert("sitofp", F32) * given["subnormal_scale"].bits(F32)).bits(I32)
    above = (magnitude << given["shift"]) + given["base"]
    value = (magnitude < given["normal_code"]).where(below, above)
    infinite = magnitude.equals(given["infinity_found"])
    special = infinite.where(value.like(INF32), value.like(NAN32))
    value = (magnitude > given["max_code"]).where(special, value)
    element = value | ((code >> given["sign_shift"]) << 31)
    # the tensor scale comes last: the first product is exact
    return _scaled(element.bits(F32) * scale, given["tensor_scale"].bits(F32))


def _wide(given: Given, name: str) -> Lanes:
    low, high = given[name + "_low"], given[name + "_high"]
    return low.convert("zext", I64) | (high.convert("zext", I64) << 32)


def _power_code(inputs: list[Lanes], given: Given) -> Bodies:
    """float64 bits of a block's maximum to the e8m0 code of its scale, as a `ScaleRule` says.

    What is added carries into the exponent where the rule rounds up.
    """
    maximum = inputs[0]
    field = (maximum + _wide(given, "carry")) >> 52
    code = field - given["offset"].convert("sext", I64)
    code = code.call("smax", 0).call("smin", 254)
    return (maximum >= _INF64).where(code.like(255), code).convert("trunc", I8), []


def _scale_quotient(inputs: list[Lanes], given: Given) -> Bodies:
    """float64 bits of maximum / (largest element * tensor scale), rounded to odd.

    At least the smallest scale: a block is never divided by zero.
    """
    maximum = inputs[0]
    # two float32 of few bits each: the product is exact
    largest, tensor_scale, least = (
        given[name].bits(F32).convert("fpext", F64)
        for name in ("element_max", "tensor_scale", "least")
    )
    bits = _odd_quotient(maximum.bits(F64), largest * tensor_scale, I64)
    bits = bits.call("umax", least.bits(I64))
    return (maximum >= _INF64).where(bits.like(_NAN64), bits), []


def _power(inputs: list[Lanes], given: Given) -> Bodies:
    """e8m0 codes to the float32 bits of the scale."""
    code = inputs[0].convert("zext", I32)
    bits = code.equals(0).where(code.like(1 << 22), code << 23)  # 2^-127 is subnormal
    return code.equals(255).where(code.like(NAN32), bits), []


def _inverse(inputs: list[Lanes], given: Given) -> Bodies:
    """e8m0 codes to the float32 bits of 1 / scale."""
    code = inputs[0].convert("zext", I32)
    bits = code.equals(254).where(code.like(1 << 22), (code.like(254) - code) << 23)
    return code.equals(255).where(code.like(NAN32), bits), []


TENSOR_NAMES = ("tensor_scale", "lift")
POWER_NAMES = ("offset", "carry_low", "carry_high")
QUOTIENT_NAMES = ("element_max", "tensor_scale", "least")
FIXED_NAMES = ("per_unit", "most", "unit")
#: Those of a float element, and behind them those of the tensor.
ELEMENT_NAMES = (*NAMES32, *TENSOR_NAMES)

block_maxima = maxima_loop("halfulp_block_maxima", I32)
block_maxima_wide = maxima_loop("halfulp_block_maxima_wide", I64)
encode_powers = block_loop(
    "halfulp_encode_powers", _encoder(_power_quotient, _float_code), I32, I8, ELEMENT_NAMES
)
encode_fixed_powers = block_loop(
    "halfulp_encode_fixed_powers", _encoder(_power_quotient, _fixed_code), I32, I8, FIXED_NAMES
)
encode_quotients = block_loop(
    "halfulp_encode_quotients", _encoder(_quotient, _float_code), I32, I8, ELEMENT_NAMES
)
divide_blocks_wide = block_loop("halfulp_divide_wide", _divide_wide, I64, I64, TENSOR_NAMES)
decode_floats = block_loop("halfulp_decode_floats", _decode_float, I8, I32, ELEMENT_NAMES)
decode_fixed = block_loop("halfulp_decode_fixed", _decode_fixed, I8, I32, FIXED_NAMES)
power_code_loop = lane_loop("halfulp_power_code", _power_code, [I64], I8, POWER_NAMES, lanes=8)
scale_quotient_loop = lane_loop(
    "halfulp_scale_quotient", _scale_quotient, [I64], I64, QUOTIENT_NAMES, lanes=8
)
power_loop = lane_loop("halfulp_power", _power, [I8], I32)
inverse_loop = lane_loop("halfulp_inverse", _inverse, [I8], I32)
encode_fixed_loop = lane_loop("halfulp_encode_fixed", _encode_fixed, [I32], I8, FIXED_NAMES)
