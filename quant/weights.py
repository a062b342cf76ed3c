"""Parameters of the bound model as the engines take them: packed or rounded once, then kept."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from halfulp.dtypes import IntFormat
from halfulp.engines import NeuronCore, Packed
from halfulp.quant.arrays import Array, address, array
from halfulp.quant.plan import Plan
from halfulp.quant.policy import Scaling
from halfulp.quant.scale import largest_finite, power_of_two, symmetric_by_channel

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Weight:
    """The second operand of a linear layer.

    scale  what its values were multiplied by: one float, or one for each output channel (N,)
    """

    packed: Packed
    scale: float | Array


def _key(tensor: Tensor) -> Key:
    # an inference tensor has no version counter: it cannot be written to outside inference mode
    version = 0 if tensor.is_inference() else tensor._version
    return address(tensor), tensor.storage_offset(), tensor.shape, tensor.stride(), version


def pack(core: NeuronCore, weight: Tensor, plan: Plan) -> Weight:
    """A weight (K, N), as a linear layer hands it over: a transposed view of (N, K)."""
    values = array(weight)
    transposed = values.strides[0] <= values.strides[1]
    given = values.T if transposed else values
    scale: float | Array = 1.0
    if isinstance(plan.operands, IntFormat):
        scale = symmetric_by_channel(values.T, plan.operands)
    elif plan.scaling is not Scaling.NONE:
        scale = power_of_two(largest_finite(values), plan.operands)
    packed = core.tensor.pack(given, plan.operands, scale=scale, transposed=transposed)
    return Weight(packed, scale)


class Weights:
    """The bound model's parameters and buffers, and what was made of them.

    An entry is found by address, shape, stride and version: an in-place change of a parameter is
    seen, one through `.data` is not. Only storages of the model are kept, because a temporary's
    address is used again; holding them here keeps theirs from being reused too.
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self._storages = {address(tensor): tensor.untyped_storage() for tensor in tensors}
        self._packed: dict[Key, Weight] = {}
        self._constants: dict[Key, Array] = {}

    def hold(self, tensor: Tensor) -> bool:
        """Whether the tensor lies in a storage of the model."""
        return address(tensor) in self._storages

    def packed(self, core: NeuronCore, weight: Tensor, plan: Plan) -> Weight:
        """`pack`, once for each weight and format."""
        if not self.hold(weight):
            return pack(core, weight, plan)
        key = (*_key(weight), plan.operands, plan.scaling)
        found = self._packed.get(key)
        if found is None:
            found = self._packed[key] = pack(core, weight, plan)
        return found

    def constant(
        self,
        tensor: Tensor,
        plan: Plan,
        cast: Callable[[Array, Plan], Array],
    ) -> Array:
        """A bias, gamma or beta in the result format, cast once."""
        key = (*_key(tensor), plan.out, plan.scaled_results)
        found = self._constants.get(key)
        if found is None:
            found = self._constants[key] = cast(array(tensor), plan)
        return found
