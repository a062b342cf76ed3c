"""Fast casts of whole arrays; `halfulp.dtypes.reference` is their slow, exact twin.

Every array is C-contiguous; `out` may be the source where the types are equal. NaN results are
canonical: quiet, sign 0.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from halfulp.dtypes.codec import (
    decode8_loop,
    decode16_loop,
    decode32_loop,
    decode64_8_loop,
    decode64_16_loop,
    decode64_32_loop,
    encode8_loop,
    encode16_loop,
    encode32_loop,
    encode64_8_loop,
    encode64_16_loop,
    encode64_32_loop,
    round_loop,
)
from halfulp.dtypes.format import FloatFormat
from halfulp.dtypes.jit import Kernel, kernel
from halfulp.dtypes.natives import unpack
from halfulp.dtypes.parameters import fast32, parameters32, parameters64
from halfulp.dtypes.rounding import Overflow, Rounding
from halfulp.dtypes.threads import parallel, split

__all__ = ["decode32", "decode64", "encode32", "encode64", "fast32", "odd64", "round32"]

Array = npt.NDArray[Any]
#: Above this size the result cannot stay in the caches: write past them.
_STREAMING_BYTES = 8 << 20
#: Below this many elements a second thread costs more than it saves.
_PARALLEL_ELEMENTS = 1 << 17


# numba keeps a compiled function on disk only if it is a module's own: so each loop has its driver
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
    parts = [
        (address + start * step_in, place + start * step_out, parameters, stop - start, int(wide))
        for start, stop in split(count, 64, _PARALLEL_ELEMENTS // 2)
    ]
    parallel(driver, parts)


def round32(x: Array, out: Array, fmt: FloatFormat, overflow: Overflow) -> None:
    """out[i] = the value of `fmt` nearest to x[i], ties to even; float32 to float32.

    Needs fast32(fmt).
    """
    _run(_run_round, x, out, parameters32(fmt, overflow))


def encode32(x: Array, out: Array, fmt: FloatFormat, overflow: Overflow) -> None:
    """out[i] = code of the value of `fmt` nearest to the float32 x[i], ties to even.

    Needs fast32(fmt).
    """
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


def encode64(
    x: Array, out: Array, fmt: FloatFormat, rounding: Rounding, overflow: Overflow
) -> None:
    """out[i] = code of the float64 x[i] in `fmt`, rounded once; any format and rounding."""
    _run(_ENCODE64[out.itemsize], x, out, parameters64(fmt, rounding, overflow))


def decode64(codes: Array, out: Array, fmt: FloatFormat) -> None:
    """out[i] = value of codes[i] as float64; any format."""
    given = parameters64(fmt, Rounding.NEAREST_EVEN, Overflow.INF)
    _run(_DECODE64[codes.itemsize], codes, out, given)


def odd64(x: Array, out: Array) -> None:
    """out[i] = the 64-bit integer x[i] as float64, rounded to odd.

    A second rounding, to 24 bits or fewer, then gives what one rounding would have given.
    """
    negative = x < 0
    magnitude = np.where(negative, -x.astype(np.int64), x.astype(np.int64)).view(np.uint64)
    if x.dtype.kind == "u":
        negative, magnitude = np.zeros(x.shape, bool), x.astype(np.uint64)
    power = np.zeros(x.shape, np.int64)
    for _ in range(11):  # 64 - 53 bits at most have to go
        wide = magnitude >> np.uint64(53) != 0
        halved = (magnitude >> np.uint64(1)) | (magnitude & np.uint64(1))
        magnitude = np.where(wide, halved, magnitude)
        power += wide
    sign = np.where(negative, -1.0, 1.0)
    out[...] = sign * np.ldexp(magnitude.astype(np.float64), power.astype(np.int32))
