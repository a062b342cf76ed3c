"""Subnormal numbers made zero, by their bits: a process's own flushing cannot reach that."""

from typing import Any

import numpy as np
import numpy.typing as npt

from halfulp.dtypes.format import FloatFormat
from halfulp.dtypes.parameters import bits32, bits64

Array = npt.NDArray[Any]


def flush_codes(codes: Array, fmt: FloatFormat) -> Array:
    """A copy in which the code of a subnormal is that of zero, with its sign where there is -0."""
    if not fmt.subnormals:
        return codes
    magnitude = codes & codes.dtype.type((1 << (fmt.exponent_bits + fmt.mantissa_bits)) - 1)
    subnormal = (magnitude != 0) & (magnitude < 1 << fmt.mantissa_bits)
    sign = codes.dtype.type(fmt.sign_code if fmt.has_minus_zero else 0)
    return np.where(subnormal, codes & sign, codes)


def flush_values(x: Array, fmt: FloatFormat) -> None:
    """In float32 or float64 values of a format: its subnormals become zero, in place."""
    if fmt.subnormals:
        tiny = bits32(fmt.tiny) if x.itemsize == 4 else bits64(fmt.tiny)
        _flush_below(x, tiny, keep_sign=fmt.has_minus_zero)


def flushed(x: Array) -> Array:
    """A copy of float32 or float64 without the subnormals of that type."""
    x = x.copy()
    # the code of the smallest normal number: exponent field 1
    _flush_below(x.reshape(-1), 1 << np.finfo(x.dtype).nmant, keep_sign=True)
    return x


def _flush_below(x: Array, tiny: int, *, keep_sign: bool) -> None:
    """Below the number whose code is `tiny`."""
    codes = x.view(f"u{x.itemsize}")
    kind = codes.dtype.type
    sign = kind(1 << (8 * x.itemsize - 1))
    magnitude = codes & ~sign
    small = (magnitude != 0) & (magnitude < kind(tiny))
    np.copyto(codes, codes & sign if keep_sign else kind(0), where=small)
