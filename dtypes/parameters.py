"""What the kernels must know of a format, as integers: one compiled kernel serves every format."""

import functools
import struct

import numpy as np
import numpy.typing as npt

from halfulp.dtypes.direction import Direction
from halfulp.dtypes.format import FloatFormat
from halfulp.dtypes.rounding import TRUTH_TABLES, NanTo, Overflow, Rounding, stays_finite

INF32 = 0x7F800000
NAN32 = 0x7FC00000
SIGN32 = 0x80000000
MAGNITUDE32, MAGNITUDE64 = 0x7FFFFFFF, 0x7FFFFFFFFFFFFFFF
Parameters = npt.NDArray[np.int64]


def fast32(fmt: FloatFormat) -> bool:
    """Whether the float32 kernels serve `fmt`.

    It must have subnormals, float32 must be nowhere coarser and hold the magic number of
    `parameters32`.
    """
    # between 0 and 2^-126 a tie goes to 0
    no_even_at_bottom = fmt.mantissa_bits == 0 and fmt.emin == -126
    magic_exponent = fmt.emin - fmt.mantissa_bits + 23
    return fmt.subnormals and fmt.emin >= -126 and magic_exponent <= 126 and not no_even_at_bottom


def noise32(fmt: FloatFormat) -> bool:
    """Whether they serve it with noise, too: they scale its smallest value to 1.

    The factor must be a float32, and not below 1, where it would lose bits of subnormal numbers.
    With all of float32's bits there would be none to shift noise into.
    """
    scaled = fmt.emin == -126 or 0 <= fmt.mantissa_bits - fmt.emin <= 127
    return fast32(fmt) and scaled and fmt.mantissa_bits < 23


def odd_float32(fmt: FloatFormat) -> bool:
    """Whether a float64 rounded to odd in float32 rounds to `fmt` as it would have by itself.

    float32 must have two more bits than the format, everywhere.
    """
    return fmt.mantissa_bits <= 21 and fmt.emin - fmt.mantissa_bits >= -147


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


def overflow_code(fmt: FloatFormat, rounding: Rounding, overflow: Overflow, negative: bool) -> int:
    """Magnitude code of a finite value past the largest one."""
    if overflow is Overflow.INF and stays_finite(rounding, negative):
        return fmt.max_code
    if overflow is Overflow.SATURATE:
        return fmt.max_code
    return infinity_code(fmt, overflow)


def infinity_code(fmt: FloatFormat, overflow: Overflow) -> int:
    """Magnitude code of an infinite source."""
    if overflow is Overflow.SATURATE_ALL:
        return fmt.max_code
    if overflow is Overflow.NAN:
        if fmt.nan_code is None:
            raise ValueError(
                f"{fmt} has no NaN, so overflow='nan' cannot be; give 'inf', 'saturate'"
            )
        return fmt.nan_code
    codes = (fmt.inf_code, fmt.nan_code, fmt.max_code)
    return next(code for code in codes if code is not None)


def nan_code(fmt: FloatFormat, instead: NanTo | None) -> int:
    """The code of NaN, or what stands for it; 0 when nothing is said."""
    if fmt.nan_code is not None:
        return fmt.nan_code
    return fmt.max_code if instead is NanTo.MAX else 0


def _value_bits(fmt: FloatFormat, code: int) -> int:
    """float32 bits of what a magnitude code means."""
    if code == fmt.nan_code:
        return NAN32
    return INF32 if code == fmt.inf_code else bits32(fmt.max) if code else 0


#: Names and order of `parameters32`; a native reads its direction from the first.
NAMES32 = (
    "direction", "shift", "half", "odd", "mask", "min_normal", "magic", "max", "overflow",
    "infinity", "nan", "base", "max_code", "overflow_code", "infinity_code", "nan_code",
    "sign_shift", "magnitude_codes", "normal_code", "infinity_found", "nan_found",
    "subnormal_scale", "least_signed", "most_signed", "added", "added_minus", "odd_bit",
    "half_unit", "overflow_minus", "overflow_code_minus", "scale", "noise_left", "noise_right",
    "noise_top", "noise_scale", "tiny", "raise", "ordinary", "vanishing", "least_wide",
    "deepest", "ordinary_noise",
)  # fmt: skip


