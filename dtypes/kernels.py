"""Fast casts of whole arrays; `halfulp.dtypes.reference` is their slow, exact twin.

Every array is C-contiguous; `out` may be the source where the types are equal. NaN results are canonical: quiet, sign 0.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from halfulp.dtypes.format import FloatFormat
from halfulp.dtypes.jit import Kernel, kernel
from halfulp.dtypes.lanes import F32, F64, I8, I16, I32, I64, Lanes
from halfulp.dtypes.loops import lane_loop, unpack
from halfulp.dtypes.parameters import (
    INF32,
    MAGNITUDE32,
    NAMES32,
    NAMES64,
    SIGN32,
    fast32,
    parameters32,
    parameters64,
)
from halfulp.dtypes.rounding import Overflow, Rounding
from halfulp.dtypes.threads import parallel, split

__all__ = ["decode32", "decode64", "encode32", "encode64", "fast32", "odd64", "round32", "round_lanes"]

Array = npt.NDArray[Any]
Given = dict[str, Lanes]
#: Above this size the result cannot stay in the caches: write past them.
_STREAMING_BYTES = 8 << 20
#: Below this many elements a second thread costs more than it saves.
_PARALLEL_ELEMENTS = 1 << 17


def _normal(magnitude: Lanes, given: Given) -> Lanes:
    """Nearest even on the float32 code of a normal value; a carry walks into the exponent by itself."""
    odd = (magnitude >> given["shift"]) & given["odd"]
    return (magnitude + given["half"] + odd) & given["mask"]


def _special(magnitude: Lanes, result: Lanes, given: Given, limit: str, over: str, inf: str, nan: str) -> Lanes:
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
    sign = (result > INF32).where(x.like(0), x & SIGN32)  # a NaN loses its sign
    return result | sign


def _round(inputs: list[Lanes], given: Given) -> tuple[Lanes, list[Lanes]]:
    return round_lanes(inputs[0], given), []


def _encode(width: Any) -> Any:
    def body(inputs: list[Lanes], given: Given) -> tuple[Lanes, list[Lanes]]:
        x = inputs[0]
        magnitude = x & MAGNITUDE32
        # the magic sum holds the subnormal code in its low bits
        below = (magnitude.bits(F32) + given["magic"].bits(F32)).bits(I32) - given["magic"]
        above = (_normal(magnitude, given) - given["base"]) >> given["shift"]
        code = (magnitude < given["min_normal"]).where(below, above)
        code = _special(magnitude, code, given, "max_code", "overflow_code", "infinity_code", "nan_code")
        nan = code.equals(given["nan_code"]) & given["nan_code"].differs(0)
        code = code | nan.where(x.like(0), (x >> 31) << given["sign_shift"])
        return (code if width is I32 else code.convert("trunc", width)), []

    return body


def _decode(width: Any) -> Any:
    def body(inputs: list[Lanes], given: Given) -> tuple[Lanes, list[Lanes]]:
        code = inputs[0] if width is I32 else inputs[0].convert("zext", I32)
        magnitude = code & given["magnitude_codes"]
        below = (magnitude.convert("sitofp", F32) * given["subnormal_scale"].bits(F32)).bits(I32)
        result = (magnitude < given["normal_code"]).where(below, (magnitude << given["shift"]) + given["base"])
        infinite = magnitude.equals(given["infinity_found"])
        special = infinite.where(result.like(INF32), given["nan"])
        result = (magnitude > given["max_code"]).where(special, result)
        sign = (result > INF32).where(code.like(0), (code >> given["sign_shift"]) << 31)
        return result | sign, []

    return body


def _wide(given: Given) -> Given:
    return {name: lanes.convert("sext", I64) for name, lanes in given.items()}


def _encode64(width: Any) -> Any:
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


def _decode64(width: Any) -> Any:
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
        value = significand.convert("sitofp", F64) * _power_of_two(first) * _power_of_two(exponent - first)
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


# numba keeps a compiled function on disk only when it is a module's own, so each loop has its driver
@kernel
def _run_round(arguments: int) -> None:
    source, target, given, count, streaming, _ = unpack(arguments, 6)
    round_loop((source, target, given, 0, count, streaming))


@kernel
def _run_encode8(arguments: int) -> None:
    source, target, given, count, streaming, _ = unpack(arguments, 6)
    encode8_loop((source, target, given, 0, count, streaming))


@kernel
def _run_encode16(arguments: int) -> None:
    source, target, given, count, streaming, _ = unpack(arguments, 6)
    encode16_loop((source, target, given, 0, count, streaming))


@kernel
def _run_encode32(arguments: int) -> None:
    source, target, given, count, streaming, _ = unpack(arguments, 6)
    encode32_loop((source, target, given, 0, count, streaming))


@kernel
def _run_decode8(arguments: int) -> None:
    source, target, given, count, streaming, _ = unpack(arguments, 6)
    decode8_loop((source, target, given, 0, count, streaming))


@kernel
def _run_decode16(arguments: int) -> None:
    source, target, given, count, streaming, _ = unpack(arguments, 6)
    decode16_loop((source, target, given, 0, count, streaming))


@kernel
def _run_decode32(arguments: int) -> None:
    source, target, given, count, streaming, _ = unpack(arguments, 6)
    decode32_loop((source, target, given, 0, count, streaming))


@kernel
def _run_encode64_8(arguments: int) -> None:
    source, target, given, count, streaming, _ = unpack(arguments, 6)
    encode64_8_loop((source, target, given, 0, count, streaming))


@kernel
def _run_encode64_16(arguments: int) -> None:
    source, target, given, count, streaming, _ = unpack(arguments, 6)
    encode64_16_loop((source, target, given, 0, count, streaming))


@kernel
def _run_encode64_32(arguments: int) -> None:
    source, target, given, count, streaming, _ = unpack(arguments, 6)
    encode64_32_loop((source, target, given, 0, count, streaming))


@kernel
def _run_decode64_8(arguments: int) -> None:
    source, target, given, count, streaming, _ = unpack(arguments, 6)
    decode64_8_loop((source, target, given, 0, count, streaming))


@kernel
def _run_decode64_16(arguments: int) -> None:
    source, target, given, count, streaming, _ = unpack(arguments, 6)
    decode64_16_loop((source, target, given, 0, count, streaming))


@kernel
def _run_decode64_32(arguments: int) -> None:
    source, target, given, count, streaming, _ = unpack(arguments, 6)
    decode64_32_loop((source, target, given, 0, count, streaming))


_ENCODE32 = {1: _run_encode8, 2: _run_encode16, 4: _run_encode32}
_DECODE32 = {1: _run_decode8, 2: _run_decode16, 4: _run_decode32}
_ENCODE64 = {1: _run_encode64_8, 2: _run_encode64_16, 4: _run_encode64_32}
_DECODE64 = {1: _run_decode64_8, 2: _run_decode64_16, 4: _run_decode64_32}


def _run(driver: Kernel, source: Array, target: Array, given: npt.NDArray[np.int64]) -> None:
    count = source.size
    address, place, parameters = source.ctypes.data, target.ctypes.data, given.ctypes.data
    wide = target.nbytes >= _STREAMING_BYTES and place % 64 == 0 and address != place
    if count < _PARALLEL_ELEMENTS:
        parallel(driver, [(address, place, parameters, count, 0)])
        return
    step_in, step_out = source.itemsize, target.itemsize
    # pieces start at multiples of 64 elements, so that streaming stores stay aligned
    parallel(
        driver,
        [
            (address + start * step_in, place + start * step_out, parameters, stop - start, int(wide))
            for start, stop in split(count, 64, _PARALLEL_ELEMENTS // 2)
        ],
    )


def round32(x: Array, out: Array, fmt: FloatFormat, overflow: Overflow) -> None:
    """out[i] = the value of `fmt` nearest to x[i], ties to even; float32 to float32, needs fast32(fmt)."""
    _run(_run_round, x, out, parameters32(fmt, overflow))


def encode32(x: Array, out: Array, fmt: FloatFormat, overflow: Overflow) -> None:
    """out[i] = code of the value of `fmt` nearest to the float32 x[i], ties to even; needs fast32(fmt)."""
    _run(_ENCODE32[out.itemsize], x, out, parameters32(fmt, overflow))


def decode32(codes: Array, out: Array, fmt: FloatFormat) -> None:
    """out[i] = value of codes[i] as float32; needs fmt.fits_float32."""
    if fast32(fmt):
        _run(_DECODE32[codes.itemsize], codes, out, parameters32(fmt, Overflow.INF))
        return
    wide = np.empty(codes.shape, np.float64)
    decode64(codes, wide, fmt)
    # encoded, not converted: a conversion would flush subnormals where the process does
    encode64(wide, out.view(np.uint32), FloatFormat(8, 23), Rounding.NEAREST_EVEN, Overflow.INF)


def encode64(x: Array, out: Array, fmt: FloatFormat, rounding: Rounding, overflow: Overflow) -> None:
    """out[i] = code of the float64 x[i] in `fmt`, rounded once; any format, any deterministic rounding."""
    _run(_ENCODE64[out.itemsize], x, out, parameters64(fmt, rounding, overflow))


def decode64(codes: Array, out: Array, fmt: FloatFormat) -> None:
    """out[i] = value of codes[i] as float64; any format."""
    _run(_DECODE64[codes.itemsize], codes, out, parameters64(fmt, Rounding.NEAREST_EVEN, Overflow.INF))


def odd64(x: Array, out: Array) -> None:
    """out[i] = the 64-bit integer x[i] as float64, rounded to odd: a second rounding to 24 bits or fewer is then right."""
    negative = x < 0
    magnitude = np.where(negative, -x.astype(np.int64), x.astype(np.int64)).view(np.uint64)
    if x.dtype.kind == "u":
        negative, magnitude = np.zeros(x.shape, bool), x.astype(np.uint64)
    power = np.zeros(x.shape, np.int64)
    for _ in range(11):  # 64 - 53 bits at most have to go
        wide = magnitude >> np.uint64(53) != 0
        magnitude = np.where(wide, (magnitude >> np.uint64(1)) | (magnitude & np.uint64(1)), magnitude)
        power += wide
    out[...] = np.where(negative, -1.0, 1.0) * np.ldexp(magnitude.astype(np.float64), power.astype(np.int32))
