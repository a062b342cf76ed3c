"""The functions with as many digits as it takes (MPFR): slow, the judge of what every input gives.

Shares nothing with the kernels: other formulas, other arithmetic. `approximate` says the same fast
and less surely, in numpy's and scipy's float64, whose errors are known to be a few units of 2^-53;
where that cannot decide a rounding, `nearest` does. Needs gmpy2 and scipy (the extra `study`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import copysign, inf, isinf, isnan, nan
from typing import Any

import numpy as np
import numpy.typing as npt

from halfulp.dtypes import FP32
from halfulp.dtypes.intervals import pattern_of
from halfulp.dtypes.reference import round_exact
from halfulp.engines.activations import Activation
from halfulp.engines.operands import Floats

Doubles = npt.NDArray[np.float64]
#: Bits of the significands: no float32 comes nearer to a tie, or to a float32, than 2^-90 of it.
_PRECISION = 300
_A = Activation
#: f(x) = x / 2 + c x^2 + ... near zero, c > 0.
HALVES = frozenset((_A.SILU, _A.GELU, _A.GELU_TANH))

#: What a function is at -inf, at -0, at 0, and at inf.
_Ends = tuple[float, float, float, float]
ENDS: dict[Activation, _Ends] = {
    _A.COPY: (-inf, -0.0, 0.0, inf),
    _A.EXP: (0.0, 1.0, 1.0, inf),
    _A.EXP2: (0.0, 1.0, 1.0, inf),
    _A.EXPM1: (-1.0, -0.0, 0.0, inf),
    _A.LOG: (nan, -inf, -inf, inf),
    _A.LOG2: (nan, -inf, -inf, inf),
    _A.LOG1P: (nan, -0.0, 0.0, inf),
    _A.TANH: (-1.0, -0.0, 0.0, 1.0),
    _A.SIGMOID: (0.0, 0.5, 0.5, 1.0),
    _A.SILU: (-0.0, -0.0, 0.0, inf),
    _A.GELU: (-0.0, -0.0, 0.0, inf),
    _A.GELU_TANH: (-0.0, -0.0, 0.0, inf),
    _A.MISH: (-0.0, -0.0, 0.0, inf),
    _A.SOFTPLUS: (0.0, 0.6931471824645996, 0.6931471824645996, inf),
    _A.ERF: (-1.0, -0.0, 0.0, 1.0),
    _A.SQRT: (nan, -0.0, 0.0, inf),
    _A.RSQRT: (nan, -inf, inf, 0.0),
    _A.RECIPROCAL: (-0.0, -inf, inf, 0.0),
    _A.SIN: (nan, -0.0, 0.0, nan),
    _A.COS: (nan, 1.0, 1.0, nan),
    _A.ARCTAN: (-1.5707963705062866, -0.0, 0.0, 1.5707963705062866),
    _A.RELU: (0.0, -0.0, 0.0, inf),
    _A.LEAKY_RELU: (-inf, -0.0, 0.0, inf),
    _A.SQUARE: (inf, 0.0, 0.0, inf),
    _A.ABS: (inf, 0.0, 0.0, inf),
    _A.SIGN: (-1.0, 0.0, 0.0, 1.0),
}
#: The slope with which leaky_relu is judged.
SLOPE = 0.01


def end(function: Activation, x: float) -> float | None:
    """The function of an infinity, a zero or NaN; None for another number."""
    if isnan(x):
        return nan
    if x and not isinf(x):
        return None
    places = (-inf, -0.0, 0.0, inf)
    index = next(i for i, y in enumerate(places) if x == y and copysign(1, x) == copysign(1, y))
    return ENDS[function][index]


@dataclass(frozen=True)
class Nearest:
    """The float32 nearest to a function's value, and how hard that was to say.

    value      the float32
    distance   of the value from the nearest tie of two float32, in units of float32's last place
    """

    value: float
    distance: float


def nearest(function: Activation, x: float) -> Nearest:
    """The function of a float32, decided by MPFR."""
    special = end(function, x)
    if special is not None:
        return Nearest(special, 0.5)
    value = _value(function, x)
    if value is None:
        return Nearest(nan, 0.5)
    if value == 0:
        return Nearest(copysign(0.0, _sign(function, x)), 0.5)
    rounded = round_exact(value, FP32)
    return Nearest(rounded, _distance(value))


def exact(function: Activation, x: float) -> Fraction:
    """The value at a finite x that is not 0, to many digits; at a zero and an infinity the limit.

    Raises ValueError where there is none.
    """
    special = end(function, x)
    value = _value(function, x) if special is None else None
    if special is not None and special - special == 0:
        return Fraction(special)
    if value is None:
        raise ValueError(f"{function.value} has no value at {x}")
    return value


def _sign(function: Activation, x: float) -> float:
    """The sign of a zero: that of the values beside it."""
    return x if function in (_A.COPY, *HALVES, _A.MISH, _A.LEAKY_RELU) else 1.0


def _distance(value: Fraction) -> float:
    """From the nearest tie, in units of the last place of a value of this size."""
    size = abs(value)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    exponent -= size < Fraction(2) ** exponent
    scaled = size / Fraction(2) ** (max(exponent, -126) - 23)
    return float(abs(scaled - scaled.__floor__() - Fraction(1, 2)))


def _value(function: Activation, x: float) -> Fraction | None:
    """To many more digits than decide, of a finite x that is not 0; None where there is none."""
    import gmpy2

    many: Any = gmpy2
    with many.context(many.get_context(), precision=_PRECISION, emin=-(2**20), emax=2**20):
        y = _rules(many)[function](many.mpfr(x))
    if y.is_nan():
        return None
    if y.is_infinite():
        return Fraction(copysign(2.0**200, y))
    mantissa, exponent = y.as_mantissa_exp()
    # far below every float32 a fraction of its own would be large
    return Fraction(int(mantissa)) * Fraction(2) ** max(int(exponent), -4000)


def _rules(many: Any) -> dict[Activation, Callable[[Any], Any]]:
    one, half = many.mpfr(1), many.mpfr(1) / 2

    def logistic(v: Any) -> Any:
        return 1 / (1 + many.exp(-v))

    def normal(x: Any) -> Any:
        return half * many.erfc(-x / many.sqrt(many.mpfr(2)))

    def tanh_argument(x: Any) -> Any:
        slope = 2 * many.sqrt(2 / many.const_pi())
        return slope * (x + many.mpfr(44715) / 1000000 * x**3)

    def softplus(x: Any) -> Any:
        # not the exponential of a large number: it has no end
        return max(x, 0) + many.log1p(many.exp(-abs(x)))

    return {
        _A.COPY: lambda x: x,
        _A.EXP: many.exp,
        _A.EXP2: many.exp2,
        _A.EXPM1: many.expm1,
        _A.LOG: many.log,
        _A.LOG2: many.log2,
        _A.LOG1P: many.log1p,
        _A.TANH: many.tanh,
        _A.SIGMOID: logistic,
        _A.SILU: lambda x: x * logistic(x),
        _A.GELU: lambda x: x * normal(x),
        _A.GELU_TANH: lambda x: x * logistic(tanh_argument(x)),
        _A.MISH: lambda x: x * many.tanh(softplus(x)),
        _A.SOFTPLUS: softplus,
        _A.ERF: many.erf,
        _A.SQRT: many.sqrt,
        _A.RSQRT: many.rec_sqrt,
        _A.RECIPROCAL: lambda x: one / x,
        _A.SIN: many.sin,
        _A.COS: many.cos,
        _A.ARCTAN: many.atan,
        _A.RELU: lambda x: x if x > 0 else many.mpfr(0),
        _A.LEAKY_RELU: lambda x: x if x > 0 else x * many.mpfr(float(np.float32(SLOPE))),
        _A.SQUARE: lambda x: x * x,
        _A.ABS: abs,
        _A.SIGN: lambda x: one if x > 0 else -one,
    }


def approximate(function: Activation, x: Doubles) -> Doubles:
    """The function of float64 numbers that float32 holds, to a relative error of 2^-44."""
    with np.errstate(all="ignore"):
        result: Doubles = _FAST[function](x)
    return result


def _logistic(v: Doubles) -> Doubles:
    return 1.0 / (1.0 + np.exp(-v))


def _normal(x: Doubles) -> Doubles:
    from scipy import special

    result: Doubles = special.ndtr(x)
    return result


def _erf(x: Doubles) -> Doubles:
    from scipy import special

    result: Doubles = special.erf(x)
    return result


def _softplus(x: Doubles) -> Doubles:
    return np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))


def _tanh_argument(x: Doubles) -> Doubles:
    return 2.0 * np.sqrt(2.0 / np.pi) * (x + 0.044715 * x * x * x)


_FAST: dict[Activation, Callable[[Doubles], Doubles]] = {
    _A.COPY: lambda x: x,
    _A.EXP: np.exp,
    _A.EXP2: np.exp2,
    _A.EXPM1: np.expm1,
    _A.LOG: np.log,
    _A.LOG2: np.log2,
    _A.LOG1P: np.log1p,
    _A.TANH: np.tanh,
    _A.SIGMOID: _logistic,
    _A.SILU: lambda x: x * _logistic(x),
    _A.GELU: lambda x: x * _normal(x),
    _A.GELU_TANH: lambda x: x * _logistic(_tanh_argument(x)),
    _A.MISH: lambda x: x * np.tanh(_softplus(x)),
    _A.SOFTPLUS: _softplus,
    _A.ERF: _erf,
    _A.SQRT: np.sqrt,
    _A.RSQRT: lambda x: 1.0 / np.sqrt(x),
    _A.RECIPROCAL: lambda x: 1.0 / x,
    _A.SIN: np.sin,
    _A.COS: np.cos,
    _A.ARCTAN: np.arctan,
    _A.RELU: lambda x: np.maximum(x, 0.0),
    _A.LEAKY_RELU: lambda x: np.where(x > 0, x, x * float(np.float32(SLOPE))),
    _A.SQUARE: lambda x: x * x,
    _A.ABS: np.abs,
    _A.SIGN: np.sign,
}


def pattern(value: float) -> int:
    """The bits of a float32, of NaN the canonical ones."""
    return pattern_of(value)


def halves(x: Floats) -> npt.NDArray[np.uint32]:
    """Bits of the float32 nearest to x / 2 + c x^2 of |x| < 2^-60, c > 0: ties go up."""
    bits = x.view(np.uint32)
    sign, size = bits & np.uint32(0x80000000), bits & np.uint32(0x7FFFFFFF)
    upward = np.where(sign == 0, size & 1, 0).astype(np.uint32)
    # a normal number's exponent goes down by one; the smallest ones, and subnormals, are halved
    small = (size >> 1) + upward
    return np.where(size >= 0x01000000, size - np.uint32(0x00800000), small) | sign
