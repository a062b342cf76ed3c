"""Casts against np.copyto, the cost of moving the same array, and against the other libraries.

python benchmarks/speed/cast.py [--tiny] [--json FILE]
"""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from measure import Call, Effort, Row, aligned, compare, header, show, write
from peers import PEERS, installed

from halfulp.dtypes import Philox, decode, encode, round_to
from halfulp.dtypes.conversion import conversion
from halfulp.dtypes.kernels import round_values
from halfulp.dtypes.threads import set_num_threads

LARGE, CACHED = 1 << 24, 1 << 16
#: More than the last cache holds: touched before each call, so that no array is left in it.
_EVICTED_BYTES = 96 << 20
Work = tuple[str, Call, float]


def _rounded(x: Any, out: Any) -> list[Work]:
    """round_to: the nearest even of several formats, then what else a cast may do."""
    even = [
        (f"round_to {fmt}", partial(round_to, x, fmt, out=out), 0.80)
        for fmt in ("bf16", "fp16", "tf32", "e4m3", "e5m2", "e3m4", "e4m3fn", "e4m3fnuz")
    ]
    directed = [
        (f"round_to e4m3 {rounding}", partial(round_to, x, "e4m3", rounding=rounding, out=out), 1.0)
        for rounding in ("nearest_away", "toward_zero", "toward_positive", "to_odd")
    ]
    saturate = partial(round_to, x, "e4m3", overflow="saturate", out=out)
    bits = Philox(seed=0)
    noisy = [
        (
            f"round_to {fmt} stochastic",
            partial(round_to, x, fmt, rounding="stochastic", random=bits, out=out),
            2.2,
        )
        for fmt in ("e4m3", "bf16")
    ]
    return [*even, ("round_to e4m3 saturate", saturate, 1.0), *directed, *noisy]


def _coded(x: Any, out: Any) -> list[Work]:
    """encode and decode, from float32 and float64."""
    wide, works = x.astype(np.float64), []
    for fmt in ("e4m3", "bf16"):
        place = encode(x, fmt)
        works += [
            (f"encode {fmt}", partial(encode, x, fmt, out=place), 0.80),
            (f"decode {fmt}", partial(decode, place, fmt, out=out), 0.80),
            (f"encode {fmt} from float64", partial(encode, wide, fmt, out=place), 1.2),
        ]
    return works


def measure(effort: Effort, count: int, cached: int) -> list[Row]:
    """The rows of the project's performance targets, and the peers on the same array.

    count    elements of the large arrays, which no cache holds
    cached   elements of the small ones
    """
    set_num_threads(effort.threads)
    x, out = aligned(count), aligned(count)
    x[:] = np.random.default_rng(0).standard_normal(count)
    evicted = np.zeros(_EVICTED_BYTES if count == LARGE else 64, np.uint8)

    def evict() -> None:
        evicted[::64] += 1

    size = f"{count >> 20} M" if count >> 20 else str(count)
    copy = {"np.copyto": partial(np.copyto, out, x)}
    rows = []
    for work, call, must in [*_rounded(x, out), *_coded(x, out)]:
        rows += compare(f"{work}, {size}", call, copy, effort, must=must, before=evict)
    small, place = x[:cached], out[:cached]
    copy = {"np.copyto": partial(np.copyto, place, small)}
    call = partial(round_to, small, "e4m3", out=place)
    rows += compare(f"round_to e4m3, {cached}", call, copy, effort, must=1.9)
    # of so small an array the call's checks, in Python, take as long as the work
    made = conversion("e4m3")
    call = partial(round_values, small, place, made)
    rows += compare(f"round_to e4m3, {cached}, kernel", call, copy, effort, must=1.9)
    return rows + _beside_peers(effort, x, out, size)


def _beside_peers(effort: Effort, x: Any, out: Any, size: str) -> list[Row]:
    """The others' casts as a user calls them; what they allocate is part of the call."""
    few = Effort(effort.threads, min(effort.rounds, 3), 0.0)
    rows = []
    for peer in installed(PEERS):
        # some take seconds for what takes us milliseconds: a part of the array will do
        part = x[: max(len(x) // peer.divisor, 16)]
        place = out[: len(part)]
        ours = {
            "round": partial(round_to, part, peer.fmt, out=place),
            "encode": partial(encode, part, peer.fmt, out=encode(part, peer.fmt)),
            "decode": partial(decode, encode(part, peer.fmt), peer.fmt, out=place),
        }[peer.work]
        name = f"{peer.work} {peer.fmt}, {size}" + (
            f" / {peer.divisor}" if peer.divisor > 1 else ""
        )
        rows += compare(name, ours, {peer.name: peer.call(part)}, few)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--tiny", action="store_true", help="smallest sizes, one round: does it run?"
    )
    parser.add_argument("--json", type=Path, help="also write the rows here")
    given = parser.parse_args()
    header(["ml_dtypes"], given.tiny)
    missing = sorted({peer.package for peer in PEERS} - {p.package for p in installed(PEERS)})
    if missing:
        print(f"not installed, hence not measured: {', '.join(missing)}")
    count, cached, rounds, seconds = (4096, 256, 1, 0.0) if given.tiny else (LARGE, CACHED, 9, 0.05)
    rows = []
    for threads in (1, 2):
        for row in measure(Effort(threads, rounds, seconds), count, cached):
            show(row)
            rows.append(row)
    write(rows, given.json)


if __name__ == "__main__":
    main()
