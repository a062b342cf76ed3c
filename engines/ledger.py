"""What ran: one record for each operation of an engine."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from math import prod
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from halfulp.engines.instructions import Issues, cycles


class Parameter(NamedTuple):
    """A parameter of a model that an operation reads, and its bytes in the operand's format."""

    name: str
    bytes: int


class Record(NamedTuple):
    """One operation.

    layer        name of the layer that asked for it; "" outside any
    engine       "tensor", "vector", "scalar", "gpsimd" or "dma"
    instruction  name as in nki.isa, or of the documented composition
    shapes       of the operands, then of the result
    formats      names of the formats of the operands, then of the result
    macs         multiply-accumulates
    bytes        of the operands and of the result, in their formats; of a collective those that
                 one rank sends and receives
    overflow     finite values that a cast made infinite, NaN or the largest value
    underflow    values other than zero that a cast made zero
    nan          NaN operands and results, counted at casts and as sums leave PSUM
    infinity     infinite results of casts
    cycles       of the engine's clock, and the instructions issued; where `engines.instructions`
    issued       knows their cost: the Tensor Engine's, and what a custom operator says
    departures   inputs of the Scalar Engine outside of what its function is meant for
    masked_rows  rows of a softmax in which every score was -inf: zeros here, NaN by its formula
    accumulator  the format in which the Tensor Engine, or a ring of ranks, adds; "" for all others

    Of models without data, on the meta device:

    needs        numbers of the records whose results this one takes
    parameters   of the model among its operands
    """

    layer: str
    engine: str
    instruction: str
    shapes: tuple[tuple[int, ...], ...]
    formats: tuple[str, ...]
    macs: int
    bytes: int
    overflow: int
    underflow: int
    nan: int
    infinity: int
    cycles: int = 0
    issued: Issues = ()
    departures: int = 0
    masked_rows: int = 0
    accumulator: str = ""
    needs: tuple[int, ...] = ()
    parameters: tuple[Parameter, ...] = ()

    @property
    def elements(self) -> int:
        """Of the result."""
        return prod(self.shapes[-1])


#: Fields of a record that add up.
TOTALS = (
    *("macs", "bytes", "overflow", "underflow", "nan", "infinity"),
    *("departures", "masked_rows"),
)


class Ledger:
    """Records in the order in which they ran; `layer` is written into each new one."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.layer = ""

    def totals(self) -> dict[str, int]:
        """The sums of TOTALS over all records."""
        return {name: sum(getattr(record, name) for record in self.records) for name in TOTALS}

    def issued(self) -> dict[str, int]:
        """How often each kind of instruction was issued, by its name."""
        found: dict[str, int] = {}
        for record in self.records:
            for instruction, count in record.issued:
                name = type(instruction).__name__
                found[name] = found.get(name, 0) + count
        return found

    def cycles(self) -> dict[str, int]:
        """Cycles by engine, of the instructions whose cost is known."""
        found: dict[str, int] = {}
        for record in self.records:
            if record.issued:
                found[record.engine] = found.get(record.engine, 0) + record.cycles
        return found

    def where(
        self, *, layer: str | None = None, engine: str | None = None, format: str | None = None
    ) -> list[Record]:
        """The records to which all that is given applies, in the order in which they ran.

        layer   name of a layer: its own records and those of the layers in it ("a": "a", "a.b")
        engine  as in `Record`
        format  of any operand or of the result, by the name that stands in `Record.formats`
        """
        return [
            record
            for record in self.records
            if (layer is None or f"{record.layer}.".startswith(f"{layer}."))
            and (engine is None or record.engine == engine)
            and (format is None or format in record.formats)
        ]

    def __len__(self) -> int:
        return len(self.records)


_current: ContextVar[Ledger | None] = ContextVar("halfulp_ledger", default=None)


@contextlib.contextmanager
def recording(ledger: Ledger) -> Iterator[Ledger]:
    """Append every engine operation of this thread to `ledger` while the context lasts."""
    token = _current.set(ledger)
    try:
        yield ledger
    finally:
        _current.reset(token)


def is_recording() -> bool:
    """Whether `record` would keep what it is given: a small product costs less than its record."""
    return _current.get() is not None


def record(
    engine: str,
    instruction: str,
    shapes: tuple[tuple[int, ...], ...],
    formats: tuple[str, ...],
    counts: npt.NDArray[np.int64],
    *,
    macs: int = 0,
    size_bytes: int = 0,
    issued: Issues = (),
    departures: int = 0,
    masked_rows: int = 0,
    accumulator: str = "",
) -> None:
    """Append a record to the current ledger, if there is one.

    `counts` are in the order of `casts.COUNTS`; the others are the fields of `Record`.
    """
    ledger = _current.get()
    if ledger is not None:
        overflow, underflow, nan, infinity = counts.tolist()
        entry = Record(
            ledger.layer,
            engine,
            instruction,
            shapes,
            formats,
            macs,
            size_bytes,
            overflow,
            underflow,
            nan,
            infinity,
            cycles(issued),
            issued,
            departures,
            masked_rows,
            accumulator,
        )
        ledger.records.append(entry)
