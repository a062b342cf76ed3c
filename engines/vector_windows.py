"""Pooling and batch normalization: compositions of the Vector Engine's instructions."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from halfulp.dtypes import FP32, Format
from halfulp.dtypes.rounding import choice
from halfulp.engines.activations import Activation
from halfulp.engines.arrays import apply_flat, by_rows, combine, reduce_axis, sum_rows
from halfulp.engines.elementwise import AluOp
from halfulp.engines.memory import uninitialized
from halfulp.engines.operands import Counts, Floats, contiguous, filled, open_floats
from halfulp.engines.row_lanes import CHUNK
from halfulp.engines.rows import statistics
from halfulp.engines.vector_elementwise import ElementwiseInstructions, write_record


@dataclass(frozen=True)
class WindowInstructions(ElementwiseInstructions):
    """See `halfulp.engines.vector.VectorEngine`."""

    def pool(
        self, x: Any, op: AluOp | str, window: tuple[int, int], *,
        stride: tuple[int, int] | None = None, out_format: Format | str = FP32,
    ) -> Any:  # fmt: skip
        """The maximum ("max") or the mean ("add") of windows over the last two axes.

        x (..., H, W); window and stride in rows and columns, the stride is the window's size when
        nothing is said; windows that do not fit are left out. A mean is the sum over the window,
        row after row, in the order of `NeuronCore.reduction`, divided by its size: one fp32
        rounding each (assumed).

        Raises ValueError for another operator, and for a window that does not fit once.
        """
        fmt, operator = self.result_format(out_format), choice(AluOp, op, "op")
        if operator not in (AluOp.MAX, AluOp.ADD):
            raise ValueError(f"op={operator.value!r}; pool takes 'max' and 'add'")
        array, give = open_floats(x)
        windows = _windows(array, window, window if stride is None else stride)
        if operator is AluOp.MAX:
            out, counts = reduce_axis(windows, windows.ndim - 1, AluOp.MAX, fmt)
        else:
            total, _ = sum_rows(windows, FP32, self.core.reduction)
            size = filled(1, float(windows.shape[-1])).reshape(())
            out, counts = combine(total, size, AluOp.DIVIDE, fmt)
        write_record("pool", (array,), out, fmt, counts)
        return give(out)

    def batchnorm(
        self, x: Any, gamma: Any, beta: Any, eps: float, *, mean: Any = None, variance: Any = None,
        out_format: Format | str = FP32,
    ) -> Any:  # fmt: skip
        """(x - mean) * rsqrt(variance + eps) * gamma + beta, a channel at a time.

        x (N, C, ...); gamma, beta, mean, variance (C,). Without mean and variance they are those of
        the batch: bn_stats of chunks of 512, sample after sample, merged by bn_aggr. fp32 inside,
        each operation rounded, then one cast to `out_format`.

        Raises ValueError for shapes that do not match, and for one of mean and variance alone.
        """
        fmt = self.result_format(out_format)
        if (mean is None) != (variance is None):
            raise ValueError("one of mean and variance; give both, or neither")
        array, give = open_floats(x)
        channels = array.shape[1] if array.ndim >= 2 else 0
        rows = contiguous(array.swapaxes(0, 1)).reshape(channels, -1)
        if mean is None:
            found = _batch_statistics(rows)
            center, spread = found[:, :1], found[:, 1:]
        else:
            center, spread = (_column(y, channels) for y in (mean, variance))
        factor, shift = (_column(y, channels) for y in (gamma, beta))
        out, counts = _normalized(rows, center, spread, eps, factor, shift, fmt)
        sizes = (channels, array.shape[0], *array.shape[2:]) if array.ndim >= 2 else array.shape
        result = contiguous(out.reshape(sizes).swapaxes(0, 1))
        write_record("batchnorm", (array, factor, shift), result, fmt, counts)
        return give(result)


def _windows(x: Floats, window: tuple[int, int], stride: tuple[int, int]) -> Floats:
    """(..., rows, columns, elements of a window), contiguous."""
    if x.ndim < 2:
        raise ValueError(f"x has shape {x.shape}; needed: two axes or more")
    if min(*window, *stride) < 1 or window[0] > x.shape[-2] or window[1] > x.shape[-1]:
        raise ValueError(f"windows of {window} every {stride} in {x.shape}; needed: one that fits")
    views = np.lib.stride_tricks.sliding_window_view(x, window, axis=(-2, -1))
    chosen = views[..., :: stride[0], :: stride[1], :, :]
    return contiguous(chosen).reshape(*chosen.shape[:-2], window[0] * window[1])


def _column(x: Any, channels: int) -> Floats:
    array = contiguous(open_floats(x)[0])
    if array.shape != (channels,):
        raise ValueError(f"shape {array.shape} for a number a channel; needed: ({channels},)")
    return array.reshape(channels, 1)


def _batch_statistics(rows: Floats) -> Floats:
    """(mean, variance) of each row, by chunks."""
    parts = []
    for start in range(0, rows.shape[1], CHUNK):
        part = contiguous(rows[:, start : start + CHUNK])
        out = uninitialized((rows.shape[0], 6))
        by_rows(statistics, part, out, FP32, (0,))
        parts.append(out)
    groups = contiguous(np.concatenate(parts, axis=1))
    found = uninitialized((rows.shape[0], 2))
    by_rows(statistics, groups, found, FP32, (groups.shape[1] // 3,))
    return found


def _normalized(
    x: Floats, mean: Floats, variance: Floats, eps: float, gamma: Floats, beta: Floats, fmt: Any
) -> tuple[Floats, Counts]:
    factor, _ = apply_flat(variance, Activation.RSQRT, 1.0, eps if eps else -0.0, FP32)
    y, _ = combine(x, mean, AluOp.SUBTRACT, FP32)
    y, _ = combine(y, factor, AluOp.MULTIPLY, FP32)
    y, _ = combine(y, gamma, AluOp.MULTIPLY, FP32)
    return combine(y, beta, AluOp.ADD, fmt)
