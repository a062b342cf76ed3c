"""The team of threads: the same bits from any number, after errors, in forks, for many callers."""

import multiprocessing
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfulp.dtypes import BF16, Overflow, drivers, encode, round_to, threads
from halfulp.dtypes.parameters import parameters32
from halfulp.dtypes.threads import (
    MOST_THREADS,
    get_num_threads,
    parallel,
    set_num_threads,
    split,
)
from tests.dtypes.uncompiled import memory
from tests.strategies import float32_boundaries

Floats = npt.NDArray[np.float32]
X: Floats = np.resize(float32_boundaries(BF16), (1 << 19) + 37)
WANTED = round_to(X[: 1 << 15], BF16)  # too short for two threads
FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
#: Python 3.12 and later warn of what is tested here.
FORKING = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.fixture(autouse=True)
def number_of_threads() -> Iterator[None]:
    before = get_num_threads()
    yield
    set_num_threads(before)


def in_parts(x: Floats, count: int) -> Floats:
    """x rounded to bf16 by a kernel in `count` parts."""
    out, given = np.full(x.shape, 7, np.float32), parameters32(BF16, Overflow.INF)
    borders = np.linspace(0, x.size, count + 1).astype(int).tolist()
    source, target, parameters = (array.ctypes.data for array in (x, out, given))
    parts = [
        (source + 4 * first, target + 4 * first, parameters, last - first, 0, 0)
        for first, last in zip(borders, borders[1:], strict=False)
    ]
    parallel(drivers.ROUND, parts)
    return out


