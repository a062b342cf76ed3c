"""Functions of one number that the engines have: their names, and the inputs they are meant for."""

from dataclasses import dataclass
from enum import StrEnum, unique
from math import inf


@unique
class Activation(StrEnum):
    """f in f(x * scale + bias); names as in nki.language where that has the function."""

    COPY = "copy"
    EXP = "exp"
    TANH = "tanh"
    GELU = "gelu"  #: x Phi(x), the erf form
    RELU = "relu"
    SQRT = "sqrt"
    RSQRT = "rsqrt"
    RECIPROCAL = "reciprocal"
    EXP2 = "exp2"
    EXPM1 = "expm1"  #: e^x - 1
    LOG = "log"
    LOG2 = "log2"
    LOG1P = "log1p"  #: log(1 + x)
    SIGMOID = "sigmoid"
    SILU = "silu"  #: x sigmoid(x)
    ERF = "erf"
    GELU_TANH = "gelu_tanh"  #: x sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3)), nl.gelu_apprx_tanh
    SOFTPLUS = "softplus"  #: log(1 + e^x)
    MISH = "mish"  #: x tanh(softplus(x))
    SIN = "sin"
    COS = "cos"
    ARCTAN = "arctan"
    LEAKY_RELU = "leaky_relu"  #: x, below zero x times a slope
    SQUARE = "square"
    ABS = "abs"
    SIGN = "sign"  #: -1, +0 or 1


_PI = float.fromhex("0x1.921fb54442d18p+1")
#: Functions without a rounding of their own, or with one that IEEE 754 defines.
EXACT = frozenset(
    (
        Activation.COPY,
        Activation.RELU,
        Activation.LEAKY_RELU,
        Activation.SQUARE,
        Activation.ABS,
        Activation.SIGN,
        Activation.SQRT,
        Activation.RECIPROCAL,
    )
)


@dataclass(frozen=True)
class ValidRange:
    """Magnitudes from `least` to `most` that a function of the Scalar Engine is meant for.

    Source: nki.api.shared.rst (documented); outside "results are invalid". Negative x take part
    where `signed`.
    """

    least: float
    most: float
    signed: bool

    def __post_init__(self) -> None:
        if not 0 <= self.least < self.most:
            raise ValueError(f"a range from {self.least} to {self.most}; needed: 0 <= least < most")


VALID_RANGES = {
    Activation.LOG: ValidRange(2.0**-64, 2.0**64, signed=False),
    Activation.SQRT: ValidRange(2.0**-116, 2.0**118, signed=False),
    Activation.RSQRT: ValidRange(2.0**-87, 2.0**97, signed=False),
    Activation.RECIPROCAL: ValidRange(2.0**-42, 2.0**42, signed=True),
    Activation.SIN: ValidRange(0.0, _PI, signed=True),
    Activation.ARCTAN: ValidRange(0.0, _PI / 2, signed=True),
}
#: What every other function takes.
UNLIMITED = ValidRange(0.0, inf, signed=True)
