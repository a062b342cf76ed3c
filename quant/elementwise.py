"""Elementwise operations and reductions on the Vector and Scalar engines, embeddings on DMA."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from halfulp.engines import Activation, AluOp
from halfulp.quant.arrays import Array, array, as_tensor, indices
from halfulp.quant.refusal import refuse
from halfulp.quant.run import Run, is_masking

Args = tuple[Any, ...]
Choices = dict[str, Any]
Handler = Callable[[Run, Any, Args, Choices], Any]


def _is_float(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, Tensor) and value.is_floating_point())


def operand(run: Run, value: Any) -> Array | float:
    """A float32 array, or a number; integers become fp32 as Vector converts them."""
    if not isinstance(value, Tensor):
        return float(value)
    if not value.is_floating_point():
        return array(value.to(torch.float32))
    return run.read(value)


def _combine(run: Run, func: Any, op: AluOp, a: Any, b: Any, *, mask: bool) -> Tensor:
    """a op b; the sum of scores and a mask stays fp32, because masks are never cast."""
    vector, emit = run.core.vector, run.exact if mask else run.emit
    left, right = operand(run, a), operand(run, b)
    if isinstance(right, float):
        return emit(vector.tensor_scalar, left, right, op)
    return emit(vector.tensor_tensor, left, right, op)


def binary(op: AluOp) -> Handler:
    """x op y, where either may be a number; alpha multiplies y first."""

    def lower(run: Run, func: Any, args: Args, kwargs: Choices) -> Any:
        a, b = args[0], args[1]
        if op is not AluOp.DIVIDE and not _is_float(a) and not _is_float(b):
            return func(*args, **kwargs)
        if kwargs.get("rounding_mode") is not None:
            raise refuse(func, run.layer, "division with a rounding mode has no instruction")
        alpha = kwargs.get("alpha", 1)
        if alpha != 1:
            b = run.core.vector.tensor_scalar(operand(run, b), float(alpha), "multiply")
            b = as_tensor(b)
        if not run.plan.everything:
            return _combine(run, func, op, a, b, mask=False)
        if op is AluOp.MULTIPLY and (is_masking(a) or is_masking(b)):
            # (1 - attention_mask) * finfo.min, as older models make their masks
            return run.keep_mask(_combine(run, func, op, a, b, mask=True))
        return _combine(run, func, op, a, b, mask=run.is_mask(a) or run.is_mask(b))

    return lower


def subtract_from(run: Run, func: Any, args: Args, kwargs: Choices) -> Any:
    """rsub(x, y, alpha): y - alpha x."""
    if len(args) > 2 or kwargs.get("alpha", 1) != 1:
        raise refuse(func, run.layer, "alpha other than 1 is not modelled")
    if not _is_float(args[0]) and not _is_float(args[1]):
        return func(*args, **kwargs)
    negative = run.core.vector.tensor_scalar(operand(run, args[0]), -1.0, "multiply")
    return _combine(run, func, AluOp.ADD, as_tensor(negative), args[1], mask=False)


def negate(run: Run, func: Any, args: Args, kwargs: Choices) -> Any:
    """-x."""
    if not _is_float(args[0]):
        return func(*args, **kwargs)
    return _combine(run, func, AluOp.MULTIPLY, args[0], -1.0, mask=False)


def clamp(run: Run, func: Any, args: Args, kwargs: Choices) -> Any:
    """clamp(x, min=None, max=None), also clamp_min and clamp_max; the limits are numbers."""
    x, *limits = args
    name = func.overloadpacket.__name__
    if name == "clamp_max":
        limits = [None, *limits]
    low, high = [*limits, None, None][:2]
    low, high = kwargs.get("min", low), kwargs.get("max", high)
    if not any(_is_float(value) for value in (x, low, high)):
        return func(*args, **kwargs)
    vector, result = run.core.vector, operand(run, x)
    if low is not None and high is not None:
        result, low = vector.tensor_scalar(result, low, "max"), None
    limit, op = (high, "min") if low is None else (low, "max")
    return run.emit(vector.tensor_scalar, result, float(limit), op)


def function(name: Activation) -> Handler:
    """f(x) on the Scalar Engine."""

    def lower(run: Run, func: Any, args: Args, kwargs: Choices) -> Tensor:
        return run.emit(run.core.scalar.activation, operand(run, args[0]), name)

    return lower


def gelu(run: Run, func: Any, args: Args, kwargs: Choices) -> Tensor:
    """gelu(x, approximate="none"): the erf form, or the tanh form."""
    forms = {"none": Activation.GELU, "tanh": Activation.GELU_TANH}
    return function(forms[kwargs.get("approximate", "none")])(run, func, args, kwargs)


def leaky_relu(run: Run, func: Any, args: Args, kwargs: Choices) -> Tensor:
    """leaky_relu(x, negative_slope=0.01)."""
    slope: Any = args[1] if len(args) > 1 else kwargs.get("negative_slope", 0.01)
    act = partial(run.core.scalar.activation, slope=float(slope))
    return run.emit(act, operand(run, args[0]), Activation.LEAKY_RELU)


def softplus(run: Run, func: Any, args: Args, kwargs: Choices) -> Tensor:
    """softplus(x, beta=1, threshold=20); beyond 17 it is x in fp32 whatever the threshold."""
    given = [*args[1:], *(1, 20)[len(args) - 1 :]]
    beta, threshold = kwargs.get("beta", given[0]), kwargs.get("threshold", given[1])
    if beta != 1 or threshold < 20:
        text = f"softplus with beta={beta}, threshold={threshold} has no instruction; 1 and 20 have"
        raise refuse(func, run.layer, text)
    return function(Activation.SOFTPLUS)(run, func, args, kwargs)


def of_sign(name: Activation) -> Handler:
    """abs or sign; of integers as torch has them."""

    def lower(run: Run, func: Any, args: Args, kwargs: Choices) -> Any:
        if not _is_float(args[0]):
            return func(*args, **kwargs)
        return function(name)(run, func, args, kwargs)

    return lower


def power(run: Run, func: Any, args: Args, kwargs: Choices) -> Any:
    """x squared, or x cubed as two products (assumed); other exponents have no instruction."""
    if not any(_is_float(value) for value in args):
        return func(*args, **kwargs)
    x, exponent = args
    if exponent not in (2, 3):
        raise refuse(func, run.layer, f"the exponent {exponent} has no instruction; 2 and 3 have")
    square = _combine(run, func, AluOp.MULTIPLY, x, x, mask=False)
    return square if exponent == 2 else _combine(run, func, AluOp.MULTIPLY, square, x, mask=False)


def _check_type(run: Run, func: Any, wanted: torch.dtype | None) -> None:
    if wanted is not None and wanted.is_floating_point and wanted != torch.float32:
        raise refuse(func, run.layer, f"{wanted} is not emulated; compute in float32")


def _reduced(x: Tensor, axes: Sequence[int] | int | None) -> tuple[Tensor, list[int]]:
    """x with the axes to reduce made one, the last, in index order; and these axes."""
    given = [axes] if isinstance(axes, int) else axes or range(x.dim())
    chosen = sorted(axis % x.dim() for axis in given) if x.dim() else []
    kept = [axis for axis in range(x.dim()) if axis not in chosen]
    moved = x.permute(*kept, *chosen) if x.dim() else x.reshape(1)
    return moved.reshape([x.shape[axis] for axis in kept] + [-1 if x.numel() else 0]), chosen


def reduction(op: AluOp, *, mean: bool = False) -> Handler:
    """sum, mean or amax(x, dim=None, keepdim=False): one chain in index order over the axes."""

    def lower(run: Run, func: Any, args: Args, kwargs: Choices) -> Any:
        x, axes, keep = (*args, None, False)[:3] if len(args) < 3 else args[:3]
        axes, keep = kwargs.get("dim", axes), kwargs.get("keepdim", keep)
        _check_type(run, func, kwargs.get("dtype"))
        if not _is_float(x):
            return integers(run, func, args, kwargs)
        flat, chosen = _reduced(x, axes)
        vector, values = run.core.vector, np.asarray(operand(run, flat))
        if mean:
            total = vector.tensor_reduce(values, op)
            result = run.emit(vector.tensor_scalar, total, float(values.shape[-1]), "divide")
        else:
            result = run.emit(vector.tensor_reduce, values, op)
        if keep:
            result = result.reshape([1 if i in chosen else n for i, n in enumerate(x.shape)])
        return result

    return lower


def integers(run: Run, func: Any, args: Args, kwargs: Choices) -> Any:
    """The same operation on integers, unless its result would be a float."""
    result = func(*args, **kwargs)
    if result.is_floating_point():
        raise refuse(func, run.layer, "a float result of integers: convert them to float32 first")
    return result


def norm(run: Run, func: Any, args: Args, kwargs: Choices) -> Tensor:
    """linalg_vector_norm(x, ord=2, dim=None, keepdim=False): squares, their sum, square root."""
    x, order, axes, keep = [*args, *(2, None, False)[len(args) - 1 :]][:4]
    if order != 2:
        raise refuse(func, run.layer, f"the norm of order {order} has no instructions; 2 has")
    _check_type(run, func, kwargs.get("dtype"))
    flat, chosen = _reduced(x, axes)
    values = operand(run, flat)
    squares = run.core.vector.tensor_tensor(values, values, "multiply")
    total = run.core.vector.tensor_reduce(squares, "add")
    result = run.emit(run.core.scalar.activation, total, Activation.SQRT)
    if keep:
        result = result.reshape([1 if i in chosen else n for i, n in enumerate(x.shape)])
    return result


def embedding(run: Run, func: Any, args: Args, kwargs: Choices) -> Tensor:
    """Rows of a table. They are cast, never the table: rounding commutes with the gather."""
    return run.emit(run.core.dma.gather, array(args[0]), indices(args[1]))


def dropout(run: Run, func: Any, args: Args, kwargs: Choices) -> Any:
    """The identity outside training."""
    x, p, train = args
    if train and p:
        raise refuse(func, run.layer)
    return x
