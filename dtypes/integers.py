"""Rounding to integer formats with numpy operations that are exact, hence the same everywhere."""

from typing import Any, assert_never

import numpy as np
import numpy.typing as npt

from halfulp.dtypes import kernels
from halfulp.dtypes.conversion import Conversion
from halfulp.dtypes.format import FloatFormat
from halfulp.dtypes.int_format import IntFormat
from halfulp.dtypes.noise import noise_for
from halfulp.dtypes.rounding import Rounding, Subnormals
from halfulp.dtypes.subnormals import flush_codes, flushed

Array = npt.NDArray[Any]


def to_integers(x: Array, codes_of: FloatFormat | None, out: Array, made: Conversion) -> None:
    """out[i] = x[i] rounded to a whole number and clamped to the format; NaN gives 0, -0 gives +0.

    x      float32, float64, integer, bool, or codes; C-contiguous, as is out
    out    any type; where it cannot hold the bound of the format, its largest value inside (float32
           holds 2147483520 below the int32 bound 2147483647)
    """
    fmt = made.fmt
    assert isinstance(fmt, IntFormat)
    shape = x.shape
    x, out = x.reshape(-1), out.reshape(-1)  # numpy would make scalars of no dimension
    if codes_of is None and x.dtype.kind in "iub":
        np.copyto(out, _clamp_integers(x, fmt), casting="unsafe")
        return
    x = _floats(x, codes_of, out, made)
    # a signaling NaN must not warn: it is a number to us
    with np.errstate(invalid="ignore"):
        if made.rounding is Rounding.STOCHASTIC:
            whole = _whole_by_noise(x, made, shape)
        else:
            whole = _whole(x, made.rounding)
        low, high = _bounds(fmt, whole.dtype)
        np.clip(whole, low, high, out=whole)
    np.copyto(whole, 0, where=np.isnan(whole))
    whole += 0.0  # -0 becomes +0
    np.copyto(out, whole, casting="unsafe")


def _floats(x: Array, codes_of: FloatFormat | None, out: Array, made: Conversion) -> Array:
    """float32 or float64; the wider one where the result needs the bounds of a wide format."""
    fmt, flush = made.fmt, made.subnormals is Subnormals.FLUSH_INPUTS
    assert isinstance(fmt, IntFormat)
    if codes_of is not None:
        single = np.empty(x.shape, np.float32)
        kernels.decode(flush_codes(x, codes_of) if flush else x, single, codes_of)
        x = single
    elif flush:
        x = flushed(x)
    if x.dtype == np.float32 and out.dtype != np.float32 and not fmt.fits_float32:
        wide = np.empty(x.shape, np.float64)
        kernels.widen(x, wide)
        return wide
    return x


def _clamp_integers(x: Array, fmt: IntFormat) -> Array:
    if x.dtype.kind == "b":
        return x
    given = np.iinfo(x.dtype)
    return np.clip(x, max(fmt.min, given.min), min(fmt.max, given.max))


def _bounds(fmt: IntFormat, dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """The least and the largest number of a float type inside the format."""
    low, high = dtype.type(fmt.min), dtype.type(fmt.max)
    return low, high if int(high) <= fmt.max else np.nextafter(high, dtype.type(0))


def _whole(x: Array, rounding: Rounding) -> Array:
    """A new array of the same type; x - trunc(x) is exact."""
    match rounding:
        case Rounding.NEAREST_EVEN:
            return np.rint(x)
        case Rounding.NEAREST_AWAY:
            below = np.trunc(x)
            return below + np.copysign(np.abs(x - below) >= 0.5, x).astype(x.dtype)
        case Rounding.TOWARD_ZERO:
            return np.trunc(x)
        case Rounding.TOWARD_POSITIVE:
            return np.ceil(_lift(x))
        case Rounding.TOWARD_NEGATIVE:
            return np.floor(_lift(x))
        case Rounding.TO_ODD:
            x = _lift(x)
            below = np.trunc(x)
            step = (x != below) & (np.fmod(below, 2) == 0)
            return below + np.copysign(step, x).astype(x.dtype)
        case Rounding.STOCHASTIC:
            raise AssertionError("it draws random bits: _whole_by_noise")
    assert_never(rounding)


def _lift(x: Array) -> Array:
    """Every number between 0 and 1/4 as 1/4, with its sign.

    A process that flushes subnormals would take the smallest ones for 0.
    """
    codes = x.view(f"u{x.itemsize}")
    sign = codes & (1 << (8 * x.itemsize - 1))
    magnitude = codes ^ sign
    quarter = int(x.dtype.type(0.25).view(codes.dtype))
    small = (magnitude != 0) & (magnitude < quarter)
    return np.where(small, sign | quarter, codes).view(x.dtype)


def _whole_by_noise(x: Array, made: Conversion, shape: tuple[int, ...]) -> Array:
    bits = made.random_bits
    below = np.trunc(x)
    rest = np.where(np.isfinite(x), np.abs(x - below), 0)
    share = np.ldexp(rest, bits).astype(np.uint64)
    up = (share + noise_for(made.random, shape)) >> np.uint64(bits)
    return below + np.copysign(up.astype(x.dtype), x)
