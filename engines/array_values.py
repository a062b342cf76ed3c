"""Arrays for the prompt: numpy's operators, on a NeuronCore's engines.

>>> import numpy as np
>>> from halfulp.dtypes import BF16
>>> from halfulp.engines import array
>>> a = array([1, 0.1, 3], BF16)
>>> a
array([1.        , 0.10009766, 3.        ], bf16)
>>> np.exp(a) / 3
array([0.90625  , 0.3671875, 6.71875  ], bf16)
>>> a @ a, np.sum(a), a > 0.5
(array(10., bf16), array(4.09375, bf16), array([ True, False,  True]))

Each operator is one call of an engine, or the few that its docstring names, and has that call's
bits and its record in the ledger. What no engine computes is refused by name, never computed by
numpy.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from halfulp.dtypes import (
    FP32,
    INT32,
    Format,
    IntFormat,
    encode,
    round_to,
)
from halfulp.dtypes.checks import integer
from halfulp.dtypes.containers import is_tensor
from halfulp.dtypes.dtype_names import as_format, from_dtype
from halfulp.engines.activations import Activation
from halfulp.engines.array_storage import Array, StoredArray
from halfulp.engines.array_tables import (
    ACTIVATIONS,
    ALU_OPS,
    COMPARISONS,
    INTEGER_OPS,
    JOINS,
    LOOKS,
    MOVES,
    READS,
    REDUCTIONS,
)
from halfulp.engines.core import NEURONCORE_V2, NeuronCore
from halfulp.engines.elementwise import AluOp
from halfulp.engines.gpsimd import INTEGERS
from halfulp.engines.integer_lanes import IntegerOp


def array(x: Any, fmt: Any = None, *, core: NeuronCore = NEURONCORE_V2) -> "EngineArray":
    """x, rounded once to a format, as an array whose operators run on the engines of a core.

    x     numpy or ml_dtypes array, torch tensor, number, nested list, or `EngineArray`; copied
    fmt   a format, its name, or a type of numpy, ml_dtypes or torch; by default that of x

    Rounded as `halfulp.dtypes.encode` rounds, by no engine. The core need not have the format: its
    engines refuse what they do not take.

    Raises ValueError where x has no format of its own (lists of floats are float64) and for NaN in
    a format without, TypeError for elements that are no real numbers; else as `encode`.
    """
    if not isinstance(core, NeuronCore):
        raise TypeError(f"core={core!r}; needed: a NeuronCore, as NEURONCORE_V2")
    found = _own_format(x) if fmt is None else as_format(fmt)
    codes = encode(x, found)
    return EngineArray(codes.cpu().numpy() if is_tensor(codes) else np.asarray(codes), found, core)


def _own_format(x: Any) -> Format:
    if isinstance(x, EngineArray):
        return x.format
    dtype = x.dtype if hasattr(x, "dtype") else np.asarray(x).dtype
    try:
        return from_dtype(dtype)
    except (TypeError, ValueError):
        raise ValueError(
            f"x is {dtype}, which has no format here; give one: array(x, 'bf16')"
        ) from None


@dataclass(frozen=True, repr=False, eq=False)
class EngineArray(StoredArray, NDArrayOperatorsMixin):
    """Numbers of one format, and the core that computes with them. Made by `array`; immutable.

    format   of every element
    core     the NeuronCore

    Vector has + - * / maximum minimum negative, comparisons, sum, prod, max and min; Scalar exp,
    tanh, abs and the other ufuncs that are activations; Tensor @. Results are rounded from fp32 to
    the operands' format, those of @ too: `matmul` takes another. Integers: GPSIMD has + - * maximum
    minimum negative, comparisons, & | ^ << >>; Tensor @, int8 giving int32, others fp32.

    Comparisons give numpy's booleans. Python's numbers take part rounded once to the format; of
    integer arrays they must be in it. Another format or core, numpy's arrays and tensors are
    refused with TypeError. What moves elements (reshape, concatenate, where) moves codes: no engine
    runs. a += b makes a new array.
    """

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        name = ufunc.__name__
        if method != "__call__":
            raise _refusal(f"{name}.{method}", self.format)
        _refuse_options(name, options)
        # numpy hands on a float64 that stands left of a comparison as an array without axes
        inputs = tuple(x.item() if _is_float64(x) else x for x in inputs)
        if name == "matmul":
            return _product(*inputs)
        first = _common(name, inputs)
        if name in LOOKS:
            return ufunc(self._values)
        if name == "positive":
            return self
        if name in ACTIVATIONS:
            return self.activation(ACTIVATIONS[name])
        integers = isinstance(self.format, IntFormat)
        known = INTEGER_OPS if integers else ALU_OPS
        if name not in known and name not in COMPARISONS and name != "negative":
            raise _refusal(name, self.format)
        operands = (0, self) if name == "negative" else inputs
        return (_on_integers if integers else _on_floats)(name, first, *operands)

    # without a place to write to: the names get the new arrays
    __iadd__ = NDArrayOperatorsMixin.__add__
    __isub__ = NDArrayOperatorsMixin.__sub__
    __imul__ = NDArrayOperatorsMixin.__mul__
    __itruediv__ = NDArrayOperatorsMixin.__truediv__
    __imatmul__ = NDArrayOperatorsMixin.__matmul__
    __iand__ = NDArrayOperatorsMixin.__and__
    __ior__ = NDArrayOperatorsMixin.__or__
    __ixor__ = NDArrayOperatorsMixin.__xor__
    __ilshift__ = NDArrayOperatorsMixin.__lshift__
    __irshift__ = NDArrayOperatorsMixin.__rshift__

    def __array_function__(
        self, func: Callable[..., Any], types: Any, args: Any, kwargs: Any
    ) -> Any:
        name = func.__name__
        if func.__module__ == "numpy":
            if name in MOVES | JOINS:
                return _moved(func, args, kwargs)
            if name in READS:
                return func(self._codes, *args[1:], **kwargs)
            if name in REDUCTIONS:
                return _reduce(name, *args, **kwargs)
            if name in FUNCTIONS:
                return FUNCTIONS[name](*args, **kwargs)
        raise _refusal(name, self.format)

    def activation(
        self, function: Activation | str, *, scale: float = 1.0, bias: float = 0.0,
        slope: float = 0.01,
    ) -> "EngineArray":  # fmt: skip
        """function(x * scale + bias) on the Scalar Engine: "gelu" and all that numpy has not."""
        if isinstance(self.format, IntFormat):
            raise _refusal(str(function), self.format)
        made = self.core.scalar.activation(
            self._values, function, scale=scale, bias=bias, slope=slope, out_format=self.format
        )
        return self._holding(made)

    def matmul(self, other: Any, *, out_format: Any = None) -> "EngineArray":
        """self @ other, rounded to `out_format` instead of the operands' format."""
        return _product(self, other, out_format)

    def sum(self, axis: int | None = None, *, keepdims: bool = False) -> "EngineArray":
        """In fp32, in the core's order; of all elements in C order without `axis`."""
        return _reduce("sum", self, axis, keepdims=keepdims)

    def max(self, axis: int | None = None, *, keepdims: bool = False) -> "EngineArray":
        """The largest along an axis, or of all elements; NaN wins."""
        return _reduce("max", self, axis, keepdims=keepdims)

    def min(self, axis: int | None = None, *, keepdims: bool = False) -> "EngineArray":
        """The smallest along an axis, or of all elements; NaN wins."""
        return _reduce("min", self, axis, keepdims=keepdims)

    def astype(self, fmt: Any) -> "EngineArray":
        """The values, rounded once to another format, as `array` rounds them."""
        return array(self, fmt, core=self.core)

    def _holding(self, values: Any, fmt: Format | None = None) -> "EngineArray":
        """What an engine gave; the format holds it exactly."""
        fmt = fmt or self.format
        return EngineArray(np.asarray(encode(values, fmt)), fmt, self.core)

    def _like(self, x: Any) -> "EngineArray":
        """An operand as an array; a number is rounded, for an integer format it must be in it."""
        if isinstance(x, EngineArray):
            return x
        if isinstance(self.format, IntFormat):
            integer(x, "operand", self.format.min, self.format.max)
        return array(x, self.format, core=self.core)


