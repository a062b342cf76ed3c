"""How floats become codes, and codes floats: lane by lane, and the loops that do it to arrays.

A body takes `given`, the parameters of a format (`halfulp.dtypes.parameters`), by their names. NaN
results are canonical: quiet, sign 0.
"""

from typing import Any

from halfulp.dtypes.lanes import F32, F64, I8, I16, I32, I64, Lanes
from halfulp.dtypes.loops import Body, lane_loop
from halfulp.dtypes.parameters import INF32, MAGNITUDE32, NAMES32, NAMES64, SIGN32

Given = dict[str, Lanes]


def _normal(magnitude: Lanes, given: Given) -> Lanes:
    """Nearest even on the float32 code of a normal value."""
    # a carry walks into the exponent by itself
    odd = (magnitude >> given["shift"]) & given["odd"]
    return (magnitude + given["half"] + odd) & given["mask"]


def _special(
    magnitude: Lanes, result: Lanes, given: Given, limit: str, over: str, inf: str, nan: str
) -> Lanes:
    """`result`, but what is past the limit, infinite or NaN gets the parameters of these names."""
    result = (result > given[limit]).where(given[over], result)
    special = (magnitude > INF32).where(given[nan], given[inf])
    return (magnitude >= INF32).where(special, result)


def round_lanes(x: Lanes, given: Given) -> Lanes:
    """float32 bits to the bits of the nearest value of the format (parameters32)."""
    magnitude = x & MAGNITUDE32
    magic = given["magic"].bits(F32)
    below = ((magnitude.bits(F32) + magic) - magic).bits(I32)
    result = (magnitude < given["min_normal"]).where(below, _normal(magnitude, given))
    result = _special(magnitude, result, given, "max", "overflow", "infinity", "nan")
    # a NaN loses its sign, also where the format has none and the result is 0
    nan = (magnitude > INF32) | (result > INF32)
    sign = nan.where(x.like(0), x & SIGN32)
    return result | sign


def _round(inputs: list[Lanes], given: Given) -> tuple[Lanes, list[Lanes]]:
    return round_lanes(inputs[0], given), []


def _encode(width: Any) -> Body:
    """float32 bits to codes of a type: the nearest value, ties to even (parameters32)."""

    def body(inputs: list[Lanes], given: Given) -> tuple[Lanes, list[Lanes]]:
        x = inputs[0]
        magnitude = x & MAGNITUDE32
        # the magic sum holds the subnormal code in its low bits
        below = (magnitude.bits(F32) + given["magic"].bits(F32)).bits(I32) - given["magic"]
        above = (_normal(magnitude, given) - given["base"]) >> given["shift"]
        code = (magnitude < given["min_normal"]).where(below, above)
        names = "max_code", "overflow_code", "infinity_code", "nan_code"
        code = _special(magnitude, code, given, *names)
        nan = code.equals(given["nan_code"]) & given["nan_code"].differs(0)
        code = code | nan.where(x.like(0), (x >> 31) << given["sign_shift"])
        return (code if width is I32 else code.convert("trunc", width)), []

    return body


def _decode(width: Any) -> Body:
    """Codes of a type to float32 bits (parameters32)."""

    def body(inputs: list[Lanes], given: Given) -> tuple[Lanes, list[Lanes]]:
        code = inputs[0] if width is I32 else inputs[0].convert("zext", I32)
        magnitude = code & given["magnitude_codes"]
        below = (magnitude.convert("sitofp", F32) * given["subnormal_scale"].bits(F32)).bits(I32)
        above = (magnitude << given["shift"]) + given["base"]
        result = (magnitude < given["normal_code"]).where(below, above)
        infinite = magnitude.equals(given["infinity_found"])
        special = infinite.where(result.like(INF32), given["nan"])
        result = (magnitude > given["max_code"]).where(special, result)
        sign = (result > INF32).where(code.like(0), (code >> given["sign_shift"]) << 31)
        return result | sign, []

    return body


def _wide(given: Given) -> Given:
    return {name: lanes.convert("sext", I64) for name, lanes in given.items()}


