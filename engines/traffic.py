"""Bytes that an operation moves between the memories of a core, from its record."""

from math import prod
from typing import NamedTuple

from halfulp.engines.instructions import LoadStationary
from halfulp.engines.ledger import Record
from halfulp.engines.operands import as_format, size_bytes

#: A number in PSUM (documented: 16 KiB in 8 banks of 512).
_PSUM_BYTES = 4


class Traffic(NamedTuple):
    """Bytes read and written.

    sbuf   of SBUF
    psum   of PSUM
    """

    sbuf: int
    psum: int


def traffic(record: Record, *, from_psum: bool = False) -> Traffic:
    """What an operation moves.

    The Tensor Engine reads a stationary tile when it is laid in and a moving one each time it is
    sent through, and writes every partial sum (derived: what its instructions say). The others
    read their operands and write their results once (assumed).

    from_psum   the first operand is read there
    """
    if record.engine == "tensor":
        return _tensor(record)
    if record.engine == "dma":
        return Traffic(_bytes(record, -1), 0)
    psum = _PSUM_BYTES * prod(record.shapes[0]) if from_psum else 0
    return Traffic(max(0, record.bytes - psum), psum)


def _tensor(record: Record) -> Traffic:
    width = max(size_bytes(as_format(name), 1) for name in record.formats[:-1])
    sbuf = psum = 0
    for instruction, number in record.issued:
        if isinstance(instruction, LoadStationary):
            sbuf += number * instruction.rows * instruction.columns * width
        else:
            sbuf += number * instruction.rows * instruction.moving * width
            psum += number * instruction.columns * instruction.moving * _PSUM_BYTES
    return Traffic(sbuf, psum)


def _bytes(record: Record, operand: int) -> int:
    return size_bytes(as_format(record.formats[operand]), prod(record.shapes[operand]))
