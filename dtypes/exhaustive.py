"""Proof of the casts: what `encode` and `round_to` make of every float32, against exact rounding.

The judge shares no code with the kernels. For formats of at most 16 bits it knows the runs of
inputs with one result, found with the reference (`halfulp.dtypes.intervals`); for wider ones a rule
in plain integers that the reference confirms (`halfulp.dtypes.binades`); for sources of 16 bits it
asks the reference for each of their 65,536 patterns.
"""

import queue
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import ml_dtypes
import numpy as np

from halfulp.dtypes import cast
from halfulp.dtypes.binades import Binades
from halfulp.dtypes.conversion import Conversion, Options
from halfulp.dtypes.int_format import IntFormat
from halfulp.dtypes.intervals import PATTERNS, SEARCHED_BITS, Array, Intervals, code_of, meaning

#: Types of inputs, and the smallest normal number of each.
SOURCES: dict[str, tuple[np.dtype[Any], float]] = {
    "float32": (np.dtype(np.float32), 2.0**-126),
    "float16": (np.dtype(np.float16), 2.0**-14),
    "bfloat16": (np.dtype(ml_dtypes.bfloat16), 2.0**-126),
}
#: Wrong inputs that a verdict shows.
SHOWN = 8
#: Told the share of the work that is done, 0 to 1.
Progress = Callable[[float], None]


class Judge(Protocol):
    """Knows what inputs must become."""

    chunk: int

    def expect(self, start: int, codes: Array, bits: Array) -> None:
        """Write what the patterns from `start` on must become into both arrays.

        codes of the format, and the float32 patterns of their values
        """


@dataclass(frozen=True)
class Wrong:
    """An input, by its pattern, whose code or value (its float32 pattern) is not the exact one."""

    pattern: int
    code: int
    wanted_code: int
    bits: int
    wanted_bits: int
    draw: str = ""

    def __str__(self) -> str:
        faults = []
        if self.code != self.wanted_code:
            faults.append(f"encode gave {self.code:#x}, wanted {self.wanted_code:#x}")
        if self.bits != self.wanted_bits:
            faults.append(f"round_to gave {self.bits:#010x}, wanted {self.wanted_bits:#010x}")
        return f"{self.pattern:#x}{self.draw}: {'; '.join(faults)}"


def wrong_at(pattern: int, place: Any, found: Sequence[Array], draw: str = "") -> Wrong:
    """The wrong input of that place in codes, wanted codes, bits and wanted bits."""
    code, wanted_code, bits, wanted_bits = (int(array[place]) for array in found)
    return Wrong(pattern, code, wanted_code, bits, wanted_bits, draw)


@dataclass(frozen=True)
class Verdict:
    """What came of the inputs of one case: how many, how many wrong, and the first of those."""

    inputs: int
    wrong: int
    first: tuple[Wrong, ...]
    seconds: float


class Table:
    """The answers to all patterns of a source of 16 bits, by the reference."""

    chunk = 1 << 16

    def __init__(self, made: Conversion, source: str) -> None:
        dtype, tiny = SOURCES[source]
        numbers = np.arange(self.chunk, dtype=np.uint16).view(dtype)
        self.codes = [code_of(float(x), made, tiny) for x in numbers]
        known = {code: meaning(code, made.fmt) for code in set(self.codes)}
        self.bits = [known[code] for code in self.codes]

    def expect(self, start: int, codes: Array, bits: Array) -> None:
        stop = start + codes.size
        codes[:], bits[:] = self.codes[start:stop], self.bits[start:stop]


def judge_of(made: Conversion, source: str = "float32") -> Judge:
    """The judge of a deterministic conversion.

    Raises ValueError for a format that none serves.
    """
    if source != "float32":
        return Table(made, source)
    return Intervals(made) if made.fmt.bits <= SEARCHED_BITS else Binades(made)


def patterns_of(source: str) -> range:
    """All bit patterns of a type of inputs."""
    return range(PATTERNS if SOURCES[source][0].itemsize == 4 else 1 << 16)


