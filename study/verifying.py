"""A proof as a person runs it: watched, stopped, and gone on with."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from halfulp.study import verified
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
    with Watched(len(cases)) as progress:
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


def _stopped(progress: "Watched", path: Path | None) -> str:
    where = f"{progress.now} at {progress.share:.0%}"
    text = f"stopped in {where}; {progress.done} of {progress.total} cases are finished"
    if path is None:
        return f"{text}; with --json FILE they are kept"
    return f"{text} and kept in {path}: the same command goes on from there"


class Watched:
    """A bar on a terminal, elsewhere a line for each case; on stderr."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.now, self.share = total, 0, "", 0.0
        self.console = Console(stderr=True, highlight=False)
        self._bar = Progress(
            TextColumn("{task.completed:.2f}/{task.total:.0f}"),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.description}", markup=False),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def begin(self, case: str) -> None:
        """This case runs now."""
        self.now = case
        self._bar.update(self._task, description=case)
        self.part(0.0)

    def part(self, share: float) -> None:
        """Of it, `share` is done."""
        self.share = share
        self._bar.update(self._task, completed=self.done + share)

    def finish(self, case: Finished, *, from_file: bool) -> None:
        """A case has its outcome."""
        self.done += 1
        self._bar.update(self._task, completed=self.done)
        if not self.console.is_terminal:
            line = f"[{self.done}/{self.total}] {case}{', from the file' if from_file else ''}"
            self.console.print(line, markup=False, soft_wrap=True)
