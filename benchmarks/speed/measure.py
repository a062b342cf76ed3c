"""How the speed benchmarks measure: paired blocks in one process, ratios of their times.

Losses are kept.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt

Call = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """One comparison.

    ratio               median over the rounds of our time / the other's time; below 1, halfulp is
                        faster
    low, high           quartiles of that ratio
    must                what the project asks for, or None
    ours_ms, other_ms   median times of one call
    """

    work: str
    against: str
    threads: int
    ratio: float
    low: float
    high: float
    must: float | None
    ours_ms: float
    other_ms: float
    note: str = ""

    @property
    def verdict(self) -> str:
        if self.must is None:
            return ""
        return "ok" if self.ratio <= self.must else "not yet"


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    threads   of halfulp and of the others; written into the rows
    rounds    blocks of each call
    seconds   of a block's timed calls
    """

    threads: int
    rounds: int
    seconds: float

    @property
    def settling(self) -> float:
        """Seconds of a block's untimed calls.

        The workers of OpenBLAS and of OpenMP go on spinning after their last call, of OpenBLAS for
        some 0.09 s here, and would hold a core of whoever is measured next.
        """
        return 0.15 if self.seconds and self.threads > 1 else self.seconds


def _block(call: Call, effort: Effort, before: Call | None) -> float:
    """Seconds of one call, after calls that are not timed."""
    stop = time.perf_counter() + effort.settling
    while time.perf_counter() < stop:
        call()
    total, count, stop = 0.0, 0, time.perf_counter() + effort.seconds
    while count == 0 or time.perf_counter() < stop:
        if before is not None:
            before()
        start = time.perf_counter()
        call()
        total += time.perf_counter() - start
        count += 1
    return total / count


def compare(
    work: str, ours: Call, others: Mapping[str, Call], effort: Effort, *,
    must: float | None = None, before: Call | None = None, times: float = 1.0,
) -> list[Row]:  # fmt: skip
    """A row for each of the others: A B A B ..., a block of each call in every round.

    before   runs untimed before each timed call
    times    multiplies the others' times
    """
    calls = {"": ours, **others}
    for call in calls.values():
        call()
    seen: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(effort.rounds):
        for name, call in calls.items():
            seen[name].append(_block(call, effort, before))
    rows = []
    for name in others:
        ratios = sorted(a / (b * times) for a, b in zip(seen[""], seen[name], strict=True))
        low, middle, high = _quartiles(ratios)
        mine, theirs = (statistics.median(seen[key]) * 1e3 for key in ("", name))
        rows.append(Row(work, name, effort.threads, middle, low, high, must, mine, theirs))
    return rows


def _quartiles(values: list[float]) -> tuple[float, float, float]:
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def fastest(rows: Iterable[Row], must: float) -> Row:
    """The row against the faster of the others, with the condition on it."""
    row = max(rows, key=lambda row: row.ratio)
    return replace(row, must=must)


def header(names: Iterable[str], tiny: bool = False) -> None:
    """What the numbers mean, and of which machine they are."""
    if tiny:
        print("--tiny: whether it runs; the ratios below mean nothing")
    print(
        "ratio = our time / the other's time, median (quartiles) of paired blocks in one process;"
        " below 1, halfulp is faster"
    )
    print("must = what the project asks for; 'not yet' rows are kept")
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} processors,", _model())
    print(", ".join(f"{name} {version(name)}" for name in ("numpy", "numba", *names)), flush=True)


def _model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), ""
    )


def show(row: Row) -> None:
    """Print one line."""
    threads = f"{row.threads} thread{'s' if row.threads > 1 else ' '}"
    ratio = f"{row.ratio:6.2f} ({row.low:.2f}-{row.high:.2f})"
    times = f"{row.ours_ms:9.3f} ms, {row.other_ms:9.3f} ms"
    must = "" if row.must is None else f"must {row.must:.2f}"
    work = f"{row.work:44s} {threads} / {row.against:22s}"
    print(f"{work} {ratio}  {times}  {must:9s} {row.verdict} {row.note}", flush=True)


def write(rows: list[Row], path: Path | None) -> None:
    """Write the rows as JSON, if there is a path."""
    if path is not None:
        path.write_text(
            json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8"
        )


def once_for_each(script: str, threads: Iterable[int], arguments: list[str]) -> int:
    """Run a script in a process of its own for each number of threads; returns the worst status.

    numpy's BLAS reads that number when it starts, and only then.
    """
    worst = 0
    for count in threads:
        limits = dict.fromkeys(("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(count))
        environment = {**os.environ, **limits}
        command = [sys.executable, script, "--inside", str(count), *arguments]
        worst = max(worst, subprocess.run(command, env=environment, check=False).returncode)
    return worst


def aligned(count: int) -> npt.NDArray[np.float32]:
    """Floats that begin at a cache line, each written once."""
    memory = np.ones(count + 16, np.float32)
    start = -memory.ctypes.data % 64 // 4
    return memory[start : start + count]
