"""Products of the Tensor Engine in any accumulation: its casts and its way out, general sums."""

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from halfulp.dtypes import FP32, FloatFormat, Format, IntFormat, encode
from halfulp.dtypes.parameters import MAGNITUDE32
from halfulp.engines.accumulated import float_product, matmul
from halfulp.engines.accumulation import Accumulation
from halfulp.engines.activations import Activation
from halfulp.engines.arrays import apply_flat, combine
from halfulp.engines.datapath import Datapath
from halfulp.engines.elementwise import AluOp
from halfulp.engines.operands import Counts, Floats
from halfulp.engines.products import Cast, Exit, Packed, cast_of, pack
from halfulp.engines.systolic import PSUM_INTEGER, PSUM_PLAIN, PSUM_RAW
from halfulp.engines.wide_operands import Panels, as_columns, cast_operand

Array = npt.NDArray[Any]
#: Halves of A and of B that meet in each pass: hi hi, hi lo, lo hi, lo lo (assumed).
_PASSES = ((0, 0), (0, 1), (1, 0), (1, 1))
_HALF_BITS = 12  # significant bits of a high half


def general_product(
    a: Floats, b: Packed | Floats, transposed: bool, casts: tuple[Cast, Cast], exit_: Exit,
    path: Datapath, out: Array, psum: Array | None = None,
) -> Counts:  # fmt: skip
    """A times B into `out`, its sums added as `path.general` says. Returns what the casts changed.

    a (..., M, K), b a packed one or (..., K, N), (..., N, K) with `transposed`; psum None, or what
    they are added to, (..., M, N).
    """
    left, counts = entered(a, casts[0])
    right: list[Floats] | Panels
    if isinstance(b, Packed):
        more = b.counts
        # one pass reads the panels as they are
        right = _parts(b, path.passes) if path.passes == 4 else b.panels
    else:
        right, more = entered(b, casts[1])
        if transposed:
            right = [part.swapaxes(-1, -2) for part in right]
        if not prod(out.shape[:-2]):
            counts = more = np.zeros(4, np.int64)  # nothing came in
    if isinstance(right, list) and path.passes == 4:
        sums = _four_passes(left, right, psum, path.general, out.shape)
    else:
        formats = _summed(casts[0].fmt, path), _summed(casts[1].fmt, path)
        sums = _one_pass(
            left[0], right if isinstance(right, Panels) else right[0], psum, formats, path
        )
    return counts + more + _leave(sums, exit_, out)


def _one_pass(
    a: Floats, b: Floats | Panels, psum: Array | None, formats: tuple[Format, Format],
    path: Datapath,
) -> Array:  # fmt: skip
    """The sums of operands that are cast already."""
    how = path.general
    if path.integer or psum is not None or how.flushes_inputs:
        first, second = formats
        b = as_columns(b)
        return matmul(a, b, psum, accumulation=how, a_format=first, b_format=second)
    return float_product(a, b, None, formats, how)


def _summed(fmt: Format, path: Datapath) -> Format:
    """The format of an operand in the array: integers that are not added as such are fp32."""
    return FP32 if isinstance(fmt, IntFormat) and not path.integer else fmt


def fit(b: Packed, passes: int) -> Packed:
    """A packed operand for so many passes, also where its own format alone takes others."""
    if passes == 1 and b.low is not None:
        high, low = (Panels(part, b.width).columns for part in (b.high, b.low))
        # -0 has a low half of +0, and their sum would be +0
        whole = (low.view(np.uint32) & MAGNITUDE32) == 0
        values = np.where(whole, high, combine(high, low, AluOp.ADD, FP32)[0])
    elif passes == 4 and b.low is None and _has_low_half(b):
        values = b.panels.columns
    else:
        return b
    again = pack(values, cast_of(b.fmt, 1.0, passes), False)
    return replace(again, counts=b.counts)


def _has_low_half(b: Packed) -> bool:
    return b.fmt == FP32 or (isinstance(b.fmt, IntFormat) and b.fmt.bits > _HALF_BITS)


def _parts(b: Packed, passes: int) -> list[Floats]:
    """A packed operand as (K, N), or its high and its low halves."""
    high = b.panels.columns
    if passes == 1:
        return [high]
    if b.low is None:
        return [high, np.zeros_like(high)]
    return [high, Panels(b.low, b.width).columns]


def entered(x: Floats, cast: Cast) -> tuple[list[Floats], Counts]:
    """An operand of any shape, cast as the array does, and what that changed."""
    if cast.passes == 1 and isinstance(cast.fmt, FloatFormat):
        values, counts = apply_flat(x, Activation.COPY, cast.scale, -0.0, cast.fmt)
        return [values], counts
    packed = pack(x.reshape(prod(x.shape[:-1]), x.shape[-1]), cast, False)
    return [part.reshape(x.shape) for part in _parts(packed, cast.passes)], packed.counts


def check_stored(x: Floats, fmt: Format) -> None:
    """Raise ValueError unless every element of x is a value of the format."""
    values = entered(x, cast_of(fmt, 1.0, 1))[0][0] if x.size else x
    wrong = x[(values != x) & ~np.isnan(x)] if isinstance(fmt, FloatFormat) else x[values != x]
    if wrong.size:
        raise ValueError(
            f"b holds {wrong[0]!r}, which is no value of {fmt.name}, stored={fmt.name}"
        )


def _four_passes(
    a: list[Floats], b: list[Floats], psum: Array | None, how: Accumulation,
    shape: tuple[int, ...],
) -> Floats:  # fmt: skip
    """All passes inside a K tile, each a chain of its own that enters PSUM."""
    a, b = ([cast_operand(part, FP32, how) for part in parts] for parts in (a, b))
    # what PSUM holds is no operand, so it is not flushed as operands are
    plain, depth = replace(how, flushes_inputs=False), a[0].shape[-1]
    total: Any = psum
    for start in range(0, depth, how.tile or max(depth, 1)):
        k = slice(start, start + how.tile if how.tile else None)
        for i, j in _PASSES:
            halves = a[i][..., k], b[j][..., k, :]
            total = matmul(*halves, total, accumulation=plain, a_format=FP32)
    return np.zeros(shape, np.float32) if total is None else total


def _leave(sums: Array, exit_: Exit, out: Array) -> Counts:
    """Finished sums leave PSUM, as `systolic.leave` has them."""
    if exit_.psum == PSUM_RAW:
        out[...] = sums
        return np.zeros(4, np.int64)
    if exit_.psum == PSUM_INTEGER:
        sums = encode(sums, FP32).view(np.float32)
    if exit_.psum == PSUM_PLAIN:
        values, counts = apply_flat(sums, Activation.COPY, 1.0, -0.0, FP32)
    else:
        scaled, _ = combine(sums, exit_.multiplier, AluOp.MULTIPLY, FP32)
        values, counts = combine(scaled, exit_.bias, AluOp.ADD, exit_.fmt)
    out[...] = values
    return counts