def _common(name: str, given: Iterable[Any], *, numbers: bool = True) -> EngineArray:
    """The first array; all the others have its format and core, or are numbers where allowed.

    Raises TypeError for anything else.
    """
    items = list(given)
    first: EngineArray = next(x for x in items if isinstance(x, EngineArray))
    for x in items:
        if isinstance(x, EngineArray):
            if x.format != first.format:
                raise TypeError(
                    f"{name} of {first.format} and {x.format}: formats are not mixed silently;"
                    f" convert one of them: a.astype('{x.format}')"
                )
            if x.core != first.core:
                raise TypeError(
                    f"{name} of arrays of two cores, {first.core.name} and {x.core.name};"
                    " give one of them the other's: array(a, core=b.core)"
                )
        elif not (numbers and isinstance(x, int | float)):
            kind = f" of {x.dtype}" if hasattr(x, "dtype") and hasattr(x, "__len__") else ""
            raise TypeError(
                f"{name} of {first.format} and {type(x).__name__}{kind}: say how it is rounded,"
                f" halfulp.engines.array(x, '{first.format}')"
            )
    return first


def _is_float64(x: Any) -> bool:
    return type(x) is np.ndarray and x.ndim == 0 and x.dtype == np.float64


def _on_floats(name: str, first: EngineArray, a: Any, b: Any) -> Any:
    """a op b, one of which may be a number, on Vector."""
    fmt, vector = first.format, first.core.vector
    compares = name in COMPARISONS
    out_format = FP32 if compares else fmt
    op = AluOp(name) if compares else ALU_OPS.get(name, AluOp.MULTIPLY)
    if name == "negative":  # 0 - x would make +0 of +0
        a = -1
    if isinstance(a, EngineArray) and isinstance(b, EngineArray):
        made = vector.tensor_tensor(a._values, b._values, op, out_format=out_format)
    else:
        left = isinstance(b, EngineArray)
        x, number = (b, a) if left else (a, b)
        number = float(round_to(number, fmt))
        made = vector.tensor_scalar(x._values, number, op, reverse0=left, out_format=out_format)
    return made != 0 if compares else first._holding(made)


