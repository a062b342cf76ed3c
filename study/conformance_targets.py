"""What `halfulp conformance --target` names: types of libraries, and functions of any module."""

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halfulp.dtypes.compatibility import COMPATIBILITY
from halfulp.dtypes.dtype_names import dtype_name, from_dtype
from halfulp.dtypes.format import Format
from halfulp.dtypes.wording import kind_of

#: Libraries whose types are casts.
LIBRARIES = ("ml_dtypes", "numpy", "torch")


class NoTarget(ValueError):
    """A name that leads to no cast."""


@dataclass(frozen=True)
class Target:
    """A cast: from an array to an array of values or codes.

    fmt        the format that its name stands for; None where it must be given
    overflow   the policy that its library is known for
    """

    cast: Callable[[Any], Any]
    fmt: Format | None = None
    overflow: str = "inf"


def target(text: str) -> Target:
    """The cast that `text` names: "ml_dtypes.float8_e4m3fn", or "module:function".

    A module is imported, and so its code runs; the current folder is looked in first.

    Raises NoTarget for what there is not; ModuleNotFoundError for a library not installed.
    """
    if ":" in text:
        module, _, name = text.partition(":")
        return Target(_function(module, name))
    library, _, name = text.partition(".")
    if library not in LIBRARIES or not name:
        raise NoTarget(
            f"{text!r} is no target; give a type of {', '.join(LIBRARIES)} such as"
            " ml_dtypes.float8_e4m3fn, or module:function"
        )
    dtype = getattr(importlib.import_module(library), name, None)
    if dtype is None or dtype_name(dtype) is None:
        raise NoTarget(f"{library} has no type {name!r}")
    try:
        fmt = from_dtype(dtype)
    except ValueError as error:
        raise NoTarget(str(error)) from None
    cast = _torch_cast(dtype) if library == "torch" else _numpy_cast(dtype)
    return Target(cast, fmt, library if library in COMPATIBILITY else "inf")


def _numpy_cast(dtype: Any) -> Callable[[Any], Any]:
    return lambda x: x.astype(dtype)


def _torch_cast(dtype: Any) -> Callable[[Any], Any]:
    import torch

    return lambda x: torch.from_numpy(x).to(dtype).to(torch.float64).numpy()


def _function(module: str, name: str) -> Callable[[Any], Any]:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module)
    except Exception as error:  # the module's own code runs, and may raise anything
        raise NoTarget(f"cannot import {module}: {type(error).__name__}: {error}") from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise NoTarget(f"{module} has no {name!r}")
        found = getattr(found, part)
    if not callable(found):
        raise NoTarget(f"{module}:{name} is {kind_of(found)}, no function of an array")
    return found
