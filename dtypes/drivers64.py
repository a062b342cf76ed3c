"""The compiled drivers of the loops for any format, of the conversions and of random bits."""

from halfulp.dtypes.codec64 import (
    decode_any8_loop,
    decode_any16_loop,
    decode_any32_loop,
    encode64_8_loop,
    encode64_16_loop,
    encode64_32_loop,
    noise_encode64_8_loop,
    noise_encode64_16_loop,
    noise_encode64_32_loop,
    widen_loop,
)
from halfulp.dtypes.drivers import CHUNK
from halfulp.dtypes.jit import kernel
from halfulp.dtypes.natives import unpack
from halfulp.dtypes.philox import GROUP, PAIR, philox


@kernel
def _run_noise_encode64_8(arguments: int) -> None:
    source, target, given, count, noise, first, seed, step, drop, scratch = unpack(arguments, 10)
    if noise != 0:
        noise_encode64_8_loop((source, noise, target, given, 0, count, 0))
        return
    lead = first % GROUP
    for start in range(0, count, CHUNK):
        n = min(CHUNK, count - start)
        philox((scratch, (first + start) // GROUP, (lead + n + PAIR - 1) // PAIR, seed, step, drop))
        place = target + start
        noise_encode64_8_loop((source + 8 * start, scratch + 4 * lead, place, given, 0, n, 0))


@kernel
def _run_noise_encode64_16(arguments: int) -> None:
    source, target, given, count, noise, first, seed, step, drop, scratch = unpack(arguments, 10)
    if noise != 0:
        noise_encode64_16_loop((source, noise, target, given, 0, count, 0))
        return
    lead = first % GROUP
    for start in range(0, count, CHUNK):
        n = min(CHUNK, count - start)
        philox((scratch, (first + start) // GROUP, (lead + n + PAIR - 1) // PAIR, seed, step, drop))
        place = target + 2 * start
        noise_encode64_16_loop((source + 8 * start, scratch + 4 * lead, place, given, 0, n, 0))


@kernel
def _run_noise_encode64_32(arguments: int) -> None:
    source, target, given, count, noise, first, seed, step, drop, scratch = unpack(arguments, 10)
    if noise != 0:
        noise_encode64_32_loop((source, noise, target, given, 0, count, 0))
        return
    lead = first % GROUP
    for start in range(0, count, CHUNK):
        n = min(CHUNK, count - start)
        philox((scratch, (first + start) // GROUP, (lead + n + PAIR - 1) // PAIR, seed, step, drop))
        place = target + 4 * start
        noise_encode64_32_loop((source + 8 * start, scratch + 4 * lead, place, given, 0, n, 0))


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
def _run_decode_any8(arguments: int) -> None:
    source, target, given, count, streaming, _ = unpack(arguments, 6)
    decode_any8_loop((source, target, given, 0, count, streaming))


@kernel
def _run_decode_any16(arguments: int) -> None:
    source, target, given, count, streaming, _ = unpack(arguments, 6)
    decode_any16_loop((source, target, given, 0, count, streaming))


@kernel
def _run_decode_any32(arguments: int) -> None:
    source, target, given, count, streaming, _ = unpack(arguments, 6)
    decode_any32_loop((source, target, given, 0, count, streaming))


@kernel
def _run_widen(arguments: int) -> None:
    source, target, given, count, streaming, _ = unpack(arguments, 6)
    widen_loop((source, target, given, 0, count, streaming))


@kernel
def _run_fill(arguments: int) -> None:
    target, group, pairs, seed, step, drop, _ = unpack(arguments, 7)
    philox((target, group, pairs, seed, step, drop))


FILL, WIDEN = _run_fill, _run_widen
# by the bytes of a code
ENCODE = {1: _run_encode64_8, 2: _run_encode64_16, 4: _run_encode64_32}
NOISE_ENCODE = {1: _run_noise_encode64_8, 2: _run_noise_encode64_16, 4: _run_noise_encode64_32}
DECODE = {1: _run_decode_any8, 2: _run_decode_any16, 4: _run_decode_any32}
