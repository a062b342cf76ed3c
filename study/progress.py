"""What a long command is doing, on stderr: a bar on a terminal, elsewhere a line for each part."""

from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Column

from halfulp.dtypes.wording import are, counted
from halfulp.study.result import Cell, Row


class Progress(Protocol):
    """Told by the sweep what it begins, how far it is in it, and what came of it."""

    def begin(self, what: str) -> None:
        """`what` runs now."""

    def announce(self, what: str) -> None:
        """`what` runs now, and is long: it has a line of its own in a log too."""

    def part(self, share: float) -> None:
        """Of what runs now, `share` (0 to 1) is done."""

    def finish(self, cell: Cell, row: Row, *, kept: bool) -> None:
        """A cell has its row; `kept` when it came from the store."""

    def skip(self, count: int, reason: str) -> None:
        """`count` cells have no row, for this reason."""


class Silent:
    """Says nothing."""

    def begin(self, what: str) -> None: ...

    def announce(self, what: str) -> None: ...

    def part(self, share: float) -> None: ...

    def finish(self, cell: Cell, row: Row, *, kept: bool) -> None: ...

    def skip(self, count: int, reason: str) -> None: ...


SILENT: Progress = Silent()


class _Watching:
    """A bar on a terminal, elsewhere lines; a context manager, `total` parts long.

    done   how many parts are
    """

    def __init__(self, total: int, done: TextColumn, what: TextColumn) -> None:
        self.total, self.done = total, 0
        self.console = Console(stderr=True, highlight=False)
        self._bar = Bar(
            done,
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            what,
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

    def _line(self, text: str) -> None:
        """One line where there is no terminal, however narrow rich takes the log to be."""
        if not self.console.is_terminal:
            line = f"[{self.done}/{self.total}] {text}"
            self.console.print(line, markup=False, soft_wrap=True)


class Watched(_Watching):
    """Progress for a person; a context manager, `total` cells long."""

    def __init__(self, total: int) -> None:
        name = Column(no_wrap=True, overflow="ellipsis")
        super().__init__(
            total,
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("{task.description}", table_column=name),
        )
        self.from_store = 0

    def begin(self, what: str) -> None:
        self._bar.update(self._task, completed=self.done, description=escape(what))

    def announce(self, what: str) -> None:
        self.begin(what)
        self._line(f"{what} ...")

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
        self._line(line)


class WatchedParts(_Watching):
    """Progress of equal parts, each named by a line, for a person; a context manager."""

    def __init__(self, total: int) -> None:
        super().__init__(
            total,
            TextColumn("{task.completed:.2f}/{task.total:.0f}"),
            TextColumn("{task.description}", markup=False),
        )
        self.now, self.share = "", 0.0

    def begin(self, part: str) -> None:
        """This part runs now."""
        self.now = part
        self._bar.update(self._task, description=part)
        self.part(0.0)

    def announce(self, what: str) -> None:
        """`what`, which is no part, runs now, and has a line of its own in a log too."""
        self.begin(what)
        self._line(f"{what} ...")

    def part(self, share: float) -> None:
        """Of it, `share` is done."""
        self.share = share
        self._bar.update(self._task, completed=self.done + share)

    def finish(self, part: object, *, from_file: bool) -> None:
        """A part has its outcome, which `str()` tells."""
        self.done += 1
        self._bar.update(self._task, completed=self.done)
        self._line(f"{part}{', from the file' * from_file}")


def how_far(done: int, total: int, thing: str) -> str:
    """How far it is: "1 of 15 alternatives is finished"."""
    go = are(1 if total == 1 else done)
    return f"{done:,} of {counted(total, thing)} {go} finished"


def describe(row: Row) -> str:
    """The row in one line."""
    accuracy = "no accuracy" if row.accuracy is None else f"accuracy {100 * row.accuracy:.2f} %"
    flips = "" if row.flips is None else f", flips {100 * row.flips:.2f} %"
    collapsed = ", collapsed" if row.collapsed else ""
    return f"{accuracy}{flips}{collapsed}, {row.seconds:.1f} s"
