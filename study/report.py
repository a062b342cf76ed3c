"""A sweep as text: a table for people, JSON and CSV for programs."""

import csv
import io
import itertools
import json
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from halfulp.dtypes.wording import counted
from halfulp.study.result import COLUMNS, Reference, Row, Sweep

_NO_VALUE = "-"
_EXACT = "exact"


@dataclass(frozen=True)
class Column:
    """A column of the table; on a narrow terminal those of the highest `rank` go first."""

    title: str
    text: Callable[[Row], str]
    rank: int
    left: bool = False


def to_json(sweep: Sweep) -> str:
    """The whole sweep as one JSON object; values that are not finite are null."""
    return json.dumps(sweep.as_json(), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def to_csv(sweep: Sweep) -> str:
    """The rows as CSV under a line of column names; a value that is not finite is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in sweep.rows:
        values = row.as_json()
        values["assumptions"] = "; ".join(row.assumptions)
        values["collapsed"] = str(row.collapsed).lower()
        writer.writerow([values.get(name) for name in COLUMNS])
    return text.getvalue()


def to_text(sweep: Sweep, *, width: int, color: bool = False) -> str:
    """The tables, one a model and task, then what was refused, assumed and noticed.

    Columns that do not fit into `width` characters are left out, and the text says so.
    """
    references = {(r.model, r.task): r for r in sweep.references}
    groups = [list(group) for _, group in itertools.groupby(sweep.rows, _workload)]
    columns = list(TABLE)
    while True:
        tables = [_table(columns, rows, references.get(_workload(rows[0]))) for rows in groups]
        needed = max((_natural_width(table) for table in tables), default=0)
        if needed <= width or all(column.rank == 0 for column in columns):
            break
        columns.remove(max(columns, key=lambda column: column.rank))
    # A number cut short would be another number: rather a line that is too long.
    out = io.StringIO()
    console = Console(
        file=out, width=max(needed, width), force_terminal=color, highlight=False, emoji=False
    )
    for table in tables:
        console.print(table)
        console.print()
    for line in _remarks(sweep, [column for column in TABLE if column not in columns]):
        console.print(textwrap.fill(line, width, subsequent_indent="  "), markup=False)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _workload(row: Row) -> tuple[str, str]:
    return row.model, row.task


def _natural_width(table: Table) -> int:
    return Console(width=1000).measure(table).maximum


def _table(columns: list[Column], rows: list[Row], reference: Reference | None) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.title, table.title_justify, table.title_style = _title(rows[0], reference), "left", "bold"
    shown = [column for column in columns if rows[0].detection or column.title != "AUC"]
    for column in shown:
        table.add_column(column.title, justify="left" if column.left else "right", no_wrap=True)
    for _, chip in itertools.groupby(rows, lambda row: row.chip):
        for row in chip:
            cells = [escape(column.text(row)) for column in shown]
            table.add_row(*cells, style="red" if row.collapsed else "")
        table.add_section()
    return table


def _title(row: Row, reference: Reference | None) -> str:
    samples = counted(row.samples, "token" if row.detection else "sample")
    title = f"{row.model}, {row.task}, {samples}"
    if reference is not None and reference.accuracy is not None:
        title += f"; torch float32: {_percent(reference.accuracy)} %"
        if reference.auc is not None:
            title += f", AUC {reference.auc:.4f}"
    return escape(title)


def _remarks(sweep: Sweep, left_out: list[Column]) -> Iterator[str]:
    if left_out and sweep.rows:
        names = ", ".join(column.title for column in left_out)
        yield f"not shown at this width: {names} (--csv and --json have them)"
    if any(row.collapsed for row in sweep.rows):
        yield "!: the model no longer tells samples apart (NaN logits, or one class for all)"
    for rate, source in dict.fromkeys((_peak(row), row.peak_source) for row in sweep.rows):
        yield f"peak, {rate}: {source}"
    for source in dict.fromkeys(row.rate_source for row in sweep.rows):
        yield f"ms, USD/M (USD for a million sequences): {source}"
    assumptions = dict.fromkeys(itertools.chain(*(row.assumptions for row in sweep.rows)))
    if assumptions:
        yield "assumed, by policy in --json:"
    for assumption in assumptions:
        yield f"- {assumption}"
    for refusal in dict.fromkeys((r.policy, r.chip, r.reason) for r in sweep.refused):
        yield f"refused: {refusal[0]} on {refusal[1]}: {refusal[2]}"
    for notice in sweep.notices:
        yield f"notice: {notice}"


def _percent(share: float | None) -> str:
    return _NO_VALUE if share is None else f"{100 * share:.2f}"


def _interval(row: Row) -> str:
    return f"{_percent(row.accuracy_low)}..{_percent(row.accuracy_high)}"


def _number(value: float | None, form: str) -> str:
    return _NO_VALUE if value is None else format(value, form)


def _small(value: float | None) -> str:
    return "0" if value == 0 else _number(value, ".2g" if value and value < 1e-3 else ".4f")


def _sqnr(row: Row) -> str:
    return _EXACT if row.relative_error == 0 else _number(row.sqnr_db, ".1f")


def count(value: int) -> str:
    """A count in at most five characters: 999, 12.3k, 4.5M."""
    if value < 1000:
        return str(value)
    power = 1
    while value >= 999.5 * 1000**power:
        power += 1
    scaled = value / 1000**power
    digits = 1 if scaled < 99.95 else 0
    return f"{scaled:.{digits}f}{'kMGTP'[power - 1]}"


def _peak(row: Row) -> str:
    return _NO_VALUE if row.peak_tops is None else f"{row.peak_tops:g} {row.peak_unit}"


def _accuracy(row: Row) -> str:
    return f"{'! ' if row.collapsed else ''}{_percent(row.accuracy)}"


TABLE = (
    Column("chip", lambda row: row.chip, 0, left=True),
    Column("policy", lambda row: row.policy, 0, left=True),
    Column("peak", _peak, 0),
    Column("ms", lambda row: _number(row.latency_ms, ".2f"), 0),
    Column("USD/M", lambda row: _number(row.usd_per_million, ".3g"), 6),
    Column("acc. %", _accuracy, 0),
    Column("95 % interval", _interval, 6),
    Column("AUC", lambda row: _number(row.auc, ".4f"), 1),
    Column("flips %", lambda row: _percent(row.flips), 0),
    Column("p", lambda row: _number(row.flips_p, ".2g"), 5),
    Column("rel. error", lambda row: _small(row.relative_error), 4),
    Column("SQNR dB", _sqnr, 0),
    Column("KL nat", lambda row: _small(row.kl_divergence), 7),
    Column("overflow", lambda row: count(row.overflow), 2),
    Column("underflow", lambda row: count(row.underflow), 8),
    Column("NaN", lambda row: count(row.nan), 3),
    Column("infinity", lambda row: count(row.infinity), 9),
    Column("s", lambda row: f"{row.seconds:.1f}", 10),
)
