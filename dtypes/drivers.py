"""The compiled drivers of the float32 loops, one for each; noise stays in cache.

numba keeps a compiled function on disk only if it is a module's own: so each loop has its driver.
"""

from halfulp.dtypes.codec import (
    decode8_loop,
    decode16_loop,
    decode32_loop,
    directed_encode8_loop,
    directed_encode16_loop,
    directed_encode32_loop,
    directed_round_loop,
    encode8_loop,
    encode16_loop,
    encode32_loop,
    noise_encode8_loop,
    noise_encode16_loop,
    noise_encode32_loop,
    noise_round_loop,
    odd_encode8_loop,
    odd_encode16_loop,
    odd_encode32_loop,
    odd_round_loop,
    round_loop,
)
from halfulp.dtypes.jit import kernel
from halfulp.dtypes.natives import unpack
from halfulp.dtypes.philox import GROUP, PAIR, philox

#: Elements that are given their noise at a time: 4 KiB of scratch memory, and the work is even.
CHUNK = 1024


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
def _run_directed_round(arguments: int) -> None:
    source, target, given, count, streaming, _ = unpack(arguments, 6)
    directed_round_loop((source, target, given, 0, count, streaming))


@kernel
def _run_directed_encode8(arguments: int) -> None:
    source, target, given, count, streaming, _ = unpack(arguments, 6)
    directed_encode8_loop((source, target, given, 0, count, streaming))


@kernel
def _run_directed_encode16(arguments: int) -> None:
    source, target, given, count, streaming, _ = unpack(arguments, 6)
    directed_encode16_loop((source, target, given, 0, count, streaming))


@kernel
def _run_directed_encode32(arguments: int) -> None:
    source, target, given, count, streaming, _ = unpack(arguments, 6)
    directed_encode32_loop((source, target, given, 0, count, streaming))


@kernel
def _run_odd_round(arguments: int) -> None:
    source, target, given, count, streaming, _ = unpack(arguments, 6)
    odd_round_loop((source, target, given, 0, count, streaming))


@kernel
def _run_odd_encode8(arguments: int) -> None:
    source, target, given, count, streaming, _ = unpack(arguments, 6)
    odd_encode8_loop((source, target, given, 0, count, streaming))


@kernel
def _run_odd_encode16(arguments: int) -> None:
    source, target, given, count, streaming, _ = unpack(arguments, 6)
    odd_encode16_loop((source, target, given, 0, count, streaming))


@kernel
def _run_odd_encode32(arguments: int) -> None:
    source, target, given, count, streaming, _ = unpack(arguments, 6)
    odd_encode32_loop((source, target, given, 0, count, streaming))


@kernel
def _run_noise_round(arguments: int) -> None:
    source, target, given, count, noise, first, seed, step, drop, scratch = unpack(arguments, 10)
    if noise != 0:
        noise_round_loop((source, noise, target, given, 0, count, 0))
        return
    lead = first % GROUP
    for start in range(0, count, CHUNK):
        n = min(CHUNK, count - start)
        philox((scratch, (first + start) // GROUP, (lead + n + PAIR - 1) // PAIR, seed, step, drop))
        place = target + 4 * start
        noise_round_loop((source + 4 * start, scratch + 4 * lead, place, given, 0, n, 0))


@kernel
def _run_noise_encode8(arguments: int) -> None:
    source, target, given, count, noise, first, seed, step, drop, scratch = unpack(arguments, 10)
    if noise != 0:
        noise_encode8_loop((source, noise, target, given, 0, count, 0))
        return
    lead = first % GROUP
    for start in range(0, count, CHUNK):
        n = min(CHUNK, count - start)
        philox((scratch, (first + start) // GROUP, (lead + n + PAIR - 1) // PAIR, seed, step, drop))
        place = target + start
        noise_encode8_loop((source + 4 * start, scratch + 4 * lead, place, given, 0, n, 0))


@kernel
def _run_noise_encode16(arguments: int) -> None:
    source, target, given, count, noise, first, seed, step, drop, scratch = unpack(arguments, 10)
    if noise != 0:
        noise_encode16_loop((source, noise, target, given, 0, count, 0))
        return
    lead = first % GROUP
    for start in range(0, count, CHUNK):
        n = min(CHUNK, count - start)
        philox((scratch, (first + start) // GROUP, (lead + n + PAIR - 1) // PAIR, seed, step, drop))
        place = target + 2 * start
        noise_encode16_loop((source + 4 * start, scratch + 4 * lead, place, given, 0, n, 0))


@kernel
def _run_noise_encode32(arguments: int) -> None:
    source, target, given, count, noise, first, seed, step, drop, scratch = unpack(arguments, 10)
    if noise != 0:
        noise_encode32_loop((source, noise, target, given, 0, count, 0))
        return
    lead = first % GROUP
    for start in range(0, count, CHUNK):
        n = min(CHUNK, count - start)
        philox((scratch, (first + start) // GROUP, (lead + n + PAIR - 1) // PAIR, seed, step, drop))
        place = target + 4 * start
        noise_encode32_loop((source + 4 * start, scratch + 4 * lead, place, given, 0, n, 0))


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


ROUND, NOISE_ROUND = _run_round, _run_noise_round
DIRECTED_ROUND, ODD_ROUND = _run_directed_round, _run_odd_round
# by the bytes of a code
ENCODE = {1: _run_encode8, 2: _run_encode16, 4: _run_encode32}
DIRECTED_ENCODE = {1: _run_directed_encode8, 2: _run_directed_encode16, 4: _run_directed_encode32}
ODD_ENCODE = {1: _run_odd_encode8, 2: _run_odd_encode16, 4: _run_odd_encode32}
NOISE_ENCODE = {1: _run_noise_encode8, 2: _run_noise_encode16, 4: _run_noise_encode32}
DECODE = {1: _run_decode8, 2: _run_decode16, 4: _run_decode32}
