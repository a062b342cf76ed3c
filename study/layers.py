"""One module of a model: which modules are called, and what they put out."""

import difflib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch

from halfulp.study.tasks import Workload

_SHOWN = 5  # names in a message


def first_tensor(output: object) -> torch.Tensor | None:
    """An output that is a tensor, or the first tensor in a tuple, a list or a mapping."""
    if isinstance(output, torch.Tensor):
        return output
    parts: Any = output.values() if isinstance(output, Mapping) else output
    if not isinstance(output, Mapping | tuple | list):
        return None
    found = (first_tensor(part) for part in parts)
    return next((tensor for tensor in found if tensor is not None), None)


@contextmanager
def kept_outputs(module: torch.nn.Module) -> Iterator[list[torch.Tensor]]:
    """The first tensor of each output of a module meanwhile."""
    kept: list[torch.Tensor] = []

    def keep(module: torch.nn.Module, given: Any, output: Any) -> None:
        if (tensor := first_tensor(output)) is not None:
            kept.append(tensor.detach().clone())

    handle = module.register_forward_hook(keep)
    try:
        yield kept
    finally:
        handle.remove()


def _called(workload: Workload) -> dict[str, bool]:
    """The modules that the first batch calls, and whether they put out a tensor."""
    found: dict[str, bool] = {}

    def note(name: str, module: torch.nn.Module, given: Any, output: Any) -> None:
        found[name] = first_tensor(output) is not None

    with ExitStack() as hooks, torch.inference_mode():
        for name, module in workload.module.named_modules():
            hooks.callback(module.register_forward_hook(partial(note, name)).remove)
        workload.forward(0)
    return found


def check_layer(workload: Workload, layer: str) -> None:
    """Raise ValueError, with the nearest names, for a layer that puts out no tensor.

    The model's first batch runs once, in torch.
    """
    modules, called = dict(workload.module.named_modules()), _called(workload)
    if called.get(layer):
        return
    names = [name for name in modules if name and called.get(name)]
    if layer not in modules:
        what = f"no layer {layer!r}"
    elif layer in called:
        what = f"the layer {layer!r} puts out no tensor"
    else:
        kind = type(modules[layer]).__name__
        what = f"the layer {layer!r}, a {kind}, is never called: it has no output to compare"
    near = [name for name in names if layer in name]
    near = near or difflib.get_close_matches(layer, names, _SHOWN)
    told = (
        f"near it: {', '.join(near[:_SHOWN])}"
        if near
        else f"the first: {', '.join(names[:_SHOWN])}"
    )
    raise ValueError(f"{what}; {told}")
