"""One thread's emulation in progress: which layer it is in, under which plan, what it remembers."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from halfulp.dtypes import FP32
from halfulp.engines import Ledger, NeuronCore
from halfulp.quant.arrays import Array, address, array, as_tensor
from halfulp.quant.plan import Plan
from halfulp.quant.scale import largest_finite, power_of_two
from halfulp.quant.trace import Trace
from halfulp.quant.weights import Weights

#: A constant added to scores that is no larger than this masks them.
MASKING = -1e4


def is_number(value: object) -> bool:
    """Whether an operand is one number for all elements."""
    return isinstance(value, int | float) or (isinstance(value, Tensor) and value.dim() == 0)


def is_masking(value: object) -> bool:
    """Whether a constant can only mean that a score does not count."""
    if isinstance(value, Tensor):
        known = value.dim() == 0 and value.is_floating_point() and not value.is_meta
        return known and value.item() <= MASKING
    return isinstance(value, float) and value <= MASKING


class Run:
    """State of one thread between entering and leaving the emulation.

    plan     of the layer being run
    pending  a product of attention whose rounding waits for its scale, with its plan
    masks    additive masks by address; held, so that no other tensor takes the address
    inputs   float tensors given to the model; constants while it runs
    mode     what hands the operations over
    trace    of a model without data: what each record needs
    """

    mode: TorchDispatchMode
    trace: Trace | None = None

    def __init__(
        self, core: NeuronCore, ledger: Ledger, plans: Mapping[str, Plan], weights: Weights
    ) -> None:
        self.core, self.ledger, self.plans, self.weights = core, ledger, plans, weights
        self.path = [""]
        self.plan = plans[""]
        self.pending: tuple[Tensor, Plan] | None = None
        self.masks: dict[int, Tensor] = {}
        self.inputs: dict[int, Tensor] = {}
        self.ledger.layer = ""

    @property
    def layer(self) -> str:
        return self.path[-1]

    def push(self, layer: str) -> None:
        self.path.append(layer)
        self._move(layer)

    def pop(self, layer: str) -> None:
        """Leave the layer, also when an error cut its entry short."""
        if self.path[-1] == layer and len(self.path) > 1:
            self.path.pop()
        self.settle()
        self._move(self.path[-1])
        if len(self.path) == 1:
            self.masks.clear()
            self.inputs.clear()

    def _move(self, layer: str) -> None:
        self.plan = self.plans[layer]
        self.ledger.layer = layer

    def take_inputs(self, tensors: Iterable[Any]) -> None:
        """Note the float tensors that the model was called with."""
        for tensor in tensors:
            if isinstance(tensor, Tensor) and tensor.dtype == torch.float32 and tensor.numel():
                masking = not tensor.is_meta and float(array(tensor).min()) <= MASKING
                kind = self.masks if masking else self.inputs
                kind[address(tensor)] = tensor

    def read(self, tensor: Tensor) -> Array:
        """An operand of Vector or Scalar: constants are in the plan's result format."""
        values = array(tensor)
        plan = self.plan
        if not plan.everything or values.ndim == 0:
            return values
        if self.weights.hold(tensor):
            # without data there is nothing to cast, nor in a model's second forward
            return values if self.trace else self.weights.constant(tensor, plan, self.cast)
        return self.cast(values, plan) if address(tensor) in self.inputs else values

    def is_constant(self, tensor: object) -> bool:
        """Whether these are values that no operation has rounded yet: parameters and inputs.

        Outside the layers they are the user's own to copy.
        """
        return (
            len(self.path) > 1
            and isinstance(tensor, Tensor)
            and (self.weights.hold(tensor) or address(tensor) in self.inputs)
        )

    def emit(self, instruction: Callable[..., Array], *operands: Any, **choices: Any) -> Tensor:
        """Run an instruction and cast its result as the plan says."""
        return as_tensor(self.result(instruction, *operands, **choices))

    def result(self, instruction: Callable[..., Array], *operands: Any, **choices: Any) -> Array:
        """`emit` as an array."""
        plan = self.plan
        plan.used = True
        if plan.scaled_results:
            return self.cast(np.asarray(instruction(*operands, **choices)), plan)
        return np.asarray(instruction(*operands, out_format=plan.out, **choices))

    def exact(self, instruction: Callable[..., Array], *operands: Any, **choices: Any) -> Tensor:
        """Run an instruction whose result stays fp32 under every plan."""
        self.plan.used = True
        return as_tensor(np.asarray(instruction(*operands, out_format=FP32, **choices)))

    def cast(self, values: Array, plan: Plan) -> Array:
        vector, plan.used = self.core.vector, True
        if not plan.scaled_results:
            return vector.tensor_copy(values, out_format=plan.out)
        factor = power_of_two(largest_finite(values), plan.out)
        scaled = vector.tensor_scalar(values, factor, "multiply", out_format=plan.out)
        return vector.tensor_scalar(scaled, 1.0 / factor, "multiply")

    def delay(self, product: Array) -> Tensor:
        """A product of attention not yet rounded: `settle` does it unless a scale comes first.

        Eager attention multiplies QK^T by its scale in the next operation. Rounding in between is
        one that attention as a unit does not have; in 8 bits it overflows.
        """
        tensor = as_tensor(product)
        self.pending = tensor, self.plan
        return tensor

    def scales_pending(self, tensor: object) -> bool:
        return (
            self.pending is not None
            and isinstance(tensor, Tensor)
            and address(tensor) == address(self.pending[0])
        )

    def settle(self) -> None:
        """Round the waiting product in place, for all its views."""
        if self.pending is not None:
            tensor, plan = self.pending
            self.pending = None
            values = array(tensor)
            rounded = self.cast(values, plan)
            if not tensor.is_meta:
                values[...] = rounded

    def is_mask(self, tensor: object) -> bool:
        return bool(self.masks) and isinstance(tensor, Tensor) and address(tensor) in self.masks

    def keep_mask(self, tensor: Tensor) -> Tensor:
        """Remember an additive mask, which no operation casts."""
        self.masks[address(tensor)] = tensor
        return tensor
