"""The same bits whatever the process does: flushed subnormals, threads, forks, other processors."""

import functools
import hashlib
import json
import multiprocessing
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numba import njit

from halfulp.dtypes import Format, Rounding
from halfulp.dtypes.threads import get_num_threads, set_num_threads
from halfulp.engines import NEURONCORE_V2, Accumulation, Activation, matmul
from halfulp.engines.byte_kernels import HAS_BYTE_PRODUCTS
from halfulp.engines.inexact import end_watch, watch
from halfulp.engines.steps import plain_sums
from halfulp.engines.wide import A_BYTES, B_BYTES, BLOCK_BYTES, COLUMNS
from tests.engines.fingerprint import ACCUMULATIONS, accumulated, fingerprint, send, used_kernels
from tests.engines.inputs import operands

ROOT = Path(__file__).parents[2]
#: Every kernel of the engines.
KERNELS = {
    "pack_panels", "product", "products", "tensor_tensor", "reduce_columns", "scan", "piecewise",
    "softmax", "layernorm", "rmsnorm", "sums", "statistics", "pack", "lay_blocks", "accumulate",
    "accumulate_integers", *(f"{function.value}_kernel" for function in Activation),
}  # fmt: skip
#: And where the processor multiplies bytes, what takes the place of `product` for int8.
OWN = KERNELS | ({"pack_byte_panels", "byte_product"} if HAS_BYTE_PRODUCTS else set())
#: Those in which every processor uses the largest vectors that it has.
LARGEST = {"product", "accumulate"}
#: Processors by LLVM's names; whether their code has vectors of 512 bits, and fused multiply-adds.
VECTORS = {
    "nehalem": (False, False),
    "ivybridge": (False, False),
    "haswell": (False, True),
    "znver1": (False, True),
    "znver3": (False, True),
    "x86-64": (False, False),
    "skylake-avx512": (True, True),
}
X86 = platform.machine().lower() in ("x86_64", "amd64")


@functools.cache
def usual() -> str:
    """The digest in this process, on one thread."""
    before = get_num_threads()
    try:
        set_num_threads(1)
        return fingerprint()
    finally:
        set_num_threads(before)


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    usual()
    before = get_num_threads()
    set_num_threads(request.param)
    yield request.param
    set_num_threads(before)


def test_threads_change_no_bit(threads: int) -> None:
    assert fingerprint() == usual()


def test_flushing_changes_no_bit(threads: int) -> None:
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush subnormals")
    try:
        assert np.array([1e-40], np.float32).astype(np.float64)[0] == 0
        found = fingerprint()
        # and the process finds its own setting again
        assert np.array([1e-40], np.float32).astype(np.float64)[0] == 0
    finally:
        torch.set_flush_denormal(False)
    assert found == usual()


def test_numpy_errors_set_to_raise_change_nothing() -> None:
    x = np.array([[3e38, -3e38, 1e-45, np.inf, np.nan, 1e300]])
    with np.errstate(all="raise"):
        for name in ("bf16", "fp32", "int8"):
            NEURONCORE_V2.tensor.matmul(x, x.T, a_format=name, rescale=0.5)
        NEURONCORE_V2.vector.softmax(x, scale=1e300)
        NEURONCORE_V2.scalar.activation(x, "exp", bias=1e300)


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_gives_the_same_bits(method: str) -> None:
    before = get_num_threads()
    try:
        set_num_threads(2)
        assert fingerprint() == usual()  # the parent's threads exist now
        context: Any = multiprocessing.get_context(method)
        here, there = context.Pipe()
        child = context.Process(target=send, args=(there,))
        child.start()
        there.close()
        assert here.poll(120), "the child did not answer in 120 s"
        assert here.recv() == usual()
        child.join(60)
        assert child.exitcode == 0
    finally:
        set_num_threads(before)


