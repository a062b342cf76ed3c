"""What an operation needs: the records that made its operands, and the parameters it reads."""

from collections import defaultdict
from collections.abc import Iterator
from math import prod
from typing import Any

from torch import Tensor, nn

from halfulp.engines import Ledger, Record
from halfulp.engines.ledger import Parameter
from halfulp.engines.operands import as_format, size_bytes
from halfulp.quant.arrays import address

_FP32_BYTES = 4


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)


class Trace:
    """Writes `needs` and `parameters` into the records of a model without data.

    Tensors that share a storage are one to it, as views are.
    """

    def __init__(self, ledger: Ledger, model: nn.Module) -> None:
        self._ledger = ledger
        # a name by the place of what has the parameter's values; the storages are held, so that no
        # other tensor is described in the same place
        self._names: dict[int, tuple[str, Tensor]] = {
            address(one): (name, one) for name, one in model.named_parameters()
        }
        self._made: dict[int, tuple[tuple[int, ...], Any]] = {}
        self._first = 0

    def begin(self) -> None:
        """An operation begins: the records that follow are its own."""
        self._first = len(self._ledger)

    def end(self, operands: Any, results: Any) -> None:
        """The operation has ended: note its records."""
        given = list(_tensors(operands))
        needs = {one for tensor in given for one in self._made.get(address(tensor), ((),))[0]}
        records = self._ledger.records
        last = len(records)
        read = self._read(records[self._first :], given)
        for index in range(self._first, last):
            found = tuple(read.get(index - self._first, ()))
            record = records[index]._replace(needs=tuple(sorted(needs)), parameters=found)
            records[index] = record
            needs = needs | {index}
        made = (last - 1,) if last > self._first else tuple(sorted(needs))
        for tensor in _tensors(results):
            self._made[address(tensor)] = made, tensor.untyped_storage()
            if not made and given:
                self._follow(given, tensor)

    def _follow(self, operands: list[Tensor], result: Tensor) -> None:
        """What only moved parameters about has their values still, under the first one's name."""
        named = [self._names[address(one)] for one in operands if address(one) in self._names]
        if named and address(result) not in self._names:
            self._names[address(result)] = named[0][0], result

    def _read(self, records: list[Record], operands: list[Tensor]) -> dict[int, list[Parameter]]:
        """The parameters among the operands, by the number of the record that reads each."""
        found: dict[int, list[Parameter]] = defaultdict(list)
        for tensor in operands:
            known = self._names.get(address(tensor))
            if known is not None and records:
                index, size = _reader(records, tensor.numel())
                found[index].append(Parameter(known[0], size))
        return found


def _reader(records: list[Record], elements: int) -> tuple[int, int]:
    """Which record reads a parameter of so many elements, and how many bytes of it.

    In the format of the operand that it is: of the last record that has such an operand, because a
    cast of it may come before. A bias is none in the records: the last one has it, in fp32.
    """
    for index, record in reversed(list(enumerate(records))):
        if record.instruction == "gather":
            return index, size_bytes(as_format(record.formats[-1]), prod(record.shapes[-1]))
        operands = zip(record.shapes[:-1], record.formats[:-1], strict=True)
        for shape, fmt in reversed(list(operands)):
            if prod(shape) == elements:
                return index, size_bytes(as_format(fmt), elements)
    return len(records) - 1, _FP32_BYTES * elements
