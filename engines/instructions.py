"""What the Tensor Engine issues for a product, and what that costs: costs are written only here."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

_SOURCE = "trainium_inferentia2_arch.rst"
#: Limits of one instruction and of PSUM. Documented for NeuronCore-v2 (an array of 128 x 128, PSUM
#: of 128 partitions with 8 banks of 512 fp32); assumed for v1.
ROWS = 128  # of both operands: K
STATIONARY_COLUMNS = 128
MOVING_COLUMNS = 512  # what one bank holds of a partition
BANKS = 8  # sums that can be open at the same time


@dataclass(frozen=True)
class LoadStationary:
    """Lay (rows, columns) into the array, in the background of the multiplication before.

    passes  4 for fp32

    At best four columns a cycle, four times as fast as MultiplyMoving (documented:
    trainium_inferentia2_arch.rst); that best is taken (assumed), and the fourfold time of fp32 too.
    """

    rows: int
    columns: int
    passes: int = 1

    @property
    def background_cycles(self) -> int:
        """Cycles beside the multiplication before.

        That is as long wherever it has as many columns; one of an edge tile may be shorter, and the
        rest is not counted then (assumed: nc_matmul's documented cost has no such part).
        """
        return self.passes * -(-self.columns // 4)

    @property
    def cycles(self) -> int:
        return 0


@dataclass(frozen=True)
class MultiplyMoving:
    """Send (rows, moving) through an array that holds (rows, columns); into one bank of PSUM.

    passes  4 for fp32

    One column a cycle; the next instruction follows min(64, columns) cycles later at the earliest
    (documented: nki.isa nc_matmul, until December 2025). Integers cost what bf16 costs (assumed:
    no instruction for them is documented).
    """

    rows: int
    columns: int
    moving: int
    passes: int = 1

    @property
    def cycles(self) -> int:
        return self.passes * max(min(64, self.columns), self.moving)


TensorInstruction = LoadStationary | MultiplyMoving


class Issue(NamedTuple):
    """An instruction, and how often it is issued."""

    instruction: TensorInstruction
    number: int

    @property
    def cycles(self) -> int:
        return self.number * self.instruction.cycles

    def times(self, items: int) -> "Issue":
        return Issue(self.instruction, self.number * items)


Issues = tuple[Issue, ...]


def cycles(issued: Issues) -> int:
    """Cycles of the Tensor Engine's clock, one instruction after the other."""
    return sum(issue.cycles for issue in issued)


@lru_cache(4096)
def product(rows: int, depth: int, columns: int, passes: int = 1, items: int = 1) -> Issues:
    """What `items` products of (rows, depth) and (depth, columns) issue.

    Either operand may be the stationary one, for both give the same sums: the cheaper way is taken,
    the left operand's if they are equal (assumed). A stationary tile stays for as many moving tiles
    as PSUM has banks.
    """
    ways = [issues(rows, depth, columns, passes), issues(columns, depth, rows, passes)]
    best = min(ways, key=lambda way: (cycles(way), sum(issue.number for issue in way)))
    return tuple(issue.times(items) for issue in best if issue.number * items)


def issues(columns: int, depth: int, moving: int, passes: int = 1) -> Issues:
    """What a product of stationary (depth, columns) and moving (depth, moving) issues."""
    found = []
    banks = -(-moving // MOVING_COLUMNS)
    for k, k_tiles in _cut(depth, ROWS):
        for m, m_tiles in _cut(columns, STATIONARY_COLUMNS):
            tiles = k_tiles * m_tiles
            if banks:
                found.append(Issue(LoadStationary(k, m, passes), tiles * -(-banks // BANKS)))
            for n, n_tiles in _cut(moving, MOVING_COLUMNS):
                found.append(Issue(MultiplyMoving(k, m, n, passes), tiles * n_tiles))
    return tuple(found)


def _cut(length: int, size: int) -> Iterator[tuple[int, int]]:
    """Lengths of tiles, and how many of each."""
    if length >= size:
        yield size, length // size
    if length % size:
        yield length % size, 1


def check_tile(stationary: tuple[int, ...], moving: tuple[int, ...]) -> None:
    """Raise ValueError unless one instruction takes (K, M) and (K, N) operands."""
    given = f"stationary has shape {stationary}, moving {moving}"
    if len(stationary) != 2 or len(moving) != 2 or stationary[0] != moving[0]:
        raise ValueError(f"{given}; needed: (K, M) and (K, N)")
    limits = f"K <= {ROWS}, M <= {STATIONARY_COLUMNS}, N <= {MOVING_COLUMNS}"
    if stationary[0] > ROWS or stationary[1] > STATIONARY_COLUMNS or moving[1] > MOVING_COLUMNS:
        raise ValueError(
            f"{given}; one instruction takes {limits}, one bank of PSUM ({_SOURCE});"
            " matmul cuts larger ones into tiles"
        )
