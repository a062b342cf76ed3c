"""Block formats against np.copyto, the cost of moving the same array.

python benchmarks/speed/blocks.py [--tiny] [--json FILE]
"""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
from measure import Call, Effort, Row, aligned, compare, header, show, write

from halfulp.dtypes import BLOCK_FORMATS, decode_blocks, encode_blocks, pack, unpack
from halfulp.dtypes.threads import set_num_threads

LARGE, WIDTH = 1 << 24, 4096
#: More than the last cache holds: touched before each call, so that no array is left in it.
_EVICTED_BYTES = 96 << 20
MUST = 2.0


def measure(effort: Effort, count: int, width: int) -> list[Row]:
    """Encoding and decoding in every named block format.

    count    elements, in rows of `width`
    """
    set_num_threads(effort.threads)
    x, out = (aligned(count).reshape(-1, width) for _ in range(2))
    x[:] = np.random.default_rng(0).standard_normal(x.shape)
    evicted = np.zeros(_EVICTED_BYTES if count == LARGE else 64, np.uint8)

    def evict() -> None:
        evicted[::64] += 1

    size = f"{count >> 20} M" if count >> 20 else str(count)
    copy: dict[str, Call] = {"np.copyto": partial(np.copyto, out, x)}
    rows = []
    for name in BLOCK_FORMATS:
        first = encode_blocks(x, name)
        codes = aligned(-(-count // 4)).view(first.codes.dtype)[:count].reshape(x.shape)
        np.copyto(codes, first.codes)
        encoded = (codes, *first[1:]) if first.tensor_scale is not None else (codes, first.scales)
        works: list[tuple[str, Call]] = [
            ("encode", partial(encode_blocks, x, name, out=(codes, first.scales))),
            ("decode", partial(decode_blocks, encoded, name, out=out)),
        ]
        for work, call in works:
            work = f"{work} {name}, {size}"
            rows += compare(work, call, copy, effort, must=MUST, before=evict)
    ours = partial(encode_blocks, x, "mxfp8_e4m3")
    rows += compare(
        f"encode mxfp8_e4m3, {size}", ours, {"ml_dtypes": partial(_by_ml_dtypes, x)}, effort
    )
    return rows + _packing(x, copy, effort, size)


def _packing(
    x: npt.NDArray[np.float32], copy: dict[str, Call], effort: Effort, size: str
) -> list[Row]:
    rows = []
    for name in ("mxfp4", "mxfp6_e2m3"):
        codes = encode_blocks(x, name).codes
        packed = pack(codes, name)
        rows += compare(f"pack {name}, {size}", partial(pack, codes, name), copy, effort)
        rows += compare(f"unpack {name}, {size}", partial(unpack, packed, name), copy, effort)
    return rows


def _by_ml_dtypes(x: npt.NDArray[np.float32]) -> tuple[Any, Any]:
    """MXFP8 as one writes it with numpy and ml_dtypes: finite numbers above 2^-119 alone."""
    blocks = x.reshape(-1, 32)
    amax = np.abs(blocks).max(axis=1, keepdims=True)
    exponents = np.clip(np.frexp(amax)[1] - 1 - 8, -127, 127)
    shares = np.ldexp(blocks, -exponents)
    codes = np.clip(shares, -448, 448).astype(ml_dtypes.float8_e4m3fn).view(np.uint8)
    return codes, (exponents + 127).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--tiny", action="store_true", help="smallest sizes, one round: does it run?"
    )
    parser.add_argument("--json", type=Path, help="also write the rows here")
    given = parser.parse_args()
    header(["ml_dtypes"], given.tiny)
    count, width, rounds, seconds = (4096, 64, 1, 0.0) if given.tiny else (LARGE, WIDTH, 9, 0.05)
    rows = []
    for threads in (1, 2):
        for row in measure(Effort(threads, rounds, seconds), count, width):
            show(row)
            rows.append(row)
    write(rows, given.json)


if __name__ == "__main__":
    main()
