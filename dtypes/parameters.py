"""What the kernels must know of a format, as integers: one compiled kernel serves every format."""

import functools
import struct

import numpy as np
import numpy.typing as npt

from halfulp.dtypes.format import FloatFormat
from halfulp.dtypes.rounding import TRUTH_TABLES, Overflow, Rounding

INF32 = 0x7F800000
NAN32 = 0x7FC00000
SIGN32 = 0x80000000
MAGNITUDE32 = 0x7FFFFFFF


def fast32(fmt: FloatFormat) -> bool:
    """Whether the float32 kernels serve `fmt`.

    float32 must hold its values, be nowhere coarser, and hold the magic number of `parameters32`.
    """
    # between 0 and 2^-126 a tie goes to 0
    no_even_at_bottom = fmt.mantissa_bits == 0 and fmt.emin == -126
    magic_exponent = fmt.emin - fmt.mantissa_bits + 23
    return fmt.fits_float32 and fmt.emin >= -126 and magic_exponent <= 126 and not no_even_at_bottom


def bits32(value: float) -> int:
    """Bits of the float32 nearest to a float64, ties to even; every NaN gives NAN32.

    In integers, so that no flush-to-zero can reach it.
    """
    # kept by the bits: 0.0 and -0.0 are one key
    return _narrowed(struct.pack("<d", value))


@functools.lru_cache(4096)
def _narrowed(double: bytes) -> int:
    bits = int.from_bytes(double, "little")
    sign, magnitude = bits >> 63 << 31, bits & ((1 << 63) - 1)
    if magnitude > 0x7FF << 52:
        return NAN32
    field = magnitude >> 52
    significand = (magnitude & ((1 << 52) - 1)) | (min(field, 1) << 52)
    exponent = max(field, 1) - 1023
    effective = max(exponent, -126)
    dropped = min(effective - exponent + 29, 60)
    kept, rest = divmod(significand, 1 << dropped)
    half = 1 << (dropped - 1)
    kept += rest > half or (rest == half and kept & 1 == 1)
    return sign | min(((effective + 126) << 23) + kept, INF32)


#: Names and order of `parameters32`.
NAMES32 = (
    "shift", "half", "odd", "mask", "min_normal", "magic", "max", "overflow", "infinity", "nan",
    "base", "max_code", "overflow_code", "infinity_code", "nan_code", "sign_shift",
    "magnitude_codes", "normal_code", "infinity_found", "subnormal_scale",
)  # fmt: skip


@functools.cache
def parameters32(fmt: FloatFormat, overflow: Overflow) -> npt.NDArray[np.int64]:
    """Constants of the nearest-even float32 kernels, in the order of NAMES32; needs fast32(fmt).

    min_normal, magic: below the first normal value |x| + magic rounds to the subnormal grid;
    magic = 2^(emin - mantissa_bits + 23). A format with float32's own exponent range needs none:
    min_normal is 0 then. Without mantissa bits every normal value has an odd significand: `odd` is
    0 there, and a tie goes to the larger magnitude.
    """
    m, shift = fmt.mantissa_bits, 23 - fmt.mantissa_bits
    ordinary = fmt.emin > -126
    largest = bits32(fmt.max)
    nan_code = fmt.nan_code if fmt.nan_code is not None else 0
    if overflow is Overflow.SATURATE:
        over, over_code = largest, fmt.max_code
    elif fmt.has_inf:
        over, over_code = INF32, fmt.max_code + 1
    else:
        over, over_code = NAN32, nan_code
    infinity, infinity_code = (INF32, fmt.max_code + 1) if fmt.has_inf else (NAN32, nan_code)
    half = (1 << shift >> 1) - (1 if m and shift else 0)
    magnitudes = (1 << (fmt.exponent_bits + m)) - 1
    values = {
        "shift": shift,
        "half": half,
        "odd": 1 if m and shift else 0,
        "mask": 0xFFFFFFFF & -(1 << shift),
        "min_normal": (fmt.emin + 127) << 23 if ordinary else 0,
        "magic": bits32(2.0 ** (fmt.emin - m + 23)) if ordinary else 0,
        "max": largest,
        "overflow": over,
        "infinity": infinity,
        "nan": NAN32 if fmt.has_nan else 0,
        "base": (fmt.emin + 126) << 23,
        "max_code": fmt.max_code,
        "overflow_code": over_code,
        "infinity_code": infinity_code,
        "nan_code": nan_code,
        "sign_shift": fmt.exponent_bits + m,
        "magnitude_codes": magnitudes,
        "normal_code": (1 << m) if ordinary else 0,
        "infinity_found": fmt.max_code + 1 if fmt.has_inf else magnitudes + 1,
        "subnormal_scale": bits32(2.0 ** (fmt.emin - m)) if ordinary else 0,
    }
    return np.array([values[name] for name in NAMES32], np.int64)


#: Names and order of `parameters64`.
NAMES64 = (
    "mantissa", "emin", "table", "max_code", "overflow_plus", "overflow_minus", "infinity_code",
    "nan_code", "sign_shift", "bias", "magnitude_codes", "infinity_found",
)  # fmt: skip


def _overflow_code(fmt: FloatFormat, rounding: Rounding, overflow: Overflow, negative: bool) -> int:
    """Magnitude code of a finite value beyond the largest one.

    Source: IEEE 754-2019, 7.4; to odd has no rule there: it stays finite (chosen).
    """
    stays = (
        overflow is Overflow.SATURATE
        or rounding in (Rounding.TOWARD_ZERO, Rounding.TO_ODD)
        or rounding is (Rounding.TOWARD_POSITIVE if negative else Rounding.TOWARD_NEGATIVE)
    )
    if stays or (fmt.inf_code is None and fmt.nan_code is None):
        return fmt.max_code
    return fmt.inf_code if fmt.inf_code is not None else fmt.nan_code or 0


@functools.cache
def parameters64(fmt: FloatFormat, rounding: Rounding, overflow: Overflow) -> npt.NDArray[np.int64]:
    """Constants of the float64 kernels, for any format and rounding, in the order of NAMES64."""
    magnitudes = (1 << (fmt.exponent_bits + fmt.mantissa_bits)) - 1
    nan_code = fmt.nan_code if fmt.nan_code is not None else 0
    values = {
        "mantissa": fmt.mantissa_bits,
        "emin": fmt.emin,
        "table": TRUTH_TABLES[rounding],
        "max_code": fmt.max_code,
        "overflow_plus": _overflow_code(fmt, rounding, overflow, False),
        "overflow_minus": _overflow_code(fmt, rounding, overflow, True),
        "infinity_code": fmt.inf_code if fmt.inf_code is not None else nan_code,
        "nan_code": nan_code,
        "sign_shift": fmt.exponent_bits + fmt.mantissa_bits,
        "bias": fmt.bias,
        "magnitude_codes": magnitudes,
        "infinity_found": fmt.inf_code if fmt.inf_code is not None else magnitudes + 1,
    }
    return np.array([values[name] for name in NAMES64], np.int64)
