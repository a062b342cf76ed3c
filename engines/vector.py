"""The Vector Engine: elementwise operations, reductions and normalisations, in fp32 whatever the formats around."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from halfulp.dtypes import FP32, FloatFormat, Format
from halfulp.dtypes.jit import Kernel
from halfulp.dtypes.parameters import bits32
from halfulp.dtypes.rounding import choice
from halfulp.dtypes.threads import parallel
from halfulp.engines.elementwise import (
    ACTIVATION_CODES,
    ALU_CODES,
    SELECT,
    AluOp,
    activation,
    reduce_columns,
    tensor_tensor,
)
from halfulp.engines.functions import Activation
from halfulp.engines.ledger import record
from halfulp.engines.operands import (
    Counters,
    Counts,
    Floats,
    address,
    as_float_format,
    broadcast_shape,
    contiguous,
    filled,
    float_parameters,
    open_floats,
    pieces_of,
    size_bytes,
)
from halfulp.engines.rows import layernorm, softmax, sums

if TYPE_CHECKING:
    from halfulp.engines.core import NeuronCore

_CHUNK = 8192  # elements of a row into which a flat array is cut


def apply_flat(
    x: Floats, function: Activation, scale: float, bias: float, fmt: FloatFormat
) -> tuple[Floats, Counts]:
    """round(f(x * scale + bias)) of every element."""
    x = contiguous(x)
    out = np.empty(x.shape, np.float32)
    shift = filled(min(max(x.size, 1), _CHUNK), bias)
    code, given, factor = ACTIVATION_CODES[function], float_parameters(fmt)[1], bits32(scale)
    size = 4 * _CHUNK

    rows, rest = divmod(x.size, _CHUNK)
    pieces = pieces_of(rows, _CHUNK)
    counts = Counters(len(pieces) + 1)

    def part(index: int, first: int, last: int, columns: int) -> tuple[int, ...]:
        base = first * size
        return (code, address(x) + base, size, address(shift), 0, address(out) + base, size, last - first, columns, given,
                factor, counts.place(index))  # fmt: skip

    parallel(activation, [part(index, *piece, _CHUNK) for index, piece in enumerate(pieces)])
    if rest:
        parallel(activation, [part(len(pieces), rows, rows + 1, rest)])
    return out, counts.total()


def _as_matrix(x: Floats, shape: tuple[int, ...]) -> tuple[Floats, int]:
    """An operand broadcast to `shape`, flattened to rows of the last axis, and its row stride: 0 repeats a row."""
    columns = shape[-1]
    if x.shape == shape:
        x = contiguous(x)
        return x, columns * 4
    if x.size == columns and x.shape[-1:] == (columns,):
        return contiguous(x), 0
    if x.size == 1:
        return np.full(columns, x.reshape(()), np.float32), 0
    return np.ascontiguousarray(np.broadcast_to(x, shape)), columns * 4


def combine(a: Floats, b: Floats, op: AluOp, fmt: FloatFormat) -> tuple[Floats, Counts]:
    """round(a op b) of every element, broadcast as numpy does."""
    shape = a.shape if a.shape == b.shape else broadcast_shape(a=a.shape, b=b.shape)
    if (
        a.shape == b.shape
        and a.ndim != 2
        and a.flags.c_contiguous
        and b.flags.c_contiguous
        and a.size > _CHUNK
    ):
        # long rows, whatever the last axis is
        columns = _CHUNK if a.size % _CHUNK == 0 else a.shape[-1]
        result, counts = combine(a.reshape(-1, columns), b.reshape(-1, columns), op, fmt)
        return result.reshape(shape), counts
    matrix_shape = shape or (1,)
    out = np.empty(matrix_shape, np.float32)
    (left, a_stride), (right, b_stride) = _as_matrix(a, matrix_shape), _as_matrix(b, matrix_shape)
    columns = matrix_shape[-1]
    rows = out.size // columns if columns else 0
    code, given = ALU_CODES[op], float_parameters(fmt)[1]

    pieces = pieces_of(rows, columns)
    counted = Counters(len(pieces))
    parallel(tensor_tensor, [
        (code, address(left) + first * a_stride, a_stride, address(right) + first * b_stride, b_stride,
         address(out) + first * columns * 4, columns * 4, last - first, columns, given, counted.place(index))
        for index, (first, last) in enumerate(pieces)
    ])  # fmt: skip
    return out.reshape(shape), counted.total()


def _add_mask(scores: Floats, mask: Floats, code: int) -> None:
    """scores += mask (or a selection), in place; the mask repeats along axes of stride 0."""
    if broadcast_shape(x=scores.shape, mask=mask.shape) != scores.shape:
        raise ValueError(
            f"mask has shape {mask.shape}; needed: one that broadcasts to x, {scores.shape}"
        )
    view = np.broadcast_to(mask, scores.shape)
    if view.shape[-1] > 1 and view.strides[-1] != 4:
        view = np.broadcast_to(
            np.ascontiguousarray(np.broadcast_to(mask, (*mask.shape[:-1], scores.shape[-1]))),
            scores.shape,
        )
    lead = scores.shape[:-1]
    # axes from `cut` on share one row of the mask, or the last axis steps through its rows
    cut = len(lead)
    while cut and view.strides[cut - 1] == 0:
        cut -= 1
    step = 0
    if cut == len(lead) and cut:
        cut, step = cut - 1, view.strides[-2]
    rows, columns = int(np.prod(lead[cut:])), scores.shape[-1]
    given = float_parameters(FP32)[1]
    blocks = scores.reshape(-1, rows, columns)
    starts = [address(view[index]) for index in np.ndindex(*lead[:cut])]

    spare = np.zeros(4, np.int64)
    for block, start in zip(blocks, starts, strict=True):
        parallel(tensor_tensor, [
            (code, address(block) + first * columns * 4, columns * 4, start + first * step, step,
             address(block) + first * columns * 4, columns * 4, last - first, columns, given, address(spare))
            for first, last in pieces_of(rows, columns)
        ])  # fmt: skip


def _by_rows(
    kernel: Kernel, x: Floats, out: Floats, columns: int, given: int, more: tuple[int, ...] = ()
) -> Counts:
    """A kernel of `halfulp.engines.rows` over the last axis, rows shared among the threads."""
    rows, stride = (x.size // columns if columns else 0), columns * 4
    pieces = pieces_of(rows, columns)
    counts = Counters(len(pieces))
    turned = np.empty((max(len(pieces), 1), columns * 16 + 512), np.float32)
    places = stride, address(out), *(() if kernel is sums else (stride,))
    parallel(kernel, [
        (address(x), *places, first, last, columns, *more, given, counts.place(index),
         address(turned[index]) + 1024, address(turned[index]))
        for index, (first, last) in enumerate(pieces)
    ])  # fmt: skip
    return counts.total()


@dataclass(frozen=True)
class VectorEngine:
    """Elementwise instructions and reductions.

    Results are float32 values of `out_format`, rounded once to nearest even from the fp32 result;
    NaN is canonical. Shapes broadcast as numpy's do. Source: nki.isa, trainium_inferentia2_arch.rst
    (fp32 inside, free casts: documented); the order of a sum and the arithmetic inside bn_stats and
    bn_aggr are assumed (NUMERICS section 4).
    """

    core: "NeuronCore"

    def _format(self, fmt: Format | str) -> FloatFormat:
        found = as_float_format(fmt, "out_format")
        self.core.check_result(found)
        return found

    def _multiply(self, a: Floats, b: Floats) -> Floats:
        return combine(a, b, AluOp.MULTIPLY, FP32)[0]

    def tensor_tensor(
        self, a: Any, b: Any, op: AluOp | str, *, out_format: Format | str = FP32
    ) -> Any:
        """a op b, element by element.

        Raises ValueError for an unknown operator and for shapes that do not broadcast.
        """
        fmt, operator = self._format(out_format), choice(AluOp, op, "op")
        (left, give), (right, _) = open_floats(a), open_floats(b)
        out, counts = combine(left, right, operator, fmt)
        record("vector", "tensor_tensor", (left.shape, right.shape, out.shape), ("fp32", "fp32", fmt.name), counts,
               size_bytes=4 * (left.size + right.size) + size_bytes(fmt, out.size))  # fmt: skip
        return give(out)

    def tensor_scalar(
        self, x: Any, scalar: float, op: AluOp | str, *, out_format: Format | str = FP32
    ) -> Any:
        """x op scalar, the scalar rounded to fp32 first."""
        fmt, operator = self._format(out_format), choice(AluOp, op, "op")
        array, give = open_floats(x)
        out, counts = combine(contiguous(array), filled(1, scalar).reshape(()), operator, fmt)
        record("vector", "tensor_scalar", (array.shape, out.shape), ("fp32", fmt.name), counts,
               size_bytes=4 * array.size + size_bytes(fmt, out.size))  # fmt: skip
        return give(out)

    def tensor_reduce(
        self,
        x: Any,
        op: AluOp | str,
        *,
        axis: int = -1,
        keepdims: bool = False,
        out_format: Format | str = FP32,
    ) -> Any:
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
            out, counts = _sum_rows(contiguous(array), fmt)
        else:
            out, counts = _reduce_axis(array, axis, operator, fmt)
        out = np.expand_dims(out, axis) if keepdims else out
        record("vector", "tensor_reduce", (array.shape, out.shape), ("fp32", fmt.name), counts,
               size_bytes=4 * array.size + size_bytes(fmt, out.size))  # fmt: skip
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
        record("vector", instruction, (array.shape, out.shape), ("fp32", fmt.name), counts,
               size_bytes=4 * array.size + size_bytes(fmt, out.size))  # fmt: skip
        return give(out)

    def layernorm(
        self, x: Any, gamma: Any, beta: Any, eps: float, *, out_format: Format | str = FP32
    ) -> Any:
        """(x - mean) * rsqrt(variance + eps) * gamma + beta over the last axis, fp32 inside, rounded once.

        The documented composition bn_stats, bn_aggr, rsqrt, tensor_scalar, tensor_tensor. gamma,
        beta: (columns,).

        Raises ValueError for shapes that do not match.
        """
        fmt = self._format(out_format)
        array, give = open_floats(x)
        source = contiguous(array)
        columns = source.shape[-1] if source.ndim else 0
        factor, shift = contiguous(open_floats(gamma)[0]), contiguous(open_floats(beta)[0])
        if factor.shape != (columns,) or shift.shape != (columns,):
            raise ValueError(
                f"gamma has shape {factor.shape}, beta {shift.shape}; x {source.shape} needs ({columns},)"
            )
        out = np.empty(source.shape, np.float32)
        more = (bits32(eps), address(factor), address(shift))
        counts = _by_rows(layernorm, source, out, columns, float_parameters(fmt)[1], more)
        record("vector", "layernorm", (source.shape, factor.shape, shift.shape, out.shape), ("fp32", "fp32", "fp32", fmt.name),
               counts, size_bytes=4 * (source.size + 2 * columns) + size_bytes(fmt, out.size))  # fmt: skip
        return give(out)

    def softmax(
        self, x: Any, *, out_format: Format | str = FP32, scale: float = 1.0, mask: Any = None,
        scores_format: Format | str = FP32,
    ) -> Any:  # fmt: skip
        """exp(s - max s) / sum over the last axis with s = round(x * scale, scores_format) + mask, fp32 inside, rounded once.

        The documented composition max, exp with its running sum, reciprocal, multiply. mask:
        additive floats, or booleans of which False takes no part; broadcast to x. A row in which
        every score is -inf gives zeros.
        """
        fmt, scores = self._format(out_format), self._format(scores_format)
        array, give = open_floats(x)
        if array.ndim == 0:
            raise ValueError("x is a number; needed: at least one axis")
        counts = np.zeros(4, np.int64)
        source = contiguous(array)
        if scale != 1.0 or scores != FP32 or mask is not None:
            source, counts = combine(source, filled(1, scale).reshape(()), AluOp.MULTIPLY, scores)
        if mask is not None and source.size:
            _add_mask(source, *_additive(mask))
        out = np.empty(source.shape, np.float32)
        counts = counts + _by_rows(softmax, source, out, source.shape[-1], float_parameters(fmt)[1])
        record("vector", "softmax", (source.shape, out.shape), ("fp32", fmt.name), counts,
               size_bytes=4 * source.size + size_bytes(fmt, out.size))  # fmt: skip
        return give(out)


def _additive(mask: Any) -> tuple[Floats, int]:
    """The mask as floats, and the operation that applies it."""
    kind = str(getattr(mask, "dtype", np.asarray(mask).dtype)).removeprefix("torch.")
    if kind == "bool":
        return np.where(np.asarray(mask), np.float32(0), np.float32(-np.inf)), SELECT
    if "float" not in kind:
        raise TypeError(
            f"mask is {kind}; give booleans (False takes no part) or floats to be added"
        )
    return open_floats(mask)[0], ALU_CODES[AluOp.ADD]


def _sum_rows(x: Floats, fmt: FloatFormat) -> tuple[Floats, Counts]:
    out = np.zeros(x.shape[:-1], np.float32)
    return out, _by_rows(sums, x, out, x.shape[-1], float_parameters(fmt)[1])


def _reduce_axis(x: Floats, axis: int, op: AluOp, fmt: FloatFormat) -> tuple[Floats, Counts]:
    """Whole rows, the axes behind `axis`, are combined one after the other."""
    source = contiguous(x)
    lead, length, behind = x.shape[:axis], x.shape[axis], x.shape[axis + 1 :]
    columns, items = int(np.prod(behind)), int(np.prod(lead))
    out = np.full(lead + behind, 0 if op is AluOp.ADD else -np.inf, np.float32)
    spare = np.zeros(4, np.int64)
    parallel(reduce_columns, [
        (ALU_CODES[op], address(source), columns * 4, address(out), first, last, length, columns, float_parameters(FP32)[1],
         address(spare))
        for first, last in pieces_of(items, length * columns)
    ])  # fmt: skip
    return apply_flat(out, Activation.COPY, 1.0, -0.0, fmt)
