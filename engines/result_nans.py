"""The bits of NaN results where an accumulation asks for others than the canonical ones."""

from typing import Any

import numpy as np
import numpy.typing as npt

from halfulp.dtypes import FloatFormat
from halfulp.dtypes.parameters import INF32, MAGNITUDE32
from halfulp.engines.accumulation import Accumulation, NanRule
from halfulp.engines.schedule import schedule

Array = npt.NDArray[Any]
_QUIET, _MADE = 0x00400000, 0xFFC00000  # the quiet bit; what x86 gives where no operand is NaN
_AT_ONCE = 1 << 22  # operands that are looked at together


def set_nans(
    found: Array, a: Array, b: Array, c: Array | None, how: Accumulation, fmt: FloatFormat
) -> None:
    """Give every NaN of `found` (..., M, N), values of `fmt`, the bits that `how` says."""
    codes = found.view(np.uint32)
    places = np.nonzero((codes & MAGNITUDE32) > INF32)
    if not len(places[0]):
        return
    if how.nan is NanRule.ALL_ONES:
        bits: Array = np.full(len(places[0]), MAGNITUDE32, np.uint32)
    else:
        size = max(1, _AT_ONCE // max(1, a.shape[-1]))
        some = range(0, len(places[0]), size)
        parts = [tuple(p[start : start + size] for p in places) for start in some]
        bits = np.concatenate([_operand_nans(part, found.shape, a, b, c, how) for part in parts])
    below = np.uint32((1 << (23 - fmt.mantissa_bits)) - 1)
    codes[places] = bits & ~below | np.uint32(_QUIET)


def _operand_nans(
    places: tuple[Array, ...], shape: tuple[int, ...], a: Array, b: Array, c: Array | None,
    how: Accumulation,
) -> Array:  # fmt: skip
    """Of each output the latest NaN among its operands."""
    *lead, row, column = places
    order = schedule(how, a.shape[-1]).order
    left = np.broadcast_to(a, shape[:-2] + a.shape[-2:])[(*lead, row)][:, order]
    turned = b.swapaxes(-1, -2)
    right = np.broadcast_to(turned, shape[:-2] + turned.shape[-2:])[(*lead, column)][:, order]
    both = np.where(np.isnan(left), left.view(np.uint32), right.view(np.uint32))
    there = np.isnan(left) | np.isnan(right)
    bits: Array = np.full(len(row), _MADE, np.uint32)
    if c is not None:
        start = np.broadcast_to(c, shape)[places]
        bits = np.where(np.isnan(start), start.view(np.uint32), bits)
    if there.shape[1]:
        last = there.shape[1] - 1 - there[:, ::-1].argmax(1)
        bits = np.where(there.any(1), np.take_along_axis(both, last[:, None], 1)[:, 0], bits)
    return bits
