"""What flows through a rounding in torch, which is flat almost everywhere, and its rules."""

from enum import StrEnum, unique
from typing import Any

import torch
from torch import Tensor

from halfulp.dtypes.dtype_names import as_format
from halfulp.dtypes.int_format import IntFormat
from halfulp.dtypes.torch_int_formats import largest


@unique
class Gradient(StrEnum):
    """What flows back through `round_to`, which is flat almost everywhere."""

    STRAIGHT_THROUGH = "straight_through"  #: the gradient of the result, unchanged
    #: the same, but 0 where x is NaN or beyond the largest finite value on its side; in a format
    #: without negative numbers also below the smallest one
    ZERO_OUTSIDE = "zero_outside"


def remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    """Keep in `ctx` what `backward` needs; inputs and output are those of the operator."""
    x, fmt, *_, gradient = inputs
    ctx.limits, ctx.dtype = None, x.dtype
    if gradient == Gradient.ZERO_OUTSIDE:
        read = as_format(fmt)
        most = largest(read, x.dtype) if isinstance(read, IntFormat) else read.max
        ctx.limits = float(read.min), float(most)
        ctx.save_for_backward(x)


def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    """The gradient of x, and None for the operator's other arguments."""
    return (passed(ctx, grad).to(ctx.dtype), *(None,) * 5)


def passed(ctx: Any, flow: Tensor) -> Tensor:
    """What of a gradient, or of a tangent, goes through."""
    if ctx.limits is None:
        return flow
    (x,) = ctx.saved_tensors
    # a 16-bit type would round the limits
    x = x if x.dtype is torch.float64 else x.to(torch.float32)
    least, most = ctx.limits
    return torch.where((x >= least) & (x <= most), flow, torch.zeros_like(flow))
