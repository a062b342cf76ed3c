"""Which layer of a model is running: hooks on every module."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle

Enter = Callable[[str, tuple[Any, ...], dict[str, Any]], None]
Leave = Callable[[str], None]


def _begin(enter: Enter, name: str, _: nn.Module, args: Any, kwargs: Any) -> None:
    enter(name, args, kwargs)


def _end(leave: Leave, name: str, _: nn.Module, __: Any, ___: Any) -> None:
    leave(name)


class LayerHooks:
    """Calls `enter(name, args, kwargs)` before and `leave(name)` after each module, always."""

    def __init__(self, model: nn.Module, enter: Enter, leave: Leave) -> None:
        self._handles: list[RemovableHandle] = []
        for name, module in model.named_modules():
            begin, end = partial(_begin, enter, name), partial(_end, leave, name)
            self._handles += [
                module.register_forward_pre_hook(begin, prepend=True, with_kwargs=True),
                module.register_forward_hook(end, always_call=True),
            ]

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
