"""64-bit integers on their way to a float format: float64 does not hold them all."""

from typing import Any

import numpy as np
import numpy.typing as npt

from halfulp.dtypes.conversion import Conversion
from halfulp.dtypes.format import FloatFormat
from halfulp.dtypes.noise import noise_for

Array = npt.NDArray[Any]
_EXACT = 1 << 53


def magnitudes(x: Array) -> npt.NDArray[np.uint64]:
    """|x| of 64-bit integers."""
    if x.dtype.kind == "u":
        return x.astype(np.uint64)
    # the least one has no int64 of the other sign: its bits are its magnitude
    return np.where(x < 0, np.negative(x), x).view(np.uint64)


def odd_integers(x: Array) -> npt.NDArray[np.float64]:
    """Each 64-bit integer as float64, rounded to odd.

    A second rounding, to 24 bits or fewer, then gives what one rounding would have given.
    """
    magnitude = magnitudes(x)
    power = np.zeros(x.shape, np.int32)
    for _ in range(11):  # 64 - 53 bits at most have to go
        wide = magnitude >> np.uint64(53) != 0
        halved = (magnitude >> np.uint64(1)) | (magnitude & np.uint64(1))
        magnitude = np.where(wide, halved, magnitude)
        power += wide
    return _signed(np.ldexp(magnitude.astype(np.float64), power), x)


def round_integers(x: Array, made: Conversion) -> npt.NDArray[np.float64]:
    """Stochastically rounded where float64 does not hold them: to odd would change the share."""
    fmt = made.fmt
    assert isinstance(fmt, FloatFormat)
    magnitude = magnitudes(x)
    if not fmt.subnormals and fmt.tiny > _EXACT and (magnitude >= _EXACT).any():
        raise ValueError(
            f"64-bit integers of 2^53 and more are not rounded stochastically to {fmt},"
            f" whose smallest value is {fmt.tiny}; give float64"
        )
    dropped = np.maximum(_exponents(magnitude), fmt.emin) - fmt.mantissa_bits
    cut = np.clip(dropped, 0, 63).astype(np.uint64)
    whole = np.where(dropped > 63, 0, magnitude >> cut)
    rest = magnitude - (whole << cut)
    bits = made.random_bits
    left = np.clip(bits - dropped, 0, 63).astype(np.uint64)
    right = np.clip(dropped - bits, 0, 63).astype(np.uint64)
    share = (rest << left) >> right
    noise = noise_for(made.random, x.shape).reshape(x.shape).astype(np.uint64)
    whole += (share + noise) >> np.uint64(bits)
    rounded = np.ldexp(whole.astype(np.float64), np.maximum(dropped, 0).astype(np.int32))
    return _signed(np.where(magnitude < _EXACT, magnitude.astype(np.float64), rounded), x)


def _exponents(magnitude: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """floor(log2), for 0 too 0."""
    exponent, rest = np.zeros(magnitude.shape, np.int64), magnitude
    for step in (32, 16, 8, 4, 2, 1):
        wide = rest >> np.uint64(step) != 0
        exponent += np.where(wide, step, 0)
        rest = np.where(wide, rest >> np.uint64(step), rest)
    return exponent


def _signed(size: npt.NDArray[np.float64], x: Array) -> npt.NDArray[np.float64]:
    return np.where(x < 0, -size, size)
