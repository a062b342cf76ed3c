"""The order in which an accumulation takes the products, for the kernels."""

import functools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from halfulp.dtypes.checks import integer
from halfulp.engines.accumulation import Accumulation, Entry, IntegerAccumulator, Join, Order

# what happens at a segment's ends, as bits of a number
FRESH, JOINS, CLOSES = 1, 2, 4


class Schedule(NamedTuple):
    """Which k comes when.

    order      every k, in the order in which the products are taken
    segments   (n, 3) int64: start and stop in `order`, and what happens: FRESH, the segment starts
               from +0; JOINS, its sum is one of those that the tile's chains leave; CLOSES, the
               tile is done
    """

    order: npt.NDArray[np.int64]
    segments: npt.NDArray[np.int64]


def _chains(accumulation: Accumulation, start: int, stop: int) -> list[list[int]]:
    """The k of each chain of a tile, empty ones left out."""
    chains, run = accumulation.chains, accumulation.run
    if chains == 1:
        return [list(range(start, stop))]
    members: list[list[int]] = [[] for _ in range(chains)]
    for k in range(start, stop):
        members[(k - start) // run % chains].append(k)
    if accumulation.descending:
        members.reverse()
    return [chain for chain in members if chain]


def _merges(accumulation: Accumulation) -> bool:
    """Whether a segment that goes on from the one before it may be one with it."""
    held = accumulation.accumulator
    if isinstance(held, IntegerAccumulator):
        return held.checked != "tile"
    return accumulation.order is Order.SEQUENTIAL


@functools.lru_cache(256)
def schedule(accumulation: Accumulation, depth: int) -> Schedule:
    """The schedule of a sum of `depth` products."""
    integer(depth, "depth", 0, 1 << 40)
    size = accumulation.tile or max(depth, 1)
    ends = accumulation.entry is Entry.END
    apart = accumulation.join is not Join.CHAINED
    merges = _merges(accumulation)
    order: list[int] = []
    segments: list[list[int]] = []
    for start in range(0, depth, size):
        chains = _chains(accumulation, start, min(start + size, depth))
        for index, chain in enumerate(chains):
            does = FRESH if ends and (apart or index == 0) else 0
            does |= JOINS if apart else 0
            does |= CLOSES if ends and index == len(chains) - 1 else 0
            first = len(order)
            order += chain
            if merges and segments and not does & FRESH and not segments[-1][2] & ~FRESH:
                segments[-1][1:] = [len(order), segments[-1][2] | does]
            else:
                segments.append([first, len(order), does])
    table = np.array(segments, np.int64).reshape(-1, 3)
    return Schedule(np.array(order, np.int64), table)