@functools.cache
def parameters32(
    fmt: FloatFormat,
    overflow: Overflow,
    rounding: Rounding = Rounding.NEAREST_EVEN,
    nan: NanTo | None = None,
    random_bits: int = 32,
) -> Parameters:
    """Constants of the float32 kernels, in the order of NAMES32; needs fast32(fmt).

    min_normal, magic: below the first normal value |x| + magic rounds to the subnormal grid;
    magic = 2^(emin - mantissa_bits + 23). A format with float32's own exponent range needs none:
    min_normal is 0 then. Without mantissa bits every normal value has an odd significand: `odd` is
    0 there, and a tie goes to the larger magnitude.
    least_signed, most_signed: magnitude codes outside lose their sign: NaN, and 0 without -0.
    tiny, raise, ordinary: magnitudes below `ordinary` are rounded, and coded, by one addition of
    max(x's power of two, tiny) times 2^(23 - mantissa_bits); tiny is the first normal value.
    vanishing: up to it they become zero. least_wide: below, a float64 may be no normal float32.
    deepest: bits of the significand that the format lacks, were x's exponent field 0.
    ordinary_noise: how far `ordinary` is from float32's least normal number.
    """
    values = _layout(fmt) | _outcomes(fmt, overflow, rounding, nan)
    values |= _steps(fmt, rounding) | _noise(fmt, random_bits)
    return np.array([values[name] for name in NAMES32], np.int64)


def _layout(fmt: FloatFormat) -> dict[str, int]:
    m, shift = fmt.mantissa_bits, 23 - fmt.mantissa_bits
    own_grid = fmt.emin > -126  # coarser than float32's below the first normal value
    magnitudes = (1 << (fmt.exponent_bits + m)) - 1
    return {
        "shift": shift,
        "half": (1 << shift >> 1) - (1 if m and shift else 0),
        "odd": 1 if m and shift else 0,
        "mask": 0xFFFFFFFF & -(1 << shift),
        "min_normal": (fmt.emin + 127) << 23 if own_grid else 0,
        "magic": bits32(2.0 ** (fmt.emin - m + 23)) if own_grid else 0,
        "max": bits32(fmt.max),
        "base": (fmt.emin + 126) << 23,
        "max_code": fmt.max_code,
        "sign_shift": fmt.exponent_bits + m,
        "magnitude_codes": magnitudes,
        "normal_code": (1 << m) if own_grid else 0,
        # where there is none, what no magnitude and no code is
        "infinity_found": magnitudes + 1 if fmt.inf_code is None else fmt.inf_code,
        "nan_found": 1 << fmt.bits if fmt.nan_code is None else fmt.nan_code,
        "subnormal_scale": bits32(2.0 ** (fmt.emin - m)) if own_grid else 0,
        "least_signed": 0 if fmt.has_minus_zero else 1,
        "most_signed": fmt.max_code if fmt.inf_code is None else fmt.inf_code,
    }


def _outcomes(
    fmt: FloatFormat, overflow: Overflow, rounding: Rounding, nan: NanTo | None
) -> dict[str, int]:
    plus, minus = (overflow_code(fmt, rounding, overflow, negative) for negative in (False, True))
    infinite, no_number = infinity_code(fmt, overflow), nan_code(fmt, nan)
    return {
        "overflow": _value_bits(fmt, plus),
        "overflow_minus": _value_bits(fmt, minus),
        "infinity": _value_bits(fmt, infinite),
        "nan": _value_bits(fmt, no_number),
        "overflow_code": plus,
        "overflow_code_minus": minus,
        "infinity_code": infinite,
        "nan_code": no_number,
    }


#: Of a rounding that is not to nearest even: the direction in which a native rounds.
_DIRECTIONS = {
    Rounding.TOWARD_POSITIVE: Direction.UP,
    Rounding.TOWARD_NEGATIVE: Direction.DOWN,
    Rounding.TOWARD_ZERO: Direction.CUT,
    Rounding.NEAREST_AWAY: Direction.CUT,
    Rounding.TO_ODD: Direction.CUT,
}


