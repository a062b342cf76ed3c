"""A proof as a person runs it: watched, stopped, and gone on with."""

from collections.abc import Sequence
from pathlib import Path

from halfulp.study import verified
from halfulp.study.progress import WatchedParts, how_far
from halfulp.study.verification import Case, FunctionCase
from halfulp.study.verified import Finished


class Stopped(RuntimeError):
    """The person stopped the proof; the message says how far it was and what is kept."""


def run(cases: Sequence[Case] | Sequence[FunctionCase], path: Path | None) -> list[Finished]:
    """Each case's outcome: from the file where it stands for these sources, else judged now.

    Raises Stopped on Ctrl-C, Unreadable and FileNotWritten.
    """
    kept = {} if path is None else verified.read(path)
    finished: list[Finished] = []
    with WatchedParts(len(cases)) as progress:
        try:
            for case in cases:
                proven = verified.proven_here(case.layers)
                before = kept.get(str(case))
                if before is None or before.proven != proven:
                    progress.begin(str(case))
                    verdict = case.run(progress.part)
                    kept[str(case)] = verified.Finished.of(str(case), verdict, proven)
                    if path is not None:
                        verified.write(path, kept.values())
                finished.append(kept[str(case)])
                progress.finish(finished[-1], from_file=before is finished[-1])
        except KeyboardInterrupt as stop:
            raise Stopped(_stopped(progress, path)) from stop
    return finished


def _stopped(progress: WatchedParts, path: Path | None) -> str:
    where = f"{progress.now} at {progress.share:.0%}" if progress.now else "the beginning"
    text = f"stopped in {where}; {how_far(progress.done, progress.total, 'case')}"
    if path is None:
        return f"{text}; with --json FILE they are kept"
    return f"{text} and kept in {path}: the same command goes on from there"
