"""Functions that are made of e^x, on float64 lanes that hold float32 numbers.

Each has an error of a few units of 2^-53 of its result, and is right for zeros and infinities.
"""

from halfulp.dtypes.lanes import F64, I64, Lanes
from halfulp.engines.coefficients import EXP, EXP2, QUICK_EXP, QUICK_EXPM1
from halfulp.engines.polynomials import (
    ROUNDER,
    above_half,
    clamp,
    polynomial,
    reciprocal,
    signed_like,
)

LN2 = float.fromhex("0x1.62e42fefa39efp-1")
LN2_REST = float.fromhex("0x1.abc9e3b39803fp-56")  # what ln 2 has beyond float64
_PER_LN2 = float.fromhex("0x1.71547652b82fep+0")
_FAR = 700.0  # beyond it e^x and e^-x are infinity and zero in float32, but not in float64
# 2 sqrt(2 / pi), and 0.044715 times that: each with what it has beyond float64
_SLOPE = float.fromhex("0x1.9884533d43651p+0"), float.fromhex("-0x1.cbc0d30ebfd15p-54")
_CUBIC = float.fromhex("0x1.2444f2a4d8b4bp-4"), float.fromhex("-0x1.6c843a29d1c70p-61")


def _reduced(x: Lanes) -> tuple[Lanes, Lanes]:
    """(r, 2^k) with x = k ln 2 + r, |r| <= ln(2) / 2; needs |x| < 700."""
    shifted = x.fma(_PER_LN2, x.like(ROUNDER))
    k = shifted - ROUNDER
    r = k.fma(-LN2_REST, k.fma(-LN2, x))
    return r, _power(shifted)


def _power(shifted: Lanes) -> Lanes:
    """2^k of an integer k to which ROUNDER was added."""
    return ((shifted.bits(I64) + 1023) << 52).bits(F64)


def exp(x: Lanes) -> Lanes:
    r, power = _reduced(clamp(x, _FAR))
    return polynomial(EXP, r) * power


def exp2(x: Lanes) -> Lanes:
    x = clamp(x, 1000.0)
    shifted = x + ROUNDER
    return polynomial(EXP2, x - (shifted - ROUNDER)) * _power(shifted)


def _less_one(x: Lanes) -> Lanes:
    """e^x - 1 without cancellation; of -0 it is +0."""
    r, power = _reduced(x)
    return (r * polynomial(EXP[1:], r)).fma(power, power - 1.0)


def expm1(x: Lanes) -> Lanes:
    return signed_like(_less_one(clamp(x, _FAR)), x)


def tanh(x: Lanes) -> Lanes:
    """(e^2x - 1) / (e^2x + 1)."""
    less_one = _less_one(clamp(x + x, 80.0))
    return signed_like(less_one / (less_one + 2.0), x)


def sigmoid(x: Lanes) -> Lanes:
    return x.like(1.0) / (exp(x * -1.0) + 1.0)


def _weighted(x: Lanes, exponential: Lanes) -> Lanes:
    """x / (1 + exponential); beyond -700 there is only -0 left, where -inf / inf would be NaN."""
    y = (x < -_FAR).where(x.like(-_FAR), x) / (exponential + 1.0)
    return above_half(x, y)


def silu(x: Lanes) -> Lanes:
    return _weighted(x, exp(x * -1.0))


def gelu_tanh(x: Lanes) -> Lanes:
    """x / (1 + e^-v), v = 2 sqrt(2 / pi) (x + 0.044715 x^3).

    v to more than float64, since an error of v becomes one of the exponential as large as v.
    """
    near = clamp(x, 16.0)
    square = near * near  # exact, of 24 bits
    cubic = square * _CUBIC[0]
    rest = square.fma(_CUBIC[1], square.fma(_CUBIC[0], cubic * -1.0))
    # the sum of two numbers of which either may be the larger, and what it lost
    total = cubic + _SLOPE[0]
    part = total - cubic
    lost = (cubic - (total - part)) + (part * -1.0 + _SLOPE[0])
    factor = lost + (rest + _SLOPE[1])
    v = near * total
    more = near.fma(factor, near.fma(total, v * -1.0))
    power = exp(v * -1.0)
    # e^-(v + more) of a small `more`
    return _weighted(x, power - power * more)


def mish(x: Lanes) -> Lanes:
    """x ((1 + w)^2 - 1) / ((1 + w)^2 + 1), w = e^x: nothing cancels."""
    w = exp(clamp(x, 200.0))
    n = w * (w + 2.0)
    return (x < -200.0).where(x.like(-200.0), x) * (n / (n + 2.0))


#: Magnitudes of x below which the quick functions hold: of e^x, and of tanh.
QUICK, QUICK_TANH = 80.0, 9.0


def _quick_reduced(x: Lanes) -> tuple[Lanes, Lanes]:
    """(r, k + ROUNDER): ln 2 to float64 will do."""
    shifted = x.fma(_PER_LN2, x.like(ROUNDER))
    return (shifted - ROUNDER).fma(-LN2, x), shifted


def quick_exp(x: Lanes) -> Lanes:
    """e^x to 2^-39."""
    r, shifted = _quick_reduced(x)
    # the power of two joins the exponent
    return (polynomial(QUICK_EXP, r).bits(I64) + (shifted.bits(I64) << 52)).bits(F64)


def quick_sigmoid(x: Lanes) -> Lanes:
    """1 / (1 + e^-x) to 2^-38."""
    return reciprocal(quick_exp(x * -1.0) + 1.0)


def quick_silu(x: Lanes) -> Lanes:
    """x / (1 + e^-x) to 2^-38."""
    return x * quick_sigmoid(x)


def quick_tanh(x: Lanes) -> Lanes:
    """(e^2x - 1) / (e^2x + 1) to 2^-40; of -0 it is +0."""
    r, shifted = _quick_reduced(x + x)
    power = _power(shifted)
    less_one = (r * polynomial(QUICK_EXPM1, r)).fma(power, power - 1.0)
    return less_one * reciprocal(less_one + 2.0)
