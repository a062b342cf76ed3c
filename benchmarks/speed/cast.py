"""Casts against np.copyto, the cost of moving the same array: python benchmarks/speed/cast.py [--tiny] [--json FILE]."""

import argparse
from pathlib import Path

import ml_dtypes
import numpy as np
from measure import Row, aligned, compare, header, show, write

from halfulp.dtypes import decode, encode, round_to
from halfulp.dtypes.threads import set_num_threads

LARGE, CACHED = 1 << 24, 1 << 16
#: More than the last cache holds: touched before each call, so that no array is left in it.
_EVICTED_BYTES = 96 << 20


def measure(threads: int, count: int, cached: int, rounds: int, seconds: float) -> list[Row]:
    """The rows of the project's performance targets that exist."""
    set_num_threads(threads)
    rng = np.random.default_rng(0)
    x, out = aligned(count), aligned(count)
    x[:] = rng.standard_normal(count)
    wide = x.astype(np.float64)
    codes, half = encode(x, "e4m3"), encode(x, "bf16")
    evicted = np.zeros(_EVICTED_BYTES if count == LARGE else 64, np.uint8)

    def evict() -> None:
        evicted[::64] += 1

    copy = {"np.copyto": lambda: np.copyto(out, x)}
    size = f"{count >> 20} M" if count >> 20 else str(count)
    options = {"threads": threads, "rounds": rounds, "seconds": seconds}
    rows = []
    for fmt in ("bf16", "fp16", "tf32", "e4m3", "e5m2", "e3m4"):
        call = lambda fmt=fmt: round_to(x, fmt, out=out)  # noqa: E731
        rows += compare(f"round_to {fmt}, {size}", call, copy, must=0.80, before=evict, **options)
    call = lambda: round_to(x, "e4m3", overflow="saturate", out=out)  # noqa: E731
    rows += compare(
        f"round_to e4m3 saturate, {size}", call, copy, must=1.0, before=evict, **options
    )
    for fmt, place in (("e4m3", codes), ("bf16", half)):
        rows += compare(f"encode {fmt}, {size}", lambda fmt=fmt, place=place: encode(x, fmt, out=place), copy, must=0.80,
                        before=evict, **options)  # fmt: skip
        rows += compare(f"decode {fmt}, {size}", lambda fmt=fmt, place=place: decode(place, fmt, out=out), copy, must=0.80,
                        before=evict, **options)  # fmt: skip
    rows += compare(f"encode e4m3 from float64, {size}", lambda: encode(wide, "e4m3", out=codes), copy, must=1.2,
                    before=evict, **options)  # fmt: skip
    small, place = x[:cached], out[:cached]
    rows += compare(f"round_to e4m3, {cached}", lambda: round_to(small, "e4m3", out=place),
                    {"np.copyto": lambda: np.copyto(place, small)}, must=1.9, **options)  # fmt: skip
    bfloat16, float8 = np.empty(count, ml_dtypes.bfloat16), np.empty(count, ml_dtypes.float8_e4m3)
    rows += compare(f"encode bf16, {size}", lambda: encode(x, "bf16", out=half),
                    {"ml_dtypes": lambda: np.copyto(bfloat16, x, casting="unsafe")}, **options)  # fmt: skip
    rows += compare(f"encode e4m3, {size}", lambda: encode(x, "e4m3", out=codes),
                    {"ml_dtypes": lambda: np.copyto(float8, x, casting="unsafe")}, **options)  # fmt: skip
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
    sizes = (4096, 256, 1, 0.0) if given.tiny else (LARGE, CACHED, 9, 0.05)
    rows = []
    for threads in (1, 2):
        for row in measure(threads, *sizes):
            show(row)
            rows.append(row)
    write(rows, given.json)


if __name__ == "__main__":
    main()
