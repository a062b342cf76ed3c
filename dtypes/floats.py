"""Conversions to float formats and from their codes, for arrays that are opened and in C order.

x is float32, float64, integer or bool, or the codes of a format (`codes_of`).
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from halfulp.dtypes import kernels
from halfulp.dtypes.conversion import Conversion
from halfulp.dtypes.format import FloatFormat
from halfulp.dtypes.rounding import Rounding, Subnormals
from halfulp.dtypes.subnormals import flush_codes, flush_values, flushed
from halfulp.dtypes.wide_integers import odd_integers, round_integers

Array = npt.NDArray[Any]


def round_floats(x: Array, codes_of: FloatFormat | None, target: Array, made: Conversion) -> None:
    """target[i] = the value of the format; float32 or float64."""
    fmt = made.fmt
    assert isinstance(fmt, FloatFormat)
    plain = _plain(x, codes_of, made)
    if plain.dtype == target.dtype:
        kernels.round_values(plain, target, made)
    else:  # an integer source that float64 holds, and a float32 result
        codes = np.empty(plain.shape, fmt.code_dtype)
        kernels.encode(plain, codes, made)
        kernels.decode(codes, target, fmt)
    if made.subnormals is Subnormals.FLUSH_OUTPUTS:
        flush_values(target.reshape(-1), fmt)


def encode_floats(x: Array, codes_of: FloatFormat | None, target: Array, made: Conversion) -> None:
    """target[i] = the code of the value that x[i] is rounded to."""
    fmt = made.fmt
    assert isinstance(fmt, FloatFormat)
    kernels.encode(_plain(x, codes_of, made), target, made)
    if made.subnormals is Subnormals.FLUSH_OUTPUTS:
        np.copyto(target, flush_codes(target, fmt))


def decode_floats(codes: Array, target: Array, fmt: FloatFormat, subnormals: Subnormals) -> None:
    """target[i] = the float32 value of codes[i]."""
    if subnormals is Subnormals.FLUSH_INPUTS:
        codes = flush_codes(codes, fmt)
    kernels.decode(codes, target, fmt)
    if subnormals is Subnormals.FLUSH_OUTPUTS:
        np.copyto(target, flushed(target))


def _plain(x: Array, codes_of: FloatFormat | None, made: Conversion) -> Array:
    """float32 or float64 that rounds to every format as `x` does; a NaN may be refused."""
    if codes_of is not None:
        if made.subnormals is Subnormals.FLUSH_INPUTS:
            x = flush_codes(x, codes_of)
        plain = np.empty(x.shape, np.float32)
        kernels.decode(x, plain, codes_of)
    elif x.dtype.kind == "f":
        plain = flushed(x) if made.subnormals is Subnormals.FLUSH_INPUTS else x
    else:
        return _from_integers(x, made)
    if made.refuses_nan and np.isnan(plain).any():
        raise ValueError(
            f"x holds NaN and {made.fmt} has none; replace NaN before the conversion,"
            " or give nan='zero' or nan='max'"
        )
    return plain


def _from_integers(x: Array, made: Conversion) -> Array:
    """No conversion by numpy here rounds, nor meets a subnormal number."""
    if x.itemsize <= 2:
        return x.astype(np.float32)
    if x.itemsize <= 4:
        return x.astype(np.float64)
    if made.rounding is Rounding.STOCHASTIC:
        return round_integers(x, made)
    return odd_integers(x)
