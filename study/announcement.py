"""The table of the announcement of Inferentia2, rebuilt from its latencies and two prices."""

from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from halfulp.engines.chips import INFERENTIA1, INFERENTIA2, Chip
from halfulp.engines.facts import Fact
from halfulp.quant import named_policy
from halfulp.study.architectures import survey
from halfulp.study.calibrated import Calibrated
from halfulp.study.instances import Instance
from halfulp.study.rates import Rate, rate_of
from halfulp.study.rates_data import Offer

SOURCE = "the announcement of Inferentia2 (inference of BERT-large and ELECTRA-large)"
_DAY = date(2023, 4, 20)
#: The compiler of these days.
ERA = "2.8-2.9"
POLICY = "bf16-matmult"


def _instance(name: str, chip: Chip, price: float) -> Instance:
    return Instance(name, chip, 1, {"on-demand": Fact(price, "USD/h", SOURCE, _DAY)})


OLD = _instance("inf1.xlarge", INFERENTIA1, 0.228)
NEW = _instance("inf2.xlarge", INFERENTIA2, 0.7582)


class MissingCore(ValueError):
    """A calibration without one of the two cores."""


@dataclass(frozen=True)
class Line:
    """One line as it is printed.

    old_ms, new_ms   latencies on Inferentia1 and Inferentia2, milliseconds
    cells            improvement, throughput old and new, cost old and new: what follows from them
    """

    model: str
    batch: int
    tokens: int
    old_ms: float
    new_ms: float
    cells: tuple[str, str, str, str, str]


LINES = (
    Line(
        "electra-large", 1, 256, 35.7, 8.31, ("4.30", "28.01", "120.34", "0.0000023", "0.0000018")
    ),
    Line(
        "electra-large", 10, 256, 343.7, 72.9, ("4.71", "2.91", "13.72", "0.0000022", "0.0000015")
    ),
    Line("bert-large", 1, 128, 28.2, 3.1, ("9.10", "35.46", "322.58", "0.0000018", "0.0000007")),
    Line("bert-large", 10, 128, 121.1, 23.6, ("5.13", "8.26", "42.37", "0.0000008", "0.0000005")),
)
CELLS = ("improvement", "throughput old", "throughput new", "cost old", "cost new")


def derived(line: Line) -> tuple[str, ...]:
    """The five cells from two latencies and two prices.

    Throughput counts invocations, whatever the batch; cost is the whole instance's for one
    sequence, with one request at a time.
    """
    costs = (
        instance.usd(ms / 1e3) / line.batch
        for instance, ms in ((OLD, line.old_ms), (NEW, line.new_ms))
    )
    return (
        f"{line.old_ms / line.new_ms:.2f}",
        f"{1e3 / line.old_ms:.2f}",
        f"{1e3 / line.new_ms:.2f}",
        *(f"{cost:.7f}" for cost in costs),
    )


@dataclass(frozen=True)
class Cell:
    """A cell of the announcement, and what is derived for it."""

    model: str
    batch: int
    name: str
    printed: str
    derived: str

    @property
    def equal(self) -> bool:
        return self.printed == self.derived


def cells() -> tuple[Cell, ...]:
    """All twenty."""
    return tuple(
        Cell(line.model, line.batch, name, printed, found)
        for line in LINES
        for name, printed, found in zip(CELLS, line.cells, derived(line), strict=True)
    )


#: What a row has of its rate.
_RATED = (
    *("model", "batch", "tokens", "chip", "instance", "peak_ms", "roofline_ms", "bound"),
    *("scheduled_ms", "calibrated_ms", "calibrated_low_ms", "calibrated_high_ms", "era"),
)


@dataclass(frozen=True)
class Measured:
    """One latency of the announcement beside its rate; it was never fitted."""

    line: Line
    instance: Instance
    measured_ms: float
    rate: Rate

    def as_json(self) -> dict[str, Any]:
        """The rate, and what the announcement measured and it makes of that."""
        rated = Offer(self.rate, self.rate, self.instance).as_json()
        row: dict[str, Any] = {
            **{name: rated[name] for name in _RATED},
            "measured_ms": self.measured_ms,
            "invocations_per_s": 1e3 / self.measured_ms,
            "sequences_per_s": self.line.batch * 1e3 / self.measured_ms,
        }
        for name in ("peak", "roofline", "calibrated"):
            row[f"{name}_to_measured"] = row[f"{name}_ms"] / self.measured_ms
        return row


def rows(calibrated: Calibrated) -> list[Measured]:
    """The eight latencies with peak, roofline and calibrated estimate, of one core.

    Raises MissingCore for a calibration that lacks one of the chips.
    """
    policy = named_policy(POLICY)
    found = []
    for line in LINES:
        for instance, measured in ((OLD, line.old_ms), (NEW, line.new_ms)):
            era = "v1" if instance is OLD else ERA
            surveyed = survey(line.model, line.batch, line.tokens, instance.chip, policy)
            estimate = rate_of(
                # a head whose results are a few numbers (assumed: it is not stated)
                replace(surveyed, output_bytes=0), instance.chip, policy,
                calibrated=calibrated, era=era,
            )  # fmt: skip
            if estimate.calibrated is None:
                raise MissingCore(f"no measurement is of {instance.chip.name}")
            found.append(Measured(line, instance, measured, estimate))
    return found


def as_json(measured: list[Measured]) -> dict[str, Any]:
    """`rows`, `cells`, and whether all of these are string-equal."""
    twenty = cells()
    return {
        "source": SOURCE,
        "rows": [one.as_json() for one in measured],
        "cells": [
            {
                "model": cell.model,
                "batch": cell.batch,
                "cell": cell.name,
                "printed": cell.printed,
                "derived": cell.derived,
            }
            for cell in twenty
        ],
        "cells_equal": sum(cell.equal for cell in twenty),
        "cells_total": len(twenty),
    }
