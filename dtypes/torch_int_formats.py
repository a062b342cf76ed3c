"""Rounding to integer formats in torch's own integers: the same bits as the kernels."""

import torch
from torch import Tensor

from halfulp.dtypes.conversion import Conversion
from halfulp.dtypes.int_format import IntFormat
from halfulp.dtypes.rounding import TRUTH_TABLES, Rounding, Subnormals
from halfulp.dtypes.torch_parts import noise_for, take_apart, up_by_noise, up_by_table

#: 2^40 lies beyond every format, and 12 bits of the significand are fractions still.
_HUGE = 40


def encode(x: Tensor, made: Conversion) -> Tensor:
    """The integers of the format, as int64, that float64 to bfloat16 values are rounded to.

    Saturating; NaN gives 0. Raises TypeError for other elements.
    """
    fmt = made.fmt
    assert isinstance(fmt, IntFormat)
    return _whole(x, made).clamp(min=fmt.min, max=fmt.max)


def round_to(x: Tensor, made: Conversion) -> Tensor:
    """The values: float32 and float64 stay; float32, or float64 where the format needs it."""
    fmt = made.fmt
    assert isinstance(fmt, IntFormat)
    kept = x.dtype in (torch.float32, torch.float64)
    narrow = torch.float32 if fmt.fits_float32 else torch.float64
    dtype = x.dtype if kept else narrow
    # what is clamped is a whole number that the type holds: no conversion rounds
    return _whole(x, made).clamp(min=fmt.min, max=largest(fmt, dtype)).to(dtype)


def largest(fmt: IntFormat, dtype: torch.dtype) -> int:
    """The largest number of the format that float32 or float64 holds."""
    beyond = 0 if dtype is torch.float64 else max(fmt.bits - fmt.signed - 24, 0)
    return fmt.max >> beyond << beyond


def _whole(x: Tensor, made: Conversion) -> Tensor:
    """Rounded to whole numbers; those of 2^40 and more are only known to be as large."""
    parts = take_apart(x, made.subnormals is Subnormals.FLUSH_INPUTS)
    dropped = 52 - parts.exponent.clamp(max=_HUGE)
    cut = dropped.clamp(max=55)  # with 55 and more nothing but stickiness is left
    below = parts.significand >> cut
    if made.rounding is Rounding.STOCHASTIC:
        up = up_by_noise(parts.significand, dropped, noise_for(x, made), made.random_bits)
    else:
        up = up_by_table(parts, below, cut, TRUTH_TABLES[made.rounding])
    magnitude = torch.where(parts.infinite, 1 << _HUGE, below + up)
    whole = torch.where(parts.negative == 1, -magnitude, magnitude)
    return torch.where(parts.nan, 0, whole)
