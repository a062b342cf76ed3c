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


@pytest.mark.parametrize("hold", HOLDERS.values(), ids=HOLDERS)
def test_what_somebody_holds_is_not_taken(hold: Callable[[Any], Any]) -> None:
    with reusing_memory():
        first = uninitialized(LARGE)
        place, held = first.ctypes.data, hold(first)
        del first
        assert uninitialized(LARGE).ctypes.data != place
        del held
        assert uninitialized(LARGE).ctypes.data == place


def test_what_is_free_is_taken_again() -> None:
    with reusing_memory():
        place = uninitialized(LARGE).ctypes.data
        assert uninitialized(LARGE).ctypes.data == place


def test_outside_nothing_is_kept() -> None:
    with reusing_memory():
        kept = uninitialized(LARGE)
    assert memory._reuse.blocks is None
    kept[...] = 1.0
    assert uninitialized(LARGE).ctypes.data != kept.ctypes.data


def test_threads_do_not_share_blocks() -> None:
    found: list[int] = []
    with reusing_memory():
        place = uninitialized(LARGE).ctypes.data
        thread = threading.Thread(target=lambda: found.append(id(memory._reuse.blocks)))
        thread.start()
        thread.join()
        assert found == [id(None)]
        assert uninitialized(LARGE).ctypes.data == place


def test_sizes_that_nobody_asks_for_are_given_up() -> None:
    blocks = memory._Blocks()
    held = blocks.take(100)
    blocks.take(200)
    for _ in range(memory._PATIENCE + 1):
        blocks.take(300)
    assert set(blocks._of_size) == {100, 200, 300}
    blocks.take(400)
    assert set(blocks._of_size) == {300, 400}
    held[...] = 7
    assert blocks.take(100) is not held
