"""Does a model fit: weights, activations and the keys and values of what was said before."""

from dataclasses import dataclass
from math import prod

from halfulp.dtypes import Format
from halfulp.engines import Ledger, Record
from halfulp.engines.operands import as_format, size_bytes
from halfulp.study.architectures import Survey
from halfulp.study.instances import Instance


@dataclass(frozen=True)
class Need:
    """Bytes that a model needs, its weights in one format.

    weights       all parameters
    cache         keys and values of every layer, for all tokens of the batch
    activations   results that are alive at the same time, at most
    """

    fmt: Format
    weights: int
    cache: int
    activations: int

    @property
    def total(self) -> int:
        return self.weights + self.cache + self.activations


def need(surveyed: Survey, fmt: Format) -> Need:
    """What a forward needs with its parameters, keys and values in a format."""
    ledger = surveyed.ledger
    cached = sum(prod(record.shapes[1]) for record in ledger.records if _is_attention(record))
    return Need(
        fmt,
        size_bytes(fmt, surveyed.parameters),
        size_bytes(fmt, cached),
        _alive(ledger),
    )


def _is_attention(record: Record) -> bool:
    """A product of two activations: of queries and keys, or of weights and values."""
    return record.engine == "tensor" and not record.parameters and len(record.shapes) == 3


def _alive(ledger: Ledger) -> int:
    """The most bytes of results that are needed at the same time."""
    last = {one: index for index, record in enumerate(ledger.records) for one in record.needs}
    live = most = 0
    ends: dict[int, int] = {}
    for index, record in enumerate(ledger.records):
        size = size_bytes(as_format(record.formats[-1]), prod(record.shapes[-1]))
        live += size
        most = max(most, live)
        end = last.get(index, index)
        ends[end] = ends.get(end, 0) + size
        live -= ends.pop(index, 0)
    return most


def fits(needed: Need, instance: Instance, chips: int | None = None) -> bool:
    """Whether the chips of an instance hold it, each an equal share."""
    number = instance.chips if chips is None else chips
    return needed.total <= number * instance.chip.memory.value
