"""Proof of the functions: what `halfulp.engines.functions` makes of every float32 input.

A filter in float64 decides all but a few hundred of a million inputs: where the float32 numbers
nearest to its value a little smaller and a little larger are one, that one is wanted. MPFR decides
the others.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from halfulp.dtypes.exhaustive import SHOWN, Progress
from halfulp.dtypes.intervals import NAN, PATTERNS, number
from halfulp.engines.activations import Activation
from halfulp.engines.functions import evaluate
from halfulp.engines.operands import Floats
from halfulp.engines.reference_functions import HALVES, SLOPE, approximate, halves, nearest, pattern

Bits = npt.NDArray[np.uint32]
#: The filter's relative error, a thousand times what its libraries say of theirs.
MARGIN = 2.0**-42
_CHUNK = 1 << 20
_TINY = 2.0**-100


@dataclass(frozen=True)
class WrongResult:
    """An input, its result and the nearest float32, as patterns."""

    pattern: int
    result: int
    wanted: int

    def __str__(self) -> str:
        return f"{self.pattern:#x}: gave {self.result:#010x}, nearest is {self.wanted:#010x}"


@dataclass(frozen=True)
class FunctionVerdict:
    """What came of the inputs of one function.

    asked      inputs that MPFR decided
    hardest    the input whose value lies nearest to a tie, and that distance in units of the
               result's last place; None where MPFR was not asked
    """

    inputs: int
    wrong: int
    first: tuple[WrongResult, ...]
    seconds: float
    asked: int
    hardest: tuple[int, float] | None


@dataclass(frozen=True)
class Part:
    """What came of some inputs, all wrong ones among it."""

    inputs: int
    wrong: list[WrongResult]
    asked: int
    hardest: tuple[int, float] | None


def _bits(y: npt.NDArray[np.float64]) -> Bits:
    with np.errstate(all="ignore"):
        return y.astype(np.float32).view(np.uint32)


def wanted(function: Activation, x: Floats) -> tuple[Bits, npt.NDArray[np.intp]]:
    """The nearest float32 of each input as bits, and the places of those yet to be decided."""
    with np.errstate(invalid="ignore"):  # of a signaling NaN
        wide = x.astype(np.float64)
    y = approximate(function, wide)
    low, high = _bits(y * (1.0 - MARGIN)), _bits(y * (1.0 + MARGIN))
    undecided = low != high
    low[np.isnan(y)], undecided[np.isnan(y)] = NAN, False
    if function in HALVES:
        near = np.abs(x) < _TINY
        low[near], undecided[near] = halves(x[near]), False
    # the filter's formulas need not hold at the ends
    undecided |= (x == 0) | np.isinf(x)
    return low, np.flatnonzero(undecided)


def judge(function: Activation, patterns: Bits) -> Part:
    """The inputs of these patterns, all of them."""
    got = evaluate(function, patterns.view(np.float32), slope=SLOPE).view(np.uint32)
    right, open_places = wanted(function, patterns.view(np.float32))
    hardest: tuple[int, float] | None = None
    for place in open_places.tolist():
        given = int(patterns[place])
        decided = nearest(function, number(given))
        right[place] = pattern(decided.value)
        if hardest is None or decided.distance < hardest[1]:
            hardest = given, decided.distance
    wrong = [
        WrongResult(int(patterns[i]), int(got[i]), int(right[i]))
        for i in np.flatnonzero(got != right).tolist()
    ]
    return Part(patterns.size, wrong, len(open_places), hardest)


def _judged(function: Activation, part: range, threads: int) -> Iterator[Part]:
    def work(start: int) -> Part:
        stop = min(start + _CHUNK, part.stop)
        return judge(function, np.arange(start, stop, dtype=np.uint32))

    pool = ThreadPoolExecutor(threads)
    try:
        yield from pool.map(work, range(part.start, part.stop, _CHUNK))
    finally:
        pool.shutdown(cancel_futures=True)


def verify_function(
    function: Activation,
    *,
    part: range = range(PATTERNS),
    threads: int = 1,
    progress: Progress = lambda share: None,
    every: Callable[[WrongResult], None] = lambda wrong: None,
) -> FunctionVerdict:
    """Judge the function of every float32, or of the patterns of a part.

    An input is wrong when its result differs in any bit from the nearest float32; NaN must give the
    canonical NaN. `progress` is told the share that is done, `every` each wrong input.
    """
    began = time.perf_counter()
    inputs, count, asked = 0, 0, 0
    first: list[WrongResult] = []
    hardest: tuple[int, float] | None = None
    for one in _judged(function, part, threads):
        inputs, count, asked = inputs + one.inputs, count + len(one.wrong), asked + one.asked
        first += one.wrong[: SHOWN - len(first)]
        for wrong in one.wrong:
            every(wrong)
        if one.hardest is not None and (hardest is None or one.hardest[1] < hardest[1]):
            hardest = one.hardest
        progress(inputs / len(part))
    seconds = time.perf_counter() - began
    return FunctionVerdict(inputs, count, tuple(first), seconds, asked, hardest)
