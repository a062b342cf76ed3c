"""Casts in torch's own integers: the same bits on devices that the kernels do not reach.

Integers alone, so that no device's treatment of subnormal or rounded numbers can change a bit.
Every intermediate result is an int64 tensor of x's shape.
"""

import torch
from torch import Tensor

from halfulp.dtypes.conversion import Conversion
from halfulp.dtypes.format import FloatFormat
from halfulp.dtypes.parameters import NAMES64, parameters64
from halfulp.dtypes.rounding import Rounding, Subnormals
from halfulp.dtypes.torch_parts import (
    LAYOUTS,
    Parts,
    noise_for,
    take_apart,
    up_by_noise,
    up_by_table,
)

_INT64 = torch.int64
_ONE = 1 << 52  # the implicit bit of a float64's significand


def encode(x: Tensor, made: Conversion) -> Tensor:
    """The codes of float64, float32, float16 or bfloat16 values, as int64.

    Raises ValueError for NaN where the format has none and `nan` says nothing, TypeError for other
    elements.
    """
    fmt = made.fmt
    assert isinstance(fmt, FloatFormat)
    parts = take_apart(x, made.subnormals is Subnormals.FLUSH_INPUTS)
    if made.refuses_nan and bool(parts.nan.any()):
        raise ValueError(f"x holds NaN and {fmt} has none; give nan='zero' or nan='max'")
    code = _finish(_finite(parts, x, made), parts, made)
    return _flushed(code, fmt) if made.subnormals is Subnormals.FLUSH_OUTPUTS else code


def _flushed(codes: Tensor, fmt: FloatFormat) -> Tensor:
    """The code of a subnormal becomes that of zero, with its sign where there is -0."""
    if not fmt.subnormals:
        return codes
    size = codes & ((1 << (fmt.exponent_bits + fmt.mantissa_bits)) - 1)
    small = (size > 0) & (size < 1 << fmt.mantissa_bits)
    return torch.where(small, codes & (fmt.sign_code if fmt.has_minus_zero else 0), codes)


def _given(made: Conversion) -> dict[str, int]:
    assert isinstance(made.fmt, FloatFormat)
    values = parameters64(made.fmt, made.rounding, made.overflow, made.nan, made.random_bits)
    return dict(zip(NAMES64, values.tolist(), strict=True))


def _finite(parts: Parts, x: Tensor, made: Conversion) -> Tensor:
    """Magnitude codes of finite numbers, the exponent unbounded above."""
    fmt = made.fmt
    assert isinstance(fmt, FloatFormat)
    effective = parts.exponent.clamp(min=fmt.emin)
    dropped = effective - fmt.mantissa_bits - parts.exponent + 52
    cut = dropped.clamp(max=55)  # with 55 and more nothing but stickiness is left
    below = parts.significand >> cut
    if made.rounding is Rounding.STOCHASTIC:
        noise = noise_for(x, made)
        up = up_by_noise(parts.significand, dropped, noise, made.random_bits)
    else:
        up = up_by_table(parts, below, cut, _given(made)["table"])
    code = ((effective - fmt.emin) << fmt.mantissa_bits) + below + up
    code = torch.where(parts.significand == 0, 0, code)
    if fmt.subnormals:
        return code
    code = torch.where(parts.significand == 0, 0, code - (1 << fmt.mantissa_bits))
    return _at_the_bottom(code, parts, x, made)


def _at_the_bottom(code: Tensor, parts: Parts, x: Tensor, made: Conversion) -> Tensor:
    """Between zero and the smallest value of a format without subnormals."""
    fmt = made.fmt
    assert isinstance(fmt, FloatFormat)
    # order of magnitudes as one integer
    place = parts.exponent * _ONE + (parts.significand - _ONE)
    unit = 0 if not fmt.has_zero else _ONE >> fmt.mantissa_bits
    bottom = fmt.emin * _ONE + unit
    under = (place < bottom) & (parts.significand > 0)
    if not fmt.has_zero:
        return torch.where(under, 0, code)
    if made.rounding is Rounding.STOCHASTIC:
        bits = made.random_bits
        shift = fmt.emin - fmt.mantissa_bits - parts.exponent + 52 - bits
        scaled = (parts.significand << (-shift).clamp(min=0)) >> shift.clamp(min=0, max=63)
        share = scaled // ((1 << fmt.mantissa_bits) + 1)
        up = (share + noise_for(x, made)) >> bits
    else:
        middle = bottom - _ONE  # half of it: one binade lower
        guard, sticky = (place >= middle).to(_INT64), (place != middle).to(_INT64)
        index = (parts.negative << 3) | (guard << 1) | sticky
        up = (torch.full_like(index, _given(made)["table"]) >> index) & 1
    return torch.where(under, up, code)


