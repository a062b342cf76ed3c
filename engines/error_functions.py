"""The error function, and the GELU made of it, on float64 lanes that hold float32 numbers."""

from halfulp.dtypes.lanes import Lanes
from halfulp.engines.coefficients import ERF, HALF_ERF, QUICK_ERF, TAIL
from halfulp.engines.exponentials import exp
from halfulp.engines.polynomials import above_half, clamp, magnitude, polynomial, two_chains

_HALF_ROOT = float.fromhex("0x1.6a09e667f3bcdp-2")  # 1 / (2 sqrt(2))
#: From here up `quick_gelu` loses ten bits at most: Phi(-3) is 0.00135.
QUICK_GELU_FROM = -3.0


def erf(x: Lanes) -> Lanes:
    """Beyond 4 it is 1 to float32."""
    x = clamp(x, 4.0)
    return x * polynomial(ERF, (x * x).fma(0.125, x.like(-1.0)))


def quick_erf(x: Lanes) -> Lanes:
    """The error function to 2^-38; beyond 63/16 it is 1 to float32."""
    x = clamp(x, 3.9375)
    return x * two_chains(QUICK_ERF, (x * x).fma(512 / 63**2, x.like(-1.0)))


def quick_gelu(x: Lanes) -> Lanes:
    """x Phi(x) of x from -3 up, to 2^-38 of it; beyond 4 sqrt(2) it is x to float32."""
    near = clamp(x, 5.65625)
    odd = two_chains(HALF_ERF, (near * near).fma(0.0625, near.like(-1.0)))
    return x * (near * _HALF_ROOT).fma(odd, x.like(0.5))


def gelu(x: Lanes) -> Lanes:
    """x Phi(x), the far tail included."""
    a = magnitude(clamp(x, 15.0))
    tail = exp(a * a * -0.5) * polynomial(TAIL, (a - 3.0) / (a + 3.0))
    y = x * (x < 0.0).where(tail, tail.like(1.0) - tail)
    # so far below zero that float32 has only -0 left; there -inf * 0 would be NaN
    y = (x < -15.0).where(x.like(-0.0), y)
    return above_half(x, y)
