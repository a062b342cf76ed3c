"""What a sweep is doing, on stderr: a bar on a terminal, elsewhere a line for each cell."""

from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Column

from halfulp.study.result import Cell, Row


class Progress(Protocol):
    """Told by the sweep what it begins, how far it is in it, and what came of it."""

    def begin(self, what: str) -> None:
        """`what` runs now."""

    def part(self, share: float) -> None:
        """Of what runs now, `share` (0 to 1) is done."""

    def finish(self, cell: Cell, row: Row, *, kept: bool) -> None:
        """A cell has its row; `kept` when it came from the store."""

    def skip(self, count: int, reason: str) -> None:
        """`count` cells have no row, for this reason."""


class Silent:
    """Says nothing."""

    def begin(self, what: str) -> None: ...

    def part(self, share: float) -> None: ...

    def finish(self, cell: Cell, row: Row, *, kept: bool) -> None: ...

    def skip(self, count: int, reason: str) -> None: ...


SILENT: Progress = Silent()


class Watched:
    """Progress for a person; a context manager, `total` cells long."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.from_store = total, 0, 0
        self.console = Console(stderr=True, highlight=False)
        self._bar = Bar(
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn(
                "{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis")
            ),
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

    def begin(self, what: str) -> None:
        self._bar.update(self._task, completed=self.done, description=escape(what))

    def part(self, share: float) -> None:
        self._bar.update(self._task, completed=self.done + min(share, 0.99))

    def finish(self, cell: Cell, row: Row, *, kept: bool) -> None:
        self.from_store += kept
        self._advance(1, f"{cell}: {describe(row)}{', from the store' if kept else ''}")

    def skip(self, count: int, reason: str) -> None:
        self._advance(count, f"left out: {reason}")

    def _advance(self, count: int, line: str) -> None:
        self.done += count
        self._bar.update(self._task, completed=self.done)
        if not self.console.is_terminal:
            # soft_wrap: a log keeps one line a cell, however narrow rich takes it to be.
            self.console.print(f"[{self.done}/{self.total}] {line}", markup=False, soft_wrap=True)


def describe(row: Row) -> str:
    """The row in one line."""
    accuracy = "no accuracy" if row.accuracy is None else f"accuracy {100 * row.accuracy:.2f} %"
    flips = "" if row.flips is None else f", flips {100 * row.flips:.2f} %"
    collapsed = ", collapsed" if row.collapsed else ""
    return f"{accuracy}{flips}{collapsed}, {row.seconds:.1f} s"
