"""A second opinion on whole arrays, in exact float64 arithmetic; and the check that uses it.

It shares no code with the kernels nor with the reference, which judges it in test_reference.py.
"""

from collections.abc import Callable
from typing import Any, assert_never

import numpy as np
import numpy.typing as npt

from halfulp.dtypes import FloatFormat, Overflow, Rounding
from halfulp.dtypes.rounding import DETERMINISTIC
from tests.strategies import magnitudes, overflows_of

Array = npt.NDArray[Any]
Encoder = Callable[[Array, FloatFormat, Rounding, Overflow], Array]


def modes(fmt: FloatFormat) -> list[tuple[Rounding, Overflow]]:
    """Every deterministic rounding with every overflow policy that the format can have."""
    return [(rounding, overflow) for rounding in DETERMINISTIC for overflow in overflows_of(fmt)]


def encode_by_spacing(
    x: Array, fmt: FloatFormat, rounding: Rounding, overflow: Overflow
) -> npt.NDArray[np.int64]:
    """The code of each float64: how many units of the spacing at |x|, rounded to a whole number.

    -1 for NaN where the format has none.
    """
    negative, infinite, nan = np.signbit(x), np.isinf(x), np.isnan(x)
    size = np.where(infinite | nan, 0.0, np.abs(x))
    code = _finite(size, negative, fmt, rounding)
    past = _past_the_largest(fmt, negative, rounding, overflow)
    code = np.where(code > fmt.max_code, past, code)
    code = np.where(infinite, _of_infinity(fmt, overflow), code)
    no_number = nan | (code == -1)
    if not fmt.signed:
        no_number |= negative | (size == 0) & ~infinite
    code += np.where(negative, fmt.sign_code, 0)
    if not fmt.has_minus_zero:
        code = np.where(code == fmt.sign_code, 0, code)
    return np.where(no_number, -1 if fmt.nan_code is None else fmt.nan_code, code)


def _finite(size: Array, negative: Array, fmt: FloatFormat, rounding: Rounding) -> Array:
    exponent = np.where(size > 0, np.maximum(np.frexp(size)[1] - 1, fmt.emin), fmt.emin)
    with np.errstate(under="ignore"):
        units = np.ldexp(size, fmt.mantissa_bits - exponent)
    units = np.where((size > 0) & (units < 0.125), 0.125, units)  # it must not vanish
    whole = _rounded(units, negative, rounding)
    binade = (exponent - fmt.emin).astype(np.int64)
    code = (binade << fmt.mantissa_bits) + whole
    if fmt.subnormals:
        return code
    # one binade more, and a gap below the smallest value
    code -= 1 << fmt.mantissa_bits
    if not fmt.has_zero:
        return np.where(size < fmt.tiny, 0, code)
    share = np.where(size < fmt.tiny, size, 0.0)
    quarter = 0.25 * fmt.tiny
    share = np.where(share == 0, 0.0, np.where(share < quarter, 0.125, share / fmt.tiny))
    # the quotient may be rounded, but to the right side of the tie
    share = np.where((size < fmt.tiny / 2) & (share >= 0.5), np.nextafter(0.5, 0), share)
    share = np.where((size > fmt.tiny / 2) & (size < fmt.tiny), np.maximum(share, 0.75), share)
    return np.where(size < fmt.tiny, _rounded(share, negative, rounding), code)


def _rounded(units: Array, negative: Array, rounding: Rounding) -> npt.NDArray[np.int64]:
    below = np.floor(units)
    up = _goes_up(units - below, below % 2 == 1, negative, rounding)
    return below.astype(np.int64) + up


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
        case Rounding.STOCHASTIC:
            raise ValueError("not deterministic")
    assert_never(rounding)


def _own_infinity(fmt: FloatFormat) -> int:
    """-1 stands for NaN until the sign is in."""
    if fmt.inf_code is not None:
        return fmt.inf_code
    return fmt.max_code if fmt.nan_code is None else -1


def _of_infinity(fmt: FloatFormat, overflow: Overflow) -> int:
    if overflow is Overflow.SATURATE_ALL:
        return fmt.max_code
    return -1 if overflow is Overflow.NAN else _own_infinity(fmt)


def _past_the_largest(
    fmt: FloatFormat, negative: Array, rounding: Rounding, overflow: Overflow
) -> Array:
    stays = {
        Rounding.TOWARD_ZERO: np.ones(negative.shape, bool),
        Rounding.TO_ODD: np.ones(negative.shape, bool),
        Rounding.TOWARD_POSITIVE: negative,
        Rounding.TOWARD_NEGATIVE: ~negative,
    }.get(rounding, np.zeros(negative.shape, bool))
    match overflow:
        case Overflow.SATURATE | Overflow.SATURATE_ALL:
            return np.full(negative.shape, fmt.max_code)
        case Overflow.NAN:
            return np.full(negative.shape, -1)
        case Overflow.INF:
            return np.where(stays, fmt.max_code, _own_infinity(fmt))
    assert_never(overflow)


def values_of(codes: Array, fmt: FloatFormat) -> npt.NDArray[np.float64]:
    """What each code means."""
    codes = codes.astype(np.int64)
    negative, magnitude = np.divmod(codes, 1 << (fmt.exponent_bits + fmt.mantissa_bits))
    value = magnitudes(magnitude, fmt)
    value = np.where(magnitude > fmt.max_code, np.nan, value)
    if fmt.inf_code is not None:
        value = np.where(magnitude == fmt.inf_code, np.inf, value)
    if fmt.nan_code is not None:
        value = np.where(codes == fmt.nan_code, np.nan, value)
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
