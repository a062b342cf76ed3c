"""Finished cells stay: under kills, full disks, two writers; and damage is named."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from halfulp.study.result import Outcomes
from halfulp.study.store import (
    Store,
    StoreError,
    cell_key,
    choose_journal,
    default_path,
    pack_outcomes,
    unpack_outcomes,
)

WRITER = """
import sys
from pathlib import Path
import numpy as np
from halfulp.study.result import Outcomes
from halfulp.study.store import Store

def cell(i):
    row = {"model": "m", "task": "t", "policy": f"p{i}", "chip": "c", "samples": 500, "i": i}
    draw = np.random.default_rng(i)
    labels, predictions = draw.integers(0, 26, (2, 500), dtype=np.int32)
    return {"cell": i}, row, Outcomes(labels, predictions, draw.random(500, dtype=np.float32))

if __name__ == "__main__":
    with Store(Path(sys.argv[1])) as store:
        for i in range(int(sys.argv[2]), int(sys.argv[3])):
            store.put(*cell(i))
            print(i, flush=True)
"""
LIMITED = f"""
import resource, signal
from halfulp.study.store import StoreError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
{WRITER.partition("if __name__")[0]}
path = Path(sys.argv[1])
failed = 0
for limit in range(0, 200_000, 4_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    done = []
    try:
        with Store(path) as store:
            for i in range(limit, limit + 3):
                store.put(*cell(i))
                done.append(i)
    except StoreError as error:
        failed += 1
        assert str(path) in str(error) and "no space" in str(error), error
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(*done, flush=True)
print("failed", failed)
"""


def cell(i: int) -> tuple[dict[str, Any], dict[str, Any], Outcomes]:
    """The cell that WRITER writes under number `i`."""
    names: dict[str, Any] = {}
    exec(WRITER.partition("if __name__")[0], names)
    made: tuple[dict[str, Any], dict[str, Any], Outcomes] = names["cell"](i)
    return made


def assert_holds(path: Path, numbers: list[int]) -> None:
    with Store(path) as store:
        for i in numbers:
            identity, row, outcomes = cell(i)
            kept = store.outcomes(cell_key(identity))
            assert store.row(cell_key(identity)) == row
            assert kept is not None
            assert np.array_equal(kept.labels, outcomes.labels)
            assert np.array_equal(kept.predictions, outcomes.predictions)
            assert np.array_equal(kept.margins, outcomes.margins)


def writer(path: Path, first: int, last: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", WRITER, str(path), str(first), str(last)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_cell_is_found_again_by_its_identity_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "store.sqlite"
    identity, row, outcomes = cell(3)
    with Store(path) as store:
        assert store.row(cell_key(identity)) is None
        assert store.outcomes(cell_key(identity)) is None
        store.put(identity, row, outcomes)
        store.put(identity, row, outcomes)
        assert len(store) == 1
    assert_holds(path, [3])
    assert cell_key({"a": 1, "b": 2}) == cell_key({"b": 2, "a": 1})
    assert cell_key({"a": 1}) != cell_key({"a": "1"})


def test_outcomes_take_less_than_a_hundred_bytes_a_sample() -> None:
    noise = np.random.default_rng(0).integers(0, 2**31, (2, 1636), dtype=np.int32)
    margins = np.frombuffer(np.random.default_rng(1).bytes(4 * 1636), np.float32).copy()
    blob = pack_outcomes(Outcomes(noise[0], noise[1], margins))
    assert len(blob) <= 13 * 1636
    kept = unpack_outcomes(blob)
    assert np.array_equal(kept.margins.view(np.uint32), margins.view(np.uint32))


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"HUO1",
        b"XXXX" + pack_outcomes(cell(1)[2])[4:],
        pack_outcomes(cell(1)[2])[:-1],
        pack_outcomes(cell(1)[2])[:4] + (499).to_bytes(4, "little") + pack_outcomes(cell(1)[2])[8:],
        b"HUO1\xff\xff\xff\xff" + b"x" * 30,
        pack_outcomes(cell(1)[2])[:40] + b"\0" + pack_outcomes(cell(1)[2])[41:],
    ],
)
def test_damaged_outcomes_are_refused(blob: bytes) -> None:
    with pytest.raises(ValueError, match="outcomes of a cell"):
        unpack_outcomes(blob)


def test_outcomes_of_unequal_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        Outcomes(np.zeros(2, np.int32), np.zeros(3, np.int32), np.zeros(2, np.float32))


def test_twenty_kills_lose_no_finished_cell(tmp_path: Path) -> None:
    path, finished = tmp_path / "store.sqlite", []
    for kill in range(20):
        process = writer(path, 1000 * kill, 1000 * kill + 1000)
        assert process.stdout is not None and process.stderr is not None
        first = process.stdout.readline()
        time.sleep(0.002 * kill)
        process.send_signal(signal.SIGKILL)
        rest, errors = process.communicate()
        assert errors == ""
        finished += [int(line) for line in (first + rest).split()]
    assert len(finished) >= 20
    assert_holds(path, finished)


def test_four_writers_of_a_new_store_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    processes = [writer(path, 30 * i, 30 * i + 30) for i in range(4)]
    for process in processes:
        _, errors = process.communicate()
        assert (process.returncode, errors) == (0, "")
    assert_holds(path, list(range(120)))


def test_at_each_of_fifty_size_limits_nothing_is_lost_and_the_path_is_named(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    *lines, last = done.stdout.splitlines()
    assert len(lines) == 50
    assert int(last.split()[1]) >= 20
    assert_holds(path, [int(number) for line in lines for number in line.split()])


def test_a_full_disk_is_named_and_loses_nothing(tmp_path: Path) -> None:
    path, done = tmp_path / "store.sqlite", []
    with Store(path) as store:
        pages = store._database.execute("PRAGMA page_count").fetchone()[0]
        store._database.execute(f"PRAGMA max_page_count = {pages + 6}")
        with pytest.raises(StoreError, match=r"store\.sqlite: no space.*kept"):
            for i in range(100):
                store.put(*cell(i))
                done.append(i)
    assert done
    assert_holds(path, done)


@pytest.mark.parametrize(
    "content", [b"no database at all" * 100, b"SQLite format 3\0" + b"x" * 9000]
)
def test_a_file_that_is_no_database_is_refused_and_untouched(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "store.sqlite"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"store\.sqlite is damaged.*move it away"):
        Store(path)
    assert path.read_bytes() == content


def test_the_database_of_another_program_is_refused_and_untouched(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE cells (other)")
    other.commit()
    other.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another program"):
        Store(path)
    assert path.read_bytes() == before


def test_a_store_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with Store(path) as store:
        store._database.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="version 99"):
        Store(path)


def test_an_overwritten_page_is_found_when_the_store_is_opened_or_read(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with Store(path) as store:
        for i in range(20):
            store.put(*cell(i))
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"store\.sqlite is damaged"):
        Store(path)


def test_a_damaged_row_or_outcome_is_named(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    identity, row, outcomes = cell(0)
    with Store(path) as store:
        store.put(identity, row, outcomes)
        store._database.execute("UPDATE cells SET row = '{', outcomes = x'00'")
        for read in (store.row, store.outcomes):
            with pytest.raises(StoreError, match="damaged"):
                read(cell_key(identity))


def test_a_place_that_takes_no_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match=r"file/store\.sqlite"):
        Store(tmp_path / "file" / "store.sqlite")
    with pytest.raises(StoreError, match="cannot open"):
        Store(tmp_path)


def test_without_shared_memory_the_rollback_journal_is_used(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    database = sqlite3.connect(f"file:{path}?vfs=unix-dotfile", uri=True)
    assert choose_journal(database) == "delete"
    database.close()
    with Store(path) as store:
        assert store.notice is None


def test_the_default_store_lies_in_the_users_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_path() == tmp_path / "halfulp" / "cells.sqlite"


def test_a_value_that_is_not_finite_is_never_kept(tmp_path: Path) -> None:
    identity, row, outcomes = cell(0)
    with Store(tmp_path / "store.sqlite") as store:
        with pytest.raises(ValueError, match="JSON compliant"):
            store.put(identity, {**row, "accuracy": float("nan")}, outcomes)
        assert len(store) == 0
