"""The systolic sum against torch and numpy: python benchmarks/speed/matmul.py [--tiny] [--json FILE].

Operands and result are cast inside our time; weights are packed before, once, as a model does.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from measure import Row, compare, fastest, header, once_for_each, show, write

from halfulp.dtypes.threads import set_num_threads
from halfulp.engines import NEURONCORE_V2

SHAPES = ((128, 1024, 1024), (128, 1024, 4096), (128, 4096, 1024), (1280, 1024, 1024), (1280, 1024, 4096), (1280, 4096, 1024),
          (512, 768, 768))  # fmt: skip
HEADS = 16
ATTENTION = (
    (True, 128, 64, 128),
    (False, 128, 128, 64),
)  # right operand transposed or not, then M, K, N
tensor = NEURONCORE_V2.tensor


def _normal(*shape: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def systolic(
    threads: int, shapes: tuple[tuple[int, int, int], ...], options: dict[str, float]
) -> list[Row]:
    """bf16 and e4m3 operands and results, against the faster of torch.mm and numpy."""
    rows = []
    for m, k, n in shapes:
        a, b, out = _normal(m, k), _normal(k, n), np.empty((m, n), np.float32)
        left, right, result = torch.from_numpy(a), torch.from_numpy(b), torch.empty(m, n)
        others = {
            "torch.mm": lambda left=left, right=right, result=result: torch.mm(
                left, right, out=result
            ),
            "numpy": lambda a=a, b=b, result=np.empty((m, n), np.float32): np.matmul(
                a, b, out=result
            ),
        }
        for fmt in ("bf16", "e4m3"):
            packed = tensor.pack(b, fmt)
            call = lambda a=a, packed=packed, fmt=fmt, out=out: tensor.matmul(  # noqa: E731
                a, packed, a_format=fmt, out_format=fmt, out=out
            )
            rows.append(
                fastest(
                    compare(
                        f"systolic {fmt} {m}x{k}x{n}", call, others, threads=threads, **options
                    ),
                    1.0,
                )
            )
            show(rows[-1])
    return rows


def attention(threads: int, options: dict[str, float]) -> list[Row]:
    rows = []
    for transposed, m, k, n in ATTENTION:
        a, b = _normal(HEADS, m, k), _normal(HEADS, n, k) if transposed else _normal(HEADS, k, n)
        out, left, right = (
            np.empty((HEADS, m, n), np.float32),
            torch.from_numpy(a),
            torch.from_numpy(b),
        )
        right = right.transpose(1, 2) if transposed else right
        result = torch.empty(HEADS, m, n)
        rows += compare(
            f"attention {HEADS} x {m}x{k}x{n} bf16",
            lambda a=a, b=b, t=transposed, out=out: tensor.matmul(a, b, a_format="bf16", transpose_b=t, out=out),
            {"torch.bmm": lambda left=left, right=right, result=result: torch.bmm(left, right, out=result)},
            threads=threads, must=0.95, **options,
        )  # fmt: skip
        show(rows[-1])
    return rows


def others(threads: int, shape: tuple[int, int, int], options: dict[str, float]) -> list[Row]:
    """Rows whose targets may still be missed: one row, int8, fp32."""
    m, k, n = shape
    a, b, out = _normal(m, k), _normal(k, n), np.empty((m, n), np.float32)
    left, right, result = torch.from_numpy(a), torch.from_numpy(b), torch.empty(m, n)
    packed, full = tensor.pack(b, "bf16"), tensor.pack(b, "fp32")
    rng = np.random.default_rng(1)
    x, y = (rng.integers(-128, 128, size).astype(np.int8) for size in ((m, k), (k, n)))
    codes, sums = tensor.pack(y, "int8"), np.empty((m, n), np.int32)
    options = {**options, "threads": threads}
    rows = compare(f"one row 1x{k}x{n} bf16", lambda: tensor.matmul(a[:1], packed, a_format="bf16"),
                   {"torch.mm": lambda: torch.mm(left[:1], right)}, must=1.1, **options)  # fmt: skip
    rows += compare(f"int8 {m}x{k}x{n} into int32", lambda: tensor.matmul(x, codes, a_format="int8", out=sums),
                    {"torch._int_mm": lambda: torch._int_mm(torch.from_numpy(x), torch.from_numpy(y))}, must=1.05,
                    **options)  # fmt: skip
    rows += compare(f"fp32 in four passes {m}x{k}x{n}", lambda: tensor.matmul(a, full, a_format="fp32", out=out),
                    {"4 x torch.mm": lambda: torch.mm(left, right, out=result)}, must=1.05, times=4.0, **options)  # fmt: skip
    for row in rows:
        show(row)
    return rows


def measure(threads: int, tiny: bool) -> list[Row]:
    set_num_threads(threads)
    torch.set_num_threads(threads)
    options: dict[str, float] = (
        {"rounds": 1, "seconds": 0.0} if tiny else {"rounds": 9, "seconds": 0.03}
    )
    rows = systolic(threads, ((3, 130, 33),) if tiny else SHAPES, options)
    rows += attention(threads, options)
    return rows + others(threads, (5, 64, 40) if tiny else (128, 1024, 4096), options)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--tiny", action="store_true", help="smallest shapes, one round: does it run?"
    )
    parser.add_argument("--json", type=Path, help="also write the rows here")
    parser.add_argument("--inside", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        write(measure(given.inside, given.tiny), given.json)
        return 0
    header(["torch"], given.tiny)
    print("not yet: accumulators other than fp32 (no such kernels in this version)")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for threads in (1, 2):
            part = Path(folder) / f"{threads}.json"
            status = once_for_each(
                __file__, [threads], [*(["--tiny"] if given.tiny else []), "--json", str(part)]
            )
            if status:
                return status
            rows += [Row(**row) for row in json.loads(part.read_text(encoding="utf-8"))]
    write(rows, given.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
