"""The Vector Engine: elementwise operations, reductions and normalizations, in fp32."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from halfulp.dtypes import FP32, FloatFormat, Format
from halfulp.dtypes.addresses import address
from halfulp.dtypes.parameters import bits32
from halfulp.dtypes.rounding import choice
from halfulp.engines.activations import Activation
from halfulp.engines.arrays import add_mask, apply_flat, by_rows, combine, reduce_axis, sum_rows
from halfulp.engines.elementwise import AluOp
from halfulp.engines.ledger import record
from halfulp.engines.memory import uninitialized
from halfulp.engines.operands import (
    Counts,
    Floats,
    as_float_format,
    contiguous,
    filled,
    open_floats,
    size_bytes,
)
from halfulp.engines.rows import layernorm, softmax

if TYPE_CHECKING:
    from halfulp.engines.core import NeuronCore


@dataclass(frozen=True)
class VectorEngine:
    """Elementwise instructions and reductions.

    Results are float32 values of `out_format`, rounded once to nearest even from the fp32 result;
    NaN is canonical. Shapes broadcast as numpy's do. Source: nki.isa, trainium_inferentia2_arch.rst
    (fp32 inside, free casts: documented); the order of a sum and the arithmetic inside bn_stats and
    bn_aggr are assumed (docs/numerics.md, "Vector, Scalar and DMA engines").
    """

    core: "NeuronCore"

    def _format(self, fmt: Format | str) -> FloatFormat:
        found = as_float_format(fmt, "out_format")
        self.core.check_result(found)
        return found

    def tensor_tensor(
        self, a: Any, b: Any, op: AluOp | str, *, out_format: Format | str = FP32
    ) -> Any:
        """a op b, element by element.

        Raises ValueError for an unknown operator and for shapes that do not broadcast.
        """
        fmt, operator = self._format(out_format), choice(AluOp, op, "op")
        (left, give), (right, _) = open_floats(a), open_floats(b)
        out, counts = combine(left, right, operator, fmt)
        _record("tensor_tensor", (left, right), out, fmt, counts)
        return give(out)

    def tensor_scalar(
        self, x: Any, scalar: float, op: AluOp | str, *, out_format: Format | str = FP32
    ) -> Any:
        """x op scalar, the scalar rounded to fp32 first."""
        fmt, operator = self._format(out_format), choice(AluOp, op, "op")
        array, give = open_floats(x)
        out, counts = combine(contiguous(array), filled(1, scalar).reshape(()), operator, fmt)
        _record("tensor_scalar", (array,), out, fmt, counts)
        return give(out)

    def tensor_reduce(
        self, x: Any, op: AluOp | str, *, axis: int = -1, keepdims: bool = False,
        out_format: Format | str = FP32,
    ) -> Any:  # fmt: skip
        """Sum ("add", from +0, in index order) or "max" along one axis.

        Raises ValueError for another operator, for an axis that x has not, and for the maximum of
        nothing.
        """
        fmt, operator = self._format(out_format), choice(AluOp, op, "op")
        if operator not in (AluOp.ADD, AluOp.MAX):
            raise ValueError(f"op={operator.value!r}; tensor_reduce takes 'add' and 'max'")
        array, give = open_floats(x)
        if not -array.ndim <= axis < array.ndim:
            raise ValueError(f"axis={axis}; x has {array.ndim} axes")
        axis %= array.ndim
        if operator is AluOp.MAX and array.shape[axis] == 0:
            raise ValueError("the maximum of an axis of length 0 does not exist")
        if operator is AluOp.ADD and axis == array.ndim - 1:
            out, counts = sum_rows(contiguous(array), fmt)
        else:
            out, counts = reduce_axis(array, axis, operator, fmt)
        out = np.expand_dims(out, axis) if keepdims else out
        _record("tensor_reduce", (array,), out, fmt, counts)
        return give(out)

    def reciprocal(self, x: Any, *, out_format: Format | str = FP32) -> Any:
        """1 / x, the nearest fp32."""
        return self._function("reciprocal", x, Activation.RECIPROCAL, out_format)

    def tensor_copy(self, x: Any, *, out_format: Format | str) -> Any:
        """x rounded to `out_format`."""
        return self._function("tensor_copy", x, Activation.COPY, out_format)

    def _function(
        self, instruction: str, x: Any, function: Activation, out_format: Format | str
    ) -> Any:
        fmt = self._format(out_format)
        array, give = open_floats(x)
        out, counts = apply_flat(array, function, 1.0, -0.0, fmt)
        _record(instruction, (array,), out, fmt, counts)
        return give(out)

    def layernorm(
        self, x: Any, gamma: Any, beta: Any, eps: float, *, out_format: Format | str = FP32
    ) -> Any:
        """(x - mean) * rsqrt(variance + eps) * gamma + beta over the last axis.

        fp32 inside, each operation rounded, then one cast to `out_format`: the documented
        composition bn_stats, bn_aggr, rsqrt, tensor_scalar, tensor_tensor. gamma, beta: (columns,).

        Raises ValueError for shapes that do not match.
        """
        fmt = self._format(out_format)
        array, give = open_floats(x)
        source = contiguous(array)
        columns = source.shape[-1] if source.ndim else 0
        factor, shift = contiguous(open_floats(gamma)[0]), contiguous(open_floats(beta)[0])
        if factor.shape != (columns,) or shift.shape != (columns,):
            given = f"gamma has shape {factor.shape}, beta {shift.shape}"
            raise ValueError(f"{given}; x {source.shape} needs ({columns},)")
        out = uninitialized(source.shape)
        more = (bits32(eps), address(factor), address(shift))
        counts = by_rows(layernorm, source, out, fmt, more)
        _record("layernorm", (source, factor, shift), out, fmt, counts)
        return give(out)

    def softmax(
        self, x: Any, *, out_format: Format | str = FP32, scale: float = 1.0, mask: Any = None,
        scores_format: Format | str = FP32,
    ) -> Any:  # fmt: skip
        """exp(s - max s) / sum over the last axis, s = round(x * scale, scores_format) + mask.

        fp32 inside, each operation rounded, then one cast to `out_format`: the documented
        composition max, exp with its running sum, reciprocal, multiply. mask: additive floats, or
        booleans of which False takes no part; broadcast to x. A row in which every score is -inf
        gives zeros.

        Raises TypeError for a mask of another type, ValueError for one that does not broadcast and
        for an x without axes.
        """
        fmt, scores = self._format(out_format), self._format(scores_format)
        array, give = open_floats(x)
        if array.ndim == 0:
            raise ValueError("x is a number; needed: at least one axis")
        counts = np.zeros(4, np.int64)
        source = contiguous(array)
        own = source is not array
        if scale != 1.0 or scores != FP32 or mask is not None:
            source, counts = combine(source, filled(1, scale).reshape(()), AluOp.MULTIPLY, scores)
            own = True
        if mask is not None and source.size:
            add_mask(source, mask)
        # fresh memory costs as much as a third of the work
        out = source if own else uninitialized(source.shape)
        counts = counts + by_rows(softmax, source, out, fmt)
        _record("softmax", (source,), out, fmt, counts)
        return give(out)


def _record(
    instruction: str, operands: tuple[Floats, ...], out: Floats, fmt: FloatFormat, counts: Counts
) -> None:
    """Write an instruction with fp32 operands into the ledger."""
    shapes = *(x.shape for x in operands), out.shape
    formats = *("fp32" for _ in operands), fmt.name
    size = 4 * sum(x.size for x in operands) + size_bytes(fmt, out.size)
    record("vector", instruction, shapes, formats, counts, size_bytes=size)
