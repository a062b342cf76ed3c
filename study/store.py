"""Finished cells, kept in one SQLite table: a sweep that was stopped goes on from it.

A cell is found again by the hash of all that decides its numbers: weights, data, split, samples,
task, policy as data, chip, and the sources that computed it. Two sweeps may write at once, and
either may be killed at any moment: a cell is in the table whole, or is not.
"""

import contextlib
import hashlib
import json
import sqlite3
import time
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import platformdirs

from halfulp.study.files import why
from halfulp.study.result import Outcomes

_APPLICATION_ID = 0x68756C70  # "hulp", so that another program's database is never written to
_VERSION = 1
_BUSY_S = 60.0
_MAGIC = b"HUO1"
_SAMPLE_BYTES = 12

_CREATE = """
CREATE TABLE IF NOT EXISTS cells (
  key TEXT PRIMARY KEY NOT NULL,
  model TEXT NOT NULL, task TEXT NOT NULL, policy TEXT NOT NULL, chip TEXT NOT NULL,
  samples INTEGER NOT NULL,
  identity TEXT NOT NULL,  -- JSON: what the key is the hash of
  finished TEXT NOT NULL,  -- UTC, ISO 8601
  row TEXT NOT NULL,       -- JSON
  outcomes BLOB NOT NULL   -- pack_outcomes
)"""


class StoreError(RuntimeError):
    """The store cannot be opened, read or written; the message names its path and what to do."""


def default_path() -> Path:
    """The store of this user, in the user's data folder."""
    return platformdirs.user_data_path("halfulp") / "cells.sqlite"


def cell_key(identity: dict[str, Any]) -> str:
    """The SHA-256 of an identity's canonical JSON."""
    return hashlib.sha256(_canonical(identity).encode()).hexdigest()


def _canonical(data: dict[str, Any]) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)


def pack_outcomes(outcomes: Outcomes) -> bytes:
    """Outcomes as bytes: magic, count, then labels, predictions, margins, deflated.

    Little-endian int32, int32, float32: at most 12 bytes a sample and some twenty in all.
    """
    columns = (("<i4", outcomes.labels), ("<i4", outcomes.predictions), ("<f4", outcomes.margins))
    body = b"".join(values.astype(kind).tobytes() for kind, values in columns)
    return _MAGIC + len(outcomes.labels).to_bytes(4, "little") + zlib.compress(body, 6)


def unpack_outcomes(blob: bytes) -> Outcomes:
    """Outcomes from the bytes of `pack_outcomes`.

    Raises ValueError for any other bytes; never takes more memory than the count says.
    """
    count = int.from_bytes(blob[4:8], "little")
    size = count * _SAMPLE_BYTES
    if len(blob) < 8 or blob[:4] != _MAGIC or size > 1032 * len(blob):
        raise ValueError("not the outcomes of a cell")
    stream = zlib.decompressobj()
    try:
        body = stream.decompress(blob[8:], size + 1)
    except zlib.error as error:
        raise ValueError(f"damaged outcomes of a cell: {error}") from error
    if len(body) != size or not stream.eof:
        raise ValueError(f"damaged outcomes of a cell: {len(body)} bytes for {count} samples")
    labels, predictions = (np.frombuffer(body, "<i4", count, i * 4 * count) for i in range(2))
    margins = np.frombuffer(body, "<f4", count, 8 * count)
    return Outcomes(
        labels.astype(np.int32), predictions.astype(np.int32), margins.astype(np.float32)
    )


def choose_journal(database: sqlite3.Connection) -> str:
    """Set and return the journal mode: "wal", or "delete" where the file system lacks its needs.

    Both are safe when the process is killed; with the log a second sweep also reads on meanwhile.
    """
    deadline = time.monotonic() + _BUSY_S
    while True:
        try:
            return str(database.execute("PRAGMA journal_mode = WAL").fetchone()[0])
        except sqlite3.OperationalError as error:
            # SQLite does not wait for a lock here by itself.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                break
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    return str(database.execute("PRAGMA journal_mode = DELETE").fetchone()[0])


