"""Tensor parallelism: the ledger of one of several cores that share every layer of a model.

Products with parameters come in pairs: the first is split by its columns, so that each core has a
part of the features; the second by its rows, and its partial sums are added by a ring all-reduce
(`halfulp.engines.collectives`). What lies between works on its part, what lies outside on all.
"""

from math import prod

from halfulp.engines import Collective, Ledger, Record, ring_traffic
from halfulp.engines.instructions import Issues, cycles, product
from halfulp.engines.ledger import Parameter
from halfulp.engines.operands import as_format, size_bytes

Shape = tuple[int, ...]
#: Work on elements, whatever their shape.
_ELEMENTWISE = ("tensor_tensor", "tensor_scalar", "tensor_copy", "reciprocal", "select", "softmax")


class Indivisible(ValueError):
    """A model that cannot be shared by so many cores."""


def share(ledger: Ledger, ranks: int, reduced: str = "fp32") -> Ledger:
    """One of `ranks` cores' part of a ledger that says what its records need, with collectives.

    reduced   format in which partial sums travel and are added: "fp32" or "bf16"

    Raises Indivisible for heads that do not divide by `ranks`, and for operations along rows that
    no core has whole.
    """
    if ranks == 1:
        return ledger
    sharing = _Sharing(ranks, reduced)
    for index, record in enumerate(ledger.records):
        sharing.take(index, record)
    sharing.finish(ledger.records)
    return sharing.ledger


class _Sharing:
    def __init__(self, ranks: int, reduced: str) -> None:
        self.ranks, self.reduced = ranks, reduced
        self.ledger = Ledger()
        #: of each record of the whole: the record here that has its result, and whether in parts
        self._place: list[int] = []
        self._split: list[bool] = []

    def take(self, index: int, record: Record) -> None:
        """Append this core's part of a record."""
        parts = [self._split[one] for one in record.needs]
        needs = tuple(sorted({self._place[one] for one in record.needs}))
        weighted = record.engine == "tensor" and bool(record.parameters)
        if weighted and any(parts):
            self._append(self._by_rows(record), needs)
            self._collect(record, Collective.ALL_REDUCE)
            split = False
        elif weighted:
            self._append(self._by_columns(record), needs)
            split = True
        elif any(parts):
            self._append(self._part(record), needs)
            split = True
        else:
            self._append(record, needs)
            split = False
        self._place.append(len(self.ledger) - 1)
        self._split.append(split)

    def finish(self, records: list[Record]) -> None:
        """Gather what nobody needs and no core has whole: the model's results."""
        needed = {one for record in records for one in record.needs}
        for index, record in enumerate(records):
            if self._split[index] and index not in needed:
                self._collect(record, Collective.ALL_GATHER, self._place[index])

    def _append(self, record: Record, needs: tuple[int, ...]) -> None:
        self.ledger.records.append(record._replace(needs=needs))

    def _longest(self, length: int) -> int:
        """Of features or of a vocabulary: the core that has most of them."""
        return -(-length // self.ranks)

    def _by_columns(self, record: Record) -> Record:
        left, (depth, width), out = record.shapes
        narrow = self._longest(width)
        return self._product(record, (left, (depth, narrow), (*out[:-1], narrow)), True)

    def _by_rows(self, record: Record) -> Record:
        left, (depth, width), out = record.shapes
        short = self._longest(depth)
        return self._product(record, ((*left[:-1], short), (short, width), out), True)

    def _part(self, record: Record) -> Record:
        """Heads of attention, or features of what works on elements."""
        if record.engine == "tensor":
            shapes = tuple(self._heads(shape, record) for shape in record.shapes)
            return self._product(record, shapes, False)
        if len(record.shapes[0]) == 4:
            # a mask is the same for all heads
            return self._resized(
                record,
                tuple(
                    self._heads(shape, record) if len(shape) == 4 and shape[1] > 1 else shape
                    for shape in record.shapes
                ),
            )
        if record.engine == "vector" and record.instruction not in _ELEMENTWISE:
            raise Indivisible(
                f"layer {record.layer!r}: {record.instruction} works along rows, of which each"
                f" of {self.ranks} cores has a part only"
            )
        return self._resized(
            record,
            tuple(
                (*shape[:-1], self._longest(shape[-1])) if shape else shape
                for shape in record.shapes
            ),
        )

    def _heads(self, shape: Shape, record: Record) -> Shape:
        if len(shape) != 4:
            raise Indivisible(f"layer {record.layer!r}: a product of shape {shape} has no heads")
        if shape[1] % self.ranks:
            text = f"{shape[1]} heads do not divide by {self.ranks} cores"
            raise Indivisible(f"layer {record.layer!r}: {text}")
        return shape[0], shape[1] // self.ranks, *shape[2:]

    def _product(self, record: Record, shapes: tuple[Shape, ...], weighted: bool) -> Record:
        left, (*_, depth, width), out = shapes
        passes = 4 if record.formats[0] == "fp32" else 1
        items = 1 if weighted else prod(out[:-2])
        rows = prod(out[:-1]) // max(items, 1)
        issued: Issues = product(rows, depth, width, passes, items)
        parameters = tuple(
            Parameter(one.name, -(-one.bytes // self.ranks)) for one in record.parameters
        )
        resized = self._resized(record, shapes)
        return resized._replace(
            macs=prod(out) * depth, issued=issued, cycles=cycles(issued), parameters=parameters
        )

    def _resized(self, record: Record, shapes: tuple[Shape, ...]) -> Record:
        pairs = zip(shapes, record.formats, strict=True)
        size = sum(size_bytes(as_format(name), prod(shape)) for shape, name in pairs)
        return record._replace(shapes=shapes, bytes=size)

    def _collect(self, record: Record, kind: Collective, place: int | None = None) -> None:
        shape = record.shapes[-1]
        fmt = as_format(self.reduced if kind is Collective.ALL_REDUCE else record.formats[-1])
        traffic = ring_traffic(prod(shape), self.ranks, fmt, collective=kind)
        self._append(
            Record(
                record.layer, "dma", kind.value, (shape, shape), (fmt.name, record.formats[-1]),
                0, traffic.bytes_moved, 0, 0, 0, 0,
            ),
            (len(self.ledger) - 1 if place is None else place,),
        )  # fmt: skip
