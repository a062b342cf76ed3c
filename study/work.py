"""What a ledger asks of a core: cycles of each engine, bytes that are fetched, bytes that spill.

The rules beside the documented costs are ours, of how a compiler lays a model out; docs/rates.md
says what was chosen before any error was read, and what after:

- A product's result is in PSUM. If the next record takes it, it takes it from there; else the
  Vector Engine copies it. A bias costs the Vector Engine a pass, but where an activation comes
  next, which adds it for nothing.
- What works along rows leaves a row in each partition, where a product wants its sums' axis: the
  Tensor Engine transposes such a result on its way to a product, and the Vector Engine copies it.
- A parameter is fetched from the device's memory each time it is used, unless no more parameters
  than SBUF holds were used since.
- Results stay in SBUF until the last record that needs them; what does not fit goes to the
  device's memory and comes back, once each. Nothing is tiled over several operations.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

from halfulp.engines import Collective, Ledger, Record, ring_traffic
from halfulp.engines.costs import LANES, LEAST, Inputs, Step, steps
from halfulp.engines.operands import as_format, size_bytes
from halfulp.engines.specs import CoreSpec
from halfulp.engines.traffic import Traffic, traffic

#: Leave a row in each partition.
_ROWS = ("layernorm", "rmsnorm", "softmax")
#: Take an operand from PSUM.
_READERS = ("tensor_tensor", "tensor_scalar", "softmax")
_NARROW_BITS = 16


@dataclass(frozen=True)
class Operation:
    """A record, and what it asks of the core.

    index    of the record in the ledger
    record   itself
    own      steps of the engine that the record names, and of those that work with it
    after    steps that bring its result to where the next one takes it
    fetched  bytes from the device's memory: parameters and rows of tables
    spilled  bytes to the device's memory and back
    linked   bytes that this core sends to the next one of a ring
    hops     messages of the ring, one after the other
    psum     whether an operand comes from PSUM
    """

    index: int
    record: Record
    own: tuple[Step, ...]
    after: tuple[Step, ...]
    fetched: int
    spilled: int
    linked: int = 0
    hops: int = 0
    psum: bool = False

    @property
    def traffic(self) -> Traffic:
        """Bytes of SBUF and PSUM."""
        return traffic(self.record, from_psum=self.psum)

    @property
    def steps(self) -> tuple[Step, ...]:
        return self.own + self.after


@dataclass(frozen=True)
class Work:
    """What one forward asks of one core, whose SBUF decides what is fetched again and what spills.

    Cycles are those of `engines.costs` and `engines.instructions`; `seconds` are the core's.
    """

    operations: tuple[Operation, ...]
    spec: CoreSpec

    @cached_property
    def cycles(self) -> dict[str, int]:
        """By engine."""
        found: dict[str, int] = defaultdict(int)
        for operation in self.operations:
            for step in operation.steps:
                found[step.engine] += step.cycles
        return dict(found)

    @cached_property
    def seconds(self) -> dict[str, float]:
        """By engine, one instruction after the other."""
        return {
            engine: self.spec.seconds(Step(engine, cycles))
            for engine, cycles in self.cycles.items()
        }

    @cached_property
    def least_seconds(self) -> dict[str, float]:
        """By engine, of the records' own steps: without what a layout asks for."""
        found: dict[str, float] = defaultdict(float)
        for operation in self.operations:
            for step in operation.own:
                found[step.engine] += self.spec.seconds(step)
        return dict(found)

    @cached_property
    def macs(self) -> dict[str, int]:
        """By the format of the products' operands."""
        found: dict[str, int] = defaultdict(int)
        for operation in self.operations:
            if operation.record.macs:
                found[operation.record.formats[0]] += operation.record.macs
        return dict(found)

    @cached_property
    def fetched(self) -> int:
        return sum(operation.fetched for operation in self.operations)

    @cached_property
    def spilled(self) -> int:
        return sum(operation.spilled for operation in self.operations)

    @cached_property
    def hops(self) -> int:
        return sum(operation.hops for operation in self.operations)

    def __len__(self) -> int:
        return len(self.operations)


def work(ledger: Ledger, spec: CoreSpec, ranks: int = 1) -> Work:
    """The work of a ledger that was written without data: its records know what they need.

    ranks   cores of the ring, where the ledger is that of one of several (`study.parallel`)

    Raises ValueError for a ledger whose records do not.
    """
    records = ledger.records
    if len(records) > 1 and not any(record.needs for record in records):
        raise ValueError(
            "the records of this ledger do not say what they need: run the model on the meta device"
        )
    takers: dict[int, list[int]] = defaultdict(list)
    for index, record in enumerate(records):
        for made in record.needs:
            takers[made].append(index)
    fetched = _fetched(records, spec)
    spilled = _spilled(records, spec)
    operations = tuple(
        Operation(
            index,
            record,
            steps(record, _inputs(records, index)),
            tuple(_after(records, index, takers[index])),
            fetched[index],
            spilled[index],
            *_ring(record, ranks),
            _reads_psum(records, index),
        )
        for index, record in enumerate(records)
    )
    return Work(operations, spec)