def _steps(fmt: FloatFormat, rounding: Rounding) -> dict[str, int]:
    """A rounding as what is added above, and how numbers are rounded below, min_normal."""
    shift = 23 - fmt.mantissa_bits
    away = rounding is Rounding.NEAREST_AWAY
    half, all_of_it = 1 << shift >> 1, (1 << shift) - 1
    vanishing = bits32(fmt.smallest_subnormal / 2)
    added = {
        Rounding.TOWARD_POSITIVE: (all_of_it, 0),
        Rounding.TOWARD_NEGATIVE: (0, all_of_it),
        Rounding.NEAREST_AWAY: (half, half),
    }.get(rounding, (0, 0))
    return {
        "direction": _DIRECTIONS.get(rounding, Direction.NEAREST),
        "added": added[0],
        "added_minus": added[1],
        # without mantissa bits every value is odd
        "odd_bit": 1 << shift if fmt.mantissa_bits else 0,
        "half_unit": vanishing if away else 0,
        "tiny": (fmt.emin + 127) << 23,
        "raise": shift << 23,
        "ordinary": _ordinary(fmt),
        "vanishing": vanishing,
        "least_wide": 0 if fmt.smallest_subnormal >= 2.0**-124 else 0x00800001,
    }


def _ordinary(fmt: FloatFormat) -> int:
    """Where magnitudes begin whose power of two cannot be raised, or that overflow: float32 bits.

    The sum may reach twice what was raised. 0 when there are none below: with all of float32's bits
    nothing is rounded, and without -0 a sign may have to go.
    """
    if fmt.mantissa_bits == 23 or not fmt.has_minus_zero:
        return 0
    return min(bits32(fmt.max) + 1, (254 - 23 + fmt.mantissa_bits) << 23)


def _noise(fmt: FloatFormat, random_bits: int) -> dict[str, int]:
    """Where `random_bits` of noise meet the dropped bits, above min_normal and below it."""
    shift = 23 - fmt.mantissa_bits
    return {
        "noise_left": max(shift - random_bits, 0),
        "noise_right": max(random_bits - shift, 0),
        "noise_top": 32 - random_bits,
        "scale": bits32(2.0 ** min(fmt.mantissa_bits - fmt.emin, 127)),
        "noise_scale": bits32(2.0**random_bits),
        "deepest": fmt.emin + 127 + shift,
        "ordinary_noise": max(_ordinary(fmt) - 0x00800000, 0),
    }


#: Names and order of `parameters64`.
NAMES64 = (
    "mantissa", "emin", "bias", "table", "max_code", "overflow_plus", "overflow_minus",
    "infinity_code", "nan_code", "sign_shift", "magnitude_codes", "infinity_found", "nan_found",
    "least_signed", "most_signed", "implicit", "least_field", "unsigned", "random_bits",
    "bottom_low", "bottom_high", "middle_low", "middle_high",
)  # fmt: skip


@functools.cache
def parameters64(
    fmt: FloatFormat,
    rounding: Rounding,
    overflow: Overflow,
    nan: NanTo | None = None,
    random_bits: int = 32,
) -> Parameters:
    """Constants of the kernels for any format and rounding, in the order of NAMES64.

    bottom, middle   float64 bits of the smallest value of a format without subnormals, and of half
                     of it; 0 with subnormals
    implicit         what the code of a normal value lacks of field and significand put together
    """
    subnormals = fmt.subnormals
    bottom, middle = (0, 0) if subnormals else (bits64(fmt.tiny), bits64(fmt.tiny / 2))
    layout = _layout(fmt)
    kept = ("max_code", "sign_shift", "magnitude_codes", "infinity_found", "nan_found")
    values = {name: layout[name] for name in (*kept, "least_signed", "most_signed")} | {
        "mantissa": fmt.mantissa_bits,
        "emin": fmt.emin,
        "bias": fmt.bias,
        "table": 0 if rounding is Rounding.STOCHASTIC else TRUTH_TABLES[rounding],
        "overflow_plus": overflow_code(fmt, rounding, overflow, False),
        "overflow_minus": overflow_code(fmt, rounding, overflow, True),
        "infinity_code": infinity_code(fmt, overflow),
        "nan_code": nan_code(fmt, nan),
        "implicit": 0 if subnormals else 1 << fmt.mantissa_bits,
        "least_field": int(subnormals),
        "unsigned": int(not fmt.signed),
        "random_bits": random_bits,
        "bottom_low": bottom & 0xFFFFFFFF,
        "bottom_high": bottom >> 32,
        "middle_low": middle & 0xFFFFFFFF,
        "middle_high": middle >> 32,
    }
    return np.array([values[name] for name in NAMES64], np.int64)


def bits64(value: float) -> int:
    """Bits of a float64."""
    return int.from_bytes(struct.pack("<d", value), "little")
