"""One team of threads for every kernel, made when first needed, made anew in a forked child.

The workers wait in compiled code, first spinning, then asleep: a BERT layer asks for a dozen short
kernels one after the other, and waking a thread through the interpreter would cost more than many
of them take.
"""

import os
import struct
import threading
from collections.abc import Sequence
from queue import SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt

from halfulp.dtypes.addresses import address
from halfulp.dtypes.jit import Kernel
from halfulp.dtypes.team import ARGUMENTS, FUNCTION, SLOT, call, finish, post, serve

SCRATCH_BYTES = 1 << 20  # scratch memory that each part of a kernel's work is given
MOST_THREADS = 63  # bits of the mask of sleeping workers
MOST_ARGUMENTS = 64  # of a kernel, the scratch memory's address among them

_Words = npt.NDArray[np.int64]


def _aligned(size: int) -> tuple[npt.NDArray[np.uint8], int]:
    """Zeroed memory and the first address in it that begins a cache line."""
    memory = np.zeros(size + 64, np.uint8)
    return memory, (address(memory) + 63) & ~63


#: By the number of arguments: pack_into(buffer, offset, *arguments).
_WRITE = tuple(struct.Struct(f"{count}q").pack_into for count in range(MOST_ARGUMENTS + 1))


def _buffer(words: _Words) -> memoryview:
    return memoryview(words)  # type: ignore[arg-type]


class _Places:
    """Slots, arguments and scratch memory of a caller and its workers."""

    def __init__(self, count: int) -> None:
        self._memory, self.slots = _aligned((count + 1) * SLOT)
        start = self.slots - address(self._memory)
        words = self._memory[start : start + (count + 1) * SLOT].view(np.int64)
        self.words: _Words = words.reshape(-1, SLOT // 8)
        self.sleeping = self.slots + count * SLOT
        arguments: _Words = np.zeros((count, MOST_ARGUMENTS), np.int64)
        self._arguments, self._step = _buffer(arguments), arguments.strides[0]
        self.words[:count, ARGUMENTS] = np.arange(count) * self._step + address(arguments)
        self._scratch: list[tuple[Any, int]] = []

    def scratch(self, index: int) -> int:
        while len(self._scratch) <= index:
            self._scratch.append(_aligned(SCRATCH_BYTES))
        return self._scratch[index][1]

    def prepare(self, kernel: Kernel, parts: Sequence[tuple[int, ...]]) -> None:
        """Write the jobs into the slots."""
        for index, part in enumerate(parts):
            write = _WRITE[len(part) + 1]
            write(self._arguments, index * self._step, *part, self.scratch(index))
            self.words[index, FUNCTION] = kernel.address


class _Team:
    """Workers that share one set of places with the thread that holds `busy`."""

    def __init__(self) -> None:
        self.busy = threading.Lock()
        self.places = _Places(MOST_THREADS)
        self.bells: list[SimpleQueue[None]] = []

    def _work(self, slot: int, bell: "SimpleQueue[None]") -> None:
        while True:
            bell.get()
            serve(slot)

    def _grow(self, count: int) -> None:
        while len(self.bells) < count:
            number = len(self.bells) + 1
            bell: SimpleQueue[None] = SimpleQueue()
            slot = self.places.slots + number * SLOT
            name = f"halfulp-{number}"
            threading.Thread(target=self._work, args=(slot, bell), name=name, daemon=True).start()
            self.bells.append(bell)

    def run(self, kernel: Kernel, parts: Sequence[tuple[int, ...]]) -> None:
        places, count = self.places, len(parts)
        self._grow(count - 1)
        places.prepare(kernel, parts)
        post(places.slots, count, places.sleeping)
        try:
            asleep = int(places.words[-1, 0])
            for number in range(1, count):
                if asleep >> number & 1:
                    self.bells[number - 1].put(None)
        finally:
            # also when interrupted: the workers read the arguments until they are done
            finish(places.slots, count)


class _Own:
    """Scratch memory and arguments of a thread that runs its parts by itself."""

    def __init__(self) -> None:
        get_num_threads()  # a wrong HALFULP_NUM_THREADS is told at the first call, small or large
        self._memory, self.scratch = _aligned(SCRATCH_BYTES)
        words: _Words = np.zeros(MOST_ARGUMENTS, np.int64)
        self.buffer, self.arguments = _buffer(words), address(words)


_team = _Team()
_alone = threading.local()
_threads: int | None = None


def _forget() -> None:
    global _team
    _team = _Team()  # the parent's workers do not exist in a forked child


if hasattr(os, "register_at_fork"):  # pragma: no branch (Windows has no fork)
    os.register_at_fork(after_in_child=_forget)


def _default_threads() -> int:
    given = os.environ.get("HALFULP_NUM_THREADS")
    if given is None:
        affinity = hasattr(os, "sched_getaffinity")
        count = len(os.sched_getaffinity(0)) if affinity else os.cpu_count() or 1
        return min(count, MOST_THREADS)
    if not given.isdecimal() or not 1 <= int(given) <= MOST_THREADS:
        raise ValueError(f"HALFULP_NUM_THREADS={given!r}; allowed: 1 to {MOST_THREADS}")
    return int(given)


def get_num_threads() -> int:
    """Threads that a kernel uses.

    At first HALFULP_NUM_THREADS, or else as many as this process may use processors, at most 63.

    Raises ValueError when HALFULP_NUM_THREADS is no integer from 1 to 63.
    """
    global _threads
    if _threads is None:
        _threads = _default_threads()
    return _threads


def set_num_threads(count: int) -> None:
    """Set the number of threads; results do not depend on it.

    Raises TypeError, ValueError unless count is an integer from 1 to 63.
    """
    global _threads
    if isinstance(count, bool) or not isinstance(count, int):
        raise TypeError(f"count={count!r} is not an integer")
    if not 1 <= count <= MOST_THREADS:
        raise ValueError(f"count={count}; allowed: 1 to {MOST_THREADS}")
    _threads = count


def alone(kernel: Kernel, *arguments: int) -> None:
    """Run `kernel` here; the address of SCRATCH_BYTES of scratch memory is added behind."""
    own: _Own | None = getattr(_alone, "own", None)
    if own is None:
        own = _alone.own = _Own()
    _WRITE[len(arguments) + 1](own.buffer, 0, *arguments, own.scratch)
    call(kernel.address, own.arguments)


def parallel(kernel: Kernel, parts: Sequence[tuple[int, ...]]) -> None:
    """Run `kernel` on each part, the first here, the others in workers; return when all are done.

    A part's arguments are int64; the address of SCRATCH_BYTES of scratch memory is added behind
    them. When another thread has the team, or there is one part only, the parts run here one after
    the other.
    """
    if len(parts) > 1 and _team.busy.acquire(blocking=False):
        team = _team
        try:
            team.run(kernel, parts)
        finally:
            team.busy.release()
        return
    for part in parts:
        alone(kernel, *part)


def split(count: int, align: int, least: int) -> list[tuple[int, int]]:
    """Cut range(count) into pieces (start, stop), at most one for each thread.

    Inner bounds are multiples of `align`; there are no more pieces than count // least.
    """
    pieces = max(1, min(get_num_threads(), count // max(least, 1)))
    step = -(-count // (pieces * align)) * align
    return [(start, min(count, start + step)) for start in range(0, count, step)] if count else []
