"""What the Tensor Engine writes into the ledger."""

from math import prod

from halfulp.dtypes import Format
from halfulp.engines.datapath import Datapath
from halfulp.engines.instructions import Issues, product
from halfulp.engines.ledger import is_recording, record
from halfulp.engines.operands import Counts, size_bytes

Shape = tuple[int, ...]


def record_product(
    shapes: tuple[Shape, Shape, Shape], formats: tuple[Format, ...], counts: Counts, path: Datapath
) -> None:
    """Write (..., M, K) times (..., K, N) into (..., M, N) into the ledger, if there is one.

    path  of the pair of formats
    """
    if not is_recording():
        return
    _, (*lead, depth, width), result = shapes
    # one right operand for all: the rows of the batch are rows of one product
    items = prod(result[:-2]) if prod(lead) > 1 else 1
    rows = prod(result[:-1]) // max(items, 1)
    issued = product(rows, depth, width, path.cost, items)
    record_work("nc_matmul", shapes, formats, counts, issued, path, macs=prod(result) * depth)


def record_work(
    name: str, shapes: tuple[Shape, ...], formats: tuple[Format, ...], counts: Counts,
    issued: Issues, path: Datapath, *, macs: int,
) -> None:  # fmt: skip
    """Write an operation into the ledger, if there is one; each shape is in its format."""
    if not is_recording():
        return
    size = sum(size_bytes(fmt, prod(one)) for fmt, one in zip(formats, shapes, strict=True))
    names = tuple(fmt.name for fmt in formats)
    held = path.general.accumulator.name
    record(
        "tensor", name, shapes, names, counts,
        macs=macs, size_bytes=size, issued=issued, accumulator=held,
    )  # fmt: skip
