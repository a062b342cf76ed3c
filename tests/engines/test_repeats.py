"""Four threads at once, twenty repeats, here and in child processes: no bit, no deadlock."""

import functools
import multiprocessing
from collections.abc import Iterator
from typing import Any

import pytest

from halfulp.dtypes.threads import get_num_threads, set_num_threads
from tests.engines.repeats import REPEATS, SECONDS, THREADS, at_once, digest, send, start

#: A fork takes no time, the others begin with all imports.
CHILDREN = {"fork": 5}


@functools.cache
def wanted() -> list[str]:
    """What all threads of a process find, from one thread."""
    set_num_threads(1)
    return [digest()] * (THREADS * REPEATS)


@pytest.fixture(autouse=True)
def team() -> Iterator[None]:
    """Two threads for a kernel, after they have waited in one."""
    before = get_num_threads()
    wanted()
    set_num_threads(2)
    yield
    set_num_threads(before)


def test_threads_at_once_repeat_the_same_bits() -> None:
    assert at_once() == wanted()


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_children_made_while_threads_work_repeat_the_same_bits(method: str) -> None:
    context: Any = multiprocessing.get_context(method)
    found: list[str] = []
    workers, children = start(found), []
    for _ in range(CHILDREN.get(method, 1)):
        here, there = context.Pipe(duplex=False)
        child = context.Process(target=send, args=(there,), daemon=True)
        child.start()
        there.close()
        children.append((here, child))
    try:
        for here, _ in children:
            assert here.poll(2 * SECONDS), "a child did not answer"
            assert here.recv() == wanted()
        for _, child in children:
            child.join(SECONDS)
            assert child.exitcode == 0
        for worker in workers:
            worker.join(SECONDS)
        assert found == wanted()
    finally:
        for _, child in children:
            child.kill()  # it may hang
