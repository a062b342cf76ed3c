"""Natives by themselves: counted lanes, the switch of the environment, what workers call."""

from typing import Any

import numba
import numpy as np
import pytest

from halfulp.dtypes import loops, natives, team
from halfulp.dtypes.lanes import I32, Lanes
from tests.dtypes.test_environment import flushing
from tests.dtypes.uncompiled import _lane_loop


def _small_and_even(inputs: list[Lanes], given: dict[str, Lanes]) -> tuple[Lanes, list[Lanes]]:
    (x,) = inputs
    return x + given["added"], [x < 50, (x & 1).equals(0)]


def counted(run: Any, x: Any) -> tuple[list[int], list[int]]:
    out, given, counts = np.empty_like(x), np.array([7]), np.array([1000, 2000])
    places = [array.ctypes.data for array in (x, out, given, counts)]
    run((*places, x.size, 0))
    return out.tolist(), counts.tolist()


def test_counts_are_added_of_whole_vectors_and_of_the_rest() -> None:
    options: Any = ("counted", _small_and_even, [I32], I32, ("added",))
    loop = loops.lane_loop(*options, counted=2)

    @numba.njit
    def compiled(arguments: tuple[int, ...]) -> None:
        loop(arguments)

    for size in (0, 5, 16, 100):
        x = np.arange(size, dtype=np.uint32)
        wanted = (x + 7).tolist(), [1000 + min(size, 50), 2000 + (size + 1) // 2]
        assert counted(compiled, x) == wanted
        assert counted(_lane_loop(*options, counted=2), x) == wanted


def test_between_begin_and_end_subnormals_are_kept() -> None:
    begin, end = natives.begin_exact, natives.end_exact

    @numba.njit
    def switch(address: int, leave: bool) -> None:
        if leave:
            end((address,))
        else:
            begin((address,))

    kept, tiny = np.zeros(1, np.int64), np.array([1e-40], np.float32)

    def survives() -> bool:
        return bool(tiny.astype(np.float64)[0] != 0)

    with flushing():
        switch(kept.ctypes.data, False)
        within = survives()
        switch(kept.ctypes.data, True)
        after = survives()
    assert (within, after) == (True, False)


@pytest.mark.parametrize(
    ("function", "native", "arguments"),
    [
        (team.serve, "_serve", (1,)),
        (team.post, "_post", (1, 2, 3)),
        (team.finish, "_finish", (1, 2)),
        (team.call, "_call_kernel", (1, 2)),
    ],
)
def test_what_python_calls_passes_its_arguments_on(
    function: Any, native: str, arguments: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[int, ...]] = []
    monkeypatch.setattr(team, native, given.append)
    function.py_func(*arguments)
    assert given == [arguments]
