"""What a model must be to be emulated."""

import torch
from torch import nn


def check_model(model: nn.Module) -> bool:
    """Whether the model is one without data, wholly on the meta device; else it is on the CPU.

    Raises ValueError for training mode and other devices, TypeError for other float types.
    """
    for name, module in model.named_modules():
        if module.training:
            where = f"layer {name!r}" if name else "the model"
            raise ValueError(f"{where} is in training mode; emulation is inference: model.eval()")
    tensors = [*model.named_parameters(), *model.named_buffers()]
    outlined = any(tensor.is_meta for _, tensor in tensors)
    for name, tensor in tensors:
        if tensor.device.type != ("meta" if outlined else "cpu"):
            raise ValueError(
                f"{name} is on {tensor.device}; emulation is for the CPU: model.cpu(), or, for the"
                " ledger alone, for a model wholly on the meta device"
            )
        if (tensor.is_floating_point() or tensor.is_complex()) and tensor.dtype != torch.float32:
            raise TypeError(f"{name} is {tensor.dtype}; emulation begins at float32: model.float()")
    return outlined
