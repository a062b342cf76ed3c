"""The bits of NaN results where an accumulation asks for others than the canonical ones."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from halfulp.dtypes import FloatFormat
from halfulp.dtypes.parameters import INF32, MAGNITUDE32, NAN32
from halfulp.engines.accumulation import Accumulation, NanRule
from halfulp.engines.schedule import schedule

Array = npt.NDArray[Any]
_QUIET, _MADE = 0x00400000, 0xFFC00000  # the quiet bit; what x86 gives where no operand is NaN
_AT_ONCE = 1 << 22  # operands that are looked at together


class Operand(NamedTuple):
    """float32 numbers before and after the cast; what the format has no number for becomes NaN."""

    given: Array
    cast: Array

    @property
    def nans(self) -> Array:
        """Bits of every NaN, 0 elsewhere: its own, or canonical ones where the cast made it."""
        own = np.where(np.isnan(self.given), self.given.view(np.uint32), np.uint32(NAN32))
        return np.where(np.isnan(self.cast), own, np.uint32(0))


def set_nans(
    found: Array, a: Operand, b: Operand, c: Operand | None, how: Accumulation, fmt: FloatFormat
) -> None:
    """Give every NaN of `found` (..., M, N), values of `fmt`, the bits that `how` says."""
    codes = found.view(np.uint32)
    places = np.nonzero((codes & MAGNITUDE32) > INF32)
    if not len(places[0]):
        return
    if how.nan is NanRule.ALL_ONES:
        bits: Array = np.full(len(places[0]), MAGNITUDE32, np.uint32)
    else:
        size = max(1, _AT_ONCE // max(1, a.given.shape[-1]))
        nans = a.nans, b.nans, None if c is None else c.nans
        some = range(0, len(places[0]), size)
        parts = [tuple(p[start : start + size] for p in places) for start in some]
        bits = np.concatenate([_operand_nans(part, found.shape, *nans, how) for part in parts])
    below = np.uint32((1 << (23 - fmt.mantissa_bits)) - 1)
    codes[places] = bits & ~below | np.uint32(_QUIET)


def _operand_nans(
    places: tuple[Array, ...], shape: tuple[int, ...], a: Array, b: Array, c: Array | None,
    how: Accumulation,
) -> Array:  # fmt: skip
    """Of each output the latest NaN among its operands, given as `Operand.nans`."""
    *lead, row, column = places
    order = schedule(how, a.shape[-1]).order
    left = np.broadcast_to(a, shape[:-2] + a.shape[-2:])[(*lead, row)][:, order]
    turned = b.swapaxes(-1, -2)
    right = np.broadcast_to(turned, shape[:-2] + turned.shape[-2:])[(*lead, column)][:, order]
    both = np.where(left, left, right)
    there = both.astype(bool)
    bits: Array = np.full(len(row), _MADE, np.uint32)
    if c is not None:
        start = np.broadcast_to(c, shape)[places]
        bits = np.where(start, start, bits)
    if there.shape[1]:
        last = there.shape[1] - 1 - there[:, ::-1].argmax(1)
        bits = np.where(there.any(1), np.take_along_axis(both, last[:, None], 1)[:, 0], bits)
    return bits
