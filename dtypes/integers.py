"""Rounding to integer formats with numpy operations that are exact, hence the same everywhere."""

from typing import Any, assert_never

import numpy as np
import numpy.typing as npt

from halfulp.dtypes.format import IntFormat
from halfulp.dtypes.rounding import Rounding

Array = npt.NDArray[Any]


def to_integers(x: Array, out: Array, fmt: IntFormat, rounding: Rounding) -> None:
    """out[i] = x[i] rounded to a whole number and clamped to `fmt`; NaN gives 0, -0 gives +0.

    x      float32, float64, integer or bool; C-contiguous, as is out
    out    any type; where it cannot hold the bound of `fmt`, its largest value inside (float32
           holds 2147483520 below the int32 bound 2147483647)
    """
    x, out = x.reshape(-1), out.reshape(-1)  # numpy would make scalars of no dimension
    if x.dtype.kind in "iub":
        np.copyto(out, _clamp_integers(x, fmt), casting="unsafe")
        return
    # a signaling NaN must not warn: it is a number to us
    with np.errstate(invalid="ignore"):
        whole = _whole(x, rounding)
        low, high = _bounds(fmt, whole.dtype)
        np.clip(whole, low, high, out=whole)
    np.copyto(whole, 0, where=np.isnan(whole))
    whole += 0.0  # -0 becomes +0
    np.copyto(out, whole, casting="unsafe")


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
