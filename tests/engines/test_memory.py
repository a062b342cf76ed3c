"""Results reuse memory only when nobody can see that."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from halfulp.engines import memory
from halfulp.engines.memory import reusing_memory, uninitialized

LARGE = (300, 300)


def test_a_result_begins_at_a_cache_line() -> None:
    for shape in ((), (1,), (17,), LARGE):
        assert uninitialized(shape).ctypes.data % 64 == 0
        assert uninitialized(shape).shape == shape
        assert uninitialized(shape, np.int32).flags.c_contiguous


HOLDERS: dict[str, Callable[[Any], Any]] = {
    "itself": lambda x: x,
    "a part": lambda x: x[3:, ::2],
    "another shape": lambda x: x.reshape(-1).view(np.int32),
    "a tensor": torch.from_numpy,
    "a view of a tensor": lambda x: torch.from_numpy(x).t()[1:],
    "a buffer": memoryview,
}


def blocks_of(x: Any) -> int:
    """Blocks of this array's size that the thread has."""
    assert memory._reuse.blocks is not None
    return len(memory._reuse.blocks._of_size[x.nbytes + 64]) - 1


@pytest.mark.parametrize("hold", HOLDERS.values(), ids=HOLDERS)
def test_what_somebody_holds_is_not_taken(hold: Callable[[Any], Any]) -> None:
    with reusing_memory():
        first = uninitialized(LARGE)
        block, held = first.base, hold(first)
        del first
        second = uninitialized(LARGE)
        assert second.base is not block and blocks_of(second) == 2
        del held, block
        third = uninitialized(LARGE)
        assert third.base is not second.base and blocks_of(third) == 2


def test_what_is_free_is_taken_again() -> None:
    with reusing_memory():
        for _ in range(5):
            assert blocks_of(uninitialized(LARGE)) == 1
        uninitialized((10,))  # a small one is no block
        assert memory._reuse.blocks is not None and len(memory._reuse.blocks._of_size) == 1


def test_outside_nothing_is_kept() -> None:
    with reusing_memory():
        inside = memory._reuse.blocks
        with reusing_memory():
            assert memory._reuse.blocks is inside
        assert memory._reuse.blocks is inside
    assert memory._reuse.blocks is None
    assert uninitialized(LARGE).base is not uninitialized(LARGE).base


def test_threads_do_not_share_blocks() -> None:
    found: list[object] = []
    with reusing_memory():
        thread = threading.Thread(target=lambda: found.append(memory._reuse.blocks))
        thread.start()
        thread.join()
    assert found == [None]


def test_sizes_that_nobody_asks_for_are_given_up() -> None:
    blocks = memory._Blocks()
    held = blocks.take(100)
    blocks.take(200)
    for _ in range(memory._PATIENCE + 1):
        blocks.take(300)
    assert set(blocks._of_size) == {100, 200, 300}
    blocks.take(400)
    assert set(blocks._of_size) == {300, 400}
    assert held.size == 100  # its memory is the holder's own now
