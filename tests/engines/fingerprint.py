"""One digest of every kind of operation, to be taken in any process, thread or environment."""

import functools
import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from halfulp.dtypes import BF16, FP16, FP32, INT8, Rounding, jit
from halfulp.dtypes.threads import set_num_threads
from halfulp.engines import NEURONCORE_V2, Activation, AluOp
from halfulp.engines import matmul as any_matmul
from halfulp.engines.accumulation import (
    Accumulation,
    Checked,
    Entry,
    IntegerAccumulator,
    Join,
    NanRule,
    Order,
    Wrap,
)
from halfulp.engines.piecewise_fit import fit
from halfulp.engines.reduction import Reduction
from tests.engines.inputs import KINDS, OPERANDS, mixed, operands

core = NEURONCORE_V2
matmul, vector, activation = core.tensor.matmul, core.vector, core.scalar.activation
Case = Callable[[], Any]


def _products() -> list[Case]:
    cases: list[Case] = []
    for name, fmt in OPERANDS.items():
        for kind in KINDS:
            cases.append(
                partial(matmul, *operands(kind, fmt, fmt, (13, 257, 47), 9), a_format=name)
            )
    for fmt in (BF16, FP32):
        a, b = operands("spread", fmt, fmt, (300, 260, 130), seed=9)
        cases.append(partial(matmul, a, b, a_format=fmt))
        left, right = a[:288].reshape(6, 48, 260), np.stack([b] * 6)
        cases.append(partial(matmul, left, right, a_format=fmt))
        # few rows: threads share the columns
        cases.append(partial(matmul, *operands("spread", fmt, fmt, (20, 300, 700)), a_format=fmt))
        a, b = operands("small", fmt, fmt, (300, 260, 130), seed=9)
        cases.append(partial(matmul, a, b, a_format=fmt, rescale=0.3, out_format=BF16))
    return cases


#: One of each family of kernels, and the operands' format.
ACCUMULATIONS = (
    (Accumulation(), FP32),
    (Accumulation(rounds_products=True), FP32),
    (Accumulation(accumulator=BF16), BF16),
    (Accumulation(accumulator=FP16), FP16),
    (Accumulation(accumulator=FP16, rounding=Rounding.TOWARD_ZERO), FP16),
    (Accumulation(accumulator=FP16, rounding=Rounding.TO_ODD), FP16),
    (Accumulation(accumulator=BF16, rounding=Rounding.STOCHASTIC, seed=7), BF16),
    (Accumulation(rounding=Rounding.STOCHASTIC, random_bits=20, seed=7), FP32),
    (Accumulation(rounding=Rounding.TOWARD_POSITIVE, tile=100, entry=Entry.END), FP32),
    (Accumulation(Order.PAIRWISE, block=8), FP32),
    (Accumulation(Order.PAIRWISE, block=None, accumulator=FP16, flushes_results=True), FP16),
    (Accumulation(Order.FUSED, block=16, fraction_bits=24, chains=2, join=Join.SEQUENTIAL,
                  entry=Entry.END), FP16),
    (Accumulation(Order.FUSED, block=4, fraction_bits=3, cut=Rounding.TOWARD_NEGATIVE), BF16),
    (Accumulation(Order.FUSED, block=8, fraction_bits=3, cut=Rounding.NEAREST_EVEN), BF16),
    (Accumulation(Order.EXACT, block=64, accumulator=FP16), FP16),
    (Accumulation(Order.EXACT, block=None, nan=NanRule.OPERAND), FP32),
    (Accumulation(accumulator=IntegerAccumulator(18)), INT8),
    (Accumulation(tile=32, accumulator=IntegerAccumulator(
        24, overflow=Wrap.SATURATE, checked=Checked.TILE)), INT8),
)  # fmt: skip


def accumulated() -> list[Case]:
    """Products in these accumulations: two in a batch, each of several blocks of rows."""
    cases: list[Case] = []
    for how, fmt in ACCUMULATIONS:
        for kind in ("ordinary", "small", "special", "ties"):
            a, b = operands(kind, fmt, fmt, (2 * 19, 130, 34), 9)
            left, right = a.reshape(2, 19, 130), np.stack([b, b[::-1]])
            cases.append(partial(any_matmul, left, right, accumulation=how, a_format=fmt))
    return cases


