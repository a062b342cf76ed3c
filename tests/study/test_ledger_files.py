"""A ledger comes back from its file as it was, or the old file stays."""

import csv
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given

from halfulp.engines import Ledger, Record
from halfulp.study.files import FileNotWritten
from halfulp.study.ledger_files import KINDS, read_ledger, write_ledger
from halfulp.study.ledger_rows import COLUMNS
from tests.study.ledgers import BARE, EVERY, MOST, SOME, ledger_of, ledgers, real_ledger, same

KILLED = """
import os, signal, sys
from pathlib import Path
from halfulp.study.ledger_files import read_ledger, write_ledger

path = Path(sys.argv[1])
ledger = read_ledger(path)
ledger.records *= 2
# by then all is written beside, and nothing renamed
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
write_ledger(ledger, path)
"""


@pytest.fixture(params=KINDS)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Of each kind."""
    return tmp_path / f"ledger{request.param}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ledgers")


def test_every_field_is_set_in_the_record_of_these_tests() -> None:
    assert all(EVERY) and len({str(value) for value in EVERY}) == len(EVERY)


@given(ledger=ledgers)
@pytest.mark.parametrize("suffix", KINDS)
def test_any_ledger_comes_back(ledger: Ledger, suffix: str, folder: Path) -> None:
    file = folder / f"any{suffix}"
    write_ledger(ledger, file)
    assert same(read_ledger(file), ledger)


def test_ledgers_of_runs_come_back(path: Path) -> None:
    ledger = real_ledger()
    assert any(record.parameters and record.needs for record in ledger.records)
    write_ledger(ledger, path)
    found = read_ledger(path)
    assert same(found, ledger)
    assert found.totals() == ledger.totals() and found.cycles() == ledger.cycles()
    assert found.issued() == ledger.issued() and found.issued()["CustomCall"] == 1


@pytest.mark.parametrize("given_records", [(), (EVERY,), (BARE, EVERY)])
def test_few_records_come_back(given_records: tuple[Record, ...], path: Path) -> None:
    write_ledger(ledger_of(*given_records), path)
    assert same(read_ledger(path), ledger_of(*given_records))


def test_the_same_ledger_gives_the_same_bytes(path: Path) -> None:
    write_ledger(SOME, path)
    first = path.read_bytes()
    write_ledger(read_ledger(path), path)
    assert path.read_bytes() == first


def test_numpy_integers_become_integers(path: Path) -> None:
    three: Any = np.int64(3)
    write_ledger(ledger_of(BARE._replace(macs=three, shapes=((three,),))), path)
    assert same(read_ledger(path), ledger_of(BARE._replace(macs=3, shapes=((3,),))))


def test_a_list_longer_than_a_field_of_csv_comes_back(path: Path) -> None:
    before = csv.field_size_limit()
    long = ledger_of(EVERY._replace(needs=tuple(range(40_000))))
    write_ledger(long, path)
    assert same(read_ledger(path), long)
    assert csv.field_size_limit() == before


def test_what_other_programs_see_in_json(tmp_path: Path) -> None:
    write_ledger(SOME, tmp_path / "ledger.json")
    found = json.loads((tmp_path / "ledger.json").read_text(encoding="utf-8"))
    assert (found["kind"], found["schema"], len(found["records"])) == ("halfulp ledger", 1, 3)
    record = found["records"][0]
    assert tuple(record) == COLUMNS
    assert record["shapes"] == [[2, 3], [3, 4], []] and record["macs"] == 24
    assert record["issued"][2] == {
        **{"instruction": "CustomCall", "number": 10, "name": "pair", "cycles": 7}
    }
    assert record["parameters"][0] == {"name": "query.weight", "bytes": 14}


def test_what_other_programs_see_in_csv(tmp_path: Path) -> None:
    write_ledger(SOME, tmp_path / "ledger.csv")
    with (tmp_path / "ledger.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["record"] for row in rows] == ["0", "1", "2"] and tuple(rows[0]) == COLUMNS
    assert rows[2]["layer"] == 'a "b",\r\nc' and rows[2]["macs"] == str(MOST)
    assert json.loads(rows[0]["shapes"]) == [[2, 3], [3, 4], []] and rows[1]["shapes"] == "[]"


def test_what_other_programs_see_in_parquet(tmp_path: Path) -> None:
    write_ledger(SOME, tmp_path / "ledger.parquet")
    table = pq.read_table(tmp_path / "ledger.parquet")
    assert tuple(table.column_names) == COLUMNS and table.num_rows == 3
    types = {name: str(table.schema.field(name).type) for name in ("macs", "layer", "needs")}
    assert types["macs"] == "int64" and types["layer"] == "string"
    assert pa.types.is_list(table.schema.field("needs").type)
    assert table["macs"].to_pylist() == [24, 24, MOST]
    assert table["shapes"][0].as_py() == [[2, 3], [3, 4], []]
    assert table["issued"][0].as_py()[1]["moving"] == 8


def test_a_suffix_that_is_none_is_refused_with_those_that_are(tmp_path: Path) -> None:
    for name in ("ledger", "ledger.pkl", "ledger.json.gz"):
        for attempt in (lambda file: write_ledger(SOME, file), read_ledger):
            with pytest.raises(ValueError, match=r"\.json, \.csv, \.parquet") as refusal:
                attempt(tmp_path / name)
            assert name in str(refusal.value)
    assert not list(tmp_path.iterdir())
    write_ledger(SOME, tmp_path / "LEDGER.JSON")
    assert same(read_ledger(tmp_path / "LEDGER.JSON"), SOME)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("macs", -1), ("cycles", MOST + 1), ("bytes", 1.5), ("bytes", None), ("layer", "\ud800")),
        *(("engine", 3), ("shapes", ((-1,),)), ("shapes", (3,)), ("needs", "12")),
        *(("formats", (3,)), ("formats", (("bf16",),)), ("parameters", (("name", 3),))),
        *(("issued", ((EVERY.issued[0].instruction, 3),)), ("issued", (3,))),
    ],
)
def test_what_is_no_record_is_not_written(field: str, value: Any, path: Path) -> None:
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match=rf"ledger\.\w+: record 1, {field}: "):
        write_ledger(ledger_of(EVERY, EVERY._replace(**{field: value})), path)
    assert path.read_bytes() == b"old" and list(path.parent.iterdir()) == [path]


def test_one_killed_at_the_end_leaves_the_old_file(path: Path) -> None:
    write_ledger(SOME, path)
    old = path.read_bytes()
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert path.read_bytes() == old and same(read_ledger(path), SOME)
    (beside,) = set(path.parent.iterdir()) - {path}
    assert beside.stat().st_size > len(old) // 2


def test_a_file_that_is_not_there_and_a_place_that_takes_none(path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="ledger"):
        read_ledger(path)
    path.mkdir()
    with pytest.raises(FileNotWritten, match="ledger"):
        write_ledger(SOME, path)


def test_parquet_alone_needs_pyarrow(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_ledger(SOME, path)
    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    if path.suffix != ".parquet":
        write_ledger(SOME, path)
        assert same(read_ledger(path), SOME)
        return
    for attempt in (lambda: write_ledger(SOME, path), lambda: read_ledger(path)):
        with pytest.raises(ModuleNotFoundError, match="pyarrow"):
            attempt()
