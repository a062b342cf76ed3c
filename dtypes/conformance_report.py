"""What the laws of rounding say of one cast: counts, the smallest failing inputs, a table."""

from dataclasses import KW_ONLY, asdict, dataclass
from typing import Any

from halfulp.dtypes.format import FloatFormat
from halfulp.dtypes.rounding import Overflow, Rounding


@dataclass(frozen=True)
class Law:
    """One law's verdict.

    checked   inputs that the law speaks of; 0 where it does not apply
    input     the failing one of the smallest magnitude, as the source's pattern and value
    """

    name: str
    checked: int
    wrong: int = 0
    input: str = ""
    got: str = ""
    wanted: str = ""


@dataclass(frozen=True)
class Report:
    """The verdicts on one cast. `ok` when no law is broken; `str()` is a table.

    instead   where the overflow law is broken: the policies that every answer past the largest
              value follows; none when they follow no policy
    """

    fmt: FloatFormat
    _: KW_ONLY
    rounding: Rounding
    overflow: Overflow
    source: str
    level: int
    laws: tuple[Law, ...]
    instead: tuple[Overflow, ...] = ()

    @property
    def ok(self) -> bool:
        return not any(law.wrong for law in self.laws)

    def law(self, name: str) -> Law:
        """The verdict of one law. Raises KeyError for a name that no law has."""
        return {law.name: law for law in self.laws}[name]

    def as_json(self) -> dict[str, Any]:
        """The verdicts as what JSON can hold."""
        choices = (self.fmt, self.rounding, self.overflow, self.source)
        named = zip(("format", "rounding", "overflow", "source"), map(str, choices), strict=True)
        return {
            "kind": "halfulp conformance",
            "schema": 1,
            **dict(named),
            "level": self.level,
            "ok": self.ok,
            "laws": [asdict(law) for law in self.laws],
            "instead": [str(policy) for policy in self.instead],
        }

    def __str__(self) -> str:
        head = ("law", "checked", "wrong", "smallest failing input", "got", "wanted")
        rows = [head] + [
            (law.name, f"{law.checked:,}", f"{law.wrong:,}", law.input, law.got, law.wanted)
            for law in self.laws
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
        lines = [f"{self.source} to {self.fmt}, {self.rounding}, overflow {self.overflow}"]
        for row in rows:
            cells = [
                cell.rjust(width) if column in (1, 2) else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append("  ".join(cells).rstrip())
        if self.instead:
            lines.append(f"past the largest value it does as overflow {', '.join(self.instead)}")
        return "\n".join([*lines, "all laws hold" if self.ok else "NOT CONFORMING"])
