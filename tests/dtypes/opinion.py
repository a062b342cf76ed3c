"""A second opinion on whole arrays, in exact float64 arithmetic; and the check that uses it.

It shares no code with the kernels nor with the reference, which judges it in test_reference.py.
"""

from collections.abc import Callable
from typing import Any, assert_never

import numpy as np
import numpy.typing as npt

from halfulp.dtypes import FloatFormat, Overflow, Rounding
from tests.strategies import magnitudes

Array = npt.NDArray[Any]
Encoder = Callable[[Array, FloatFormat, Rounding, Overflow], Array]
BOTH = [(rounding, overflow) for rounding in Rounding for overflow in Overflow]


def encode_by_spacing(
    x: Array, fmt: FloatFormat, rounding: Rounding, overflow: Overflow
) -> npt.NDArray[np.int64]:
    """The code of each float64: how many units of the spacing at |x|, rounded to a whole number."""
    negative, infinite, nan = np.signbit(x), np.isinf(x), np.isnan(x)
    size = np.where(infinite | nan, 0.0, np.abs(x))
    exponent = np.where(size > 0, np.maximum(np.frexp(size)[1] - 1, fmt.emin), fmt.emin)
    with np.errstate(under="ignore"):
        units = np.ldexp(size, fmt.mantissa_bits - exponent)
    units = np.where((size > 0) & (units < 0.125), 0.125, units)  # it must not vanish
    below = np.floor(units)
    whole = below + _goes_up(units - below, below % 2 == 1, negative, rounding)
    binade = (exponent - fmt.emin).astype(np.int64)
    code = (binade << fmt.mantissa_bits) + whole.astype(np.int64)
    code = np.where(code > fmt.max_code, _past_the_largest(fmt, negative, rounding, overflow), code)
    code = np.where(infinite, _infinity(fmt), code)
    no_number = nan | (code == -1)
    code += negative.astype(np.int64) << (fmt.bits - 1)
    return np.where(no_number, -1 if fmt.nan_code is None else fmt.nan_code, code)


def _goes_up(rest: Array, odd: Array, negative: Array, rounding: Rounding) -> Array:
    match rounding:
        case Rounding.NEAREST_EVEN:
            return (rest > 0.5) | ((rest == 0.5) & odd)
        case Rounding.NEAREST_AWAY:
            return rest >= 0.5
        case Rounding.TOWARD_ZERO:
            return np.zeros(rest.shape, bool)
        case Rounding.TOWARD_POSITIVE:
            return (rest > 0) & ~negative
        case Rounding.TOWARD_NEGATIVE:
            return (rest > 0) & negative
        case Rounding.TO_ODD:
            return (rest > 0) & ~odd
    assert_never(rounding)


def _infinity(fmt: FloatFormat) -> int:
    """-1 stands for NaN until the sign is in."""
    return -1 if fmt.inf_code is None else fmt.inf_code


def _past_the_largest(
    fmt: FloatFormat, negative: Array, rounding: Rounding, overflow: Overflow
) -> Array:
    stays = {
        Rounding.TOWARD_ZERO: np.ones(negative.shape, bool),
        Rounding.TO_ODD: np.ones(negative.shape, bool),
        Rounding.TOWARD_POSITIVE: negative,
        Rounding.TOWARD_NEGATIVE: ~negative,
    }.get(rounding, np.zeros(negative.shape, bool))
    return np.where(stays | (overflow is Overflow.SATURATE), fmt.max_code, _infinity(fmt))


def values_of(codes: Array, fmt: FloatFormat) -> npt.NDArray[np.float64]:
    """What each code means."""
    negative, magnitude = np.divmod(codes.astype(np.int64), 1 << (fmt.bits - 1))
    value = magnitudes(magnitude, fmt)
    value = np.where(magnitude > fmt.max_code, np.nan, value)
    if fmt.inf_code is not None:
        value = np.where(magnitude == fmt.inf_code, np.inf, value)
    return np.where(np.isnan(value), np.nan, np.where(negative == 1, -value, value))


def convert(x: Array, dtype: npt.DTypeLike) -> Array:
    """numpy's conversion without its warnings on signaling NaN and overflow."""
    with np.errstate(all="ignore"):
        return x.astype(dtype)


def bits(x: Array) -> Array:
    """Floats as integers, so that == tells -0 from +0 and one NaN from another."""
    return np.ascontiguousarray(x).view(f"u{x.dtype.itemsize}")


def differences(
    encoder: Encoder, x: Array, fmt: FloatFormat, rounding: Rounding, overflow: Overflow
) -> list[str]:
    """What `encoder` gets wrong on x; the first five. NaN is left out where the format has none."""
    if not fmt.has_nan:
        x = x[~np.isnan(x)]
    got = encoder(x, fmt, rounding, overflow).astype(np.int64)
    wanted = encode_by_spacing(convert(x, np.float64), fmt, rounding, overflow)
    wrong = np.flatnonzero(got != wanted)
    return [
        f"{fmt} {rounding} {overflow}: {float(x[i]).hex()} -> {got[i]:#x}, wanted {wanted[i]:#x}"
        for i in wrong[:5]
    ]
