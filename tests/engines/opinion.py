"""A second opinion on whole matrices, in exact float64 arithmetic of numpy.

It shares no code with the kernels nor with the reference, which judges it in test_reference.py.
The rules are arguments, so that test_faults.py can plant wrong ones.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from halfulp.dtypes import FP32, INT8, FloatFormat, Format, IntFormat, Overflow, Rounding
from tests.dtypes.opinion import encode_by_spacing, values_of

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]
Step = Callable[[Floats, Floats, Floats], Floats]
Join = Callable[[Floats, Floats], Floats]


def bits(x: Array) -> npt.NDArray[np.uint32]:
    """Codes, so that == tells -0 from +0 and one NaN from another."""
    return np.ascontiguousarray(x).view(np.uint32)


def same(got: Array, wanted: Array) -> bool:
    return (
        got.dtype == wanted.dtype
        and got.shape == wanted.shape
        and np.array_equal(bits(got), bits(wanted))
    )


def numbers(x: Floats) -> list[Any]:
    """As Python floats; a signaling NaN without numpy's warning."""
    with np.errstate(invalid="ignore"):
        return x.astype(np.float64).tolist()


def single(x: Array) -> Floats:
    """To float32, nearest even; NaN canonical."""
    with np.errstate(all="ignore"):
        found = x.astype(np.float32)
    return np.where(np.isnan(found), np.float32(np.nan), found)


def fused(a: Floats, b: Floats, c: Floats) -> Floats:
    """a * b + c rounded once: the float64 sum is rounded to odd, so the second one is right."""
    with np.errstate(all="ignore"):
        product, addend = a.astype(np.float64) * b, c.astype(np.float64)
        total = product + addend
        part = total - product
        lost = (product - (total - part)) + (addend - part)
        even = total.view(np.int64) & 1 == 0
        inexact = np.isfinite(total) & (lost != 0) & even
        total = np.where(inexact, np.nextafter(total, np.copysign(np.inf, lost)), total)
    return single(total)


def plus(a: Floats, b: Floats) -> Floats:
    with np.errstate(all="ignore"):
        return a + b


def cast(x: Floats, fmt: Format, scale: float | Floats = 1.0) -> Floats:
    """float32 times a scale, rounded to float32, then to the format."""
    with np.errstate(all="ignore"):
        scaled = (x * np.asarray(scale, np.float32)).astype(np.float64)
    if isinstance(fmt, IntFormat):
        whole = np.where(np.isnan(scaled), 0, np.clip(np.rint(scaled), fmt.min, fmt.max)) + 0.0
        found = single(whole)
        return np.where(found > np.float64(fmt.max), np.nextafter(found, np.float32(0)), found)
    if not fmt.has_nan:
        scaled = np.where(np.isnan(scaled), 0.0, scaled)
    codes = encode_by_spacing(scaled, fmt, Rounding.NEAREST_EVEN, Overflow.INF)
    return single(values_of(codes, fmt))


def tile_sum(a: Floats, b: Floats, step: Step = fused) -> Floats:
    """One chain from +0 over all k: a (..., M, K), b (..., K, N)."""
    shape = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    total = np.zeros((*shape, a.shape[-2], b.shape[-1]), np.float32)
    for k in range(a.shape[-1]):
        total = step(a[..., :, k, None], b[..., k, None, :], total)
    return total


def tiles(depth: int, size: int = 128) -> Iterator[slice]:
    for start in range(0, depth, size):
        yield slice(start, min(start + size, depth))


def psum(entries: Sequence[Floats], join: Join = plus) -> Floats:
    total = entries[0]
    for entry in entries[1:]:
        total = join(total, entry)
    return total


def systolic(
    a: Floats, b: Floats, *, size: int = 128, step: Step = fused, join: Join = plus
) -> Floats:
    """Tiles of `size` rows in ascending k; the first overwrites, later ones are added."""
    depth = a.shape[-1]
    entries = [tile_sum(a[..., t], b[..., t, :], step) for t in tiles(depth, size)]
    return psum(entries, join) if entries else tile_sum(a, b)


def halves(x: Floats) -> tuple[Floats, Floats]:
    high = (bits(x) & np.uint32(0xFFFFF000)).view(np.float32)
    finite = np.isfinite(x)
    with np.errstate(invalid="ignore"):
        return np.where(finite, high, x), np.where(finite, x - high, np.float32(0))


PASSES = ((0, 0), (0, 1), (1, 0), (1, 1))


def four_passes(
    a: Floats, b: Floats, *, size: int = 128, step: Step = fused, join: Join = plus,
    passes: Sequence[tuple[int, int]] = PASSES,
) -> Floats:  # fmt: skip
    """fp32 in halves, all passes inside a tile."""
    left, right = halves(a), halves(b)
    entries = []
    for t in tiles(a.shape[-1], size):
        for i, j in passes:
            entries.append(tile_sum(left[i][..., t], right[j][..., t, :], step))
    return psum(entries, join) if entries else tile_sum(a, b)


def wide(fmt: Format) -> bool:
    """Whether the format takes four passes."""
    return fmt == FP32 or (isinstance(fmt, IntFormat) and fmt != INT8)


def matmul(
    a: Floats, b: Floats, a_format: Format, b_format: Format, *, out_format: FloatFormat = FP32,
    a_scale: float = 1.0, b_scale: float | Floats = 1.0,
    rescale: float | Floats | None = None, bias: Floats | None = None,
) -> Array:  # fmt: skip
    """What `TensorEngine.matmul` gives; b (..., K, N)."""
    left, right = cast(a, a_format, a_scale), cast(b, b_format, b_scale)
    plain = rescale is None and bias is None and out_format == FP32
    if a_format == b_format == INT8:
        whole = np.matmul(left.astype(np.int64), right.astype(np.int64)).astype(np.int32)
        if plain:
            return whole
        total = whole.astype(np.float32)
    else:
        rule = four_passes if wide(a_format) or wide(b_format) else systolic
        total = single(rule(left, right))
    if plain:
        return total
    factor = np.asarray(1.0 if rescale is None else rescale, np.float32)
    shift = np.float32(-0.0) if bias is None else bias
    with np.errstate(all="ignore"):
        return cast(total * factor + shift, out_format)
