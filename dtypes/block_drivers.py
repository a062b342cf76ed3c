"""The compiled drivers of block formats: some blocks at a time, so that all stays in the cache."""

from halfulp.dtypes.block_codec import (
    block_maxima,
    block_maxima_wide,
    decode_fixed,
    decode_floats,
    divide_blocks_wide,
    encode_fixed_loop,
    encode_fixed_powers,
    encode_powers,
    encode_quotients,
    inverse_loop,
    power_code_loop,
    power_loop,
    scale_quotient_loop,
)
from halfulp.dtypes.block_layout import LANES
from halfulp.dtypes.codec import decode8_loop, encode8_loop
from halfulp.dtypes.codec64 import widen_loop
from halfulp.dtypes.codec_wide import narrow_loop
from halfulp.dtypes.jit import kernel
from halfulp.dtypes.natives import unpack

#: Elements of a chunk; the largest slot.
CHUNK = 4096
# places in the scratch memory: elements as float32 and as float64, then what each block has
_WIDE = 4 * CHUNK
_MAXIMA = _WIDE + 8 * CHUNK
_BITS = _MAXIMA + 4 * CHUNK // LANES
_VALUES = _BITS + 8 * CHUNK // LANES


@kernel
def _run_maxima(arguments: int) -> None:
    """The magnitude bits of each block's maximum, in the source's type."""
    source, maxima, blocks, slot, wide, _ = unpack(arguments, 6)
    if wide != 0:
        block_maxima_wide((source, maxima, blocks, slot // LANES))
    else:
        block_maxima((source, maxima, blocks, slot // LANES))


@kernel
def _run_encode_powers(arguments: int) -> None:
    """Codes and e8m0 scales; `rule` is that of `power_code_loop`."""
    (source, codes, scales, element, rule, tensor, blocks, slot, streaming, wide, fixed,
     scratch) = unpack(arguments, 12)  # fmt: skip
    maxima, bits, values = scratch + _MAXIMA, scratch + _BITS, scratch + _VALUES
    step, vectors = CHUNK // slot, slot // LANES
    for start in range(0, blocks, step):
        n, at = min(step, blocks - start), start * slot
        if wide != 0:
            place = scratch + _WIDE
            block_maxima_wide((source + 8 * at, bits, n, vectors))
            power_code_loop((bits, scales + start, rule, 0, n, 0))
            power_loop((scales + start, values, 0, 0, n, 0))
            divide_blocks_wide((source + 8 * at, place, values, tensor, n, vectors, 0))
            narrow_loop((place, scratch, 0, 0, n * slot, 0))
            if fixed != 0:
                encode_fixed_loop((scratch, codes + at, element, 0, n * slot, 0))
            else:
                encode8_loop((scratch, codes + at, element, 0, n * slot, 0))
            continue
        block_maxima((source + 4 * at, maxima, n, vectors))
        widen_loop((maxima, bits, 0, 0, n, 0))
        power_code_loop((bits, scales + start, rule, 0, n, 0))
        inverse_loop((scales + start, values, 0, 0, n, 0))
        if fixed != 0:
            encode_fixed_powers(
                (source + 4 * at, codes + at, values, element, n, vectors, streaming)
            )
        else:
            encode_powers((source + 4 * at, codes + at, values, element, n, vectors, streaming))


@kernel
def _run_encode_quotients(arguments: int) -> None:
    """Codes and e4m3fn scales, from all blocks' maxima; `rule` is that of `scale_quotient_loop`."""
    (source, codes, scales, maxima, element, rule, tensor, scale, blocks, slot, streaming, wide,
     scratch) = unpack(arguments, 13)  # fmt: skip
    bits, values = scratch + _BITS, scratch + _VALUES
    step, vectors = CHUNK // slot, slot // LANES
    for start in range(0, blocks, step):
        n, at = min(step, blocks - start), start * slot
        if wide != 0:
            scale_quotient_loop((maxima + 8 * start, bits, rule, 0, n, 0))
        else:
            widen_loop((maxima + 4 * start, bits, 0, 0, n, 0))
            scale_quotient_loop((bits, bits, rule, 0, n, 0))
        narrow_loop((bits, values, 0, 0, n, 0))
        encode8_loop((values, scales + start, scale, 0, n, 0))
        decode8_loop((scales + start, values, scale, 0, n, 0))
        if wide != 0:
            place = scratch + _WIDE
            divide_blocks_wide((source + 8 * at, place, values, tensor, n, vectors, 0))
            narrow_loop((place, scratch, 0, 0, n * slot, 0))
            encode8_loop((scratch, codes + at, element, 0, n * slot, 0))
        else:
            encode_quotients((source + 4 * at, codes + at, values, element, n, vectors, streaming))


@kernel
def _run_decode(arguments: int) -> None:
    """float32 numbers from codes and scales of any kind."""
    (codes, scales, target, element, scale, blocks, slot, streaming, fixed, powers,
     scratch) = unpack(arguments, 11)  # fmt: skip
    values = scratch + _VALUES
    step = CHUNK // slot
    for start in range(0, blocks, step):
        n, at = min(step, blocks - start), start * slot
        if powers != 0:
            power_loop((scales + start, values, 0, 0, n, 0))
        else:
            decode8_loop((scales + start, values, scale, 0, n, 0))
        place = target + 4 * at
        if fixed != 0:
            decode_fixed((codes + at, place, values, element, n, slot // LANES, streaming))
        else:
            decode_floats((codes + at, place, values, element, n, slot // LANES, streaming))


MAXIMA, DECODE = _run_maxima, _run_decode
ENCODE_POWERS, ENCODE_QUOTIENTS = _run_encode_powers, _run_encode_quotients
