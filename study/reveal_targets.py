"""What `halfulp reveal` names: sums and products of libraries, and functions of any module."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from halfulp.study.conformance_targets import NoTarget
from halfulp.study.conformance_targets import target as function_of

#: From a name of a type of the library to a function of a float32 array.
Maker = Callable[[str], Callable[[Any], Any]]

#: The types that a target may name behind a colon, with their names in numpy and torch.
TYPES = {"fp32": "float32", "fp64": "float64", "fp16": "float16", "bf16": "bfloat16"}


@dataclass(frozen=True)
class Target:
    """A function that adds.

    says     what it does with its n numbers x
    make     the function, by the type's name; imports the library
    types    that the library adds, the first without being named
    """

    says: str
    make: Maker
    types: tuple[str, ...] = ("fp32",)


def _numpy(function: Callable[[Any], Any]) -> Maker:
    return lambda dtype: lambda x: function(x.astype(dtype))


def _torch(function: Callable[[Any, Any], Any]) -> Maker:
    def make(dtype: str) -> Callable[[Any], Any]:
        import torch

        return lambda x: function(torch, torch.from_numpy(x).to(getattr(torch, dtype)))

    return make


def _lists(module: str, name: str) -> Maker:
    def make(dtype: str) -> Callable[[Any], Any]:
        import importlib

        function = getattr(importlib.import_module(module), name)
        return lambda x: function(x.tolist())

    return make


def _row(x: Any) -> Any:
    return np.tile(x, (len(x), 1))


_NUMPY, _TORCH = ("fp32", "fp64", "fp16"), ("fp32", "fp64", "bf16", "fp16")
_SQUARE = "the (n, n) matrix of n rows x, times ones (n, n)"

TARGETS: dict[str, Target] = {
    "numpy.sum": Target("x.sum()", _numpy(np.sum), _NUMPY),
    "numpy.cumsum": Target("the last of x.cumsum()", _numpy(lambda x: x.cumsum()[-1]), _NUMPY),
    "numpy.dot": Target("x times ones (n,)", _numpy(lambda x: np.dot(x, np.ones_like(x))), _NUMPY),
    "numpy.matmul": Target(
        _SQUARE, _numpy(lambda x: np.matmul(_row(x), np.ones_like(_row(x)))[0, 0]), _NUMPY
    ),
    "numpy.einsum": Target(
        "einsum('i,i', x, ones)", _numpy(lambda x: np.einsum("i,i", x, np.ones_like(x))), _NUMPY
    ),
    "torch.sum": Target("x.sum()", _torch(lambda torch, x: x.sum()), _TORCH),
    "torch.dot": Target(
        "x times ones (n,)", _torch(lambda torch, x: torch.dot(x, torch.ones_like(x))), _TORCH
    ),
    "torch.mv": Target(
        "the (n, n) matrix of n rows x, times ones (n,)",
        _torch(lambda torch, x: torch.mv(x.repeat(len(x), 1), torch.ones_like(x))[0]),
        _TORCH,
    ),
    "torch.mm": Target(
        _SQUARE,
        _torch(lambda torch, x: torch.mm(x.repeat(len(x), 1), x.new_ones(len(x), len(x)))[0, 0]),
        _TORCH,
    ),
    "builtins.sum": Target("of Python's floats", _lists("builtins", "sum"), ("fp64",)),
    "math.fsum": Target("of Python's floats", _lists("math", "fsum"), ("fp64",)),
}


def target(text: str) -> tuple[Callable[[Any], Any], str]:
    """The function that `text` names, and the name of a format that its numbers have.

    "numpy.sum", "torch.mm:bf16", or "module:function" of a float32 array. A module is imported, and
    so its code runs; the current folder is looked in first.

    Raises NoTarget for what there is not; ModuleNotFoundError for a library not installed.
    """
    name, _, kind = text.partition(":")
    if name in TARGETS:
        found = TARGETS[name]
        kind = kind or found.types[0]
        if kind not in found.types:
            raise NoTarget(f"{name} has no {kind!r}; allowed: {', '.join(names(name))}")
        # float32 holds the numbers, which are the same in a wider type
        return found.make(TYPES[kind]), "fp32" if kind == "fp64" else kind
    if ":" not in text:
        raise NoTarget(
            f"{text!r} is no target; allowed: {', '.join(TARGETS)}, these with a type such as"
            " torch.mm:bf16, and module:function"
        )
    return function_of(text).cast, "fp32"


def names(name: str) -> list[str]:
    """A target with each of its types."""
    first, *more = TARGETS[name].types
    return [name, *(f"{name}:{kind}" for kind in more)]