def _on_integers(name: str, first: EngineArray, a: Any, b: Any) -> Any:
    """a op b, one of which may be a number, on GPSIMD."""
    if first.format.name not in INTEGERS:  # int4 lies in int8, whose sums it does not hold
        raise _refusal(name, first.format)
    left, right = first._like(a)._codes, first._like(b)._codes

    def made(op: IntegerOp) -> Array:
        if isinstance(b, EngineArray):
            return np.asarray(first.core.gpsimd.tensor_tensor(left, right, op))
        return np.asarray(first.core.gpsimd.tensor_scalar(left, b, op))

    match name:  # a comparison is what an instruction leaves of a
        case "equal" | "not_equal":
            return (made(IntegerOp.BITWISE_XOR) == 0) == (name == "equal")
        case "greater_equal" | "less":
            return (made(IntegerOp.MAX) == left) == (name == "greater_equal")
        case "less_equal" | "greater":
            return (made(IntegerOp.MIN) == left) == (name == "less_equal")
    return first._holding(made(INTEGER_OPS.get(name, IntegerOp.SUBTRACT)))


def _product(a: Any, b: Any, out_format: Any = None) -> EngineArray:
    """a @ b with numpy's rules for vectors."""
    first = _common("matmul", (a, b), numbers=False)
    fmt, left, right = first.format, a._values, b._values
    if not (left.ndim and right.ndim):
        raise ValueError(f"matmul of shapes {left.shape} and {right.shape}; * takes single numbers")
    row, column = left.ndim == 1, right.ndim == 1
    integers = isinstance(fmt, IntFormat)
    asked = (FP32 if integers else fmt) if out_format is None else as_format(out_format)
    made = first.core.tensor.matmul(
        left[None] if row else left,
        right[:, None] if column else right,
        a_format=fmt,
        out_format=asked,
        rescale=1.0 if integers and out_format is not None else None,  # else int8 stays int32
    )
    made = made[..., 0] if column else made
    made = made[(..., 0) if column else (..., 0, slice(None))] if row else made
    return first._holding(made, INT32 if made.dtype == np.int32 else asked)


