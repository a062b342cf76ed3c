"""What the proof found, case by case: the file that keeps it, and the table."""

import datetime
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from halfulp.dtypes.exhaustive import Verdict
from halfulp.study.catalog import aligned
from halfulp.study.files import write_whole
from halfulp.study.provenance import cpu_name, package_folder, usable_cores, version

SCHEMA = 1
_KIND = "halfulp verify"


class Unreadable(RuntimeError):
    """A file that is no file of finished cases; it is not touched."""


@dataclass(frozen=True)
class Finished:
    """A finished case.

    inputs     how many were judged: float32 patterns, or pairs of an input and a draw
    first      the first wrong ones, in words
    finished   when, UTC
    proven     digest of what was judged and where: sources of the casts, compiler, processor
    """

    case: str
    inputs: int
    wrong: int
    first: tuple[str, ...]
    seconds: float
    finished: str
    proven: str

    @classmethod
    def of(cls, case: str, verdict: Verdict, proven: str) -> "Finished":
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        first, seconds = tuple(map(str, verdict.first)), round(verdict.seconds, 2)
        return cls(case, verdict.inputs, verdict.wrong, first, seconds, now, proven)

    def __str__(self) -> str:
        return f"{self.case}: {self.wrong:,} wrong of {self.inputs:,}, {self.seconds:.1f} s"


def proven_here() -> str:
    """Digest of all that decides what the casts give: a finished case stands as long as it does."""
    digest = hashlib.sha256()
    folder = package_folder() / "dtypes"
    for file in sorted(folder.glob("*.py")):
        digest.update(f"{file.name}\n".encode())
        digest.update(file.read_bytes())
    made_by = (version("numpy"), version("numba"), version("llvmlite"), version("ml_dtypes"))
    digest.update(repr((made_by, cpu_name())).encode())
    return digest.hexdigest()


def read(path: Path) -> dict[str, Finished]:
    """The finished cases of a file, by their names; none when there is no file.

    Raises Unreadable.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise Unreadable(f"{path} cannot be read ({error}); name another file") from error
    try:
        if data["kind"] != _KIND or data["schema"] != SCHEMA:
            raise KeyError("kind, schema")
        names = [field.name for field in fields(Finished)]
        rows = [Finished(**{name: row[name] for name in names}) for row in data["cases"]]
    except (KeyError, TypeError) as error:
        message = f"{path} holds no finished cases of this version; name another file"
        raise Unreadable(message) from error
    return {row.case: row for row in rows}


def write(path: Path, cases: Iterable[Finished]) -> None:
    """Write the file whole. Raises FileNotWritten."""
    path_text = json.dumps(as_json(cases), indent=1) + "\n"
    write_whole(path, path_text.encode())


def as_json(cases: Iterable[Finished]) -> dict[str, Any]:
    rows = [asdict(case) for case in cases]
    machine = {"cpu": cpu_name(), "cores": usable_cores()}
    return {"kind": _KIND, "schema": SCHEMA, **machine, "cases": rows}


def to_text(cases: Sequence[Finished]) -> str:
    """A line for each case, and below the first wrong inputs."""
    lines = [["case", "inputs", "wrong", "seconds"]]
    for case in cases:
        lines.append([case.case, f"{case.inputs:,}", f"{case.wrong:,}", f"{case.seconds:.1f}"])
    wrong = [f"\n{case.case}\n  " + "\n  ".join(case.first) + "\n" for case in cases if case.wrong]
    return aligned(lines) + "".join(wrong)
