"""Instructions of the Vector Engine on whole rows: statistics, the largest, normalizations."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from halfulp.dtypes import FP32, Format
from halfulp.dtypes.addresses import address
from halfulp.dtypes.parameters import MAGNITUDE32, bits32
from halfulp.engines.activations import Activation
from halfulp.engines.arrays import add_mask, apply_flat, by_rows, combine, reduce_axis, sum_rows
from halfulp.engines.elementwise import AluOp
from halfulp.engines.operands import Floats, contiguous, filled, open_floats
from halfulp.engines.outlines import is_outline, outline, result_of
from halfulp.engines.piecewise import PiecewiseCubic
from halfulp.engines.reduction import Reduction
from halfulp.engines.row_lanes import CHUNK
from halfulp.engines.rows import layernorm, rmsnorm, softmax, statistics
from halfulp.engines.vector_elementwise import ElementwiseInstructions, write_record

#: Elements of a row that max8 takes (documented: nki.isa max8).
_LEAST, _MOST = 8, 16384


@dataclass(frozen=True)
class RowInstructions(ElementwiseInstructions):
    """See `halfulp.engines.vector.VectorEngine`."""

    def bn_stats(self, x: Any, *, out_format: Format | str = FP32) -> Any:
        """(count, mean, variance * count) of the even and of the odd elements of each row.

        x (..., F), F from 1 to 512; returns (..., 6). Count, mean and squares are two passes in
        fp32, in index order (assumed); of no elements the mean is 0.

        Raises ValueError for another F.
        """
        fmt = self.result_format(out_format)
        array, give = open_floats(x)
        if array.ndim == 0 or not 1 <= array.shape[-1] <= CHUNK:
            raise ValueError(f"x has shape {array.shape}; bn_stats takes rows of 1 to {CHUNK}")
        source = contiguous(array)
        out = result_of((*source.shape[:-1], 6), source)
        counts = by_rows(statistics, source, out, fmt, (0,)).total()
        write_record("bn_stats", (source,), out, fmt, counts)
        return give(out)

    def bn_aggr(self, x: Any, *, out_format: Format | str = FP32) -> Any:
        """Mean and variance of groups that bn_stats described, merged in order.

        x (..., 3 n): n times (count, mean, variance * count); returns (..., 2). A group of none
        changes nothing; groups of nothing at all give NaN for the variance.

        Raises ValueError for a last axis of another length.
        """
        fmt = self.result_format(out_format)
        array, give = open_floats(x)
        if array.ndim == 0 or array.shape[-1] % 3 or not array.shape[-1]:
            raise ValueError(f"x has shape {array.shape}; needed: a last axis of 3, 6, 9, ...")
        source = contiguous(array)
        out = result_of((*source.shape[:-1], 2), source)
        counts = by_rows(statistics, source, out, fmt, (source.shape[-1] // 3,)).total()
        write_record("bn_aggr", (source,), out, fmt, counts)
        return give(out)

    def max8(self, x: Any, *, out_format: Format | str = FP32) -> Any:
        """The eight largest numbers of each row, largest first; of equal zeros +0 first (assumed).

        x (..., F), F from 8 to 16384 (documented); returns (..., 8). NaN comes before all numbers
        (assumed: as it wins in max).

        Raises ValueError for another F.
        """
        fmt = self.result_format(out_format)
        array, give = open_floats(x)
        if array.ndim == 0 or not _LEAST <= array.shape[-1] <= _MOST:
            given = f"x has shape {array.shape}"
            raise ValueError(f"{given}; max8 takes rows of {_LEAST} to {_MOST} (nki.isa max8)")
        out, counts = apply_flat(_largest(contiguous(array), 8), Activation.COPY, 1.0, -0.0, fmt)
        write_record("max8", (array,), out, fmt, counts)
        return give(out)

    def layernorm(
        self, x: Any, gamma: Any, beta: Any, eps: float, *, out_format: Format | str = FP32
    ) -> Any:
        """(x - mean) * rsqrt(variance + eps) * gamma + beta over the last axis.

        fp32 inside, each operation rounded, then one cast to `out_format`: the documented
        composition bn_stats, bn_aggr, rsqrt, tensor_scalar, tensor_tensor. gamma, beta: (columns,).

        Raises ValueError for shapes that do not match.
        """
        fmt = self.result_format(out_format)
        array, give = open_floats(x)
        source = contiguous(array)
        columns = source.shape[-1] if source.ndim else 0
        factor, shift = contiguous(open_floats(gamma)[0]), contiguous(open_floats(beta)[0])
        if factor.shape != (columns,) or shift.shape != (columns,):
            given = f"gamma has shape {factor.shape}, beta {shift.shape}"
            raise ValueError(f"{given}; x {source.shape} needs ({columns},)")
        out = result_of(source.shape, source, factor, shift)
        more = (bits32(eps), address(factor), address(shift))
        counts = by_rows(layernorm, source, out, fmt, more).total()
        write_record("layernorm", (source, factor, shift), out, fmt, counts)
        return give(out)

    def rmsnorm(self, x: Any, gamma: Any, eps: float, *, out_format: Format | str = FP32) -> Any:
        """x * rsqrt(mean(x^2) + eps) * gamma over the last axis.

        fp32 inside, each operation rounded, then one cast to `out_format`: the documented
        composition (the public NKI tutorial) square, sum, divide, rsqrt, two products; the sum runs
        in the order of `NeuronCore.reduction`. gamma: (columns,).

        Raises ValueError for shapes that do not match.
        """
        fmt = self.result_format(out_format)
        array, give = open_floats(x)
        source = contiguous(array)
        columns = source.shape[-1] if source.ndim else 0
        factor = contiguous(open_floats(gamma)[0])
        if factor.shape != (columns,):
            given = f"gamma has shape {factor.shape}"
            raise ValueError(f"{given}; x {source.shape} needs ({columns},)")
        out = result_of(source.shape, source, factor)
        more = (self.core.reduction.chains(columns), bits32(eps), address(factor))
        counts = by_rows(rmsnorm, source, out, fmt, more, blocks=3).total()
        write_record("rmsnorm", (source, factor), out, fmt, counts)
        return give(out)

    def softmax(
        self, x: Any, *, out_format: Format | str = FP32, scale: float = 1.0, mask: Any = None,
        scores_format: Format | str = FP32,
    ) -> Any:  # fmt: skip
        """exp(s - max s) / sum over the last axis, s = round(x * scale, scores_format) + mask.

        fp32 inside, each operation rounded, then one cast to `out_format`: the documented
        composition max, exp with its running sum, reciprocal, multiply; the sum runs in the order
        of `NeuronCore.reduction`. mask: additive floats, or booleans of which False takes no part;
        broadcast to x. A row in which every score is -inf gives zeros, and the ledger counts it. A
        core with a table for exp takes that.

        Raises TypeError for a mask of another type, ValueError for one that does not broadcast and
        for an x without axes.
        """
        fmt, scores = self.result_format(out_format), self.result_format(scores_format)
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
        # a mask enters as fp32; its shape is all that the record says of it
        operands = (source,) if mask is None else (source, outline(tuple(np.shape(mask))))
        # fresh memory costs as much as a third of the work
        out = source if own else result_of(source.shape, source)
        table = self.core.table_of(Activation.EXP)
        if table is not None and source.size and not is_outline(source):
            exact, masked = _softmax_by(table, source, self.core.reduction)
            out, more = apply_flat(exact, Activation.COPY, 1.0, -0.0, fmt)
            write_record("softmax", operands, out, fmt, counts + more, masked_rows=masked)
            return give(out)
        chains = self.core.reduction.chains(source.shape[-1])
        found = by_rows(softmax, source, out, fmt, (chains,), blocks=2)
        counts, masked = counts + found.total(), found.more()
        write_record("softmax", operands, out, fmt, counts, masked_rows=masked)
        return give(out)


def _softmax_by(table: PiecewiseCubic, x: Floats, order: Reduction) -> tuple[Floats, int]:
    """Softmax with a table in the place of exp, in fp32, and how many rows are of -inf only."""
    largest, _ = reduce_axis(x, x.ndim - 1, AluOp.MAX, FP32)
    dead = np.isneginf(largest)[..., None]
    shifted, _ = combine(x, largest[..., None], AluOp.SUBTRACT, FP32)
    power = table(np.where(dead, np.float32(0.0), shifted))
    total, _ = sum_rows(power, FP32, order)
    inverse, _ = apply_flat(total, Activation.RECIPROCAL, 1.0, -0.0, FP32)
    share, _ = combine(power, inverse[..., None], AluOp.MULTIPLY, FP32)
    return np.where(dead, np.float32(0.0), share), int(np.count_nonzero(dead))


def _largest(x: Floats, count: int) -> Floats:
    """The largest numbers of the last axis, NaN first, sorted by integers of the same order."""
    bits = x.view(np.int32)
    size = bits & np.int32(MAGNITUDE32)
    # a NaN of either sign stands above infinity
    keys = np.where((bits < 0) & (size <= np.int32(0x7F800000)), -1 - size, size)
    order = np.argsort(keys, axis=-1, kind="stable")[..., : -count - 1 : -1]
    return np.take_along_axis(x, order, axis=-1)
