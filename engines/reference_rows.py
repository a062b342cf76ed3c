"""The Vector and Scalar Engines with fractions and many digits: slow, the kernels' judge.

Numbers are Python floats that fp32 holds; every operation is rounded to fp32, the result cast once.
Functions need gmpy2 (the extra `study`).
"""

from collections.abc import Sequence
from math import inf, isnan, nan
from typing import assert_never

from halfulp.dtypes import FP32, FloatFormat
from halfulp.engines.activations import Activation
from halfulp.engines.elementwise import AluOp
from halfulp.engines.reference import Row, add, cast, divide, fp32, multiply, subtract
from halfulp.engines.reference_functions import nearest

#: Elements that one bn_stats instruction takes (documented).
CHUNK = 512


def _extreme(a: float, b: float, second_wins: bool) -> float:
    """Of equal numbers the first (assumed); NaN wins."""
    if isnan(a) or isnan(b):
        return nan
    return b if second_wins else a


def combine(a: float, b: float, op: AluOp) -> float:
    """a op b rounded to fp32."""
    match op:
        case AluOp.ADD:
            return add(a, b)
        case AluOp.SUBTRACT:
            return subtract(a, b)
        case AluOp.MULTIPLY:
            return multiply(a, b)
        case AluOp.DIVIDE:
            return divide(a, b)
        case AluOp.MAX:
            return _extreme(a, b, b > a)
        case AluOp.MIN:
            return _extreme(a, b, b < a)
        case AluOp.EQUAL:
            return float(a == b)
        case AluOp.NOT_EQUAL:
            return float(a != b)
        case AluOp.LESS:
            return float(a < b)
        case AluOp.LESS_EQUAL:
            return float(a <= b)
        case AluOp.GREATER:
            return float(a > b)
        case AluOp.GREATER_EQUAL:
            return float(a >= b)
        case AluOp.LOGICAL_AND:
            return float(a != 0 and b != 0)
        case AluOp.LOGICAL_OR:
            return float(a != 0 or b != 0)
        case AluOp.LOGICAL_XOR:
            return float((a != 0) is not (b != 0))
    assert_never(op)


def total(row: Row, lanes: int = 1) -> float:
    """The sum of as many chains, each from +0 in index order, joined as neighbors; 0: a tree."""
    count = max(min(lanes, len(row)) if lanes else len(row), 1)
    sums = [0.0] * count
    for index, x in enumerate(row):
        sums[index % count] = add(sums[index % count], x)
    while len(sums) > 1:
        pairs = [add(*sums[i : i + 2]) for i in range(0, len(sums) - 1, 2)]
        sums = pairs + sums[2 * len(pairs) :]
    return sums[0]


def largest(row: Row) -> float:
    """The maximum; NaN where the row holds one."""
    result = -inf
    for x in row:
        result = combine(result, x, AluOp.MAX)
    return result


def softmax(
    row: Row,
    fmt: FloatFormat = FP32,
    *,
    scale: float = 1.0,
    mask: Sequence[float] | Sequence[bool] | None = None,
    scores_format: FloatFormat = FP32,
    lanes: int = 1,
) -> list[float]:
    """exp(s - max s) times the reciprocal of its sum; zeros where every score is -infinity."""
    scores = [cast(multiply(x, fp32(scale)), scores_format) for x in row]
    if mask is not None:
        scores = [_masked(x, one) for x, one in zip(scores, mask, strict=True)]
    if all(x == -inf for x in scores):
        return [0.0] * len(scores)
    highest = largest(scores)
    powers = [function(subtract(x, highest), Activation.EXP) for x in scores]
    inverse = divide(1.0, total(powers, lanes))
    return [cast(multiply(power, inverse), fmt) for power in powers]


def _masked(score: float, mask: float | bool) -> float:
    """A score under an additive mask, or under one that says which take part."""
    if isinstance(mask, bool):
        return score if mask else -inf
    return add(score, mask)


#: count, mean, variance * count
Statistics = tuple[float, float, float]


def _statistics(row: Row) -> Statistics:
    """bn_stats of one group in two passes."""
    count = float(len(row))
    if not row:
        return 0.0, 0.0, 0.0
    mean = divide(total(row), count)
    distances = [subtract(x, mean) for x in row]
    return count, mean, total([multiply(distance, distance) for distance in distances])


def _aggregate(first: Statistics, second: Statistics) -> Statistics:
    """bn_aggr of two groups: mean and sum of squares of their union, each step rounded."""
    if first[0] == 0 or second[0] == 0:
        return first if second[0] == 0 else second
    count = add(first[0], second[0])
    between = subtract(second[1], first[1])
    mean = add(first[1], multiply(between, divide(second[0], count)))
    weight = divide(multiply(first[0], second[0]), count)
    squares = add(add(first[2], second[2]), multiply(multiply(between, between), weight))
    return count, mean, squares


def bn_stats(row: Row) -> list[float]:
    """Count, mean and variance times count of the even, then of the odd elements."""
    return [*_statistics(row[::2]), *_statistics(row[1::2])]


def bn_aggr(groups: Row) -> list[float]:
    """Mean and variance of what bn_stats described."""
    found = 0.0, 0.0, 0.0
    for start in range(0, len(groups), 3):
        count, mean, squares = groups[start : start + 3]
        found = _aggregate(found, (count, mean, squares))
    return [found[1], divide(found[2], found[0])]


def rmsnorm(
    row: Row, gamma: Row, eps: float, fmt: FloatFormat = FP32, *, lanes: int = 1
) -> list[float]:
    """x * rsqrt(mean(x^2) + eps) * gamma."""
    mean = divide(total([multiply(x, x) for x in row], lanes), float(len(row)))
    spread = function(add(mean, fp32(eps)), Activation.RSQRT)
    pairs = zip(row, gamma, strict=True)
    return [cast(multiply(multiply(x, spread), factor), fmt) for x, factor in pairs]


def scan(a: Row, b: Row, first: float, op0: AluOp, op1: AluOp) -> list[float]:
    """y[i] = (a[i] op0 y[i - 1]) op1 b[i]."""
    found = []
    for x, y in zip(a, b, strict=True):
        first = combine(combine(x, first, op0), y, op1)
        found.append(first)
    return found


def layernorm(row: Row, gamma: Row, beta: Row, eps: float, fmt: FloatFormat = FP32) -> list[float]:
    """((x - mean) * rsqrt(variance + eps)) * gamma + beta; even and odd elements of each chunk."""
    found = 0.0, 0.0, 0.0
    for start in range(0, len(row), CHUNK):
        chunk = row[start : start + CHUNK]
        for part in (chunk[::2], chunk[1::2]):
            found = _aggregate(found, _statistics(part))
    count, mean, squares = found
    spread = function(add(divide(squares, count), fp32(eps)), Activation.RSQRT)
    shares = [multiply(subtract(x, mean), spread) for x in row]
    return [
        cast(add(multiply(share, factor), shift), fmt)
        for share, factor, shift in zip(shares, gamma, beta, strict=True)
    ]


def activation(
    x: float, which: Activation, *, scale: float = 1.0, bias: float = 0.0, fmt: FloatFormat = FP32
) -> float:
    """function(x * scale + bias), cast; a bias of 0 adds nothing, so that -0 stays."""
    shifted = add(multiply(x, fp32(scale)), fp32(bias) if bias else -0.0)
    return cast(function(shifted, which), fmt)


def function(x: float, which: Activation) -> float:
    """The fp32 nearest to the true value."""
    return nearest(which, x).value
