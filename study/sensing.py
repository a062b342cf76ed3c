"""A study of sensitivity as a person runs it: watched, stopped, and gone on with."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from halfulp.engines import NeuronCore
from halfulp.study.files import FileNotWritten, write_whole
from halfulp.study.progress import WatchedParts, how_far
from halfulp.study.provenance import source_sha256, version
from halfulp.study.sensitivity import ASSUMED, Finding, Subject, findings

SCHEMA = 2  # of the JSON
KIND = "halfulp sensitivity"


class Stopped(RuntimeError):
    """The person stopped the study; the message says how far it was and what is kept."""

    def __init__(self, message: str, found: list[Finding]) -> None:
        super().__init__(message)
        self.found = found


class Record:
    """The file of a study, written whole after each finding; none where `path` is None.

    about     what was asked; with the sources that answer, all that decides a finding
    failure   why it could not be written the last time
    """

    def __init__(self, path: Path | None, about: Mapping[str, Any]) -> None:
        libraries = ("numpy", "ml_dtypes", "torch", "transformers")
        made = {"source_sha256": source_sha256(), **{name: version(name) for name in libraries}}
        head = {"kind": KIND, "schema": SCHEMA, **about, "made": made}
        self.path, self.failure = path, ""
        self._head: dict[str, Any] = json.loads(json.dumps(head))

    def kept(self) -> dict[str, Finding]:
        """The findings of the same study by their names; none in a file of another."""
        if self.path is None:
            return {}
        try:
            body = json.loads(self.path.read_text(encoding="utf-8"))
            found, _ = body.pop("found"), body.pop("unfinished")
            if body != self._head:
                return {}
            names = [field.name for field in fields(Finding)]
            kept = [Finding(**{name: one[name] for name in names}) for one in found]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}
        return {finding.name: finding for finding in kept}

    def write(self, found: Sequence[Finding], *, unfinished: bool) -> None:
        if self.path is None:
            return
        rows = [one.as_json() for one in found]
        body = {**self._head, "unfinished": unfinished, "found": rows}
        try:
            write_whole(self.path, (json.dumps(body, indent=1) + "\n").encode())
            self.failure = ""
        except FileNotWritten as error:
            # what is found is printed all the same
            self.failure = str(error)


def run(
    subject: Subject, core: NeuronCore, record: Record, progress: WatchedParts
) -> list[Finding]:
    """Each finding: from the record where it has it, else found now.

    Raises Stopped on Ctrl-C.
    """
    kept = record.kept()
    found: dict[str, Finding] = {}

    def begin(what: str) -> None:
        (progress.announce if what == ASSUMED else progress.begin)(what)

    try:
        for finding in findings(subject, core, kept, begin):
            found[finding.name] = finding
            if finding.name not in kept:
                # those that are still to be read stay in the file
                whole = list((found | kept).values())
                record.write(whole, unfinished=len(whole) < progress.total)
            progress.finish(finding, from_file=finding.name in kept)
    except KeyboardInterrupt as stop:
        all_ = list((found | kept).values())
        raise Stopped(_stopped(progress, record, len(all_)), all_) from stop
    return list(found.values())


def _stopped(progress: WatchedParts, record: Record, done: int) -> str:
    where = f"stopped in {progress.now}" if progress.now else "stopped"
    text = f"{where}; {how_far(done, progress.total, 'alternative')}"
    if record.path is None:
        return f"{text}; with --json FILE they are kept"
    if record.failure or not done:
        return text
    return f"{text} and kept in {record.path}: the same command goes on from there"
