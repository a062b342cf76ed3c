"""Operands of `accumulate`: cast, brought into the order of the sums, laid out for the kernels."""

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from halfulp.dtypes import FloatFormat, Format, IntFormat, encode, round_to
from halfulp.dtypes.addresses import address
from halfulp.dtypes.parameters import INF32, MAGNITUDE32
from halfulp.dtypes.rounding import Rounding, Subnormals
from halfulp.dtypes.threads import parallel, split
from halfulp.engines.accumulate_integers import (
    FLOAT_COLUMNS,
    FLOAT_ROWS,
    INTEGER_COLUMNS,
    INTEGER_ROWS,
    pack,
)
from halfulp.engines.accumulation import Accumulation
from halfulp.engines.layout import lay_blocks
from halfulp.engines.wide import COLUMNS, ROWS

Array = npt.NDArray[Any]
_IN_CACHE = 1 << 16  # numbers that are looked at while they are in the cache
_LEAST = 1 << 14  # numbers to lay out for which another thread is asked


class Laid(NamedTuple):
    """32-bit numbers as [matrix][block of rows or columns][k][row or column], k in their order.

    repeats   whether one matrix serves the whole batch
    """

    memory: Array
    repeats: bool

    @property
    def pitch(self) -> int:
        """Bytes from one k to the next."""
        return self.memory.shape[-1] * self.memory.itemsize

    @property
    def places(self) -> tuple[int, int]:
        """The address, and the bytes from one matrix of the batch to the next."""
        return address(self.memory), 0 if self.repeats else self.memory.strides[0]


class Extremes(NamedTuple):
    """float32 bits of the smallest magnitude that is not zero, INF32 if there is none, and of the
    largest."""

    smallest: int
    largest: int


@dataclass(frozen=True, eq=False)
class Panels:
    """A float32 right operand in panels of columns, [panel][k][column]; zeros fill the last."""

    memory: Array
    width: int

    @cached_property
    def extremes(self) -> Extremes:
        return extremes(self.memory)

    @property
    def columns(self) -> Array:
        """As (K, N)."""
        panels, depth, size = self.memory.shape
        return self.memory.swapaxes(0, 1).reshape(depth, panels * size)[:, : self.width]


def as_columns(x: Array | Panels) -> Array:
    """A right operand as (..., K, N)."""
    return x.columns if isinstance(x, Panels) else x


def lay_right(x: Array | Panels, order: Array, batch: tuple[int, ...]) -> Laid:
    """A right operand laid out; panels are, if their order is that of the sums."""
    if isinstance(x, Panels) and _in_order(order):
        return Laid(x.memory[None], True)
    return lay(as_columns(x), False, order, batch)


