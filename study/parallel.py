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

    A result in parts is gathered before work along rows, as in a head's normalization. Raises
    Indivisible for heads that do not divide by `ranks`.
    """
    if ranks == 1:
        return ledger
    sharing = _Sharing(ranks, reduced)
    for record in ledger.records:
        sharing.take(record)
    sharing.finish(ledger.records)
    return sharing.ledger


class _Sharing:
    def __init__(self, ranks: int, reduced: str) -> None:
        self.ranks, self.reduced = ranks, reduced
        self.ledger = Ledger()
        #: of each record of the whole: the record here that has its result, and whether in parts
        self._whole: list[Record] = []
        self._place: list[int] = []
        self._split: list[bool] = []

    def take(self, record: Record) -> None:
        """Append this core's part of a record."""
        self._gather(record)
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
        self._whole.append(record)
        self._place.append(len(self.ledger) - 1)
        self._split.append(split)

    def _gather(self, record: Record) -> None:
        """Before work along rows: every core needs the whole of them."""
        if record.engine != "vector" or record.instruction in _ELEMENTWISE:
            return
        for one in record.needs:
            if self._split[one]:
                self._collect(self._whole[one], Collective.ALL_GATHER, self._place[one])
                self._place[one], self._split[one] = len(self.ledger) - 1, False

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
        found = self._product(record, (left, (depth, narrow), (*out[:-1], narrow)), True)
        return found._replace(parameters=self._divided(record))

    def _by_rows(self, record: Record) -> Record:
        left, (depth, width), out = record.shapes
        short = self._longest(depth)
        found = self._product(record, ((*left[:-1], short), (short, width), out), True)
        # every core adds the bias, once the sum is complete
        return found._replace(parameters=self._divided(record, len(record.parameters) - 1))

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
        shapes = tuple(
            (*shape[:-1], self._longest(shape[-1])) if shape else shape for shape in record.shapes
        )
        return self._resized(record, shapes)._replace(parameters=self._divided(record))

    def _heads(self, shape: Shape, record: Record) -> Shape:
        if len(shape) != 4:
            raise Indivisible(f"layer {record.layer!r}: a product of shape {shape} has no heads")
        if shape[1] % self.ranks:
            text = f"{shape[1]} heads do not divide by {self.ranks} cores"
            raise Indivisible(f"layer {record.layer!r}: {text}")
        return shape[0], shape[1] // self.ranks, *shape[2:]

    def _product(self, record: Record, shapes: tuple[Shape, ...], weighted: bool) -> Record:
        _, (*_, depth, width), out = shapes
        passes = record.issued[0].instruction.passes if record.issued else 1
        items = 1 if weighted else prod(out[:-2])
        rows = prod(out[:-1]) // max(items, 1)
        issued: Issues = product(rows, depth, width, passes, items)
        resized = self._resized(record, shapes)
        return resized._replace(macs=prod(out) * depth, issued=issued, cycles=cycles(issued))

    def _divided(self, record: Record, first: int = 0) -> tuple[Parameter, ...]:
        """The parameters of this core: parts of all but the `first` smallest."""
        order = sorted(record.parameters, key=lambda one: one.bytes)
        whole = set(order[:first])
        return tuple(
            one if one in whole else Parameter(one.name, -(-one.bytes // self.ranks))
            for one in record.parameters
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
