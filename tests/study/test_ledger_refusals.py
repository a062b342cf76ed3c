"""No file that was cut, changed or made by others passes for a ledger; what is wrong is said."""

import hashlib
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from halfulp.study.ledger_files import KINDS, BadLedger, read_ledger, write_ledger
from tests.study.ledgers import MOST, SOME, ledger_of, same


@pytest.fixture(params=KINDS)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Of each kind."""
    return tmp_path / f"ledger{request.param}"


def refused(path: Path, data: bytes) -> str:
    """What is said of a file that is none, after its name."""
    path.write_bytes(data)
    with pytest.raises(BadLedger) as refusal:
        read_ledger(path)
    before, name, said = str(refusal.value).partition(f"{path} is no ledger as halfulp writes it: ")
    assert not before and name and said and len(said) < 1500
    return said


def test_a_file_that_was_cut_is_refused(path: Path) -> None:
    sizes = {}
    for number in range(len(SOME) + 1):
        write_ledger(ledger_of(*SOME.records[:number]), path)
        sizes[path.stat().st_size] = number
    whole = path.read_bytes()
    lengths = {*range(0, len(whole), 7), *range(len(whole) - 40, len(whole) - 1)}
    if path.suffix == ".csv":
        # the bare table of fewer rows is one too
        for size, number in sizes.items():
            path.write_bytes(whole[:size])
            assert same(read_ledger(path), ledger_of(*SOME.records[:number]))
            lengths |= {size - 2, size - 1, size + 1}
        lengths -= {*sizes, len(whole) + 1}
    for length in lengths:
        refused(path, whole[:length])


def test_a_file_with_a_changed_byte_is_refused_or_means_the_same(path: Path) -> None:
    write_ledger(SOME, path)
    whole, drawn = path.read_bytes(), random.Random(1)
    caught = 0
    for _ in range(500):
        place, bit = drawn.randrange(len(whole)), drawn.randrange(8)
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
        try:
            found = read_ledger(path)
        except BadLedger:
            caught += 1
        else:
            # CSV has no digest
            assert path.suffix == ".csv" or same(found, SOME)
    assert caught > 250


@pytest.mark.parametrize("data", [b"", b"\n", b"\x89PNG\r\n\x1a\n\0", b"PAR1", b"[]\n", b"null\n"])
def test_what_is_something_else_is_refused(data: bytes, path: Path) -> None:
    refused(path, data)


def test_a_file_of_another_kind_is_refused(path: Path, tmp_path: Path) -> None:
    for suffix in KINDS:
        other = tmp_path / f"other{suffix}"
        write_ledger(SOME, other)
        if suffix != path.suffix:
            refused(path, other.read_bytes())


def signed(rows: Any, **more: Any) -> bytes:
    """A file of JSON with a digest that fits."""
    digest = hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()
    about = {"kind": "halfulp ledger", "schema": 1, "sha256": digest, "records": rows}
    return json.dumps(about | more).encode()


CALL = {"instruction": "CustomCall", "number": 1, "name": "f", "cycles": 2}
CHANGES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a field too few": (lambda row: row.pop("macs"), "record 1 lacks macs and"),
    "a field too many": (lambda row: row.update(extra=1), r"record 1 .* has \['extra'\] beside"),
    "a record is missing": (lambda row: row.update(record=2), "record 1 is numbered 2"),
    "true": (lambda row: row.update(macs=True), "record 1, macs: True is no integer"),
    "a fraction": (lambda row: row.update(nan=1.0), "record 1, nan: 1.0 is no integer"),
    "NaN": (lambda row: row.update(nan=float("nan")), "record 1, nan: nan is no integer"),
    "below zero": (lambda row: row.update(macs=-1), "record 1, macs: -1 is no integer"),
    "64 bits": (lambda row: row.update(macs=MOST + 1), "record 1, macs: 9223372036854775808 is"),
    "a number in words": (lambda row: row.update(macs="1"), "record 1, macs: '1' is no integer"),
    "no text": (lambda row: row.update(layer=None), "record 1, layer: None is no text"),
    "half of a pair": (lambda row: row.update(layer="\udc00"), "record 1, layer: .* no text in"),
    "no list": (lambda row: row.update(needs={}), r"record 1, needs: {} is no list"),
    "a flat shape": (lambda row: row.update(shapes=[3]), "record 1, shapes: 3 is no list"),
    "no instruction": (lambda row: row.update(issued=[3]), "issued: 3 is no instruction: Load"),
    "another instruction": (
        lambda row: row.update(issued=[CALL | {"instruction": "Halt"}]),
        "record 1, issued: .* is no instruction: LoadStationary, MultiplyMoving, CustomCall",
    ),
    "a list of names": (
        lambda row: row.update(issued=[CALL | {"instruction": ["CustomCall"]}]), "no instruction"
    ),
    "a part too many": (lambda row: row.update(issued=[CALL | {"rows": 1}]), r"\['rows'\] beside"),
    "a part too few": (lambda row: row.update(parameters=[{"name": "w"}]), "lacks bytes"),
    "no parameter": (lambda row: row.update(parameters=[[]]), "none of name, bytes"),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_json_that_is_wrong_is_refused_with_its_place(change: str, tmp_path: Path) -> None:
    path = tmp_path / "ledger.json"
    write_ledger(SOME, path)
    rows = json.loads(path.read_bytes())["records"]
    path.write_bytes(signed(rows))
    assert same(read_ledger(path), SOME)
    alter, wanted = CHANGES[change]
    alter(rows[1])
    assert re.search(wanted, refused(path, signed(rows)))


def test_json_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.json"
    for rows, more, wanted in (
        (None, {}, "the records are None"),
        ({}, {}, "the records are {}; needed: a list"),
        ([3], {}, "record 0 is 3; needed: its fields"),
        ([], {"kind": "halfulp probe"}, "kind is 'halfulp probe'; needed: 'halfulp ledger'"),
        ([], {"schema": 2}, "schema is 2; needed: 1"),
        ([], {"sha256": "0"}, "sha256 is '0'; needed: .*: it was changed"),
    ):
        assert re.search(wanted, refused(path, signed(rows, **more)))
    for text in (b"[" * 10**5, b'{"records": ' + b"[" * 10**5, b"9" * 10**4, b'{"a"', b"\xff"):
        refused(path, text)


def test_csv_that_is_wrong_is_refused_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "ledger.csv"
    write_ledger(SOME, path)
    whole = path.read_bytes()
    for old, new, wanted in (
        (b',"macs"', b"", "the first line lacks macs"),
        (b'"macs"', b'"nan"', "the first line lacks macs"),
        (b'"parameters"\n', b'"parameters","macs"\n', "the first line has a field twice"),
        (b'"parameters"\n', b'"parameters","x"\n', r"\['x'\] beside"),
        (b",24,", b",24,24,", "record 0 has 20 cells; needed: 19"),
        (b",24,", b",2 4,", "record 0, macs: '2 4': Extra data"),
        (b",24,", b",,", "record 0, macs: '': Expecting value"),
        (b",24,", b",24.0,", "record 0, macs: 24.0 is no integer"),
        (b"[[2, 3]", b"[[2, 3}", r"record 0, shapes: '\[\[2, 3}"),
        (b"[[2, 3]", b"[[2, 3.5]", "record 0, shapes: 3.5 is no integer"),
        (b'\n1,"', b'\n2,"', "record 1 is numbered 2"),
        (b'\n1,"', b'\n\n1,"', "record 1 has 0 cells"),
        (b"enc", b"\xff", "can't decode byte 0xff"),
    ):
        assert whole.count(old), old
        assert re.search(wanted, refused(path, whole.replace(old, new, 1)))
    rows = whole.split(b"\n")
    refused(path, b"\n".join([rows[0], *rows[2:]]))


def test_parquet_that_is_wrong_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.parquet"
    write_ledger(SOME, path)
    table = pq.read_table(path)

    def says(changed: Any, wanted: str) -> None:
        pq.write_table(changed, path)
        assert wanted in refused(path, path.read_bytes())

    says(pa.table({"a": [1, 2]}), "lacks record, layer")
    says(table.drop_columns(["macs"]), "the table lacks macs")
    says(table.append_column("x", table["macs"]), "['x'] beside")
    says(table.replace_schema_metadata(None), "kind is None; needed: 'halfulp ledger'")
    says(table.slice(0, 2), "sha256 is")
    says(table.slice(1), "sha256 is")
    floats = table["macs"].cast(pa.float64(), safe=False)
    says(table.set_column(table.column_names.index("macs"), "macs", floats), "its columns are")
    nothing = pa.nulls(3, table.schema.field("issued").type)
    says(table.set_column(table.column_names.index("issued"), "issued", nothing), "sha256 is")
