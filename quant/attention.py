"""Attention as one unit: QK^T, scale in fp32, round, mask, softmax in fp32, round, PV, round."""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from halfulp.dtypes import FP32
from halfulp.engines.memory import uninitialized
from halfulp.engines.outlines import mask_outline
from halfulp.quant.arrays import Array, array, as_tensor
from halfulp.quant.normalize import softmax
from halfulp.quant.products import product
from halfulp.quant.refusal import refuse
from halfulp.quant.run import Run

Mask = NDArray[np.bool_] | Array | None


def _mask(mask: Tensor | None, causal: bool, rows: int, columns: int) -> Mask:
    """True where a query attends, or an addend."""
    if mask is None:
        return np.tri(rows, columns, dtype=np.bool_) if causal else None
    if mask.dtype == torch.bool:
        return mask_outline(tuple(mask.shape)) if mask.is_meta else mask.numpy()
    return array(mask)


def _attend(run: Run, q: Tensor, k: Tensor, v: Tensor, mask: Mask, scale: float) -> Tensor:
    plan, vector = run.plan, run.core.vector
    out = plan.out
    scores = product(run, array(q), array(k), FP32, transpose_b=True)
    if plan.fused and not plan.scaled_results:
        weights = vector.softmax(scores, scale=scale, mask=mask, scores_format=out, out_format=out)
    else:
        scores = run.result(vector.tensor_scalar, scores, scale, "multiply")
        weights = softmax(run, scores, mask)
    values, place = array(v), None if q.is_meta or v.is_meta else _place(q, v)
    if not plan.scaled_results:
        return as_tensor(product(run, weights, values, out, place=place))
    result = run.cast(product(run, weights, values, FP32), plan)
    if place is None:
        return as_tensor(result)
    np.copyto(place, result)
    return as_tensor(place)


def _place(q: Tensor, v: Tensor) -> Array | None:
    """Memory for the result laid out as q is, when the heads of a token lie side by side there.

    So does torch, and models view it so.
    """
    if q.stride(1) >= q.stride(2) or v.shape[:2] != q.shape[:2]:
        return None
    batch, heads, tokens, _ = q.shape
    return uninitialized((batch, tokens, heads, v.shape[-1])).swapaxes(1, 2)


def _check(run: Run, func: Any, dropout: float, q: Tensor, k: Tensor) -> None:
    if dropout:
        raise refuse(func, run.layer, "dropout belongs to training: call model.eval()")
    if q.dim() != 4 or q.shape[:2] != k.shape[:2]:
        raise refuse(
            func,
            run.layer,
            f"query {tuple(q.shape)} and key {tuple(k.shape)} must be (batch, heads, tokens, width)"
            " of the same batch and heads",
        )


def _default_scale(scale: float | None, q: Tensor) -> float:
    return 1.0 / math.sqrt(q.shape[-1]) if scale is None else scale


def flash(run: Run, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    """What scaled_dot_product_attention becomes under no_grad.

    (query, key, value, dropout_p=0, is_causal=False, *, attn_mask=None, scale=None); torch has
    turned a bool mask into 0 and -inf. The second result is read by a backward pass only.
    """
    q, k, v, dropout, causal = (*args, 0.0, False)[:5] if len(args) == 3 else (*args, False)[:5]
    dropout, causal = kwargs.get("dropout_p", dropout), kwargs.get("is_causal", causal)
    _check(run, func, dropout, q, k)
    mask = _mask(kwargs.get("attn_mask"), causal, q.shape[-2], k.shape[-2])
    result = _attend(run, q, k, v, mask, _default_scale(kwargs.get("scale"), q))
    return result, result.new_empty(0)


def composite(run: Run, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """scaled_dot_product_attention itself, as inference_mode shows it.

    (query, key, value, attn_mask=None, dropout_p=0, is_causal=False, *, scale=None, enable_gqa)
    """
    names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    q, k, v = given["query"], given["key"], given["value"]
    _check(run, func, given.get("dropout_p", 0.0), q, k)
    causal = given.get("is_causal", False)
    mask = _mask(given.get("attn_mask"), causal, q.shape[-2], k.shape[-2])
    return _attend(run, q, k, v, mask, _default_scale(given.get("scale"), q))