def same(got: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> bool:
    return got.tobytes() == wanted.tobytes()


def test_every_part_runs_once_whatever_their_number() -> None:
    x = X[: 1 << 15]
    for count in (1, 2, 3, 5, 16, MOST_THREADS):
        assert same(in_parts(x, count), WANTED), count


def test_no_part_is_no_work() -> None:
    parallel(drivers.ROUND, [])


def test_results_do_not_depend_on_threads() -> None:
    results = []
    for count in (1, 2, 3, 5, MOST_THREADS):
        set_num_threads(count)
        results.append((round_to(X, BF16).tobytes(), encode(X, "e4m3").tobytes()))
    assert len(set(results)) == 1


def test_a_failed_call_leaves_the_team_at_work() -> None:
    for parts in ([("x",), ("y",)], [(2**64, 0, 0, 0, 0)] * 2, [(None,), (None,)]):
        with pytest.raises(struct.error):
            parallel(drivers.ROUND, parts)  # type: ignore[arg-type]
        assert same(in_parts(X[: 1 << 15], 3), WANTED)


def test_workers_are_few_and_reused() -> None:
    in_parts(X, 4)
    before = {thread.name for thread in threading.enumerate() if thread.name.startswith("halfulp-")}
    assert {"halfulp-1", "halfulp-2", "halfulp-3"} <= before
    for _ in range(20):
        in_parts(X[: 1 << 15], 4)
    workers = [t for t in threading.enumerate() if t.name.startswith("halfulp-")]
    assert {worker.name for worker in workers} == before and len(workers) == len(before)
    assert all(worker.daemon for worker in workers)


def test_idle_workers_use_no_processor() -> None:
    in_parts(X, 4)
    time.sleep(0.2)  # until they have gone to sleep
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.25  # half a processor; a spinning team takes three


def many(work: Callable[[], bool], callers: int = 4, repeats: int = 20) -> list[bool]:
    """`work` in several Python threads at once; all must end within 120 s."""
    found: list[bool] = []
    barrier = threading.Barrier(callers)

    def caller() -> None:
        barrier.wait(60)
        for _ in range(repeats):
            found.append(work())

    all_of_them = [threading.Thread(target=caller, daemon=True) for _ in range(callers)]
    end = time.monotonic() + 120
    for one in all_of_them:
        one.start()
    for one in all_of_them:
        one.join(max(end - time.monotonic(), 0))
    assert not any(one.is_alive() for one in all_of_them), "not done after 120 s"
    return found


def test_many_callers_at_once() -> None:
    wanted = round_to(X, BF16), encode(X, "e4m3")
    set_num_threads(3)

    def work() -> bool:
        return same(round_to(X, BF16), wanted[0]) and same(encode(X, "e4m3"), wanted[1])

    assert many(work) == [True] * 80


def test_callers_that_change_the_number_of_threads_meanwhile() -> None:
    wanted = round_to(X, BF16)
    numbers = iter(range(10**6))

    def work() -> bool:
        set_num_threads(1 + next(numbers) % 4)
        return same(round_to(X, BF16), wanted)

    assert many(work) == [True] * 80


def answer_of_fork(work: Callable[[], bool]) -> bool:
    """What `work` says in a forked child, which must answer within 60 s."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    child = context.Process(target=lambda: there.send(work()))
    child.start()
    there.close()
    try:
        assert here.poll(60), "the child did not answer in 60 s"
        answer: bool = here.recv()
    finally:
        child.join(10)
        if child.is_alive():
            child.kill()
    return answer


def test_the_bell_rings_for_the_workers_that_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    def post(slots: int, count: int, sleeping: int) -> None:
        memory(sleeping, np.int64, 1)[0] = 0b1010  # workers 1 and 3

    monkeypatch.setattr(threads, "post", post)
    monkeypatch.setattr(threads, "finish", lambda slots, count: None)
    team = threads._Team()
    team.bells = [SimpleQueue() for _ in range(3)]  # nobody listens
    team.run(drivers.ROUND, [(0,) * 6] * 4)
    assert [bell.qsize() for bell in team.bells] == [1, 0, 1]


def test_while_another_thread_has_the_team_a_caller_works_alone() -> None:
    with threads._team.busy:
        assert same(in_parts(X[: 1 << 15], 3), WANTED)


def test_a_team_that_is_forgotten_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    before = threads._team
    monkeypatch.setattr(threads, "_team", before)  # to be put back: its workers still wait
    threads._forget()
    assert threads._team is not before and not threads._team.bells
    assert same(in_parts(X[: 1 << 15], 3), WANTED)
    assert len(threads._team.bells) == 2


@FORK
@FORKING
def test_a_forked_child_and_its_child_make_teams_of_their_own() -> None:
    wanted = round_to(X, BF16)
    set_num_threads(3)
    assert same(round_to(X, BF16), wanted)  # the parent's workers exist now

    def work() -> bool:
        names = [one.name for one in threading.enumerate()]
        fresh = not any(name.startswith("halfulp-") for name in names)
        return fresh and same(round_to(X, BF16), wanted) and len(threading.enumerate()) == 3

    assert answer_of_fork(work)
    assert answer_of_fork(lambda: work() and answer_of_fork(work))
    assert same(round_to(X, BF16), wanted)


@FORK
@FORKING
def test_a_fork_while_another_thread_has_the_team() -> None:
    wanted = round_to(X, BF16)
    set_num_threads(2)
    stop = threading.Event()

    def work() -> bool:
        return same(round_to(X, BF16), wanted)

    def keep_busy() -> None:
        while not stop.is_set():
            work()

    other = threading.Thread(target=keep_busy, daemon=True)
    other.start()
    try:
        assert all(answer_of_fork(work) for _ in range(10))
    finally:
        stop.set()
        other.join(60)
    assert not other.is_alive()


@pytest.mark.parametrize("given", ["0", "-1", "64", "1000000", "two", "1.5", "", " 2", "0x2"])
def test_a_number_of_threads_that_the_environment_gets_wrong(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "_threads", None)
    monkeypatch.setenv("HALFULP_NUM_THREADS", given)
    with pytest.raises(ValueError, match=f"HALFULP_NUM_THREADS={given!r}; allowed: 1 to 63"):
        get_num_threads()
    small = "from halfulp.dtypes import round_to; round_to(1.5, 'bf16')"
    done = subprocess.run([sys.executable, "-c", small], capture_output=True, text=True)
    assert f"HALFULP_NUM_THREADS={given!r}; allowed: 1 to 63" in done.stderr
    with pytest.raises(ValueError, match="HALFULP_NUM_THREADS"):
        round_to(X, BF16)
    set_num_threads(2)  # what the program says is stronger
    assert get_num_threads() == 2


@pytest.mark.parametrize("given", ["1", "2", "63", "007"])
def test_a_number_of_threads_from_the_environment(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "_threads", None)
    monkeypatch.setenv("HALFULP_NUM_THREADS", given)
    assert get_num_threads() == int(given)


def test_without_it_as_many_threads_as_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_threads", None)
    monkeypatch.delenv("HALFULP_NUM_THREADS", raising=False)
    if hasattr(os, "sched_getaffinity"):
        assert get_num_threads() == min(len(os.sched_getaffinity(0)), MOST_THREADS)
    else:
        assert get_num_threads() == min(os.cpu_count() or 1, MOST_THREADS)


@pytest.mark.parametrize("count", [0, -1, 64, 10**9])
def test_numbers_of_threads_out_of_range(count: int) -> None:
    before = get_num_threads()
    with pytest.raises(ValueError, match=f"count={count}; allowed: 1 to 63"):
        set_num_threads(count)
    assert get_num_threads() == before


@pytest.mark.parametrize("count", [True, 2.0, "2", None])
def test_numbers_of_threads_of_another_kind(count: Any) -> None:
    with pytest.raises(TypeError, match="is not an integer"):
        set_num_threads(count)


@given(st.integers(0, 10**6), st.integers(1, 300), st.integers(1, 10**5), st.integers(1, 63))
def test_a_split_covers_everything_once(count: int, align: int, least: int, number: int) -> None:
    before = get_num_threads()
    set_num_threads(number)
    try:
        pieces = split(count, align, least)
    finally:
        set_num_threads(before)
    assert [stop for _, stop in pieces[:-1]] == [start for start, _ in pieces[1:]]
    assert pieces == [] if count == 0 else (pieces[0][0], pieces[-1][1]) == (0, count)
    assert all(start < stop for start, stop in pieces)
    assert all(start % align == 0 for start, _ in pieces)
    assert len(pieces) <= max(1, min(number, count // least))


def test_a_process_ends_though_its_workers_sleep_or_spin() -> None:
    for pause in ("", "; import time; time.sleep(0.2)"):
        code = (
            "import numpy; from halfulp.dtypes import round_to, threads;"
            "threads.set_num_threads(3); round_to(numpy.ones(1 << 20, numpy.float32), 'bf16')"
            f"{pause}; print('done')"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
        )
        assert (done.returncode, done.stdout.strip()) == (0, "done"), done.stderr
