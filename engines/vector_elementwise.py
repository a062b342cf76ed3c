"""Instructions of the Vector Engine on elements: operators, casts, copies, bits."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from halfulp.dtypes import FP32, FloatFormat, Format, IntFormat, encode, parse_format
from halfulp.dtypes.containers import open_source
from halfulp.dtypes.rounding import choice
from halfulp.engines.activations import Activation
from halfulp.engines.arrays import (
    REDUCING,
    apply_flat,
    combine,
    reduce_axis,
    scan_columns,
    sum_rows,
)
from halfulp.engines.elementwise import ARITHMETIC, AluOp
from halfulp.engines.integer_lanes import IntegerOp
from halfulp.engines.integer_lanes import combine as integer_combine
from halfulp.engines.ledger import is_recording, record
from halfulp.engines.operands import (
    Counts,
    Floats,
    as_float_format,
    broadcast_shape,
    contiguous,
    filled,
    open_floats,
    size_bytes,
)

if TYPE_CHECKING:
    from halfulp.engines.core import NeuronCore


#: Operators that treat integers as bits.
BITWISE = frozenset(op for op in IntegerOp if "bitwise" in op or "shift" in op)


def write_record(
    instruction: str, operands: tuple[Floats, ...], out: Floats, fmt: FloatFormat, counts: Counts,
    *, masked_rows: int = 0,
) -> None:  # fmt: skip
    """Write an instruction with fp32 operands into the ledger, if there is one."""
    if not is_recording():
        return
    shapes = *(x.shape for x in operands), out.shape
    formats = *("fp32" for _ in operands), fmt.name
    size = 4 * sum(x.size for x in operands) + size_bytes(fmt, out.size)
    record("vector", instruction, shapes, formats, counts, size_bytes=size, masked_rows=masked_rows)


def axis_of(x: Floats, axis: int) -> int:
    """The number of an axis, from the front. Raises ValueError for one that x has not."""
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"axis={axis}; x has {x.ndim} axes")
    return axis % x.ndim


@dataclass(frozen=True)
class ElementwiseInstructions:
    """See `halfulp.engines.vector.VectorEngine`."""

    core: "NeuronCore"

    def result_format(self, fmt: Format | str) -> FloatFormat:
        """A format that a result may have. Raises UnsupportedFormat for another."""
        found = as_float_format(fmt, "out_format")
        self.core.check_result(found)
        return found

    def tensor_tensor(
        self, a: Any, b: Any, op: AluOp | IntegerOp | str, *, out_format: Format | str = FP32
    ) -> Any:
        """a op b, element by element.

        Integers become fp32 first, and are lossy above 2^24 (documented: exact ones are GPSIMD's).
        Bitwise operators and shifts ("bitwise_and", "left_shift", ...) treat them as bits
        (documented); they give integers, and take operands of one integer type.

        Raises ValueError for an unknown operator and for shapes that do not broadcast, TypeError
        for bits of floats.
        """
        if op in BITWISE:
            return self._bits(a, b, IntegerOp(op))
        fmt, operator = self.result_format(out_format), choice(AluOp, op, "op")
        (left, give), (right, _) = open_floats(a), open_floats(b)
        out, counts = combine(left, right, operator, fmt)
        write_record("tensor_tensor", (left, right), out, fmt, counts)
        return give(out)

    def _bits(self, a: Any, b: Any, op: IntegerOp) -> Any:
        sources = open_source(a), open_source(b)
        left, right = (source.array for source in sources)
        kinds = left.dtype, right.dtype
        if any(kind.kind not in "iu" or kind.itemsize > 4 for kind in kinds) or len({*kinds}) > 1:
            raise TypeError(
                f"{op.value} of {kinds[0]} and {kinds[1]}; needed: two arrays of one integer type"
                " of 8, 16 or 32 bits"
            )
        out = integer_combine(left, right, op)
        shapes, name = (left.shape, right.shape, out.shape), str(left.dtype)
        size = sum(x.nbytes for x in (left, right, out))
        none = np.zeros(4, np.int64)
        record("vector", "tensor_tensor", shapes, (name,) * 3, none, size_bytes=size)
        return sources[0].give_back(out)

    def tensor_scalar(
        self, x: Any, operand0: Any, op0: AluOp | str, *, reverse0: bool = False,
        operand1: Any = None, op1: AluOp | str | None = None, reverse1: bool = False,
        out_format: Format | str = FP32,
    ) -> Any:  # fmt: skip
        """(x op0 operand0) op1 operand1: one operator or two, fp32 between them.

        operand0, operand1   numbers, rounded to fp32 first, or arrays that broadcast to x: a column
                             has one number a row
        reverse0, reverse1   the operand stands on the left

        Raises ValueError for an unknown operator, for an operand that does not broadcast to x, and
        for one of op1 and operand1 without the other.
        """
        fmt, first = self.result_format(out_format), choice(AluOp, op0, "op0")
        if (op1 is None) != (operand1 is None):
            raise ValueError(f"op1={op1!r}, operand1={operand1!r}; give both or neither")
        array, give = open_floats(x)
        inner = fmt if op1 is None else FP32
        out, counts = _with_operand(contiguous(array), operand0, first, reverse0, inner)
        if op1 is not None:
            second = choice(AluOp, op1, "op1")
            out, counts = _with_operand(out, operand1, second, reverse1, fmt)
        write_record("tensor_scalar", (array,), out, fmt, counts)
        return give(out)

    def tensor_reduce(
        self, x: Any, op: AluOp | str, *, axis: int = -1, keepdims: bool = False,
        out_format: Format | str = FP32,
    ) -> Any:  # fmt: skip
        """Sum ("add", from +0, in the order of `NeuronCore.reduction`), "max", "min" or "multiply"
        (from 1, in index order) along one axis.

        Raises ValueError for another operator, for an axis that x has not, and for the maximum or
        minimum of nothing.
        """
        fmt, operator = self.result_format(out_format), choice(AluOp, op, "op")
        if operator not in REDUCING:
            allowed = ", ".join(repr(known.value) for known in REDUCING)
            raise ValueError(f"op={operator.value!r}; tensor_reduce takes {allowed}")
        array, give = open_floats(x)
        axis = axis_of(array, axis)
        if operator in (AluOp.MAX, AluOp.MIN) and array.shape[axis] == 0:
            name = "maximum" if operator is AluOp.MAX else "minimum"
            raise ValueError(f"the {name} of an axis of length 0 does not exist")
        order = self.core.reduction
        last = axis == array.ndim - 1
        if operator is AluOp.ADD and (last or order.lanes != 1):
            rows = contiguous(array if last else np.moveaxis(array, axis, -1))
            out, counts = sum_rows(rows, fmt, order)
        else:
            out, counts = reduce_axis(array, axis, operator, fmt)
        out = np.expand_dims(out, axis) if keepdims else out
        write_record("tensor_reduce", (array,), out, fmt, counts)
        return give(out)

    def tensor_tensor_scan(
        self, a: Any, b: Any, initial: Any, op0: AluOp | str, op1: AluOp | str, *,
        out_format: Format | str = FP32,
    ) -> Any:  # fmt: skip
        """y[i] = (a[i] op0 y[i - 1]) op1 b[i] along the last axis, y[-1] = initial.

        Each step is rounded to fp32 and the next one starts from that, not from what the cast to
        `out_format` makes of it (assumed). initial: a number, or one a row.

        Raises ValueError for relations and unknown operators, and for shapes that do not match.
        """
        fmt = self.result_format(out_format)
        ops = choice(AluOp, op0, "op0"), choice(AluOp, op1, "op1")
        if not set(ops) <= set(ARITHMETIC):
            allowed = ", ".join(repr(op.value) for op in ARITHMETIC)
            raise ValueError(f"a scan of {ops[0].value!r}, {ops[1].value!r}; allowed: {allowed}")
        (left, give), (right, _) = open_floats(a), open_floats(b)
        if left.shape != right.shape or left.ndim == 0:
            shapes = f"a has shape {left.shape}, b {right.shape}"
            raise ValueError(f"{shapes}; needed: the same, of one axis or more")
        first = open_floats(initial)[0] if np.ndim(initial) else filled(1, initial).reshape(())
        lead = left.shape[:-1]
        start = np.ascontiguousarray(np.broadcast_to(first, lead))
        turned = [np.ascontiguousarray(np.moveaxis(y, -1, 0)) for y in (left, right)]
        steps = left.shape[-1]
        flat = [y.reshape(steps, start.size) for y in turned]
        columns, counts = scan_columns(flat[0], flat[1], start.reshape(-1), ops, fmt)
        out = np.ascontiguousarray(np.moveaxis(columns.reshape(steps, *lead), 0, -1))
        write_record("tensor_tensor_scan", (left, right), out, fmt, counts)
        return give(out)

    def select(
        self, predicate: Any, on_true: Any, on_false: Any, *, out_format: Format | str = FP32
    ) -> Any:
        """on_true where the predicate holds (is not zero), else on_false; all broadcast."""
        fmt = self.result_format(out_format)
        (yes, give), (no, _) = open_floats(on_true), open_floats(on_false)
        asked, _ = open_floats(predicate)
        shape = broadcast_shape(predicate=asked.shape, on_true=yes.shape, on_false=no.shape)
        chosen = np.broadcast_to(np.where(asked != 0, yes, no), shape)
        out, counts = apply_flat(chosen, Activation.COPY, 1.0, -0.0, fmt)
        write_record("select", (asked, yes, no), out, fmt, counts)
        return give(out)

    def reciprocal(self, x: Any, *, out_format: Format | str = FP32) -> Any:
        """1 / x, the nearest fp32."""
        return self._function("reciprocal", x, Activation.RECIPROCAL, out_format)

    def tensor_copy(self, x: Any, *, out_format: Format | str) -> Any:
        """x rounded to `out_format`; to an integer format it gives integers, saturated.

        An integer is the nearest, ties to even; NaN gives 0 (assumed).
        """
        found = parse_format(out_format) if isinstance(out_format, str) else out_format
        if isinstance(found, IntFormat):
            return self._integers(x, found)
        return self._function("tensor_copy", x, Activation.COPY, out_format)

    def _integers(self, x: Any, fmt: IntFormat) -> Any:
        array, give = open_floats(x)
        out = encode(array, fmt, nan="zero")
        formats = "fp32", fmt.name
        size = 4 * array.size + size_bytes(fmt, out.size)
        none = np.zeros(4, np.int64)
        shapes = array.shape, out.shape
        record("vector", "tensor_copy", shapes, formats, none, size_bytes=size)
        return give(out)

    def _function(
        self, instruction: str, x: Any, function: Activation, out_format: Format | str
    ) -> Any:
        fmt = self.result_format(out_format)
        array, give = open_floats(x)
        out, counts = apply_flat(array, function, 1.0, -0.0, fmt)
        write_record(instruction, (array,), out, fmt, counts)
        return give(out)


def _with_operand(
    x: Floats, operand: Any, op: AluOp, reverse: bool, fmt: FloatFormat
) -> tuple[Floats, Counts]:
    """x op operand, or operand op x."""
    if np.ndim(operand) == 0 and not hasattr(operand, "dtype"):
        other = filled(1, operand).reshape(())
    else:
        other = open_floats(operand)[0]
    if broadcast_shape(x=x.shape, operand=other.shape) != x.shape:
        raise ValueError(f"an operand of shape {other.shape}; x has {x.shape}: it must broadcast")
    return combine(other, x, op, fmt) if reverse else combine(x, other, op, fmt)
