"""Operations that torch defines by others, as inference_mode shows them."""

from typing import Any

import torch

from halfulp.quant.refusal import refuse
from halfulp.quant.run import Run


def is_composite(func: Any) -> bool:
    """Whether torch defines the operation by others. torch has no public way to ask."""
    return torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")


def decompose(run: Run, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The operation taken apart, each part handed over again."""
    with run.mode:
        result = func.decompose(*args, **kwargs)
    if result is NotImplemented:
        raise refuse(func, run.layer)
    return result
