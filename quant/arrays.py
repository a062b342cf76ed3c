"""Tensors as the engines take them."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from halfulp.engines.outlines import index_outline, is_outline, outline

Array = NDArray[np.float32]


class NotFloat32(TypeError):
    """An operand of another float type; whoever knows the operation turns it into UnsupportedOp."""


def array(tensor: Tensor) -> Array:
    """The tensor's own memory as an array; an outline for a tensor on the meta device.

    Raises NotFloat32 for another type.
    """
    if tensor.dtype is not torch.float32:
        raise NotFloat32(f"{tensor.dtype} is not emulated; compute in float32")
    if tensor.is_meta:
        return outline(tuple(tensor.shape))
    return (tensor.detach() if tensor.requires_grad else tensor).numpy()


def address(tensor: Tensor) -> int:
    """Where the tensor's storage lies: equal for a tensor and its views.

    On the meta device it lies nowhere: there it is where torch describes it.
    """
    storage = tensor.untyped_storage()
    return storage._cdata if tensor.is_meta else storage.data_ptr()


def indices(tensor: Tensor) -> NDArray[np.integer[Any]]:
    """A tensor of integers as an array."""
    return index_outline(tuple(tensor.shape)) if tensor.is_meta else tensor.numpy()


def as_tensor(values: NDArray[Any]) -> Tensor:
    """The tensor that shares an array's memory; on the meta device for an outline."""
    if is_outline(values):
        return torch.empty(values.shape, dtype=torch.float32, device="meta")
    return torch.from_numpy(values)
