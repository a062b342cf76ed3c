"""What a sweep gives, as data: one row a cell, the float32 references, refusals and provenance."""

import dataclasses
import enum
import math
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

SCHEMA = 1


@dataclass(frozen=True)
class Cell:
    """One question of a sweep: this model on this task under this policy on this chip, by name."""

    model: str
    task: str
    policy: str
    chip: str

    def __str__(self) -> str:
        return f"{self.model}, {self.task}: {self.policy} on {self.chip}"


@dataclass(frozen=True)
class Row:
    """The answer: the columns of the table, of the JSON rows and of the CSV, in their order.

    Shares are 0 to 1; None stands for a value that is not finite, or that nobody states (a peak).
    overflow, underflow, nan and infinity count values of all engine instructions, and seconds
    is the wall time of the emulated forward passes, compilation of kernels in the first included.
    """

    model: str
    task: str
    policy: str
    chip: str
    samples: int
    accuracy: float | None
    accuracy_low: float | None
    accuracy_high: float | None
    flips: float | None
    flips_p: float | None
    kl_divergence: float | None
    relative_error: float | None
    sqnr_db: float | None
    overflow: int
    underflow: int
    nan: int
    infinity: int
    collapsed: bool
    peak_tops: float | None
    peak_unit: str | None
    peak_source: str
    latency_ms: float | None
    latency_low_ms: float | None
    latency_high_ms: float | None
    roofline_ms: float | None
    sequences_per_s: float | None
    usd_per_million: float | None
    rate_source: str
    seconds: float
    assumptions: tuple[str, ...]
    auc: float | None = None
    detection: bool = field(default=False, metadata={"column": False})

    @property
    def cell(self) -> Cell:
        return Cell(self.model, self.task, self.policy, self.chip)

    def as_json(self) -> dict[str, Any]:
        """The row as JSON has it: `auc` stands in the row of a detection and in no other."""
        row = {name: getattr(self, name) for name in COLUMNS}
        row["assumptions"] = list(self.assumptions)
        if not self.detection:
            del row["auc"]
        return row

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> "Row":
        """The row again from `as_json`.

        Raises ValueError when a column is missing or too many.
        """
        odd = (set(row) ^ set(COLUMNS)) - {"auc"}
        if odd:
            raise ValueError(f"the row misses or adds columns: {', '.join(sorted(odd))}")
        values = {**row, "assumptions": tuple(row["assumptions"])}
        return cls(**values, detection="auc" in row)


COLUMNS = tuple(f.name for f in dataclasses.fields(Row) if f.metadata.get("column", True))


@dataclass(frozen=True)
class Reference:
    """What the unmodified model does in torch float32 on the same samples."""

    model: str
    task: str
    split: str
    samples: int
    accuracy: float | None
    accuracy_low: float | None
    accuracy_high: float | None
    weights_sha256: str
    data_sha256: str
    auc: float | None = None


@dataclass(frozen=True)
class Refusal:
    """A cell that the chip refuses, and its reason."""

    model: str
    task: str
    policy: str
    chip: str
    reason: str


@dataclass(frozen=True)
class Sweep:
    """The whole result: everything that the table, the JSON, the CSV and the picture show."""

    rows: tuple[Row, ...]
    references: tuple[Reference, ...]
    refused: tuple[Refusal, ...]
    notices: tuple[str, ...]
    provenance: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """The result as JSON has it, schema 1."""
        return {
            "schema": SCHEMA,
            "rows": [row.as_json() for row in self.rows],
            "refused": [dataclasses.asdict(refusal) for refusal in self.refused],
            "notices": list(self.notices),
            "references": [dataclasses.asdict(reference) for reference in self.references],
            "provenance": self.provenance,
        }


@dataclass(frozen=True)
class Outcomes:
    """What became of each sample: its label, its prediction and the prediction's margin, (n,)."""

    labels: NDArray[np.int32]
    predictions: NDArray[np.int32]
    margins: NDArray[np.float32]

    def __post_init__(self) -> None:
        shapes = {self.labels.shape, self.predictions.shape, self.margins.shape}
        if len(shapes) != 1 or self.labels.ndim != 1:
            raise ValueError(f"outcomes of shapes {sorted(shapes)}; need three of one shape (n,)")


def finite(value: float) -> float | None:
    """The value, or None in place of NaN and the infinities, which JSON does not have."""
    return value if math.isfinite(value) else None


def as_data(value: object) -> Any:
    """A frozen value (a policy, a rule, a format) as plain JSON data, the same on every machine.

    Raises TypeError for a kind of value whose text would not be the same twice.
    """
    if isinstance(value, enum.Enum):
        return as_data(value.value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, re.Pattern):
        return value.pattern
    if dataclasses.is_dataclass(value):
        fields = {f.name: as_data(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"type": type(value).__name__, **fields}
    if isinstance(value, dict):
        return {str(key): as_data(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [as_data(item) for item in value]
    if isinstance(value, frozenset | set):
        return sorted((as_data(item) for item in value), key=repr)
    raise TypeError(f"{value!r} of {type(value)} is not plain data")