def _reduce(
    name: str, a: EngineArray, axis: int | None = None, *, keepdims: bool = False, **options: Any
) -> EngineArray:
    _refuse_options(name, options)
    if isinstance(a.format, IntFormat):
        raise _refusal(name, a.format)
    if not isinstance(axis, int | np.integer | None):
        raise TypeError(f"{name} along axis={axis!r}; give one axis, or None for all elements")
    op, fmt, x = REDUCTIONS[name], a.format, a._values
    if axis is not None:
        made = a.core.vector.tensor_reduce(x, op, axis=axis, keepdims=keepdims, out_format=fmt)
    else:
        made = a.core.vector.tensor_reduce(x.reshape(-1), op, out_format=fmt)
        made = made.reshape((1,) * x.ndim) if keepdims else made
    return a._holding(made)


def _moved(func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """A function of numpy on codes: it moves them and looks at none."""
    name = func.__name__
    _refuse_options(name, {key: kwargs[key] for key in ("out", "dtype") if key in kwargs})
    if not args:
        raise TypeError(f"{name}: give what it is to move as the first argument")
    items = list(args[0]) if name in JOINS else [args[0]]
    first = _common(name, items, numbers=False)
    codes = [x._codes for x in items]
    made = func(codes if name in JOINS else codes[0], *args[1:], **kwargs)
    if isinstance(made, list):
        return [EngineArray(part, first.format, first.core) for part in made]
    return EngineArray(made, first.format, first.core)


def _where(condition: Any, *pair: Any) -> EngineArray:
    mask = np.asarray(condition)
    if len(pair) != 2 or isinstance(condition, EngineArray) or mask.dtype != np.bool_:
        raise TypeError("where takes booleans and two arrays or numbers: np.where(a > 0, a, 0)")
    first = _common("where", pair)
    codes = np.where(mask, *(first._like(x)._codes for x in pair))
    return EngineArray(codes, first.format, first.core)


def _array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> bool:
    first = _common("array_equal", (a1, a2))
    a, b = first._like(a1), first._like(a2)
    if a.shape != b.shape:
        return False
    if isinstance(a.format, IntFormat):
        return bool(np.all(a._codes == b._codes))
    both = np.isnan(a._values) & np.isnan(b._values) & equal_nan
    return bool(np.all((a == b) | both))


FUNCTIONS: dict[str, Callable[..., Any]] = {"where": _where, "array_equal": _array_equal}


def _refusal(name: str, fmt: Format) -> TypeError:
    floats = "a.astype('fp32'), exact up to 2^24, or " if isinstance(fmt, IntFormat) else ""
    return TypeError(
        f"no engine here computes {name} of {fmt}; convert first: {floats}a.numpy(), with which"
        " numpy computes"
    )


def _refuse_options(name: str, options: Any) -> None:
    if options:
        raise TypeError(
            f"{name} of an EngineArray takes no {'=, '.join(options)}=: the array does not change,"
            " and the result has its format; a.numpy() takes all that numpy takes"
        )