def _finish(code: Tensor, parts: Parts, made: Conversion) -> Tensor:
    """Overflow, specials and the sign."""
    fmt, given = made.fmt, _given(made)
    assert isinstance(fmt, FloatFormat)
    negative = parts.negative == 1
    over = torch.where(negative, given["overflow_minus"], given["overflow_plus"])
    code = torch.where(code > fmt.max_code, over, code)
    code = torch.where(parts.infinite, given["infinity_code"], code)
    no_number = parts.nan
    if not fmt.signed:
        no_number = no_number | negative | ((parts.significand == 0) & ~parts.infinite)
    code = torch.where(no_number, given["nan_code"], code)
    signed = (code >= given["least_signed"]) & (code <= given["most_signed"]) & ~parts.nan
    return torch.where(signed & negative, code + fmt.sign_code, code)


def decode(
    codes: Tensor,
    fmt: FloatFormat,
    subnormals: Subnormals = Subnormals.KEEP,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """The values of int64 codes as float32 or float64; flushing as `halfulp.dtypes.decode` does."""
    if subnormals is Subnormals.FLUSH_INPUTS:
        codes = _flushed(codes, fmt)
    size = codes & ((1 << (fmt.exponent_bits + fmt.mantissa_bits)) - 1)
    field, fraction = size >> fmt.mantissa_bits, size & ((1 << fmt.mantissa_bits) - 1)
    hidden = (field > 0) if fmt.subnormals else torch.ones_like(field, dtype=torch.bool)
    significand = torch.where(hidden, fraction | (1 << fmt.mantissa_bits), fraction)
    power = field.clamp(min=int(fmt.subnormals)) - fmt.bias - fmt.mantissa_bits
    zero = (size == 0) & fmt.has_zero
    nan = size > fmt.max_code
    if fmt.nan_code is not None:
        nan = nan | (codes == fmt.nan_code)
    infinite = size == (-1 if fmt.inf_code is None else fmt.inf_code)
    negative = (codes & fmt.sign_code) != 0 if fmt.signed else torch.zeros_like(nan)
    if subnormals is Subnormals.FLUSH_OUTPUTS:
        zero = zero | _subnormal_float32(significand, power)
    return _assemble(significand, power, zero, infinite, nan & ~infinite, negative, dtype)


def _subnormal_float32(significand: Tensor, power: Tensor) -> Tensor:
    """Where significand * 2^power lies below 2^-126; the significand has at most 24 bits."""
    shift = (-126 - power).clamp(min=0, max=25)
    return significand < (torch.ones_like(shift) << shift)


def _assemble(
    significand: Tensor, power: Tensor, zero: Tensor, infinite: Tensor, nan: Tensor,
    negative: Tensor, dtype: torch.dtype,
) -> Tensor:  # fmt: skip
    """significand * 2^power, which the type holds exactly, from its parts."""
    width, mantissa, bias, kind = LAYOUTS[dtype]
    for step in (16, 8, 4, 2, 1):  # to 24 bits, of which the first is set
        low = (significand < (1 << (24 - step))) & (significand > 0)
        significand = torch.where(low, significand << step, significand)
        power = torch.where(low, power - step, power)
    exponent = power + 23
    least = 1 - bias
    shift = (least - exponent).clamp(min=0, max=63)  # subnormal in float32
    aligned = (significand << (mantissa - 23)) >> shift
    code = torch.where(shift > 0, aligned, aligned + ((exponent + bias - 1) << mantissa))
    top = ((1 << (width - 1 - mantissa)) - 1) << mantissa
    code = torch.where(zero, 0, code)
    code = torch.where(infinite, top, torch.where(nan, top | (1 << (mantissa - 1)), code))
    # the sign is that of the integer type
    code = torch.where(negative & ~nan, code - (1 << (width - 1)), code)
    return code.to(kind).view(dtype)


def round_to(x: Tensor, made: Conversion) -> Tensor:
    """The values: float64 stays, any other float gives float32."""
    fmt = made.fmt
    assert isinstance(fmt, FloatFormat)
    dtype = torch.float64 if x.dtype is torch.float64 else torch.float32
    return decode(encode(x, made), fmt, dtype=dtype)
