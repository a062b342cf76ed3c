"""The same few results again and again, in several threads of a process at once."""

import hashlib
import threading
from functools import cache, partial
from typing import Any

import numpy as np

from halfulp.dtypes import BF16, FP16, INT8, Philox, encode
from halfulp.dtypes.threads import set_num_threads
from halfulp.engines import NEURONCORE_V2, PRESETS, Accumulation, IntegerAccumulator
from halfulp.engines import matmul as any_matmul
from tests.engines.fingerprint import Case
from tests.engines.inputs import mixed, operands

THREADS, REPEATS = 4, 20
#: What takes longer hangs.
SECONDS = 120
#: In which sums are made, beside the systolic array's.
_SUMS = (
    (PRESETS["h100-wmma-fp16-fp32"].accumulation, FP16),
    (Accumulation(accumulator=FP16), FP16),
    (Accumulation(accumulator=IntegerAccumulator(18)), INT8),
)


@cache
def _cases() -> tuple[Case, ...]:
    """One of each family of kernels, large enough that the team's threads share the work."""
    core, cases = NEURONCORE_V2, list[Case]()
    for fmt in (BF16, INT8):
        a, b = operands("ordinary", fmt, fmt, (300, 64, 130), 9)
        cases.append(partial(core.tensor.matmul, a, b, a_format=fmt))
    for how, fmt in _SUMS:
        a, b = operands("ordinary", fmt, fmt, (38, 60, 34), 9)
        cases.append(partial(any_matmul, a, b, accumulation=how, a_format=fmt))
    x = mixed((140, 1030), 4)
    cases += [
        partial(core.vector.softmax, x, scale=0.5),
        partial(core.scalar.activation, x, "gelu"),
        partial(encode, x, "e4m3", rounding="stochastic", random=Philox(5)),
    ]
    return tuple(cases)


def digest() -> str:
    total = hashlib.sha256()
    for case in _cases():
        total.update(np.ascontiguousarray(case()).tobytes())
    return total.hexdigest()


def start(found: list[str]) -> list[threading.Thread]:
    """THREADS at work, each of which appends REPEATS digests."""

    def work() -> None:
        for _ in range(REPEATS):
            found.append(digest())

    workers = [threading.Thread(target=work, daemon=True) for _ in range(THREADS)]
    for worker in workers:
        worker.start()
    return workers


def at_once() -> list[str]:
    """All that the threads find; fewer when one hangs."""
    found: list[str] = []
    for worker in start(found):
        worker.join(SECONDS)
    return found


def send(connection: Any) -> None:
    """What a child process answers."""
    set_num_threads(2)
    connection.send(at_once())
    connection.close()
