"""A number about hardware: with its unit, who says it, and since when."""

import math
from dataclasses import dataclass
from datetime import date

#: Units that a fact may have; bytes are bytes, powers of ten are written out.
UNITS = ("1", "Hz", "bytes", "bytes/s", "ops/s", "USD/h", "s")


@dataclass(frozen=True)
class Fact:
    """A number with its source.

    value     in `unit`, greater than zero
    unit      one of `UNITS`
    source    who says so: a document, or "assumed: " and from what
    as_of     day on which the source said so, or of the document that was read

    Raises TypeError, ValueError for a number that is none, an unknown unit or an empty source.
    """

    value: float
    unit: str
    source: str
    as_of: date

    def __post_init__(self) -> None:
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise TypeError(f"value={self.value!r}; needed: a number")
        if not (math.isfinite(self.value) and self.value > 0):
            raise ValueError(f"value={self.value!r}; needed: a finite number greater than zero")
        if self.unit not in UNITS:
            raise ValueError(f"unit={self.unit!r}; allowed: {', '.join(UNITS)}")
        if not isinstance(self.source, str) or not self.source.strip():
            raise ValueError(f"source={self.source!r}; needed: who says so")
        if not isinstance(self.as_of, date):
            raise TypeError(f"as_of={self.as_of!r}; needed: a date")

    @property
    def is_assumed(self) -> bool:
        """Whether no document says it."""
        return self.source.startswith("assumed")


def check_unit(fact: Fact | None, unit: str, name: str) -> None:
    """Raise TypeError, ValueError for what is no fact, or one of another unit; None passes."""
    if fact is None:
        return
    if not isinstance(fact, Fact):
        raise TypeError(f"{name}={fact!r}; needed: a Fact")
    if fact.unit != unit:
        raise ValueError(f"{name} is in {fact.unit}; needed: {unit}")
