"""Custom operators in an emulated model: a call of their torch operator runs them instead."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from halfulp.engines import CustomOp, NeuronCore
from halfulp.quant.arrays import as_tensor, indices
from halfulp.quant.composite import is_composite
from halfulp.quant.elementwise import Args, Choices, Handler
from halfulp.quant.lower import handler_of
from halfulp.quant.movement import integers_only
from halfulp.quant.refusal import refuse
from halfulp.quant.run import Run


def handlers_of(custom_ops: Iterable[CustomOp], core: NeuronCore) -> Mapping[Any, Handler]:
    """What runs each torch operator that a custom one stands for.

    Raises TypeError, ValueError for what cannot stand for one, and what `CustomOp.check` raises.
    """
    found: dict[Any, Handler] = {}
    for op in custom_ops:
        if not isinstance(op, CustomOp):
            raise TypeError(f"custom_ops: {op!r} is no CustomOp; custom_op makes one of a function")
        op.check(core)
        operator = _overload(op)
        if operator in found:
            raise ValueError(f"custom_ops: two stand for {operator}; give one")
        found[operator] = _lowered(op)
    return found


def _overload(op: CustomOp) -> Any:
    """The one operator whose calls an emulation meets."""
    given = op.operator
    # an operator by its name in torch.ops is a packet of overloads
    if hasattr(given, "overloads"):
        names = given.overloads()
        if "default" not in names and len(names) != 1:
            raise ValueError(
                f"{op.name}: {given} has the overloads {', '.join(names)}; give operator={given}."
                f"{names[0]} or another"
            )
        given = getattr(given, "default" if "default" in names else names[0])
    if not hasattr(given, "overloadpacket"):
        raise TypeError(
            f"{op.name}: operator={given!r} is no operator of torch; give torch.ops.namespace.name,"
            " or make it by CustomOp.of_torch"
        )
    if is_composite(given):
        raise ValueError(
            f"{op.name}: torch takes {given} apart before it is seen; register it for the CPU"
        )
    if given._schema.is_mutable:
        raise ValueError(f"{op.name}: {given} writes into its arguments; a custom operator cannot")
    if handler_of(given) is not integers_only:
        raise ValueError(f"{op.name}: {given} runs on the engines without a custom operator")
    return given


def _lowered(op: CustomOp) -> Handler:
    """The operator's arguments as arrays of its formats; no policy changes its result."""

    def lower(run: Run, func: Any, args: Args, kwargs: Choices) -> Tensor:
        run.plan.used = True
        count = len(op.inputs)
        tensors, rest = args[:count], args[count:]
        if len(tensors) < count or not all(isinstance(one, Tensor) for one in tensors):
            raise refuse(func, run.layer, f"{op.name} takes {count} tensors first")
        arrays = [run.read(one) if one.is_floating_point() else indices(one) for one in tensors]
        result = op(*arrays, *rest, core=run.core, **kwargs)
        return as_tensor(np.asarray(result))

    return lower
