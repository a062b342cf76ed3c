"""A ledger as a file of JSON, CSV or Parquet: a row for each record, and read back as it was.

JSON and Parquet hold nested lists and a digest of their rows, so that a changed file is found out.
CSV is the bare table, with the lists as JSON text: a changed digit in it is not found out, nor that
its last rows are gone. pandas, DuckDB and the like read CSV and Parquet.
"""

import csv
import hashlib
import io
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from halfulp.engines import Ledger
from halfulp.study.files import write_whole
from halfulp.study.ledger_rows import (
    COLUMNS,
    ISSUES,
    PARAMETER,
    SCALARS,
    Row,
    check_names,
    records_of,
    rows_of,
    shown,
)
from halfulp.study.provenance import version

SCHEMA = 1
KIND = "halfulp ledger"
#: What the csv module takes in a field is a setting of the whole process.
_FIELD_LIMIT = threading.Lock()


class BadLedger(ValueError):
    """A file that holds no ledger, or not the one that was written."""


def write_ledger(ledger: Ledger, path: Path) -> None:
    """Write the records beside `path`, then rename the file; its suffix is one of KINDS.

    Not written is the name of the layer at which the ledger stands: it is for records to come.

    Raises ValueError for another suffix, and for records that no ledger has: negative counts, more
    than 63 bits, texts that are not UTF-8. FileNotWritten, and then the old file stands as it
    stood. ModuleNotFoundError for Parquet without pyarrow (the extra `study`).
    """
    kind = _kind(path)
    try:
        rows = rows_of(ledger.records)
    except ValueError as error:
        raise ValueError(f"cannot write {path}: {error}") from None
    write_whole(path, kind.write(rows))


def read_ledger(path: Path) -> Ledger:
    """The ledger that `write_ledger` wrote.

    Raises ValueError for another suffix, BadLedger for a file that is not as it was written,
    OSError for one that cannot be opened; ModuleNotFoundError as `write_ledger`.
    """
    kind = _kind(path)
    data = path.read_bytes()
    ledger = Ledger()
    try:
        ledger.records = records_of(kind.read(data))
    except (ValueError, RecursionError) as error:  # lists in lists without end
        raise BadLedger(f"{path} is no ledger as halfulp writes it: {error}") from None
    return ledger


def _kind(path: Path) -> "Kind":
    kind = KINDS.get(path.suffix.lower())
    if kind is None:
        raise ValueError(f"{path}: the suffix of a ledger is one of {', '.join(KINDS)}")
    return kind


def _about(rows: Any) -> dict[str, Any]:
    """What a file says of itself."""
    digest = hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()
    return {"kind": KIND, "schema": SCHEMA, "halfulp": version("halfulp"), "sha256": digest}


def _check_about(about: Any, rows: Any) -> None:
    given = about if isinstance(about, dict) else {}
    for key, needed in _about(rows).items():
        # another version reads what has the same schema
        if key != "halfulp" and given.get(key) != needed:
            changed = ": it was changed" if key == "sha256" else ""
            raise ValueError(f"{key} is {shown(given.get(key))}; needed: {needed!r}{changed}")


def _write_json(rows: list[Row]) -> bytes:
    # a record a line: what differs between two ledgers is seen by line
    head = json.dumps(_about(rows), indent=1).removesuffix("\n}")
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    return f'{head},\n "records": [\n{lines}\n]}}\n'.encode()


def _read_json(data: bytes) -> Any:
    found = json.loads(data)
    if not isinstance(found, dict):
        raise ValueError(f"{shown(found)} in the place of an object")
    rows = found.get("records")
    _check_about(found, rows)
    return rows


def _write_csv(rows: list[Row]) -> bytes:
    text = io.StringIO(newline="")
    # texts in quotes: a carriage return in a name would end the row
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow(row[name] if name in SCALARS else json.dumps(row[name]) for name in COLUMNS)
    return text.getvalue().encode()


def _read_csv(data: bytes) -> list[Row]:
    text = data.decode()
    if not text.endswith("\n"):
        raise ValueError("the last line has no end: the file was cut off")
    # the csv module refuses fields of more than 131,072 characters, which needs may have
    with _FIELD_LIMIT:
        before = csv.field_size_limit(len(text))
        try:
            lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
        except csv.Error as error:
            raise ValueError(str(error)) from None
        finally:
            csv.field_size_limit(before)
    header, *cells = lines
    check_names("the first line", header, COLUMNS)
    return [_row(number, header, line) for number, line in enumerate(cells)]


def _row(number: int, header: list[str], cells: list[str]) -> Row:
    if len(cells) != len(header):
        raise ValueError(f"record {number} has {len(cells)} cells; needed: {len(header)}")
    row: Row = {}
    for name, cell in zip(header, cells, strict=True):
        try:
            row[name] = cell if SCALARS.get(name) is str else json.loads(cell)
        except ValueError as error:
            raise ValueError(f"record {number}, {name}: {shown(cell)}: {error}") from None
    return row


def _schema() -> Any:
    import pyarrow as pa

    def struct(types: dict[str, type]) -> Any:
        return pa.struct([(name, scalar[kind]) for name, kind in types.items()])

    scalar = {int: pa.int64(), str: pa.string()}
    # an instruction leaves the parts of the others empty
    parts = {name: kind for types in ISSUES.values() for name, kind in types.items()}
    columns = {
        **{name: scalar[kind] for name, kind in SCALARS.items()},
        "shapes": pa.list_(pa.list_(pa.int64())),
        "formats": pa.list_(pa.string()),
        "issued": pa.list_(struct(parts)),
        "needs": pa.list_(pa.int64()),
        "parameters": pa.list_(struct(PARAMETER)),
    }
    return pa.schema([(name, columns[name]) for name in COLUMNS])


def _write_parquet(rows: list[Row]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema().with_metadata({KIND: json.dumps(_about(rows))})
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), out)
    return out.getvalue()


def _read_parquet(data: bytes) -> list[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(pa.BufferReader(data)).read()
        rows: list[Row] = table.to_pylist()
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise ValueError(f"it is no Parquet: {str(error).strip()}") from None
    check_names("the table", table.column_names, COLUMNS)
    if not table.schema.equals(_schema()):
        raise ValueError(f"its columns are {shown(str(table.schema))}; needed: {_schema()}")
    for row in rows:
        row["issued"] = [
            {name: part for name, part in (one or {}).items() if part is not None}
            for one in row["issued"] or ()
        ]
    about = (table.schema.metadata or {}).get(KIND.encode(), b"null")
    _check_about(json.loads(about), rows)
    return rows


class Kind(NamedTuple):
    """A kind of file: its bytes from rows, and rows from its bytes or ValueError."""

    write: Callable[[list[Row]], bytes]
    read: Callable[[bytes], Any]


#: By suffix.
KINDS = {
    ".json": Kind(_write_json, _read_json),
    ".csv": Kind(_write_csv, _read_csv),
    ".parquet": Kind(_write_parquet, _read_parquet),
}
