"""Casts against np.copyto, the cost of moving the same array.

python benchmarks/speed/cast.py [--tiny] [--json FILE]
"""

import argparse
from functools import partial
from pathlib import Path

import ml_dtypes
import numpy as np
from measure import Call, Effort, Row, aligned, compare, header, show, write

from halfulp.dtypes import decode, encode, round_to
from halfulp.dtypes.threads import set_num_threads

LARGE, CACHED = 1 << 24, 1 << 16
#: More than the last cache holds: touched before each call, so that no array is left in it.
_EVICTED_BYTES = 96 << 20


def measure(effort: Effort, count: int, cached: int) -> list[Row]:
    """The rows of the project's performance targets that exist.

    count    elements of the large arrays, which no cache holds
    cached   elements of the small ones
    """
    set_num_threads(effort.threads)
    x, out = aligned(count), aligned(count)
    x[:] = np.random.default_rng(0).standard_normal(count)
    wide = x.astype(np.float64)
    codes, half = encode(x, "e4m3"), encode(x, "bf16")
    evicted = np.zeros(_EVICTED_BYTES if count == LARGE else 64, np.uint8)

    def evict() -> None:
        evicted[::64] += 1

    size = f"{count >> 20} M" if count >> 20 else str(count)
    works: list[tuple[str, Call, float]] = [
        (f"round_to {fmt}", partial(round_to, x, fmt, out=out), 0.80)
        for fmt in ("bf16", "fp16", "tf32", "e4m3", "e5m2", "e3m4")
    ]
    saturate = partial(round_to, x, "e4m3", overflow="saturate", out=out)
    works.append(("round_to e4m3 saturate", saturate, 1.0))
    for fmt, place in (("e4m3", codes), ("bf16", half)):
        works.append((f"encode {fmt}", partial(encode, x, fmt, out=place), 0.80))
        works.append((f"decode {fmt}", partial(decode, place, fmt, out=out), 0.80))
    works.append(("encode e4m3 from float64", partial(encode, wide, "e4m3", out=codes), 1.2))
    copy = {"np.copyto": partial(np.copyto, out, x)}
    rows = []
    for work, call, must in works:
        rows += compare(f"{work}, {size}", call, copy, effort, must=must, before=evict)
    small, place = x[:cached], out[:cached]
    copy = {"np.copyto": partial(np.copyto, place, small)}
    call = partial(round_to, small, "e4m3", out=place)
    rows += compare(f"round_to e4m3, {cached}", call, copy, effort, must=1.9)
    kinds = ("bf16", half, ml_dtypes.bfloat16), ("e4m3", codes, ml_dtypes.float8_e4m3)
    for fmt, place, kind in kinds:
        theirs = {"ml_dtypes": partial(np.copyto, np.empty(count, kind), x, casting="unsafe")}
        rows += compare(f"encode {fmt}, {size}", partial(encode, x, fmt, out=place), theirs, effort)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--tiny", action="store_true", help="smallest sizes, one round: does it run?"
    )
    parser.add_argument("--json", type=Path, help="also write the rows here")
    given = parser.parse_args()
    header(["ml_dtypes"], given.tiny)
    print("not yet: stochastic rounding, block formats (no such kernels in this version)")
    count, cached, rounds, seconds = (4096, 256, 1, 0.0) if given.tiny else (LARGE, CACHED, 9, 0.05)
    rows = []
    for threads in (1, 2):
        for row in measure(Effort(threads, rounds, seconds), count, cached):
            show(row)
            rows.append(row)
    write(rows, given.json)


if __name__ == "__main__":
    main()
