"""The Tensor Engine with integers and fractions: slow, to be read aloud, the kernels' judge.

It shares the facts of the formats with the kernels, and no code. Numbers are Python floats that
fp32 holds.
"""

from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from math import copysign, inf, isfinite, isinf, isnan, ldexp, nan
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from halfulp.dtypes import FP32, INT8, FloatFormat, Format, IntFormat
from halfulp.dtypes.reference import round_exact

Row = Sequence[float]
Halves = tuple[float, float]
Array = npt.NDArray[Any]

#: Rows of the array: the k of one chain (documented).
TILE = 128
#: Every finite fp32 is a whole number of 2^-149, hence every product one of 2^-298.
_UNIT = 149


def _units(x: float) -> int:
    return int(ldexp(x, _UNIT))


class _Grid(NamedTuple):
    """A format's significant bits, the exponent of its last place, and its largest value."""

    precision: int
    lowest: int
    largest: float


@cache
def _grid(fmt: FloatFormat) -> _Grid:
    return _Grid(fmt.precision, fmt.emin - fmt.mantissa_bits, fmt.max)


_GRID32 = _grid(FP32)


def _nearest(amount: int, grid: _Grid) -> float:
    """The value nearest to amount * 2^-298, ties to even, of an IEEE style format; not of 0."""
    magnitude = abs(amount)
    dropped = max(magnitude.bit_length() - grid.precision, grid.lowest + 2 * _UNIT)
    kept = magnitude >> dropped
    rest, half = magnitude - (kept << dropped), 1 << (dropped - 1)
    kept += rest > half or (rest == half and kept % 2 == 1)
    result = ldexp(float(kept), dropped - 2 * _UNIT)
    return copysign(result if result <= grid.largest else inf, amount)


def fused(a: float, b: float, c: float) -> float:
    """a * b + c of fp32 numbers, rounded once to fp32."""
    # the product of two fp32 is exact in a double, so the double's sum has the right sign where
    # it is zero, and is right where it is not finite
    total = a * b + c
    if total == 0 or not isfinite(total):
        return nan if isnan(total) else total
    return _nearest(_units(a) * _units(b) + (_units(c) << _UNIT), _GRID32)


def add(a: float, b: float) -> float:
    """a + b rounded to fp32."""
    return fused(a, 1.0, b)


def subtract(a: float, b: float) -> float:
    """a - b rounded to fp32."""
    return fused(a, 1.0, -b)


def multiply(a: float, b: float) -> float:
    """a * b rounded to fp32."""
    return fused(a, b, -0.0)  # x + -0 is x, -0 as well


def divide(a: float, b: float) -> float:
    """a / b rounded to fp32."""
    sign = copysign(1.0, a) * copysign(1.0, b)
    if isnan(a) or isnan(b) or (a == 0 and b == 0) or (isinf(a) and isinf(b)):
        return nan
    if isinf(a) or b == 0:
        return sign * inf
    if isinf(b) or a == 0:
        return sign * 0.0
    return copysign(round_exact(Fraction(a) / Fraction(b), FP32), sign)


def cast(x: float, fmt: FloatFormat) -> float:
    """The fp32 x rounded to `fmt`; NaN becomes +0 where the format has none."""
    if isnan(x):
        return nan if fmt.has_nan else 0.0
    if x == 0 or isinf(x):
        return x
    return _nearest(_units(x) << _UNIT, _grid(fmt))


def cast_integer(x: float, fmt: IntFormat) -> float:
    """The nearest integer that fp32 and `fmt` both have: ties to even, clamped; NaN gives 0."""
    bits = fmt.max.bit_length()
    largest = fmt.max - fmt.max % 2 ** max(bits - 24, 0)
    if isnan(x):
        return 0.0
    if isinf(x):
        return float(largest if x > 0 else fmt.min)
    return float(min(max(round(x), fmt.min), largest))


def operand(x: float, fmt: Format, scale: float = 1.0) -> float:
    """What the array sees of x: multiplied by the scale, rounded to fp32, cast."""
    scaled = multiply(x, scale)
    return cast(scaled, fmt) if isinstance(fmt, FloatFormat) else cast_integer(scaled, fmt)


