"""Who owns the processor while a model is emulated: the engines' kernels, not torch's own workers.

torch's workers spin between two of its operations and would hold a core that the kernels need. So
torch runs with one thread while a thread emulates, and gets its count back afterwards.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class _Count:
    """How many threads are inside, and torch's count before the first of them came."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.original = 1
        self.local = threading.local()


_count = _Count()


@contextmanager
def torch_alone() -> Iterator[None]:
    """Give torch one thread; restore its count, also after an error.

    May be nested, and entered by several threads at once: torch keeps a count for each thread, and
    a thread born meanwhile inherits the one, so all get back what held before the first came.
    """
    depth = getattr(_count.local, "depth", 0)
    if depth == 0:
        # asked first in every thread: one that torch has not seen would take another's count later
        own = torch.get_num_threads()
        with _count.lock:
            if _count.inside == 0:
                _count.original = own
            _count.inside += 1
        torch.set_num_threads(1)
    _count.local.depth = depth + 1
    try:
        yield
    finally:
        _count.local.depth = depth
        if depth == 0:
            with _count.lock:
                _count.inside -= 1
                original = _count.original
            torch.set_num_threads(original)