def _encode64(width: Any) -> Body:
    """float64 bits to codes of a type, rounded by a truth table (parameters64)."""

    def body(inputs: list[Lanes], narrow: Given) -> tuple[Lanes, list[Lanes]]:
        given = _wide(narrow)
        magnitude = inputs[0] & 0x7FFFFFFFFFFFFFFF
        negative = inputs[0] >> 63
        field = magnitude >> 52
        normal = field.call("umin", 1)
        significand = (magnitude & ((1 << 52) - 1)) | (normal << 52)
        exponent = field.call("umax", 1) - 1023
        effective = exponent.call("smax", given["emin"])
        # bits below the last place of the target; 55 and more leave nothing but stickiness
        dropped = (effective - given["mantissa"] - exponent + 52).call("smin", 55)
        one = magnitude.like(1)
        kept = significand >> dropped
        guard = (significand >> (dropped - 1)) & 1
        sticky = (significand & ((one << (dropped - 1)) - 1)).call("umin", 1)
        index = (negative << 3) | ((kept & 1) << 2) | (guard << 1) | sticky
        kept = kept + ((given["table"] >> index) & 1)
        code = ((effective - given["emin"]) << given["mantissa"]) + kept
        over = negative.differs(0).where(given["overflow_minus"], given["overflow_plus"])
        code = (code > given["max_code"]).where(over, code)
        nan = magnitude > 0x7FF0000000000000
        code = magnitude.equals(0x7FF0000000000000).where(given["infinity_code"], code)
        code = nan.where(given["nan_code"], code)
        nan = code.equals(given["nan_code"]) & given["nan_code"].differs(0)
        code = code | nan.where(code.like(0), negative << given["sign_shift"])
        return code.convert("trunc", width), []

    return body


def _power_of_two(exponent: Lanes) -> Lanes:
    """2^exponent as float64 for -1022 <= exponent <= 1023."""
    return ((exponent + 1023) << 52).bits(F64)


def _decode64(width: Any) -> Body:
    """Codes of a type to float64 bits (parameters64)."""

    def body(inputs: list[Lanes], narrow: Given) -> tuple[Lanes, list[Lanes]]:
        given = _wide(narrow)
        code = inputs[0].convert("zext", I64)
        magnitude = code & given["magnitude_codes"]
        field = magnitude >> given["mantissa"]
        one = code.like(1)
        fraction = magnitude & ((one << given["mantissa"]) - 1)
        significand = fraction | (field.call("umin", 1) << given["mantissa"])
        exponent = field.call("umax", 1) - given["bias"] - given["mantissa"]
        # in two factors: one power of two would be subnormal for the smallest values
        first = exponent.arithmetic_shift(1)
        value = significand.convert("sitofp", F64) * _power_of_two(first)
        value = value * _power_of_two(exponent - first)
        infinite = magnitude.equals(given["infinity_found"])
        special = infinite.where(one.like(0x7FF0000000000000), 0x7FF8000000000000)
        result = (magnitude > given["max_code"]).where(special, value.bits(I64))
        nan = result > 0x7FF0000000000000
        return result | nan.where(code.like(0), (code >> given["sign_shift"]) << 63), []

    return body


round_loop = lane_loop("halfulp_round", _round, [I32], I32, NAMES32)
encode8_loop = lane_loop("halfulp_encode8", _encode(I8), [I32], I8, NAMES32, lanes=64)
encode16_loop = lane_loop("halfulp_encode16", _encode(I16), [I32], I16, NAMES32, lanes=32)
encode32_loop = lane_loop("halfulp_encode32", _encode(I32), [I32], I32, NAMES32)
decode8_loop = lane_loop("halfulp_decode8", _decode(I8), [I8], I32, NAMES32)
decode16_loop = lane_loop("halfulp_decode16", _decode(I16), [I16], I32, NAMES32)
decode32_loop = lane_loop("halfulp_decode32", _decode(I32), [I32], I32, NAMES32)
encode64_8_loop = lane_loop("halfulp_encode64_8", _encode64(I8), [I64], I8, NAMES64, lanes=8)
encode64_16_loop = lane_loop("halfulp_encode64_16", _encode64(I16), [I64], I16, NAMES64, lanes=8)
encode64_32_loop = lane_loop("halfulp_encode64_32", _encode64(I32), [I64], I32, NAMES64, lanes=8)
decode64_8_loop = lane_loop("halfulp_decode64_8", _decode64(I8), [I8], I64, NAMES64, lanes=8)
decode64_16_loop = lane_loop("halfulp_decode64_16", _decode64(I16), [I16], I64, NAMES64, lanes=8)
decode64_32_loop = lane_loop("halfulp_decode64_32", _decode64(I32), [I32], I64, NAMES64, lanes=8)