def lay_columns(x: Array | Panels, order: Array, batch: tuple[int, ...]) -> Laid:
    """A right operand by blocks of COLUMNS."""
    if not isinstance(x, Panels):
        return lay(x, False, order, batch)
    panels, depth, size = x.memory.shape
    halves = x.memory.reshape(panels, depth, size // COLUMNS, COLUMNS).swapaxes(1, 2)
    blocks = halves.reshape(-1, depth, COLUMNS)[: -(-x.width // COLUMNS)]
    if not _in_order(order):
        blocks = blocks[:, order]
    # some of these are views, and numpy lays what it has put in order out as it likes
    return Laid(np.ascontiguousarray(blocks)[None], True)


def _in_order(order: Array) -> bool:
    return not bool((order[1:] < order[:-1]).any())


def lay(x: Array, rows: bool, order: Array, batch: tuple[int, ...]) -> Laid:
    """x (..., width, K) by blocks of `rows`, or else (..., K, width) by blocks of columns."""
    width, wide = x.shape[-2 if rows else -1], ROWS if rows else COLUMNS
    lead = x.shape[:-2]
    if lead and lead != batch:
        x, lead = np.broadcast_to(x, batch + x.shape[-2:]), batch
    turned = x.swapaxes(-1, -2) if rows else x
    flat = turned.reshape(prod(lead), len(order), width)
    if not _in_order(order):
        flat = flat[:, order]
    blocks, whole = -(-width // wide), width // wide
    laid = np.empty((len(flat), blocks, len(order), wide), x.dtype)
    if not rows and flat.strides[2] == flat.itemsize == 4:
        _lay_blocks(flat, laid)
    else:
        parts = flat[:, :, : whole * wide].reshape(len(flat), len(order), whole, wide)
        laid[:, :whole] = parts.swapaxes(1, 2)
        if blocks > whole:
            laid[:, whole] = 0
            laid[:, whole, :, : width - whole * wide] = flat[:, :, whole * wide :]
    return Laid(laid, not lead)


def _lay_blocks(flat: Array, laid: Array) -> None:
    """Rows of a batch of matrices, their elements side by side, by blocks of columns."""
    if not laid.size:
        return
    matrices, depth, width = flat.shape
    places = address(flat), *flat.strides[:2], address(laid), depth, width
    count = matrices * laid.shape[1]
    pieces = split(count, 1, max(_LEAST // (depth * COLUMNS), 1))
    parallel(lay_blocks, [(*places, *piece) for piece in pieces])


def _pack(laid: Laid, kind: int, given: int, out: Array) -> Laid:
    steps = laid.memory.size // laid.memory.shape[-1]
    where = address(laid.memory), address(out), given, kind
    parallel(pack, [(*where, *piece) for piece in split(steps, 1, 1 << 12)])
    return Laid(out, laid.repeats)


def widen(laid: Laid, tiny: int = 0) -> Laid:
    """float64 numbers and their powers, or int64; `tiny` as bits of a float64."""
    *shape, wide = laid.memory.shape
    floats, rows = laid.memory.dtype == np.float32, wide == ROWS
    kinds = (FLOAT_ROWS, INTEGER_ROWS) if rows else (FLOAT_COLUMNS, INTEGER_COLUMNS)
    return _pack(laid, kinds[0 if floats else 1], tiny, np.empty((*shape, 2 * wide), np.float64))


def extremes(x: Array) -> Extremes:
    """Of float32 numbers."""
    flat, smallest, largest = x.reshape(-1).view(np.uint32), INF32, 0
    for start in range(0, flat.size, _IN_CACHE):
        magnitude = flat[start : start + _IN_CACHE] & np.uint32(MAGNITUDE32)
        largest = max(largest, int(magnitude.max()))
        magnitude -= np.uint32(1)  # zero comes last
        smallest = min(smallest, int(magnitude.min()) + 1)
    return Extremes(smallest, largest)


class Factors(NamedTuple):
    """What is known of the numbers of an operand, or of products of two.

    finest        they are whole multiples of 2^finest
    significant   bits of a significand, at most
    top           they are below 2^top; more than any float32 where they are not finite
    """

    finest: int
    significant: int
    top: int

    def times(self, other: "Factors") -> "Factors":
        return Factors(*(one + its for one, its in zip(self, other, strict=True)))


def factors(found: Extremes, fmt: FloatFormat) -> Factors:
    """Of values of a format."""
    lowest = fmt.emin - fmt.mantissa_bits
    finest = max((found.smallest >> 23) - 127 - fmt.mantissa_bits, lowest)
    top = (found.largest >> 23) - 126
    # infinity and NaN: the product with the smallest number must not look finite
    return Factors(finest, fmt.mantissa_bits + 1, 2 * top if found.largest >= INF32 else top)


def cast_operand(
    x: Array, fmt: Format, how: Accumulation, rounding: Rounding = Rounding.NEAREST_EVEN
) -> Array:
    """Values of the format: float32, or int32."""
    if isinstance(fmt, IntFormat):
        return encode(x, fmt).astype(np.int32)
    flush = Subnormals.FLUSH_OUTPUTS if how.flushes_inputs else Subnormals.KEEP
    nan = None if fmt.has_nan else "zero"
    return round_to(x, fmt, rounding=rounding, subnormals=flush, nan=nan)
