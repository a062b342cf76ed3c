"""Tensors as the engines take them."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float32]


class NotFloat32(TypeError):
    """An operand of another float type; whoever knows the operation turns it into UnsupportedOp."""


def array(tensor: Tensor) -> Array:
    """The tensor's own memory as an array.

    Raises NotFloat32 for another type.
    """
    if tensor.dtype is not torch.float32:
        raise NotFloat32(f"{tensor.dtype} is not emulated; compute in float32")
    return (tensor.detach() if tensor.requires_grad else tensor).numpy()
