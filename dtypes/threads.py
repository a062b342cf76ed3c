"""One pool of threads for every kernel, made when first needed, made anew in a forked child."""

import os
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any

Task = tuple[Callable[..., None], tuple[Any, ...]]


def _default_threads() -> int:
    given = os.environ.get("HALFULP_NUM_THREADS")
    if given is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not given.isdecimal() or int(given) < 1:
        raise ValueError(f"HALFULP_NUM_THREADS={given!r}; allowed: a whole number of at least 1")
    return int(given)


class _Pool:
    """Workers that wait on a queue each.

    A futures executor costs several times as much a call, which the small matmuls of a BERT layer feel.
    """

    def __init__(self) -> None:
        self.workers: list[SimpleQueue[Task]] = []
        self.done: SimpleQueue[BaseException | None] = SimpleQueue()
        self.busy = threading.Lock()

    def _work(self, tasks: "SimpleQueue[Task]") -> None:
        while True:
            function, arguments = tasks.get()
            try:
                function(*arguments)
            except BaseException as error:
                self.done.put(error)
            else:
                self.done.put(None)
            # an idle worker must not keep the arrays of its last task alive
            del function, arguments

    def _grow(self, count: int) -> None:
        while len(self.workers) < count:
            tasks: SimpleQueue[Task] = SimpleQueue()
            name = f"halfulp-{len(self.workers) + 1}"
            threading.Thread(target=self._work, args=(tasks,), name=name, daemon=True).start()
            self.workers.append(tasks)

    def run(self, function: Callable[..., None], parts: Sequence[tuple[Any, ...]]) -> None:
        self._grow(len(parts) - 1)
        for worker, part in zip(self.workers, parts[1:], strict=False):
            worker.put((function, part))
        errors: list[BaseException | None] = []
        try:
            function(*parts[0])
        finally:
            errors += [self.done.get() for _ in parts[1:]]
        for error in errors:
            if error is not None:
                raise error


_pool = _Pool()
_threads: int | None = None


def _forget() -> None:
    global _pool
    _pool = _Pool()  # the parent's workers do not exist in a forked child


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def get_num_threads() -> int:
    """Threads that a kernel uses; at first HALFULP_NUM_THREADS, or else the processors this process may use."""
    global _threads
    if _threads is None:
        _threads = _default_threads()
    return _threads


def set_num_threads(count: int) -> None:
    """Set the number of threads; results do not depend on it.

    Raises TypeError, ValueError unless count is an integer of at least 1.
    """
    global _threads
    if isinstance(count, bool) or not isinstance(count, int):
        raise TypeError(f"count={count!r} is not an integer")
    if count < 1:
        raise ValueError(f"count={count}; allowed: at least 1")
    _threads = count


def parallel(function: Callable[..., None], parts: Sequence[tuple[Any, ...]]) -> None:
    """Call function(*part) for each part, the first in this thread, the others in workers; return when all are done.

    When another thread has the pool, or there is one part only, the parts run here one after the other.
    """
    if not parts:
        return
    if len(parts) == 1 or not _pool.busy.acquire(blocking=False):
        for part in parts:
            function(*part)
        return
    pool = _pool
    try:
        pool.run(function, parts)
    finally:
        pool.busy.release()


def split(count: int, align: int, least: int) -> list[tuple[int, int]]:
    """Cut range(count) into at most get_num_threads() pieces (start, stop), bounds multiples of `align`, none under `least`."""
    pieces = max(1, min(get_num_threads(), count // max(least, 1)))
    step = -(-count // (pieces * align)) * align
    return [(start, min(count, start + step)) for start in range(0, count, step)] if count else []
