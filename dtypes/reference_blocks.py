"""Exact block formats with fractions, one block at a time: slow, to be read aloud, the judge.

It shares the facts of a format with the kernels, and no code; elements go through
`halfulp.dtypes.reference`.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from math import copysign, inf, isinf, isnan, nan
from typing import assert_never

from halfulp.dtypes.block_format import (
    LARGEST_TENSOR_SCALE,
    LEAST_TENSOR_SCALE,
    BlockFormat,
    ScaleRule,
)
from halfulp.dtypes.format import FloatFormat
from halfulp.dtypes.formats import FP32
from halfulp.dtypes.reference import Special, nearest_code, value
from halfulp.dtypes.rounding import Overflow, Rounding

ONE = Fraction(1)
EVEN, SATURATE = Rounding.NEAREST_EVEN, Overflow.SATURATE


def encode_block(
    x: Sequence[float],
    fmt: BlockFormat,
    rule: ScaleRule = ScaleRule.FLOOR,
    tensor_scale: Fraction = ONE,
) -> tuple[list[int], int]:
    """The codes of the elements, and that of the scale."""
    amax = block_maximum(x)
    if amax is None:
        assert fmt.scale.nan_code is not None
        return [0] * len(x), fmt.scale.nan_code
    scale = scale_code(amax, fmt, rule, tensor_scale)
    divisor = _finite(scale, fmt.scale) * tensor_scale
    if not fmt.has_power_scale:
        divisor = _single(divisor)
    return [_element_code(number, divisor, fmt) for number in x], scale


def decode_block(
    codes: Iterable[int], scale: int, fmt: BlockFormat, tensor_scale: Fraction = ONE
) -> list[float]:
    """What the elements' codes mean, as numbers of float32."""
    return [_number(code, scale, fmt, tensor_scale) for code in codes]


def tensor_scale_of(maxima: Iterable[Fraction | None], fmt: BlockFormat) -> Fraction:
    """From the blocks' maxima; those with NaN or an infinity have none."""
    amax = max((found for found in maxima if found is not None), default=Fraction(0))
    quotient = amax / (Fraction(fmt.scale.max) * Fraction(fmt.element_max))
    least, largest = Fraction(LEAST_TENSOR_SCALE), Fraction(LARGEST_TENSOR_SCALE)
    return min(max(_single(quotient), least), largest)


def block_maximum(x: Sequence[float]) -> Fraction | None:
    """The largest magnitude; None where it is not finite."""
    if any(isnan(number) or isinf(number) for number in x):
        return None
    return max((abs(Fraction(number)) for number in x), default=Fraction(0))


def scale_code(
    amax: Fraction,
    fmt: BlockFormat,
    rule: ScaleRule = ScaleRule.FLOOR,
    tensor_scale: Fraction = ONE,
) -> int:
    """The code of the scale of a block with this largest magnitude."""
    if fmt.has_power_scale:
        exponent = -127 if amax == 0 else _exponent(amax, fmt, rule)
        return min(max(exponent, -127), 127) + fmt.scale.bias
    quotient = amax / (Fraction(fmt.element_max) * tensor_scale)
    # not zero: the elements would all be lost
    return max(nearest_code(quotient, fmt.scale, EVEN, SATURATE), 1)


def _exponent(amax: Fraction, fmt: BlockFormat, rule: ScaleRule) -> int:
    match rule:
        case ScaleRule.FLOOR:
            return _floor_log2(amax) - fmt.element_emax
        case ScaleRule.CEIL:
            return _ceil_log2(amax) - fmt.element_emax
        case ScaleRule.EVEN:
            unit = Fraction(2) ** (_floor_log2(amax) - fmt.element_fraction_bits)
            return _floor_log2(round(amax / unit) * unit) - fmt.element_emax
        case ScaleRule.RCEIL:
            return _ceil_log2(amax / Fraction(fmt.element_max))
    assert_never(rule)


def _floor_log2(x: Fraction) -> int:
    guess = x.numerator.bit_length() - x.denominator.bit_length()
    return guess if Fraction(2) ** guess <= x else guess - 1


def _ceil_log2(x: Fraction) -> int:
    exponent = _floor_log2(x)
    return exponent if Fraction(2) ** exponent == x else exponent + 1


def _element_code(number: float, divisor: Fraction, fmt: BlockFormat) -> int:
    element = fmt.element
    if isinstance(element, FloatFormat):
        if number == 0:
            return nearest_code(number, element)
        return nearest_code(Fraction(number) / divisor, element, EVEN, SATURATE)
    whole = round(Fraction(number) / divisor / Fraction(fmt.element_unit))
    return min(max(whole, -element.max), element.max)


def _number(code: int, scale: int, fmt: BlockFormat, tensor_scale: Fraction) -> float:
    element, factor = value(code, fmt.element), value(scale, fmt.scale)
    if element is Special.NAN or factor is Special.NAN:
        return nan
    sign = copysign(1.0, _float(element)) * copysign(1.0, _float(factor))
    if element in (Special.INFINITY, Special.MINUS_INFINITY):
        return nan if _float(factor) == 0 else sign * inf
    if _float(element) == 0 or _float(factor) == 0:
        return sign * 0.0
    assert isinstance(element, Fraction) and isinstance(factor, Fraction)
    product = element * Fraction(fmt.element_unit) * factor * tensor_scale
    rounded = value(nearest_code(product, FP32), FP32)
    return _float(rounded)


def _float(number: Fraction | Special) -> float:
    return number.value if isinstance(number, Special) else float(number)


def _finite(code: int, fmt: FloatFormat) -> Fraction:
    number = value(code, fmt)
    assert isinstance(number, Fraction)
    return number


def _single(x: Fraction) -> Fraction:
    """The float32 nearest to x, the largest one for more."""
    return _finite(nearest_code(x, FP32, EVEN, SATURATE), FP32)
