"""The functions of the Scalar Engine on float32 lanes: float64 inside, one rounding to float32.

Meant is the float32 nearest to the true value (assumed: the hardware's tables are not public). The
float64 arithmetic has a fixed order and an error of a few units of 2^-53, so a result differs from
the nearest only where the true value lies that close to a tie; none of 16 million sampled inputs
did (tests/engines/test_functions.py keeps the sampled comparison). No libm: its bits change with
the machine.
"""

from collections.abc import Sequence
from enum import StrEnum, unique

from halfulp.dtypes.lanes import F32, F64, I32, I64, Lanes
from halfulp.dtypes.parameters import MAGNITUDE32, SIGN32


@unique
class Activation(StrEnum):
    """func(x * scale + bias) of the Scalar Engine; names as in nki.language."""

    COPY = "copy"
    EXP = "exp"
    TANH = "tanh"
    GELU = "gelu"  #: x Phi(x), the erf form
    RELU = "relu"
    SQRT = "sqrt"
    RSQRT = "rsqrt"
    RECIPROCAL = "reciprocal"


# e^r for |r| <= ln(2)/2, and Phi(-a) e^(a^2/2) in t = (a - 3) / (a + 3) for 0 <= a <= 15: Chebyshev
# fits (mpmath.chebyfit, 40 digits; relative error under 2^-53), ascending powers
_EXP = tuple(map(float.fromhex, (
    "0x1p+0", "0x1p+0", "0x1p-1", "0x1.5555555555562p-3", "0x1.5555555555559p-5",
    "0x1.111111110db76p-7", "0x1.6c16c16c14d77p-10", "0x1.a01a01b80226dp-13",
    "0x1.a01a01adc27e2p-16", "0x1.71dde76ab2e80p-19", "0x1.27e4cc18479d2p-22",
    "0x1.af785d4359c7ap-26", "0x1.1f8b43f272c39p-29",
)))  # fmt: skip
_TAIL = tuple(map(float.fromhex, (
    "0x1.f1b89c231e9b8p-4", "-0x1.a6b669a315453p-3", "0x1.f8bab9ba7d86fp-4",
    "-0x1.7a94a515d0fc2p-5", "0x1.91f4b344cb572p-8", "0x1.7ce2514b87b7ap-9",
    "-0x1.03be060bcfe76p-10", "-0x1.6a5b47c86c1c5p-12", "0x1.13dd317c9b0b9p-13",
    "0x1.1f49edb30513bp-14", "-0x1.a6afc846b2301p-17", "-0x1.016a97971cfffp-16",
    "-0x1.4ce70ba7828d3p-20", "0x1.802ccefc42690p-19", "0x1.3ff5fadb3d017p-20",
    "-0x1.f23c197f7d211p-23", "-0x1.9097087f57c58p-22", "-0x1.9faeb5f6f3a89p-24",
    "0x1.bf683cfa0d780p-25", "0x1.96c159150a80ap-25", "0x1.156c6efc13b2cp-27",
    "-0x1.e0baa524f23b9p-28", "-0x1.2926572d8765ap-28", "-0x1.ace39549cce2dp-31",
)))  # fmt: skip
_LN2 = float.fromhex("0x1.62e42fefa39efp-1")
_LN2_REST = float.fromhex("0x1.abc9e3b39803fp-56")  # what ln 2 has beyond float64
_PER_LN2 = float.fromhex("0x1.71547652b82fep+0")
_ROUNDER = 1.5 * 2.0**52  # adding it leaves the nearest integer in the low bits
_MAGNITUDE64 = 0x7FFFFFFFFFFFFFFF


def _polynomial(coefficients: Sequence[float], x: Lanes) -> Lanes:
    """Estrin's form: pairs first, a shorter chain than Horner's."""
    terms: list[Lanes] = []
    for i in range(0, len(coefficients), 2):
        term = x.like(coefficients[i])
        last = i + 1 == len(coefficients)
        terms.append(term if last else x.fma(coefficients[i + 1], term))
    while len(terms) > 1:
        x = x * x
        paired = [terms[i + 1].fma(x, terms[i]) for i in range(0, len(terms) - 1, 2)]
        terms = paired + terms[len(paired) * 2 :]
    return terms[0]


def _clamp(x: Lanes, limit: float) -> Lanes:
    """Into [-limit, limit]; NaN passes, since ordered comparisons with it are false."""
    x = (x > limit).where(x.like(limit), x)
    return (x < -limit).where(x.like(-limit), x)


def _reduced(x: Lanes) -> tuple[Lanes, Lanes]:
    """(r, 2^k) with x = k ln 2 + r, |r| <= ln(2)/2; needs |x| < 700."""
    shifted = x.fma(_PER_LN2, x.like(_ROUNDER))
    k = shifted - _ROUNDER
    r = k.fma(-_LN2_REST, k.fma(-_LN2, x))
    power = ((shifted.bits(I64) + 1023) << 52).bits(F64)
    return r, power


def _exp(x: Lanes) -> Lanes:
    r, power = _reduced(_clamp(x, 700.0))
    return _polynomial(_EXP, r) * power


def _tanh(x: Lanes) -> Lanes:
    """(e^2x - 1) / (e^2x + 1), e^2x - 1 without cancellation."""
    r, power = _reduced(_clamp(x + x, 80.0))
    less_one = (r * _polynomial(_EXP[1:], r)).fma(power, power - 1.0)
    return less_one / (less_one + 2.0)


def _gelu(x: Lanes) -> Lanes:
    a = _clamp((x.bits(I64) & _MAGNITUDE64).bits(F64), 15.0)
    tail = _exp(a * a * -0.5) * _polynomial(_TAIL, (a - 3.0) / (a + 3.0))
    y = x * (x < 0.0).where(tail, tail.like(1.0) - tail)
    # so far below zero that float32 has only -0 left; there -inf * 0 would be NaN
    y = (x < -15.0).where(x.like(-0.0), y)
    # so near zero that Phi(x) is 1/2, yet x/2 of a subnormal is a tie: keep the side
    tiny = (a < 2.0**-60) & (a > 0.0)
    y = tiny.where(x * 0.5, y)
    side = y.bits(I64) + (x > 0.0).where(y.bits(I64).like(1), -1)
    return tiny.where(side.bits(F64), y)


def apply(function: Activation, x: Lanes) -> Lanes:
    """The function on float32 lanes, rounded once to float32."""
    match function:
        case Activation.COPY:
            return x
        case Activation.RELU:
            return (x > 0.0).where(x, (x < 0.0).where(x.like(0.0), x))
        case Activation.SQRT:
            return x.call("sqrt")
        case Activation.RECIPROCAL:
            return x.like(1.0) / x
    wide = x.convert("fpext", F64)
    match function:
        case Activation.EXP:
            return _exp(wide).convert("fptrunc", F32)
        case Activation.TANH:
            # the quotient of -0 is +0
            result = _tanh(wide).convert("fptrunc", F32)
            return ((result.bits(I32) & MAGNITUDE32) | (x.bits(I32) & SIGN32)).bits(F32)
        case Activation.GELU:
            return _gelu(wide).convert("fptrunc", F32)
        case Activation.RSQRT:
            return (wide.like(1.0) / wide.call("sqrt")).convert("fptrunc", F32)
