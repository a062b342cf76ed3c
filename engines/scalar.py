"""The Scalar Engine: functions of one number."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from halfulp.dtypes import FP32, Format
from halfulp.dtypes.rounding import choice
from halfulp.engines.activations import Activation
from halfulp.engines.arrays import apply_flat
from halfulp.engines.ledger import record
from halfulp.engines.operands import as_float_format, open_floats, size_bytes

if TYPE_CHECKING:
    from halfulp.engines.core import NeuronCore


@dataclass(frozen=True)
class ScalarEngine:
    """func(x * scale + bias) in fp32, then a cast.

    Source: trainium_inferentia2_arch.rst (fp32 inside, scale and bias: documented); that x * scale
    and + bias round once each, and that a function gives the nearest fp32, is assumed
    (docs/numerics.md, "Vector, Scalar and DMA engines").
    """

    core: "NeuronCore"

    def activation(
        self, x: Any, function: Activation | str, *, scale: float = 1.0, bias: float = 0.0,
        out_format: Format | str = FP32, slope: float = 0.01,
    ) -> Any:  # fmt: skip
        """function(x * scale + bias), any shape, rounded to `out_format`.

        slope   of leaky_relu below zero, rounded to fp32

        Raises ValueError for an unknown function.
        """
        fmt = as_float_format(out_format, "out_format")
        found = choice(Activation, function, "function")
        self.core.check_result(fmt)
        array, give = open_floats(x)
        # x + -0 is x, also for -0
        shift = bias if bias else -0.0
        out, counts = apply_flat(array, found, scale, shift, fmt, slope=slope)
        size = 4 * array.size + size_bytes(fmt, out.size)
        shapes, formats = (array.shape, out.shape), ("fp32", fmt.name)
        record("scalar", f"activation({found.value})", shapes, formats, counts, size_bytes=size)
        return give(out)