def test_several_python_threads_at_once_give_the_same_bits() -> None:
    wanted, found = usual(), []
    before = get_num_threads()
    try:
        set_num_threads(2)
        workers = [
            threading.Thread(target=lambda: found.append(fingerprint()), daemon=True)
            for _ in range(4)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(120)
        assert found == [wanted] * 4
    finally:
        set_num_threads(before)


def digests(times: int = 1) -> list[str]:
    """Of each product in any accumulation, again and again."""
    runs = range(times)
    return [hashlib.sha256(case().tobytes()).hexdigest() for _ in runs for case in accumulated()]


def test_python_threads_at_once_repeat_every_accumulation() -> None:
    before, found = get_num_threads(), []
    try:
        set_num_threads(1)
        wanted = digests()
        set_num_threads(2)
        workers = [
            threading.Thread(target=lambda: found.append(digests(5)), daemon=True) for _ in range(4)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(120)
        assert found == [wanted * 5] * 4
    finally:
        set_num_threads(before)


@pytest.mark.parametrize(("how", "fmt"), ACCUMULATIONS, ids=lambda x: getattr(x, "order", x))
def test_the_parts_of_a_batch_give_what_the_whole_gives(how: Accumulation, fmt: Format) -> None:
    if how.rounding is Rounding.STOCHASTIC:
        pytest.skip("an output's noise has its number in the whole")
    a, b = operands("ordinary", fmt, fmt, (4 * 21, 65, 35), 9)
    batch = a.reshape(4, 21, 65)
    given: dict[str, Any] = {"accumulation": how, "a_format": fmt}
    whole = matmul(batch, b, **given)
    parts = [matmul(batch[part], b, **given) for part in (slice(1), slice(1, 3), slice(3, None))]
    assert np.concatenate(parts).tobytes() == whole.tobytes()
    for rows, columns in ((slice(5), slice(None)), (slice(None), slice(3, 20))):
        part = matmul(batch[:, rows], b[:, columns], **given)
        assert part.tobytes() == whole[:, rows, columns].tobytes()


def elsewhere(folder: Path, products: bool, **environment: str) -> dict[str, Any]:
    """The report of a fresh process of two threads."""
    command = f"from tests.engines.fingerprint import report; print(report(2, {products}))"
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    settings = {**os.environ, "PYTHONPATH": path, "HALFULP_CACHE_DIR": str(folder), **environment}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", command],
        env=settings, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_the_fingerprint_runs_every_kernel_of_the_engines() -> None:
    usual()
    assert set(used_kernels()) == OWN


@pytest.mark.skipif(not X86, reason="the names of x86 processors")
def test_a_processor_without_large_vectors_gives_the_same_products(tmp_path: Path) -> None:
    before = get_num_threads()
    try:
        set_num_threads(1)
        wanted = fingerprint(products=True)
    finally:
        set_num_threads(before)
    answer = elsewhere(tmp_path, True, NUMBA_CPU_NAME="haswell", NUMBA_CPU_FEATURES="")
    assert answer["digest"] == wanted
    assert {"product", "products", "pack_panels"} <= set(answer["used"])
    assert answer["empty"] == answer["wide"] == [] and "product" in answer["fused"]


@pytest.mark.deep
@pytest.mark.skipif(not X86, reason="the names of x86 processors")
@pytest.mark.parametrize("name", VECTORS)
def test_another_processor_gives_the_same_bits(name: str, tmp_path: Path) -> None:
    wide, fused = VECTORS[name]
    if wide and "avx512f" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("this processor has no AVX-512")
    answer = elsewhere(tmp_path, False, NUMBA_CPU_NAME=name, NUMBA_CPU_FEATURES="")
    assert answer["digest"] == usual()
    # the code is there to be looked at, and is that of the other processor
    assert set(answer["used"]) == KERNELS and answer["empty"] == []
    for used, has in (("wide", wide), ("fused", fused)):
        found = set(answer[used])
        assert LARGEST <= found if has else not found, used


def test_the_flag_tells_what_is_not_exact() -> None:
    kept, found = np.zeros(2, np.int64), np.zeros(1, np.int64)
    packed = [np.ones(size // 8) for size in (A_BYTES, B_BYTES)]
    held, total = (np.ones(BLOCK_BYTES // 8) for _ in range(2))
    numbers = [x.ctypes.data for x in (kept, found, *packed, held, total)]

    @njit
    def watched(kept: int, found: int, a: int, b: int, acc: int, target: int) -> None:
        watch((kept,))
        plain_sums((a, b, acc, 1, target))
        end_watch((kept, found))

    for small, exact in ((1.0, True), (2.0**-60, False), (2.0**-52, True), (np.nan, True)):
        for lane in (0, COLUMNS - 1):  # a flag that was set before says nothing
            packed[1][:COLUMNS] = 1.0
            packed[1][lane] = small
            with np.errstate(all="ignore"):
                assert np.float64(1e16) + 1.0 == 1e16
                watched(*numbers)
            assert (found[0] == 0) == exact
            assert total[1] == 2.0
