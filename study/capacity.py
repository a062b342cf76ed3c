"""Does a model fit: weights, activations and the keys and values of what was said before."""

from dataclasses import dataclass

from halfulp.dtypes import Format
from halfulp.engines.operands import size_bytes
from halfulp.study.architectures import Survey
from halfulp.study.instances import Instance
from halfulp.study.work import alive, result_bytes


@dataclass(frozen=True)
class Need:
    """Bytes that a model needs, its weights in one format.

    weights       all parameters
    cache         keys and values of every layer, for all tokens of the batch, of a model that
                  generates text
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
    records = surveyed.ledger.records
    return Need(
        fmt,
        size_bytes(fmt, surveyed.parameters),
        size_bytes(fmt, surveyed.cached),
        max(alive(records, list(map(result_bytes, records))), default=0),
    )


def fits(needed: Need, instance: Instance) -> bool:
    """Whether the chips of an instance hold it together, each an equal share."""
    return needed.total <= instance.memory_bytes
