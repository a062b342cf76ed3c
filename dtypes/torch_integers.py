"""Casts in torch's own integers: the same bits on devices that the kernels do not reach.

Integers alone, so that no device's treatment of subnormal or rounded numbers can change a bit.
Every intermediate result is an int64 tensor of x's shape.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from halfulp.dtypes.conversion import Conversion
from halfulp.dtypes.format import FloatFormat
from halfulp.dtypes.parameters import NAMES64, parameters64
from halfulp.dtypes.random_bits import GivenBits, Philox
from halfulp.dtypes.rounding import Rounding, Subnormals
from halfulp.dtypes.torch_philox import philox

_INT64 = torch.int64
_ONE = 1 << 52  # the implicit bit of a float64's significand
#: Of a float type: bits, mantissa bits, bias, the integer type of the same width.
_LAYOUTS: dict[torch.dtype, tuple[int, int, int, torch.dtype]] = {
    torch.float64: (64, 52, 1023, torch.int64),
    torch.float32: (32, 23, 127, torch.int32),
    torch.float16: (16, 10, 15, torch.int16),
    torch.bfloat16: (16, 7, 127, torch.int16),
}


@dataclass(frozen=True)
class _Parts:
    """significand * 2^(exponent - 52), the significand from 2^52 on but for zero."""

    negative: Tensor
    significand: Tensor
    exponent: Tensor
    infinite: Tensor
    nan: Tensor


def _parts(x: Tensor, flush: bool) -> _Parts:
    width, mantissa, bias, kind = _LAYOUTS[x.dtype]
    code = x.contiguous().view(kind).to(_INT64)
    negative = (code < 0).to(_INT64)
    magnitude = code & ((1 << (width - 1)) - 1)
    field, fraction = magnitude >> mantissa, magnitude & ((1 << mantissa) - 1)
    subnormal = field == 0
    significand = torch.where(subnormal, fraction, fraction | (1 << mantissa)) << (52 - mantissa)
    if flush:
        significand = torch.where(subnormal, 0, significand)
    exponent = field.clamp(min=1) - bias
    for step in (32, 16, 8, 4, 2, 1):
        low = (significand < (1 << (53 - step))) & (significand > 0)
        significand = torch.where(low, significand << step, significand)
        exponent = torch.where(low, exponent - step, exponent)
    top = field == (1 << (width - 1 - mantissa)) - 1
    return _Parts(negative, significand, exponent, top & (fraction == 0), top & (fraction != 0))


def encode(x: Tensor, made: Conversion) -> Tensor:
    """The codes of float64, float32, float16 or bfloat16 values, as int64.

    Raises ValueError for NaN where the format has none and `nan` says nothing, TypeError for other
    elements.
    """
    fmt = made.fmt
    assert isinstance(fmt, FloatFormat)
    if x.dtype not in _LAYOUTS:
        raise TypeError(f"elements of type {x.dtype} are not taken here; allowed: {_allowed()}")
    parts = _parts(x, made.subnormals is Subnormals.FLUSH_INPUTS)
    if not fmt.has_nan and made.nan is None and bool(parts.nan.any()):
        raise ValueError(f"x holds NaN and {fmt} has none; give nan='zero' or nan='max'")
    code = _finish(_finite(parts, x, made), parts, made)
    if made.subnormals is Subnormals.FLUSH_OUTPUTS and fmt.subnormals:
        size = code & ((1 << (fmt.exponent_bits + fmt.mantissa_bits)) - 1)
        small = (size > 0) & (size < 1 << fmt.mantissa_bits)
        code = torch.where(small, code & (fmt.sign_code if fmt.has_minus_zero else 0), code)
    return code


def _allowed() -> str:
    return ", ".join(str(dtype).removeprefix("torch.") for dtype in _LAYOUTS)


def _given(made: Conversion) -> dict[str, int]:
    assert isinstance(made.fmt, FloatFormat)
    values = parameters64(made.fmt, made.rounding, made.overflow, made.nan, made.random_bits)
    return dict(zip(NAMES64, values.tolist(), strict=True))


def _finite(parts: _Parts, x: Tensor, made: Conversion) -> Tensor:
    """Magnitude codes of finite numbers, the exponent unbounded above."""
    fmt = made.fmt
    assert isinstance(fmt, FloatFormat)
    effective = parts.exponent.clamp(min=fmt.emin)
    dropped = effective - fmt.mantissa_bits - parts.exponent + 52
    cut = dropped.clamp(max=55)  # with 55 and more nothing but stickiness is left
    below = parts.significand >> cut
    if made.rounding is Rounding.STOCHASTIC:
        noise = _noise(x, made)
        up = _up_by_noise(parts.significand, dropped, noise, made.random_bits)
    else:
        up = _up_by_table(parts, below, cut, _given(made)["table"])
    code = ((effective - fmt.emin) << fmt.mantissa_bits) + below + up
    code = torch.where(parts.significand == 0, 0, code)
    if fmt.subnormals:
        return code
    code = torch.where(parts.significand == 0, 0, code - (1 << fmt.mantissa_bits))
    return _at_the_bottom(code, parts, x, made)


def _up_by_table(parts: _Parts, below: Tensor, cut: Tensor, table: int) -> Tensor:
    one = torch.ones_like(cut)
    guard = (parts.significand >> (cut - 1)) & 1
    sticky = (parts.significand & ((one << (cut - 1)) - 1)).clamp(max=1)
    index = (parts.negative << 3) | ((below & 1) << 2) | (guard << 1) | sticky
    return (torch.full_like(index, table) >> index) & 1


def _up_by_noise(significand: Tensor, dropped: Tensor, noise: Tensor, bits: int) -> Tensor:
    one = torch.ones_like(dropped)
    rest = significand & ((one << dropped.clamp(max=62)) - 1)
    share = (rest << (bits - dropped).clamp(min=0)) >> (dropped - bits).clamp(min=0, max=63)
    return (share + noise) >> bits


def _at_the_bottom(code: Tensor, parts: _Parts, x: Tensor, made: Conversion) -> Tensor:
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
        up = (share + _noise(x, made)) >> bits
    else:
        middle = bottom - _ONE  # half of it: one binade lower
        guard, sticky = (place >= middle).to(_INT64), (place != middle).to(_INT64)
        index = (parts.negative << 3) | (guard << 1) | sticky
        up = (torch.full_like(index, _given(made)["table"]) >> index) & 1
    return torch.where(under, up, code)


def _finish(code: Tensor, parts: _Parts, made: Conversion) -> Tensor:
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


def _noise(x: Tensor, made: Conversion) -> Tensor:
    random = made.random
    if isinstance(random, GivenBits):
        bits = torch.from_numpy(random.for_shape(tuple(x.shape)).astype("int64"))
        return bits.to(x.device)
    assert isinstance(random, Philox)
    return philox(random, x.numel(), x.device).reshape(x.shape)


def decode(codes: Tensor, fmt: FloatFormat, dtype: torch.dtype = torch.float32) -> Tensor:
    """The values of int64 codes as float32 or float64."""
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
    return _assemble(significand, power, zero, infinite, nan & ~infinite, negative, dtype)


def _assemble(
    significand: Tensor, power: Tensor, zero: Tensor, infinite: Tensor, nan: Tensor,
    negative: Tensor, dtype: torch.dtype,
) -> Tensor:  # fmt: skip
    """significand * 2^power, which the type holds exactly, from its parts."""
    width, mantissa, bias, kind = _LAYOUTS[dtype]
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
    fmt: Any = made.fmt
    return decode(
        encode(x, made), fmt, torch.float64 if x.dtype is torch.float64 else torch.float32
    )
