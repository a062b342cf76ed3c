"""Collectives over ranks (cores or chips): sums in ring order, parts that are gathered, traffic.

The ring is directed: rank r sends to rank r + 1, the last one to rank 0. An array is flattened and
cut into as many chunks as there are ranks. Chunk c starts at rank c + 1, goes through the ring
once, and each rank adds its own part to what arrives; rank c is the last to add, and has the sum.

Source: intranode-collective-comm.rst, which says that rank r sends chunk r - 1 first, that a rank
reduces what it has received with its own, and that an all-reduce is a reduce-scatter followed by an
all-gather. That the ring is what runs, as one cycle, is assumed: there are other algorithms.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum, unique
from itertools import accumulate, pairwise
from math import prod
from typing import Any

import numpy as np

from halfulp.dtypes import BF16, FP32, FloatFormat, Format
from halfulp.dtypes.checks import integer
from halfulp.dtypes.rounding import choice
from halfulp.dtypes.wording import kind_of
from halfulp.engines.activations import Activation
from halfulp.engines.arrays import apply_flat, combine
from halfulp.engines.elementwise import AluOp
from halfulp.engines.ledger import record
from halfulp.engines.operands import (
    NO_COUNTS,
    Counts,
    Floats,
    UnsupportedFormat,
    as_float_format,
    contiguous,
    open_floats,
    size_bytes,
)
from halfulp.engines.outlines import is_outline, outline

#: Formats in which a ring adds.
_ACCUMULATE = (FP32, BF16)
_MOST_RANKS, _MOST_ELEMENTS = 1 << 16, 1 << 48


@unique
class Collective(StrEnum):
    """What ranks do together; names as in nki.collectives."""

    ALL_REDUCE = "all_reduce"
    ALL_GATHER = "all_gather"
    REDUCE_SCATTER = "reduce_scatter"


@dataclass(frozen=True)
class RingTraffic:
    """What a ring moves, of no array in particular.

    steps           one after the other; in each one every rank sends a chunk and receives one
    bytes_per_step  of the longest chunk, which is on its way in every step
    bytes_sent      by the rank that sends most, over all steps
    bytes_moved     sent and received, by the rank for which that is most
    """

    steps: int
    bytes_per_step: int
    bytes_sent: int
    bytes_moved: int


def ring_traffic(
    elements: int,
    ranks: int,
    fmt: Format | str,
    *,
    collective: Collective | str = Collective.ALL_REDUCE,
) -> RingTraffic:
    """The steps and bytes of a ring of `ranks`: 2 (ranks - 1) steps for an all-reduce, else half.

    elements  of the whole array: what is reduced, or what has been gathered
    fmt       in which the chunks travel

    One rank sends nothing.

    Raises ValueError for no rank, fewer elements than none and an unknown collective, TypeError for
    numbers that are no integers, UnsupportedFormat for an integer format.
    """
    integer(ranks, "ranks", 1, _MOST_RANKS)
    integer(elements, "elements", 0, _MOST_ELEMENTS)
    found, kind = as_float_format(fmt, "fmt"), choice(Collective, collective, "collective")
    sizes = _chunk_sizes(elements, ranks)
    if ranks == 1:
        return RingTraffic(0, 0, 0, 0)
    moves = [_moves(kind, sizes, elements, rank) for rank in range(ranks)]
    return RingTraffic(
        steps=(ranks - 1) * (2 if kind is Collective.ALL_REDUCE else 1),
        bytes_per_step=size_bytes(found, sizes[0]),
        bytes_sent=size_bytes(found, max(sent for sent, _ in moves)),
        bytes_moved=size_bytes(found, max(map(sum, moves))),
    )


def _chunk_sizes(elements: int, ranks: int) -> list[int]:
    """The longer chunks first (assumed: Neuron's chunks are equal)."""
    size, longer = divmod(elements, ranks)
    return [size + 1] * longer + [size] * (ranks - longer)


def _moves(kind: Collective, sizes: list[int], elements: int, rank: int) -> tuple[int, int]:
    """How many elements a rank sends, and how many it receives."""
    before, own, after = (sizes[(rank + step) % len(sizes)] for step in (-1, 0, 1))
    # chunk `rank` ends here and so is not sent on; the next rank has its own sum already
    scatter = elements - own, elements - before
    gather = elements - after, elements - own
    match kind:
        case Collective.ALL_REDUCE:
            return scatter[0] + gather[0], scatter[1] + gather[1]
        case Collective.ALL_GATHER:
            return gather
        case Collective.REDUCE_SCATTER:
            return scatter


def all_reduce(
    parts: Sequence[Any],
    *,
    accumulate_format: Format | str = FP32,
    out_format: Format | str = FP32,
) -> Any:
    """The sum of the parts, one a rank, added in the order of the ring.

    parts              arrays of one shape, the first that of rank 0
    accumulate_format  fp32: one rounding an addition. bf16: each part is rounded to it first, and
                       every sum; what travels is bf16 (assumed)
    out_format         to which the sum is rounded once it is complete
    returns            one array of that shape, the first part's kind of container: every rank has
                       the same bits, as the gathering changes nothing

    A single rank adds and sends nothing: its part is only rounded to `out_format`. NaN is
    canonical, -0 + -0 is -0, subnormals are kept. The ledger counts every rounding on the way; its
    bytes are those that one rank sends and receives, of the rank that moves most.

    Raises ValueError for no parts and for shapes that differ, TypeError for what is no sequence,
    UnsupportedFormat for a format that is no float, and for an `accumulate_format` other than fp32
    and bf16.

    Source: see the module; fp32 inside: nki.isa dma_compute.
    """
    fmt = as_float_format(out_format, "out_format")
    inner = _accumulate_format(accumulate_format)
    arrays, give = _opened(parts)
    out, counts = _ring_sum(arrays, inner, fmt)
    _write(Collective.ALL_REDUCE, arrays, [out], fmt, counts, inner)
    return give(out)


def reduce_scatter(
    parts: Sequence[Any],
    *,
    accumulate_format: Format | str = FP32,
    out_format: Format | str = FP32,
) -> list[Any]:
    """The sum of `all_reduce`, of which each rank keeps its chunk: a list of these, rank 0 first.

    The chunks are of one axis, pieces of the flattened sum; their sizes differ by one at most, the
    longer ones first (assumed: documented for equal sizes, collectives.rst). Joined they are the
    bits of `all_reduce`, whose arguments and errors these are.
    """
    fmt = as_float_format(out_format, "out_format")
    inner = _accumulate_format(accumulate_format)
    arrays, give = _opened(parts)
    out, counts = _ring_sum(arrays, inner, fmt)
    flat = out.reshape(-1)
    pieces = [flat[piece] for piece in chunks(flat.size, len(arrays))]
    _write(Collective.REDUCE_SCATTER, arrays, pieces, fmt, counts, inner)
    return [give(piece) for piece in pieces]


def all_gather(parts: Sequence[Any], *, axis: int = -1, out_format: Format | str = FP32) -> Any:
    """The parts side by side along an axis, rank 0 first (documented: collectives.rst).

    parts    arrays of one shape; each is a chunk, rounded to `out_format` before it is sent
             (assumed: afterwards would give the same bits and move more or fewer bytes)
    returns  one array, the first part's kind of container; only that rounding changes a value

    Raises ValueError for no parts, shapes that differ and an axis that they have not, TypeError for
    what is no sequence, UnsupportedFormat for a format that is no float.
    """
    fmt = as_float_format(out_format, "out_format")
    arrays, give = _opened(parts)
    shape = arrays[0].shape
    if not -len(shape) <= axis < len(shape):
        raise ValueError(f"axis={axis}; the parts have {len(shape)} axes")
    axis %= len(shape)
    if is_outline(*arrays):
        gathered = outline((*shape[:axis], len(arrays) * shape[axis], *shape[axis + 1 :]))
    else:
        gathered = np.concatenate(arrays, axis)
    out, counts = apply_flat(gathered, Activation.COPY, 1.0, -0.0, fmt)
    _write(Collective.ALL_GATHER, arrays, [out], fmt, counts, fmt)
    return give(out)


def _accumulate_format(given: Format | str) -> FloatFormat:
    found = as_float_format(given, "accumulate_format")
    if found not in _ACCUMULATE:
        allowed = ", ".join(fmt.name for fmt in _ACCUMULATE)
        raise UnsupportedFormat(f"accumulate_format={found.name}; a ring adds in: {allowed}")
    return found


def _opened(parts: Sequence[Any]) -> tuple[list[Floats], Callable[[Any], Any]]:
    """The parts as arrays of one shape, and what makes a result the first one's container."""
    if not isinstance(parts, Sequence) or isinstance(parts, str):
        raise TypeError(f"parts is {kind_of(parts)}; give a list of arrays, one a rank")
    if not parts:
        raise ValueError("parts is empty; give one array a rank, at least one")
    opened = [open_floats(part) for part in parts]
    arrays = [array for array, _ in opened]
    for rank, array in enumerate(arrays):
        if array.shape != arrays[0].shape:
            given = f"part {rank} has shape {array.shape}, part 0 {arrays[0].shape}"
            raise ValueError(f"{given}; needed: one shape")
    return arrays, opened[0][1]


def chunks(elements: int, ranks: int) -> list[slice]:
    """Where each rank's chunk lies; the longer ones come first."""
    ends = accumulate(_chunk_sizes(elements, ranks), initial=0)
    return [slice(*piece) for piece in pairwise(ends)]


def _ring_sum(parts: list[Floats], inner: FloatFormat, fmt: FloatFormat) -> tuple[Floats, Counts]:
    """The sum in the order of the ring, rounded to `inner` on the way and to `fmt` at the end."""
    shape, ranks = parts[0].shape, len(parts)
    if is_outline(*parts):
        return outline(shape), NO_COUNTS
    if ranks == 1:
        return apply_flat(parts[0], Activation.COPY, 1.0, -0.0, fmt)
    counts, flat = NO_COUNTS, [contiguous(part).reshape(-1) for part in parts]
    if inner != FP32:
        cast = [apply_flat(part, Activation.COPY, 1.0, -0.0, inner) for part in flat]
        flat, counts = [part for part, _ in cast], sum((own for _, own in cast), NO_COUNTS)
    pieces = chunks(prod(shape), ranks)

    def turn(step: int) -> Floats:
        """What the rank that a chunk is at in this step has of that chunk, of all chunks."""
        own = [flat[(c + 1 + step) % ranks][piece] for c, piece in enumerate(pieces)]
        return np.concatenate(own).reshape(shape)

    # elements do not meet: one addition for all chunks gives the bits of one for each
    total = turn(0)
    for step in range(1, ranks):
        total, more = combine(total, turn(step), AluOp.ADD, inner)
        counts = counts + more
    if fmt in (inner, FP32):
        return total, counts
    out, more = apply_flat(total, Activation.COPY, 1.0, -0.0, fmt)
    return out, counts + more


def _write(
    kind: Collective, parts: list[Floats], results: list[Floats], fmt: FloatFormat, counts: Counts,
    travels: FloatFormat,
) -> None:  # fmt: skip
    """Write a collective into the ledger: every part, then what there is of the result."""
    elements = sum(result.size for result in results)
    traffic = ring_traffic(elements, len(parts), travels, collective=kind)
    shapes = tuple(array.shape for array in (*parts, *results))
    formats = ("fp32",) * len(parts) + (fmt.name,) * len(results)
    adds = "" if kind is Collective.ALL_GATHER else travels.name
    record(
        "dma", kind.value, shapes, formats, counts,
        size_bytes=traffic.bytes_moved, accumulator=adds,
    )  # fmt: skip