def verify(
    made: Conversion,
    *,
    source: str = "float32",
    part: range | None = None,
    threads: int = 1,
    progress: Progress = lambda share: None,
) -> Verdict:
    """Judge what the public casts make of every input, or of a part of them.

    made       the conversion; deterministic
    source     the type of the inputs, one of SOURCES
    part       patterns, without gaps; all by default
    progress   told the share of the inputs that were judged

    An input is wrong when `encode` or `round_to` differs in any bit from the exact result; NaN
    inputs must give the canonical NaN, or what `nan` says.

    Raises ValueError for a format that no judge serves.
    """
    began = time.perf_counter()
    part = patterns_of(source) if part is None else part
    judge = judge_of(made, source)
    inputs, wrong, first = 0, 0, list[Wrong]()
    for count, faults, shown in _judged(made, source, part, judge, threads):
        inputs, wrong = inputs + count, wrong + faults
        first += shown[: SHOWN - len(first)]
        progress(inputs / len(part))
    return Verdict(inputs, wrong, tuple(first), time.perf_counter() - began)


def options_of(made: Conversion) -> Options:
    """What the public casts are told of a conversion beside its format."""
    options = Options(rounding=made.rounding, overflow=made.overflow, subnormals=made.subnormals)
    options["nan"], options["random"] = made.nan, made.random
    return options


Outcome = tuple[int, int, list[Wrong]]  # inputs, how many wrong, some of these


def _judged(
    made: Conversion, source: str, part: range, judge: Judge, threads: int
) -> Iterator[Outcome]:
    """Each chunk's outcome, in order; chunks are judged by several threads, each at a bench."""
    benches: queue.SimpleQueue[_Bench] = queue.SimpleQueue()
    for _ in range(threads):
        benches.put(_Bench(made, source, judge))

    def work(start: int) -> Outcome:
        bench = benches.get()
        try:
            return bench.judge(start, min(start + judge.chunk, part.stop))
        finally:
            benches.put(bench)

    pool = ThreadPoolExecutor(threads)
    try:
        yield from pool.map(work, range(part.start, part.stop, judge.chunk))
    finally:
        pool.shutdown(cancel_futures=True)


class _Bench:
    """Memory for one chunk, used again and again."""

    def __init__(self, made: Conversion, source: str, judge: Judge) -> None:
        self.made, self.options, self.expect = made, options_of(made), judge.expect
        self.source = SOURCES[source][0]
        fmt = made.fmt
        code = fmt.numpy if isinstance(fmt, IntFormat) else fmt.code_dtype
        self.ramp = np.arange(judge.chunk, dtype=f"u{self.source.itemsize}")
        self.patterns = np.empty_like(self.ramp)
        self.codes, self.wanted_codes = (np.empty(judge.chunk, code) for _ in range(2))
        self.bits, self.wanted_bits = (np.empty(judge.chunk, np.uint32) for _ in range(2))
        self.wrong, self.wrong_bits = (np.empty(judge.chunk, np.bool_) for _ in range(2))

    def judge(self, start: int, stop: int) -> Outcome:
        count = stop - start
        patterns, codes, wanted_codes = (
            array[:count] for array in (self.patterns, self.codes, self.wanted_codes)
        )
        bits, wanted_bits = self.bits[:count], self.wanted_bits[:count]
        wrong, wrong_bits = self.wrong[:count], self.wrong_bits[:count]
        self.expect(start, wanted_codes, wanted_bits)
        # what a cast leaves unwritten is wrong
        np.invert(wanted_codes, out=codes)
        np.invert(wanted_bits, out=bits)
        np.add(self.ramp[:count], patterns.dtype.type(start), out=patterns)
        x = patterns.view(self.source)
        cast.encode(x, self.made.fmt, out=codes, **self.options)
        cast.round_to(x, self.made.fmt, out=bits.view(np.float32), **self.options)
        np.not_equal(codes, wanted_codes, out=wrong)
        np.not_equal(bits, wanted_bits, out=wrong_bits)
        np.logical_or(wrong, wrong_bits, out=wrong)
        faults = int(np.count_nonzero(wrong))
        shown = np.flatnonzero(wrong)[:SHOWN].tolist() if faults else []
        found = (codes, wanted_codes, bits, wanted_bits)
        return count, faults, [wrong_at(start + i, i, found) for i in shown]