class Store:
    """The table of finished cells in one file; made when it is missing. A context manager.

    Raises StoreError when the file is no store, is damaged, or its place takes no files.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notice: str | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"cannot make the folder of the store {path}: {why(error)}") from error
        with self._errors("open"):
            self._database = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
        try:
            with self._errors("open"):
                self._prepare()
        except BaseException:
            self._database.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what was put stays."""
        self._database.close()

    def row(self, key: str) -> dict[str, Any] | None:
        """The row of a finished cell, or None when it is not finished."""
        text = self._value("row", key)
        try:
            return None if text is None else dict(json.loads(text))
        except (TypeError, ValueError) as error:
            raise self._damaged(error) from error

    def outcomes(self, key: str) -> Outcomes | None:
        """Each sample's outcome of a finished cell, or None when it is not finished."""
        blob = self._value("outcomes", key)
        try:
            return None if blob is None else unpack_outcomes(blob)
        except (TypeError, ValueError) as error:
            raise self._damaged(error) from error

    def put(self, identity: dict[str, Any], row: dict[str, Any], outcomes: Outcomes) -> None:
        """Keep a finished cell; it is on the disk when this returns, and replaces an older one."""
        values = (
            cell_key(identity),
            *(row[name] for name in ("model", "task", "policy", "chip", "samples")),
            _canonical(identity),
            datetime.now(UTC).isoformat(timespec="seconds"),
            json.dumps(row, allow_nan=False),
            pack_outcomes(outcomes),
        )
        with self._errors("write"):
            self._database.execute(
                "INSERT OR REPLACE INTO cells VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values
            )

    def __len__(self) -> int:
        with self._errors("read"):
            return int(self._database.execute("SELECT count(*) FROM cells").fetchone()[0])

    def _value(self, column: str, key: str) -> Any:
        with self._errors("read"):
            found = self._database.execute(f"SELECT {column} FROM cells WHERE key = ?", (key,))
            line = found.fetchone()
        return None if line is None else line[0]

    def _prepare(self) -> None:
        database = self._database
        # Tables first: another process may make the store between these two lines.
        tables = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        application = database.execute("PRAGMA application_id").fetchone()[0]
        if application != _APPLICATION_ID and (application != 0 or tables != 0):
            raise StoreError(f"{self.path} is the database of another program; name another file")
        if application == _APPLICATION_ID:
            self._check()
        mode = choose_journal(database)
        if mode != "wal":
            self.notice = f"{self.path}: no write-ahead log here, journal mode {mode} is used"
        database.execute("PRAGMA synchronous = FULL")
        if tables == 0:
            # One transaction: a file killed half-made would belong to nobody.
            database.executescript(
                f"BEGIN IMMEDIATE; {_CREATE}; PRAGMA user_version = {_VERSION};"
                f" PRAGMA application_id = {_APPLICATION_ID}; COMMIT;"
            )

    def _check(self) -> None:
        version = self._database.execute("PRAGMA user_version").fetchone()[0]
        if version != _VERSION:
            raise StoreError(
                f"{self.path} is a store of version {version}, this halfulp reads {_VERSION};"
                " name another file"
            )
        verdict = self._database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise self._damaged(verdict)

    def _damaged(self, reason: object) -> StoreError:
        return StoreError(
            f"the store {self.path} is damaged ({reason}); move it away or name another file:"
            " its cells are then computed again"
        )

    @contextlib.contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
            if code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise self._damaged(error) from error
            reason = _REASONS.get(code & 0xFF, str(error))
            raise StoreError(f"cannot {doing} the store {self.path}: {reason}") from error


_KEPT = "cells that were finished before are kept"
_REASONS = {
    sqlite3.SQLITE_FULL: f"no space there; {_KEPT}",
    # A limit on the file's size or a full disk under the log's index comes as an I/O error.
    sqlite3.SQLITE_IOERR: f"no space there, or the disk fails (I/O error); {_KEPT}",
    sqlite3.SQLITE_BUSY: f"another process held it for {_BUSY_S:.0f} s; {_KEPT}",
    sqlite3.SQLITE_READONLY: "this user may not write it; name another file",
    sqlite3.SQLITE_CANTOPEN: "no file can be opened or made there; name another file",
}
