"""The engines' functions as plain functions: the float32 nearest to the true value, always.

`gelu(x)` takes a float32 array or tensor of any shape and strides, or a number, and gives its like;
`out=` is a float32 array of x's shape. NaN gives NaN (canonical). The same bits on every machine,
in every process and on any number of threads. What the functions are is documented (nki.language);
that the hardware's are the nearest is assumed. Checked on all 2^32 inputs, see
docs/functions.md.

Raises TypeError for other types, since a float64 would be rounded twice, and ValueError for an
`out` that does not fit.
"""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from halfulp.dtypes.wording import kind_of
from halfulp.engines.activations import Activation
from halfulp.engines.arrays import apply_plain
from halfulp.engines.memory import uninitialized
from halfulp.engines.operands import Floats, contiguous, open_floats

__all__ = [
    "abs",
    "arctan",
    "cos",
    "erf",
    "exp",
    "exp2",
    "expm1",
    "gelu",
    "gelu_tanh",
    "leaky_relu",
    "log",
    "log1p",
    "log2",
    "mish",
    "reciprocal",
    "relu",
    "rsqrt",
    "sigmoid",
    "sign",
    "silu",
    "sin",
    "softplus",
    "sqrt",
    "square",
    "tanh",
]


_FLOAT32 = np.dtype(np.float32)


def _same(result: Any) -> Any:
    return result


class Function(Protocol):
    """A function of one number, element by element."""

    def __call__(self, x: Any, *, out: Any = None) -> Any:
        """The nearest float32 to the function of every element of x, in x's shape."""


def _float32(x: Any, name: str) -> tuple[Floats, Callable[[Any], Any]]:
    """x as float32 elements, and what makes a result of its kind.

    Raises TypeError for arrays of another type.
    """
    if type(x) is np.ndarray and x.dtype is _FLOAT32:
        return x, _same
    kind = getattr(x, "dtype", None)
    if kind is not None and str(kind).removeprefix("torch.") != "float32":
        raise TypeError(
            f"{name} is {kind}; the functions take float32, which rounds the result once:"
            f" convert {name} first"
        )
    return open_floats(x)


def evaluate(function: Activation, x: Any, out: Any = None, slope: float = 0.0) -> Any:
    """The function of every element of x."""
    array, give = _float32(x, "x")
    source = contiguous(array)
    if out is None:
        result = uninitialized(source.shape)
        apply_plain(source, function, result, slope)
        return give(result)
    if not hasattr(out, "dtype"):
        raise TypeError(f"out is {kind_of(out)}; give a float32 array or tensor to write into")
    target = _float32(out, "out")[0]
    if target.shape != array.shape:
        raise ValueError(f"out has shape {target.shape}; x has {array.shape}")
    if not target.flags.writeable:
        raise ValueError("out is read-only; give an array that may be written")
    # written over as it is read, it must be x itself or nothing of it
    apart = source is target or not np.may_share_memory(source, target)
    direct = target.flags.c_contiguous and apart
    result = target if direct else uninitialized(source.shape)
    apply_plain(source, function, result, slope)
    if not direct:
        np.copyto(target, result)
    return out


def _named(function: Activation, formula: str) -> Function:
    def named(x: Any, *, out: Any = None) -> Any:
        return evaluate(function, x, out)

    named.__name__ = named.__qualname__ = function.value
    named.__doc__ = f"The float32 nearest to {formula} of every element of x; see the module."
    return named


exp = _named(Activation.EXP, "e^x")
exp2 = _named(Activation.EXP2, "2^x")
expm1 = _named(Activation.EXPM1, "e^x - 1")
log = _named(Activation.LOG, "the natural logarithm (NaN below 0, -inf at 0)")
log2 = _named(Activation.LOG2, "the logarithm to the base 2 (NaN below 0, -inf at 0)")
log1p = _named(Activation.LOG1P, "log(1 + x) (NaN below -1, -inf at -1)")
tanh = _named(Activation.TANH, "the hyperbolic tangent")
sigmoid = _named(Activation.SIGMOID, "1 / (1 + e^-x)")
silu = _named(Activation.SILU, "x / (1 + e^-x)")
erf = _named(Activation.ERF, "the error function")
gelu = _named(Activation.GELU, "x Phi(x), Phi the normal distribution: the erf form")
gelu_tanh = _named(
    Activation.GELU_TANH, "x / (1 + e^-v), v = 2 sqrt(2 / pi) (x + 0.044715 x^3): the tanh form"
)
softplus = _named(Activation.SOFTPLUS, "log(1 + e^x)")
mish = _named(Activation.MISH, "x tanh(log(1 + e^x))")
sqrt = _named(Activation.SQRT, "the square root (NaN below 0)")
rsqrt = _named(Activation.RSQRT, "1 / sqrt(x) (NaN below 0, an infinity of x's sign at 0)")
reciprocal = _named(Activation.RECIPROCAL, "1 / x")
sin = _named(Activation.SIN, "the sine of x radians (NaN of an infinity)")
cos = _named(Activation.COS, "the cosine of x radians (NaN of an infinity)")
arctan = _named(Activation.ARCTAN, "the inverse tangent")
relu = _named(Activation.RELU, "max(x, 0), -0 kept")
square = _named(Activation.SQUARE, "x x")
abs = _named(Activation.ABS, "|x|")
sign = _named(Activation.SIGN, "-1, +0 or 1, as x is negative, zero or positive")


def leaky_relu(x: Any, *, negative_slope: float = 0.01, out: Any = None) -> Any:
    """x, below zero the float32 nearest to x times the float32 nearest to `negative_slope`."""
    return evaluate(Activation.LEAKY_RELU, x, out, negative_slope)
