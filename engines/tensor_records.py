"""What the Tensor Engine writes into the ledger."""

from math import prod

from halfulp.dtypes import Format
from halfulp.engines.instructions import Issues
from halfulp.engines.ledger import is_recording, record
from halfulp.engines.operands import Counts, size_bytes

Shape = tuple[int, ...]


def record_work(
    name: str, shapes: tuple[Shape, ...], formats: tuple[Format, ...], counts: Counts,
    issued: Issues, *, macs: int,
) -> None:  # fmt: skip
    """Write an operation into the ledger, if there is one; each shape is in its format."""
    if not is_recording():
        return
    size = sum(size_bytes(fmt, prod(one)) for fmt, one in zip(formats, shapes, strict=True))
    names = tuple(fmt.name for fmt in formats)
    record("tensor", name, shapes, names, counts, macs=macs, size_bytes=size, issued=issued)
