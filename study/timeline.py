"""When each operation of a ledger runs: a list schedule over what needs what."""

from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

from halfulp.study.work import Operation, Work

#: What fetches parameters and rows of tables, and takes what spills.
DMA = "dma"
#: What carries messages from core to core.
LINK = "link"


class Slot(NamedTuple):
    """When a record's engine works on it.

    record          its number in the ledger
    engine          that its record names; "link" for a collective
    start_s, end_s  seconds from the begin of the forward
    """

    record: int
    engine: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Timeline:
    """A forward on one core.

    slots       one a record, in the ledger's order
    end_s       when all is done
    busy_s      seconds that each engine works
    """

    slots: tuple[Slot, ...]
    end_s: float
    busy_s: dict[str, float]


@dataclass(frozen=True)
class Paths:
    """Bytes a second of a core.

    memory   between it and the device's memory
    link     to the next core of a ring; None where there is none
    hop_s    seconds that a message takes beside its bytes
    """

    memory: float
    link: float | None = None
    hop_s: float = 0.0

    def fetch_s(self, operation: Operation) -> float:
        return operation.fetched / self.memory

    def spill_s(self, operation: Operation) -> float:
        return operation.spilled / self.memory

    def ring_s(self, operation: Operation) -> float:
        """Raises ValueError where cores have no link."""
        if not operation.hops:
            return 0.0
        if self.link is None:
            raise ValueError("nobody says how fast this chip's link is: its cores cannot share")
        return operation.linked / self.link + operation.hops * self.hop_s


def schedule(work: Work, paths: Paths) -> Timeline:
    """Every operation as soon as its operands are there and its engine is free, in ledger order.

    Engines run beside each other; parameters are fetched in order, ahead of time, and an operation
    waits for its own. What brings a result to its taker belongs to the operation that made it.
    A collective goes over the link, when its core's part is there.
    """
    free: dict[str, float] = defaultdict(float)
    busy: dict[str, float] = defaultdict(float)
    done: list[float] = []
    slots: list[Slot] = []
    for operation in work.operations:
        record = operation.record
        ready = max((done[one] for one in record.needs), default=0.0)
        shown = None
        if fetch := paths.fetch_s(operation):
            # a gather waits for nothing either: its indices come with the call
            begin = free[DMA]
            free[DMA] = begin + fetch
            busy[DMA] += fetch
            ready = max(ready, free[DMA])
            shown = (begin, free[DMA]) if record.engine == DMA else None
        start = end = ready
        if ring := paths.ring_s(operation):
            start = max(ready, free[LINK])
            end = free[LINK] = start + ring
            busy[LINK] += ring
            shown = start, end
        for step in operation.steps:
            seconds = work.spec.seconds(step)
            begin = max(end, free[step.engine])
            end = free[step.engine] = begin + seconds
            busy[step.engine] += seconds
            if shown is None and step.engine == record.engine:
                shown = begin, end
        if spill := paths.spill_s(operation):
            # what does not fit goes out, and is back before the result is done with
            begin = max(end, free[DMA])
            end = free[DMA] = begin + spill
            busy[DMA] += spill
        engine = LINK if operation.hops else record.engine
        slots.append(Slot(operation.index, engine, *(shown or (start, start))))
        done.append(end)
    return Timeline(tuple(slots), max(done, default=0.0), dict(busy))
