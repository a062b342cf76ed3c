"""A matrix product that several cores share by its K axis: partial sums, added in ring order."""

from typing import Any

import numpy as np

from halfulp.dtypes import FP32, Format
from halfulp.dtypes.checks import integer
from halfulp.engines.arrays import combine
from halfulp.engines.collectives import all_reduce, chunks
from halfulp.engines.core import NeuronCore
from halfulp.engines.elementwise import AluOp
from halfulp.engines.operands import as_float_format, open_floats


def row_parallel_matmul(
    a: Any, b: Any, ranks: int, *, core: NeuronCore, a_format: Format | str,
    b_format: Format | str | None = None, accumulate_format: Format | str = FP32,
    out_format: Format | str = FP32, bias: Any = None,
) -> Any:  # fmt: skip
    """a @ b as `ranks` cores give it that share the K axis, as tensor parallelism does.

    Rank r multiplies its part of a's columns with its part of b's rows, parts side by side and the
    longer ones first (assumed), in the Tensor Engine's own order; the fp32 partial sums go through
    `all_reduce`; each rank then adds the bias, in fp32, and rounds to `out_format`: all have the
    same bits. One rank is `TensorEngine.matmul`.

    a           (..., M, K)
    b           (K, N)
    accumulate_format   fp32 or bf16: of what travels and is added
    bias        None, a number or (N,)
    returns     (..., M, N), a's kind of container

    Raises UnsupportedFormat for formats that the core does not take, ValueError for shapes that do
    not match and for fewer than one rank, TypeError for a number of ranks that is none.
    """
    integer(ranks, "ranks", 1, 1 << 16)
    result = as_float_format(out_format, "out_format")
    core.check_result(result)
    (left, give), (right, _) = open_floats(a), open_floats(b)
    if right.ndim != 2 or left.ndim < 2 or left.shape[-1] != right.shape[0]:
        given = f"a has shape {left.shape}, b {right.shape}"
        raise ValueError(f"{given}; needed: (..., M, K) and (K, N)")
    formats: dict[str, Any] = {"a_format": a_format, "b_format": b_format}
    if ranks == 1:
        out = core.tensor.matmul(left, right, **formats, out_format=result, bias=bias)
        return give(out)
    partial = [
        core.tensor.matmul(left[..., part], right[part], **formats, out_format=FP32)
        for part in chunks(right.shape[0], ranks)
    ]
    total = all_reduce(partial, accumulate_format=accumulate_format)
    # x + -0 is x, also for -0
    shift = np.float32(-0.0) if bias is None else open_floats(bias)[0]
    return give(combine(total, np.asarray(shift, np.float32), AluOp.ADD, result)[0])
