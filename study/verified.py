"""What the proof found, case by case: the file that keeps it, and the table."""

import datetime
import functools
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from math import log2
from pathlib import Path
from typing import Any

from halfulp.dtypes.exhaustive import Verdict
from halfulp.dtypes.intervals import number
from halfulp.engines.function_proof import FunctionVerdict
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
    proven     digest of what was judged and where: sources, compiler, processor
    hardest    of a function: the input nearest to a tie, and that distance
    """

    case: str
    inputs: int
    wrong: int
    first: tuple[str, ...]
    seconds: float
    finished: str
    proven: str
    hardest: str = ""

    @classmethod
    def of(cls, case: str, verdict: Verdict | FunctionVerdict, proven: str) -> "Finished":
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        first, seconds = tuple(map(str, verdict.first)), round(verdict.seconds, 2)
        hardest = _hardest(verdict) if isinstance(verdict, FunctionVerdict) else ""
        return cls(case, verdict.inputs, verdict.wrong, first, seconds, now, proven, hardest)

    def __str__(self) -> str:
        return f"{self.case}: {self.wrong:,} wrong of {self.inputs:,}, {self.seconds:.1f} s"


def _hardest(verdict: FunctionVerdict) -> str:
    """As the table says it."""
    if verdict.hardest is None:
        return ""
    pattern, distance = verdict.hardest
    x = number(pattern)
    return f"{x.hex()} (2^{log2(distance):.1f} of a unit)" if distance else f"{x.hex()} (a tie)"


@functools.cache
def proven_here(layers: tuple[str, ...]) -> str:
    """Digest of all that decides a case's outcome: it stands as long as this does."""
    digest = hashlib.sha256()
    for layer in layers:
        for file in sorted((package_folder() / layer).glob("*.py")):
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
        # files of earlier versions have no `hardest`
        whole = [{"hardest": "", **row} for row in data["cases"]]
        rows = [Finished(**{name: row[name] for name in names}) for row in whole]
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
    hardest = any(case.hardest for case in cases)
    lines = [["case", "inputs", "wrong", "seconds", *(["nearest to a tie"] if hardest else [])]]
    for case in cases:
        line = [case.case, f"{case.inputs:,}", f"{case.wrong:,}", f"{case.seconds:.1f}"]
        lines.append([*line, *([case.hardest] if hardest else [])])
    wrong = [f"\n{case.case}\n  " + "\n  ".join(case.first) + "\n" for case in cases if case.wrong]
    return aligned(lines) + "".join(wrong)
