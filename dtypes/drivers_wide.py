"""The compiled drivers of the loops from float64 by way of float32, one for each."""

from halfulp.dtypes.codec_wide import (
    directed_encode8_loop,
    directed_encode16_loop,
    directed_encode32_loop,
    directed_round_loop,
    encode8_loop,
    encode16_loop,
    encode32_loop,
    odd_encode8_loop,
    odd_encode16_loop,
    odd_encode32_loop,
    odd_round_loop,
    round_loop,
)
from halfulp.dtypes.jit import kernel
from halfulp.dtypes.natives import unpack


@kernel
def _run_wide_round(arguments: int) -> None:
    source, target, given, count, streaming, _ = unpack(arguments, 6)
    round_loop((source, target, given, 0, count, streaming))


@kernel
def _run_wide_encode8(arguments: int) -> None:
    source, target, given, count, streaming, _ = unpack(arguments, 6)
    encode8_loop((source, target, given, 0, count, streaming))


@kernel
def _run_wide_encode16(arguments: int) -> None:
    source, target, given, count, streaming, _ = unpack(arguments, 6)
    encode16_loop((source, target, given, 0, count, streaming))


@kernel
def _run_wide_encode32(arguments: int) -> None:
    source, target, given, count, streaming, _ = unpack(arguments, 6)
    encode32_loop((source, target, given, 0, count, streaming))


@kernel
def _run_wide_directed_round(arguments: int) -> None:
    source, target, given, count, streaming, _ = unpack(arguments, 6)
    directed_round_loop((source, target, given, 0, count, streaming))


@kernel
def _run_wide_directed_encode8(arguments: int) -> None:
    source, target, given, count, streaming, _ = unpack(arguments, 6)
    directed_encode8_loop((source, target, given, 0, count, streaming))


@kernel
def _run_wide_directed_encode16(arguments: int) -> None:
    source, target, given, count, streaming, _ = unpack(arguments, 6)
    directed_encode16_loop((source, target, given, 0, count, streaming))


@kernel
def _run_wide_directed_encode32(arguments: int) -> None:
    source, target, given, count, streaming, _ = unpack(arguments, 6)
    directed_encode32_loop((source, target, given, 0, count, streaming))


@kernel
def _run_wide_odd_round(arguments: int) -> None:
    source, target, given, count, streaming, _ = unpack(arguments, 6)
    odd_round_loop((source, target, given, 0, count, streaming))


@kernel
def _run_wide_odd_encode8(arguments: int) -> None:
    source, target, given, count, streaming, _ = unpack(arguments, 6)
    odd_encode8_loop((source, target, given, 0, count, streaming))


@kernel
def _run_wide_odd_encode16(arguments: int) -> None:
    source, target, given, count, streaming, _ = unpack(arguments, 6)
    odd_encode16_loop((source, target, given, 0, count, streaming))


@kernel
def _run_wide_odd_encode32(arguments: int) -> None:
    source, target, given, count, streaming, _ = unpack(arguments, 6)
    odd_encode32_loop((source, target, given, 0, count, streaming))


ROUND = _run_wide_round
DIRECTED_ROUND, ODD_ROUND = _run_wide_directed_round, _run_wide_odd_round
# by the bytes of a code
ENCODE = {1: _run_wide_encode8, 2: _run_wide_encode16, 4: _run_wide_encode32}
DIRECTED_ENCODE = {
    1: _run_wide_directed_encode8,
    2: _run_wide_directed_encode16,
    4: _run_wide_directed_encode32,
}
ODD_ENCODE = {1: _run_wide_odd_encode8, 2: _run_wide_odd_encode16, 4: _run_wide_odd_encode32}
