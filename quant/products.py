"""Matrix products on the TensorEngine: operands scaled and rounded as the plan says."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from halfulp.dtypes import FP32, FloatFormat, IntFormat
from halfulp.quant.arrays import Array, array, as_tensor
from halfulp.quant.composite import decompose
from halfulp.quant.plan import Plan
from halfulp.quant.policy import Scaling
from halfulp.quant.refusal import refuse
from halfulp.quant.run import Run
from halfulp.quant.scale import inverse, largest_finite, power_of_two, symmetric
from halfulp.quant.weights import Weight


def _scale(values: Array, plan: Plan) -> float:
    """By what a dynamic operand is multiplied before it is rounded: one number for the tensor."""
    if plan.scaling is Scaling.NONE:
        return 1.0
    largest = largest_finite(values)
    if isinstance(plan.operands, IntFormat):
        return symmetric(largest, plan.operands)
    return power_of_two(largest, plan.operands)


def product(
    run: Run,
    a: Array,
    b: Array | Weight,
    out: FloatFormat,
    *,
    bias: NDArray[np.float32] | None = None,
    transpose_b: bool = False,
    place: Array | None = None,
) -> Array:
    """a (..., M, K) times b (..., K, N) as it leaves PSUM: over the scales, plus bias, rounded.

    Into `place`, if there is one.
    """
    plan = run.plan
    plan.used = True
    fmt = plan.operands
    choices: dict[str, Any] = {"a_format": fmt, "b_format": fmt, "out_format": out, "bias": bias}
    if transpose_b:
        choices["transpose_b"] = True
    if place is not None:
        choices["out"] = place
    if plan.scaling is not Scaling.NONE:
        a_scale = choices["a_scale"] = _scale(a, plan)
        if isinstance(b, Weight):
            b_scale = b.scale
        else:
            b_scale = choices["b_scale"] = _scale(b, plan)
        choices["rescale"] = inverse(a_scale, b_scale)
    return run.core.tensor.matmul(a, b.packed if isinstance(b, Weight) else b, **choices)


def _linear(run: Run, x: Tensor, weight: Tensor, bias: Array | None) -> Tensor:
    plan = run.plan
    packed = run.weights.packed(run.core, weight, plan)
    if not plan.scaled_results:
        return as_tensor(product(run, array(x), packed, plan.out, bias=bias))
    return as_tensor(run.cast(product(run, array(x), packed, FP32, bias=bias), plan))


def linear(run: Run, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """linear(x, weight, bias), as inference_mode shows it: what its parts give, without them.

    Those of another x round before the bias is added, and so here too.
    """
    x, weight, bias = (*args, None)[:3]
    whole = x.dim() == 2 or (x.dim() == 3 and x.is_contiguous())
    fits = weight.dim() == 2 and (bias is None or bias.shape == weight.shape[:1])
    if not whole or not fits or kwargs:
        return decompose(run, func, args, kwargs)
    return _linear(run, x, weight.t(), None if bias is None else run.read(bias))


def addmm(run: Run, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """bias + x @ weight, as one unit: fp32 sums, plus bias, one rounding as they leave PSUM."""
    bias, x, weight = args[:3]
    if kwargs.get("beta", 1) != 1 or kwargs.get("alpha", 1) != 1:
        raise refuse(func, run.layer, "alpha and beta other than 1 are not modelled")
    if bias.dim() != 1 or bias.shape[0] != weight.shape[1]:
        raise refuse(func, run.layer, f"a bias of shape {tuple(bias.shape)}; (N,) is modelled")
    return _linear(run, x, weight, run.read(bias))


def mm(run: Run, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """x @ weight."""
    return _linear(run, args[0], args[1], None)


def mv(run: Run, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """x @ vector: a weight of one output channel."""
    return _linear(run, args[0], args[1].reshape(-1, 1), None).reshape(-1)


def bmm(run: Run, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """A batch of products of activations, such as eager attention's QK^T and PV."""
    a, b = array(args[0]), array(args[1])
    if run.plan.everything:
        return run.delay(product(run, a, b, FP32))
    return as_tensor(product(run, a, b, FP32))
