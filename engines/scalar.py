"""The Scalar Engine: functions of one number."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from halfulp.dtypes import FP32, FloatFormat, Format
from halfulp.dtypes.rounding import choice
from halfulp.engines.activations import VALID_RANGES, Activation
from halfulp.engines.arrays import apply_flat, sum_rows
from halfulp.engines.ledger import is_recording, record
from halfulp.engines.operands import Counts, Floats, as_float_format, open_floats, size_bytes
from halfulp.engines.outlines import is_outline
from halfulp.engines.piecewise import PiecewiseCubic

if TYPE_CHECKING:
    from halfulp.engines.core import NeuronCore


@dataclass(frozen=True)
class ScalarEngine:
    """func(x * scale + bias) in fp32, then a cast.

    A function is the exact one, the nearest fp32 to the true value (assumed: the hardware's tables
    are not public), or a table: a `PiecewiseCubic` in its place, or the core's own for it
    (`NeuronCore.tables`).

    Source: trainium_inferentia2_arch.rst (fp32 inside, scale and bias: documented); that x * scale
    and + bias round once each is assumed (docs/numerics.md, "Vector, Scalar and DMA engines").
    """

    core: "NeuronCore"

    def activation(
        self, x: Any, function: Activation | PiecewiseCubic | str, *, scale: float = 1.0,
        bias: float = 0.0, out_format: Format | str = FP32, slope: float = 0.01,
    ) -> Any:  # fmt: skip
        """function(x * scale + bias), any shape, rounded to `out_format`.

        slope   of leaky_relu below zero, rounded to fp32

        Raises ValueError for an unknown function.
        """
        asked = _Asked(self.core, function, scale, bias, slope)
        fmt = self._format(out_format)
        array, give = open_floats(x)
        out, counts = asked.compute(array, fmt)
        self._record("activation", asked, array, (out,), fmt, counts)
        return give(out)

    def activation_reduce(
        self, x: Any, function: Activation | PiecewiseCubic | str, *, scale: float = 1.0,
        bias: float = 0.0, out_format: Format | str = FP32, slope: float = 0.01,
    ) -> tuple[Any, Any]:  # fmt: skip
        """`activation`, and its sums along the last axis as float32.

        A sum runs from +0 in index order (documented: the pseudo code of the architecture guide)
        over the fp32 results, not over what the cast makes of them (assumed).

        Raises ValueError for an unknown function and for an x without axes.
        """
        asked = _Asked(self.core, function, scale, bias, slope)
        fmt = self._format(out_format)
        array, give = open_floats(x)
        if array.ndim == 0:
            raise ValueError("x is a number; needed: at least one axis to sum along")
        exact, counts = asked.compute(array, FP32)
        sums, of_sums = sum_rows(exact, FP32)
        out = exact
        if fmt != FP32:
            out, counts = apply_flat(exact, Activation.COPY, 1.0, -0.0, fmt)
        self._record("activation_reduce", asked, array, (out, sums), fmt, counts + of_sums)
        return give(out), give(sums)

    def _format(self, out_format: Format | str) -> FloatFormat:
        fmt = as_float_format(out_format, "out_format")
        self.core.check_result(fmt)
        return fmt

    def _record(
        self, instruction: str, asked: "_Asked", x: Floats, results: tuple[Floats, ...],
        fmt: FloatFormat, counts: Counts,
    ) -> None:  # fmt: skip
        formats = "fp32", fmt.name, *("fp32" for _ in results[1:])
        size = 4 * x.size + size_bytes(fmt, results[0].size)
        size += sum(4 * sums.size for sums in results[1:])
        shapes = x.shape, *(result.shape for result in results)
        counted = is_recording() and not is_outline(x)
        departures = asked.departures(x) if counted else 0
        name = f"{instruction}({asked.name})"
        record("scalar", name, shapes, formats, counts, size_bytes=size, departures=departures)


class _Asked:
    """A function of x * scale + bias: an exact one, or a table."""

    def __init__(
        self, core: "NeuronCore", function: Activation | PiecewiseCubic | str, scale: float,
        bias: float, slope: float,
    ) -> None:  # fmt: skip
        # x + -0 is x, also for -0
        self.scale, self.bias, self.slope = scale, bias if bias else -0.0, slope
        self.table: PiecewiseCubic | None = None
        if isinstance(function, PiecewiseCubic):
            self.function, self.table = None, function
            self.name = function.name
        else:
            self.function = choice(Activation, function, "function")
            self.table = core.table_of(self.function)
            self.name = self.function.value

    def _argument(self, x: Floats) -> Floats:
        return apply_flat(x, Activation.COPY, self.scale, self.bias, FP32)[0]

    def compute(self, x: Floats, fmt: FloatFormat) -> tuple[Floats, Counts]:
        """The results in a format, and what their cast counted."""
        if self.table is not None:
            y = self.table(self._argument(x))
            return apply_flat(y, Activation.COPY, 1.0, -0.0, fmt)
        assert self.function is not None
        return apply_flat(x, self.function, self.scale, self.bias, fmt, slope=self.slope)

    def departures(self, x: Floats) -> int:
        """Numbers outside of the function's documented range; NaN is none."""
        valid = None if self.function is None else VALID_RANGES.get(self.function)
        if valid is None:
            return 0
        argument = self._argument(x)
        size = abs(argument)
        outside = (size < np.float32(valid.least)) | (size > np.float32(valid.most))
        if not valid.signed:
            outside |= argument < 0
        return int(np.count_nonzero(outside))
