"""Transposes as products with an identity matrix."""

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from halfulp.dtypes import FP32, Format
from halfulp.engines.instructions import ROWS, issues
from halfulp.engines.memory import uninitialized
from halfulp.engines.operands import as_float_format, open_floats
from halfulp.engines.products import cast_of
from halfulp.engines.tensor_operands import way_out
from halfulp.engines.tensor_records import record_work

if TYPE_CHECKING:
    from halfulp.engines.tensor import TensorEngine


def transpose(engine: "TensorEngine", x: Any, fmt: Format | str) -> Any:
    """`TensorEngine.transpose`: 128 rows at a time, each of them stationary, the identity moves."""
    values, give = open_floats(x)
    if values.ndim < 2:
        raise ValueError(f"x has shape {values.shape}; needed: (..., P, F)")
    found = as_float_format(fmt, "fmt")
    path = engine.path(found, found)
    *outer, depth, width = values.shape
    out = uninitialized((*outer, width, depth))
    counts, issued, macs = np.zeros(4, np.int64), [], 0
    items = prod(outer)
    for start in range(0, depth, ROWS):
        size = min(ROWS, depth - start)
        block = values[..., start : start + size, :].swapaxes(-1, -2)
        identity = engine.pack(np.eye(size, dtype=np.float32), found)
        exit_ = way_out(engine.core, path, size, None, None, FP32)
        casts = cast_of(found, 1.0, path.passes), cast_of(found, 1.0, path.passes)
        part = np.empty((*outer, width, size), np.float32)
        counts += engine.run_product(block, identity, False, casts, exit_, path, part)
        out[..., start : start + size] = part
        issued += [one.times(items) for one in issues(width, size, size, path.cost)]
        macs += part.size * size
    issued_all = tuple(one for one in issued if one.number)
    shapes = values.shape, out.shape
    record_work("nc_transpose", shapes, (found, found), counts, issued_all, path, macs=macs)
    return give(out)