def _elements() -> list[Case]:
    x, y = mixed((60, 1111), 1), mixed((60, 1111), 2)
    cases: list[Case] = [partial(vector.tensor_tensor, x, y, op) for op in AluOp]
    for which in Activation:
        cases.append(partial(activation, x, which))
        cases.append(partial(activation, x, which, scale=0.3, bias=1e-40))
    # near the ends of their ways, and angles whose multiple of pi / 2 is large
    wide = np.linspace(-120, 120, 40_001, dtype=np.float32)
    far = wide * np.float32(3e34)
    for which in Activation:
        cases.append(partial(activation, wide, which))
        cases.append(partial(activation, far, which))
    table = fit("gelu", 24, (-4, 4)).table
    cases.append(partial(activation, wide, table, scale=0.1))
    for fmt in (BF16, FP16, "e4m3"):
        cases.append(partial(vector.tensor_copy, x, out_format=fmt))
    return cases


def _rows() -> list[Case]:
    random = np.random.default_rng(6)
    x = random.normal(size=(70, 1030)).astype(np.float32)
    faint = (x * np.float32(1e-22)).astype(np.float32)  # squares are subnormal
    gamma, beta = random.normal(size=(2, 1030)).astype(np.float32)
    cases: list[Case] = []
    for rows in (x, faint, mixed((70, 1030), 4)):
        cases.append(partial(vector.layernorm, rows, gamma, beta, 1e-12))
        cases.append(partial(vector.layernorm, rows, gamma * np.float32(1e-30), beta, 1e-40))
        cases.append(partial(vector.softmax, rows, scale=40.0))
        cases.append(partial(vector.softmax, rows, scale=0.5, mask=rows > 0, out_format=BF16))
        cases.append(partial(vector.rmsnorm, rows, gamma, 1e-12))
        cases.append(partial(vector.bn_stats, rows[:, :511]))
        cases.append(partial(vector.bn_aggr, rows[:, :9]))
        cases.append(partial(vector.tensor_tensor_scan, rows, rows, 0.5, "multiply", "add"))
        for axis in (0, 1):
            for op in ("add", "max"):
                cases.append(partial(vector.tensor_reduce, rows, op, axis=axis))
        for lanes in (0, 2, 5):
            other = replace(core, reduction=Reduction(lanes)).vector
            cases.append(partial(other.tensor_reduce, rows, "add"))
            cases.append(partial(other.softmax, rows, scale=0.5))
    turned = np.arange(69, -1, -1).reshape(7, 10)
    cases.append(partial(core.dma.gather, x, turned, out_format="e5m2"))
    return cases


def _doors() -> list[Case]:
    """Where other types and numbers become float32."""
    double, zeros = np.array([1e-40, 1e300, 3e-39, 1e-46]), np.zeros(3, np.float32)
    large, one = np.full((1, 1), 1e30, np.float32), np.ones((1, 1), np.float32)
    return [
        partial(vector.tensor_copy, double, out_format=FP32),
        partial(vector.tensor_scalar, zeros, 1e-40, "add"),
        partial(matmul, large, one, a_format="bf16", a_scale=1e-40),
        partial(matmul, large, one, a_format="bf16", b_scale=1e-40),
        partial(matmul, large, one, a_format="bf16", rescale=1e-40),
        partial(matmul, double[None], double[:, None], a_format="fp32", bias=double[:1]),
    ]


@functools.cache
def cases(products: bool = False) -> tuple[Case, ...]:
    """Their inputs are made once: in the environment of the first call."""
    if products:
        return tuple(_products())
    return (*_products(), *accumulated(), *_elements(), *_rows(), *_doors())


def fingerprint(products: bool = False) -> str:
    """SHA-256 over the bits of all results, or of the systolic products alone."""
    digest = hashlib.sha256()
    for case in cases(products):
        digest.update(np.ascontiguousarray(case()).tobytes())
    return digest.hexdigest()


def send(connection: Any) -> None:
    """What a child process answers."""
    connection.send(fingerprint())
    connection.close()


def used_kernels() -> dict[str, jit.Kernel]:
    """Kernels of the engines that have been compiled or loaded in this process, by name."""
    found = {}
    for name, module in list(sys.modules.items()):
        if name.startswith("halfulp.engines."):
            for kernel in vars(module).values():
                if isinstance(kernel, jit.Kernel) and "address" in vars(kernel):
                    found[kernel.function.__name__] = kernel
    return found


def report(threads: int, products: bool = False) -> str:
    """What test_environment.py asks of another process."""
    set_num_threads(threads)
    digest = fingerprint(products)
    # the very code that ran; of a cached kernel numba would give none, with a warning
    code = {name: kernel.compiled._library.get_asm_str() for name, kernel in used_kernels().items()}
    wide = sorted(name for name, text in code.items() if "zmm" in text)
    empty = sorted(name for name, text in code.items() if "ret" not in text)
    fused = sorted(name for name, text in code.items() if "vfmadd" in text)
    return json.dumps(
        {"digest": digest, "used": sorted(code), "wide": wide, "empty": empty, "fused": fused}
    )
