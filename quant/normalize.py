"""Softmax and layer normalization: fused, or instruction by instruction with a cast after each."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from halfulp.dtypes import FP32
from halfulp.engines.outlines import is_outline
from halfulp.quant.arrays import Array, array, as_tensor
from halfulp.quant.refusal import refuse
from halfulp.quant.run import Run


def softmax(run: Run, scores: Array, mask: NDArray[np.bool_] | Array | None) -> Array:
    """Along the last axis. mask: True where a score counts, or an addend; None counts all.

    A row of which no score counts gives zeros.
    """
    vector = run.core.vector
    if run.plan.fused:
        return run.result(vector.softmax, scores, mask=mask)
    if is_outline(scores):
        if mask is not None and mask.dtype != np.bool_:
            scores = vector.tensor_tensor(scores, mask, "add")
        return _softmax_unfused(run, scores)
    if mask is not None and mask.dtype == np.bool_:
        scores = np.where(mask, scores, np.float32(-math.inf))
    elif mask is not None:
        scores = vector.tensor_tensor(scores, mask, "add")
    dead = np.isneginf(scores).all(axis=-1, keepdims=True)
    weights = _softmax_unfused(run, np.where(dead, np.float32(0.0), scores))
    return np.where(dead, np.float32(0.0), weights)


def _softmax_unfused(run: Run, scores: Array) -> Array:
    """max; exp(x - max) with its fp32 sum; reciprocal; multiply."""
    vector, cast = run.core.vector, run.plan.out
    largest = vector.tensor_reduce(scores, "max", keepdims=True, out_format=cast)
    shifted = vector.tensor_tensor(scores, largest, "subtract")
    exact = run.core.scalar.activation(shifted, "exp")
    total = vector.tensor_reduce(exact, "add", keepdims=True, out_format=cast)
    factor = vector.reciprocal(total, out_format=cast)
    return run.result(vector.tensor_tensor, run.cast(exact, run.plan), factor, "multiply")


def aten_softmax(run: Run, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """_softmax(x, dim, half_to_float)."""
    x, axis = array(args[0]), args[1]
    last = x.ndim - 1
    if x.ndim == 0 or axis % x.ndim == last:
        return as_tensor(softmax(run, x, None))
    return as_tensor(softmax(run, x.swapaxes(axis, last), None)).transpose(axis, last)


def layer_norm(run: Run, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """layer_norm(x, normalized_shape, weight, bias, eps), as inference_mode shows it."""
    # weight, bias and eps may be left out, and what follows them has no part in the result
    x, shape, *rest = args
    gamma, beta, eps = [*rest, *(None, None, 1e-5)[len(rest) :]][:3]
    return _normalize(run, func, x, shape, gamma, beta, eps)


def native_layer_norm(
    run: Run, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Tensor, Tensor, Tensor]:
    """native_layer_norm(x, normalized_shape, weight, bias, eps).

    The mean and the deviation, which only a backward pass reads, are left empty.
    """
    x, shape, gamma, beta, eps = args
    empty = x.new_empty(0)
    return _normalize(run, func, x, shape, gamma, beta, eps), empty, empty


def _normalize(
    run: Run, func: Any, x: Tensor, shape: list[int], gamma: Tensor | None, beta: Tensor | None,
    eps: float,
) -> Tensor:  # fmt: skip
    width = math.prod(shape)
    if not width:
        raise refuse(func, run.layer, f"a layer of no elements (normalized_shape {list(shape)})")
    rows = array(x).reshape(-1, width)
    ones = np.ones(width, np.float32) if gamma is None else run.read(gamma).reshape(width)
    zeros = np.zeros(width, np.float32) if beta is None else run.read(beta).reshape(width)
    if run.plan.fused:
        y = run.result(run.core.vector.layernorm, rows, ones, zeros, eps)
    else:
        y = _layer_norm_unfused(run, rows, ones, zeros, eps)
    return as_tensor(y).reshape(x.shape)


def _layer_norm_unfused(run: Run, rows: Array, gamma: Array, beta: Array, eps: float) -> Array:
    """Mean and variance; rsqrt; subtract and scale; multiply and add: a cast after each."""
    vector, cast, width = run.core.vector, run.plan.out, float(rows.shape[-1])
    total = vector.tensor_reduce(rows, "add", keepdims=True)
    mean = vector.tensor_scalar(total, width, "divide", out_format=cast)
    exact = vector.tensor_scalar(total, width, "divide")
    centered = vector.tensor_tensor(rows, exact, "subtract")
    squares = vector.tensor_tensor(centered, centered, "multiply")
    spread = vector.tensor_reduce(squares, "add", keepdims=True)
    variance = vector.tensor_scalar(spread, width, "divide", out_format=cast)
    factor = run.core.scalar.activation(variance, "rsqrt", bias=eps, out_format=cast)
    moved = vector.tensor_tensor(rows, mean, "subtract")
    normal = vector.tensor_tensor(moved, factor, "multiply", out_format=cast)
    return run.result(
        vector.tensor_tensor,
        vector.tensor_tensor(normal, gamma, "multiply", out_format=FP32),
        beta,
        "add",
    )