def _ring(record: Record, ranks: int) -> tuple[int, int]:
    """Bytes that go to the next core, one chunk after the other, and how many chunks."""
    if record.engine != "dma" or record.instruction not in set(Collective):
        return 0, 0
    elements = prod(record.shapes[-1])
    traffic = ring_traffic(elements, ranks, record.formats[0], collective=record.instruction)
    return traffic.steps * traffic.bytes_per_step, traffic.steps


def _reads_psum(records: list[Record], index: int) -> bool:
    """Whether the record takes what the product just before it left in PSUM."""
    if not 0 < index < len(records) or index - 1 not in records[index].needs:
        return False
    record = records[index]
    takes = record.engine == "scalar" or record.instruction in _READERS
    return takes and records[index - 1].engine == "tensor"


def _inputs(records: list[Record], index: int) -> Inputs:
    made = records[index].needs
    narrow = bool(made) and all(_is_narrow(records[one].formats[-1]) for one in made)
    return Inputs(psum=_reads_psum(records, index), narrow=narrow)


def _is_narrow(name: str) -> bool:
    return as_format(name).bits <= _NARROW_BITS


def _after(records: list[Record], index: int, takers: list[int]) -> list[Step]:
    record = records[index]
    elements = prod(record.shapes[-1])
    copy = Step("vector", max(LEAST, -(-elements // LANES)))
    if record.engine == "tensor":
        biased = len(record.parameters) > 1
        if _reads_psum(records, index + 1):
            free = records[index + 1].engine == "scalar"
            return [copy] if biased and not free else []
        return [copy]
    products = [records[one] for one in takers if records[one].engine == "tensor"]
    if record.instruction in _ROWS and products:
        passes = max(one.instruction.passes for one in products[0].issued)
        return [Step("tensor", passes * _transposed(record)), copy]
    return []


def _transposed(record: Record) -> int:
    """Cycles of the Tensor Engine for blocks of P rows and F columns: max(P, min(64, F)) each."""
    *lead, columns = record.shapes[-1]
    return sum(
        number * others * max(rows, min(LEAST, width))
        for rows, number in _blocks(prod(lead))
        for width, others in _blocks(columns)
    )


def _blocks(length: int) -> list[tuple[int, int]]:
    """Lengths of at most 128, and how many of each."""
    whole, rest = divmod(length, LANES)
    return [(LANES, whole)] * (whole > 0) + [(rest, 1)] * (rest > 0)


def _fetched(records: list[Record], spec: CoreSpec) -> list[int]:
    """Bytes that each record fetches. Where SBUF's size is not known, all parameters fit."""
    held: OrderedDict[str, int] = OrderedDict()
    found = []
    for record in records:
        size = 0
        for parameter in record.parameters:
            if record.engine == "dma":
                size += parameter.bytes  # the rows that were asked for
                continue
            if held.pop(parameter.name, 0) < parameter.bytes:
                size += parameter.bytes
            held[parameter.name] = parameter.bytes
        while spec.sbuf is not None and sum(held.values()) > spec.sbuf.value:
            held.popitem(last=False)
        found.append(size)
    return found


def alive(records: Sequence[Record], sizes: Sequence[int]) -> list[int]:
    """Bytes of results that are still needed, or just made, at each record."""
    last = {one: index for index, record in enumerate(records) for one in record.needs}
    ends: dict[int, int] = defaultdict(int)
    live = 0
    found = []
    for index, size in enumerate(sizes):
        live += size
        ends[last.get(index, index)] += size
        found.append(live)
        live -= ends.pop(index, 0)
    return found


def result_bytes(record: Record) -> int:
    return size_bytes(as_format(record.formats[-1]), record.elements)


def _spilled(records: list[Record], spec: CoreSpec) -> list[int]:
    """Bytes that each record drives out of SBUF, and that come back."""
    if spec.sbuf is None:
        return [0] * len(records)
    sizes = [
        0 if _reads_psum(records, index + 1) else result_bytes(record)
        for index, record in enumerate(records)
    ]
    over = 0
    found = []
    for live in alive(records, sizes):
        excess = max(0, live - int(spec.sbuf.value))
        found.append(2 * max(0, excess - over))
        over = excess
    return found
