"""Functions that are made of the logarithm, on float64 lanes that hold float32 numbers.

Each has an error of a few units of 2^-53 of its result, and is right for zeros and infinities.
"""

from math import inf, nan

from halfulp.dtypes.lanes import F64, I64, Lanes
from halfulp.engines.coefficients import LOG
from halfulp.engines.exponentials import LN2, LN2_REST, exp
from halfulp.engines.polynomials import ROUNDER, magnitude, polynomial

_ROOT_HALF = 0x3FE6A09E667F3BCD  # bits of the square root of 1/2
_ROUNDER_BITS = 0x4338000000000000
_PER_LN2 = float.fromhex("0x1.71547652b82fep+0")
_MEASURE = float.fromhex("0x1.a827999fcef32p-2")  # sqrt(2) - 1


def _of_quotient(s: Lanes) -> Lanes:
    """log((1 + s) / (1 - s)) of a small s."""
    z = s * s
    return (s * z).fma(polynomial(LOG, z), s + s)


def _split(x: Lanes) -> tuple[Lanes, Lanes]:
    """(m, k) with x = m 2^k, m from sqrt(1/2) to sqrt(2); of a positive normal float64."""
    bits = x.bits(I64)
    k = (bits - _ROOT_HALF).arithmetic_shift(52)
    return (bits - (k << 52)).bits(F64), (k + _ROUNDER_BITS).bits(F64) - ROUNDER


def _ends(y: Lanes, x: Lanes, at_zero: Lanes) -> Lanes:
    """y of a positive finite x; `at_zero` of a zero, and what logarithms are elsewhere."""
    other = x.equals(0.0).where(at_zero, (x > 0.0).where(x, nan))
    return ((x > 0.0) & (x < inf)).where(y, other)


def log(x: Lanes) -> Lanes:
    m, k = _split(x)
    y = k.fma(LN2, k.fma(LN2_REST, _of_quotient((m - 1.0) / (m + 1.0))))
    return _ends(y, x, x.like(-inf))


def log2(x: Lanes) -> Lanes:
    m, k = _split(x)
    y = _of_quotient((m - 1.0) / (m + 1.0)).fma(_PER_LN2, k)
    return _ends(y, x, x.like(-inf))


def log1p(x: Lanes) -> Lanes:
    """Where 1 + x needs no power of two, x itself stands for (1 + x) - 1: nothing cancels."""
    near = x + 1.0
    m, k = _split(near)
    whole = k.equals(0.0)
    s = whole.where(x, m - 1.0) / (m + 1.0)
    y = k.fma(LN2, k.fma(LN2_REST, _of_quotient(s)))
    y = _ends(y, near, x.like(-inf))
    # a zero keeps its sign
    return x.equals(0.0).where(x, y)


def softplus(x: Lanes) -> Lanes:
    """max(x, 0) + log(1 + t), t = e^-|x|; 1 + t is halved where it is above the root of 2."""
    t = exp(magnitude(x) * -1.0)
    halved = t > _MEASURE
    above = halved.where(t - 1.0, t)
    s = above / (t + halved.where(t.like(3.0), 2.0))
    y = _of_quotient(s) + halved.where(t.like(LN2), 0.0)
    return (x > 0.0).where(x, 0.0) + y