def halves(x: float) -> Halves:
    """(high, low): x with the low 12 bits of its code cleared, and what is missing, exactly."""
    if not isfinite(x):
        return x, 0.0
    magnitude = abs(_units(x))
    # below 24 bits the last place stays that of the subnormals
    cleared = max(magnitude.bit_length() - 24, 0) + 12
    high = copysign(ldexp(float(magnitude >> cleared), cleared - _UNIT), x)
    return high, x - high


def chain(row: Row, column: Row) -> float:
    """One pass through a tile: a fused multiply-add a row of the array, from +0."""
    total = 0.0
    for a, b in zip(row, column, strict=True):
        total = fused(a, b, total)
    return total


def _psum(entries: Sequence[float]) -> float:
    """What the accumulator holds: the first overwrites, each later one is added and rounded."""
    total = entries[0] if entries else 0.0
    for entry in entries[1:]:
        total = add(total, entry)
    return total


def _tiles(depth: int) -> list[slice]:
    return [slice(start, start + TILE) for start in range(0, depth, TILE)]


def systolic_sum(row: Row, column: Row) -> float:
    """Tiles in ascending k, one pass each."""
    return _psum([chain(row[tile], column[tile]) for tile in _tiles(len(row))])


def four_pass_sum(row: Sequence[Halves], column: Sequence[Halves]) -> float:
    """fp32 in halves; in each tile high x high, high x low, low x high, low x low."""
    entries = []
    for tile in _tiles(len(row)):
        for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
            entries.append(chain([x[i] for x in row[tile]], [x[j] for x in column[tile]]))
    return _psum(entries)


def integer_sum(row: Row, column: Row) -> int:
    """The exact sum, wrapped to 32 bits."""
    total = sum(int(a) * int(b) for a, b in zip(row, column, strict=True))
    return (total + 2**31) % 2**32 - 2**31


def evacuate(total: float, multiplier: float, bias: float, fmt: FloatFormat) -> float:
    """round(round(total * multiplier) + bias), cast."""
    return cast(add(multiply(total, multiplier), bias), fmt)


def _takes_four_passes(fmt: Format) -> bool:
    return fmt == FP32 or (isinstance(fmt, IntFormat) and fmt != INT8)


def _sums(a: list[list[float]], b: list[list[float]], formats: set[Format]) -> Any:
    """Every row of a times every column of b, by the rule of the operands' formats."""
    if formats == {INT8}:
        return [[integer_sum(row, column) for column in b] for row in a]
    if any(_takes_four_passes(fmt) for fmt in formats):
        left, right = ([[halves(x) for x in row] for row in matrix] for matrix in (a, b))
        return [[four_pass_sum(row, column) for column in right] for row in left]
    return [[systolic_sum(row, column) for column in b] for row in a]


def matmul(
    a: Array,
    b: Array,
    a_format: Format,
    b_format: Format,
    *,
    out_format: FloatFormat = FP32,
    a_scale: float = 1.0,
    b_scale: float | Row = 1.0,
    rescale: float | Row | None = None,
    bias: Row | None = None,
) -> Array:
    """a (M, K) times b (K, N), both float32, as `TensorEngine.matmul` gives it."""
    width = b.shape[1]
    a_factor, b_factors = fp32(a_scale), _columns(b_scale, width)
    left = [[operand(x, a_format, a_factor) for x in row] for row in a.tolist()]
    right = [
        [operand(x, b_format, factor) for x in column]
        for column, factor in zip(b.T.tolist(), b_factors, strict=True)
    ]
    sums = _sums(left, right, {a_format, b_format})
    if rescale is None and bias is None and out_format == FP32:
        dtype = np.int32 if a_format == b_format == INT8 else np.float32
        return np.array(sums, dtype).reshape(a.shape[0], width)
    factors = _columns(1.0 if rescale is None else rescale, width)
    shifts = _columns(-0.0 if bias is None else bias, width)
    out = [
        [
            evacuate(fp32(total), factor, shift, out_format)
            for total, factor, shift in zip(row, factors, shifts, strict=True)
        ]
        for row in sums
    ]
    return np.array(out, np.float32).reshape(a.shape[0], width)


def fp32(x: float) -> float:
    """A Python number as the engines take it."""
    return round_exact(x, FP32)


def _columns(x: float | Row, width: int) -> list[float]:
    """One fp32 a column of the result."""
    return [fp32(x)] * width if isinstance(x, int | float) else [fp32(one) for one in x]
