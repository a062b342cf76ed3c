"""Numbers to block formats and back, for numpy and torch; each source is rounded once.

Where roundings happen, with power-of-two scales (MX): the division by the scale is exact; an
element is rounded once, to nearest even, and saturates. With e4m3fn scales (NVFP4), `max` standing
for the largest value:

    tensor scale = float32(amax / (max of the scales * max of the elements)), 2^-126 to 2^119
    block scale  = e4m3fn(amax of the block / (max of the elements * tensor scale)), saturating, at
                   least its smallest value 2^-9
    element      = element format(x / float32(block scale * tensor scale)), saturating

each rounded once to nearest even from the exact quotient or product. A decoded number is
element * block scale * tensor scale, all exact, rounded once to float32; past its range infinity.

A block that holds NaN or an infinity gets the scale NaN and zeros for elements: all of it decodes
to NaN (OCP leaves this to the implementation). Such blocks have no part in the tensor scale. A
block of zeros gets the smallest scale: 2^-127, or 2^-9; zeros keep their signs. Integer elements
use no -2^(bits-1), so that they are symmetric; it decodes.
"""

import struct
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from halfulp.dtypes.block_format import (
    LARGEST_TENSOR_SCALE,
    LEAST_TENSOR_SCALE,
    BlockFormat,
    ScaleRule,
    parse_block_format,
)
from halfulp.dtypes.block_layout import Layout, layout
from halfulp.dtypes.containers import Source, open_out, open_source
from halfulp.dtypes.format import FloatFormat, Format
from halfulp.dtypes.int_format import IntFormat
from halfulp.dtypes.rounding import choice
from halfulp.dtypes.wording import kind_of

Array = npt.NDArray[Any]


class BlockCodes(NamedTuple):
    """Numbers in a block format.

    codes          of the elements, in the shape of the numbers: uint8; for integer elements int8
    scales         codes of the scales, uint8: the same shape, but along the axis one a block
    tensor_scale   a float32, None where the format has none
    """

    codes: Any
    scales: Any
    tensor_scale: np.float32 | None = None


def encode_blocks(
    x: Any,
    fmt: BlockFormat | str,
    *,
    axis: int = -1,
    scale_rule: ScaleRule | str | None = None,
    tensor_scale: float | np.floating[Any] | None = None,
    out: tuple[Any, Any] | None = None,
) -> BlockCodes:
    """The codes of the numbers x[i] / scale, and of the scales of their blocks.

    x              numpy array or torch tensor of one dimension at least: floats of up to 64 bits,
                   those of ml_dtypes too, integers, bool
    fmt            a block format or its name
    axis           along which blocks lie; the last block may hold fewer elements
    scale_rule     a `ScaleRule` or its name; default "floor"; for power-of-two scales alone
    tensor_scale   a float32 from 2^-126 to 2^119, such as one of calibration; default: from x
    out            where to write codes and scales, as in `BlockCodes`
    specials       as this module says

    Raises ValueError for unknown names, for choices that the format does not have, for an axis that
    x does not have and for an `out` that does not fit; TypeError as `round_to`.
    """
    fmt = _format(fmt)
    rule, given = _rule(fmt, scale_rule), _given_tensor_scale(fmt, tensor_scale)
    source = open_source(x)
    where = layout(source.array.shape, axis, fmt)
    codes, scales = _code_targets(source, where, fmt, out)
    tensor = _encode(where, _plain(source), codes, scales, fmt, rule, given)
    kept = np.float32(tensor) if fmt.tensor_scale else None
    if out is not None:
        return BlockCodes(*out, kept)
    return BlockCodes(source.give_back(codes), source.give_back(scales), kept)


def _encode(
    where: Layout, x: Array, codes: Array, scales: Array, fmt: BlockFormat, rule: ScaleRule,
    given: float | None,
) -> float:  # fmt: skip
    """Fill codes and scales; returns the tensor scale, that given or that found."""
    from halfulp.dtypes import block_kernels  # numba, which takes its time, when needed

    slots = where.fill(x)
    tensor, found = 1.0, None
    if not fmt.has_power_scale:
        found = block_kernels.maxima(slots, fmt)
        if fmt.tensor_scale:
            tensor = block_kernels.tensor_scale(found, fmt) if given is None else given
    code_slots, scale_slots = where.room(codes), where.room_for_scales(scales)
    block_kernels.encode(slots, code_slots, scale_slots, fmt, rule, tensor, found)
    where.empty(code_slots, codes)
    where.empty_scales(scale_slots, scales)
    return tensor


def decode_blocks(
    encoded: tuple[Any, ...], fmt: BlockFormat | str, *, axis: int = -1, out: Any = None
) -> Any:
    """Each code's element * scale * tensor scale, as float32.

    encoded    codes, scales and, where the format has it, the tensor scale: a `BlockCodes`, or a
               tuple of integers from elsewhere in the same shapes
    fmt, axis  those of `encode_blocks`
    out        where to write: float32, in the shape of the codes
    specials   a NaN scale gives NaN, as does an element that is NaN; an infinite element infinity.
               Every NaN is the canonical one.

    Raises ValueError for shapes that do not belong together, for integers that are no codes, and
    for a tensor scale too many, too few or out of range; TypeError for codes that are no
    integers; else as `decode`.
    """
    fmt = _format(fmt)
    opened, scales, tensor = _open_encoded(encoded, fmt)
    where = layout(opened.array.shape, axis, fmt)
    if scales.shape != where.scales_shape:
        raise ValueError(
            f"scales have shape {scales.shape}; codes of shape {opened.array.shape} in blocks of"
            f" {fmt.block_size} along axis {axis} need {where.scales_shape}"
        )
    codes = opened.array.astype(_code_type(fmt), copy=False)
    if out is None:
        target = np.empty(codes.shape, np.float32)
    else:
        target = open_out(out, opened, np.dtype(np.float32))

    from halfulp.dtypes import block_kernels

    slots = where.room(target)
    block_kernels.decode(where.fill(codes), where.fill_scales(scales), slots, fmt, tensor)
    where.empty(slots, target)
    return opened.give_back(target) if out is None else out


def round_to_blocks(
    x: Any,
    fmt: BlockFormat | str,
    *,
    axis: int = -1,
    scale_rule: ScaleRule | str | None = None,
    tensor_scale: float | np.floating[Any] | None = None,
    out: Any = None,
) -> Any:
    """Each x[i] becomes the float32 that its codes in the block format mean.

    out   where to write: float32, in the shape of x; may be x itself

    All else as in `encode_blocks` and `decode_blocks`.
    """
    fmt = _format(fmt)
    encoded = encode_blocks(x, fmt, axis=axis, scale_rule=scale_rule, tensor_scale=tensor_scale)
    return decode_blocks(encoded, fmt, axis=axis, out=out)


def _format(fmt: BlockFormat | str) -> BlockFormat:
    if isinstance(fmt, BlockFormat):
        return fmt
    if not isinstance(fmt, str):
        raise TypeError(f"fmt={fmt!r} is no block format; give one of BLOCK_FORMATS, or its name")
    return parse_block_format(fmt)


def _code_type(fmt: BlockFormat) -> np.dtype[Any]:
    element = fmt.element
    return element.code_dtype if isinstance(element, FloatFormat) else element.numpy


def _rule(fmt: BlockFormat, given: ScaleRule | str | None) -> ScaleRule:
    if given is not None and not fmt.has_power_scale:
        raise ValueError(
            f"scale_rule={given!r} chooses powers of two, but {fmt} has {fmt.scale} scales;"
            " leave it away"
        )
    return ScaleRule.FLOOR if given is None else choice(ScaleRule, given, "scale_rule")


def _given_tensor_scale(fmt: BlockFormat, given: Any) -> float | None:
    """As a Python float. Raises ValueError for what the format does not have or cannot hold."""
    if given is None:
        return None
    if not fmt.tensor_scale:
        raise ValueError(f"{fmt} has no tensor scale; leave tensor_scale={given!r} away")
    try:
        value = float("no number" if isinstance(given, str | bytes | bool) else given)
    except (TypeError, ValueError):
        raise TypeError(f"tensor_scale={given!r} is not one number") from None
    if not LEAST_TENSOR_SCALE <= value <= LARGEST_TENSOR_SCALE or _as_float32(value) != value:
        raise ValueError(
            f"tensor_scale={value!r} is no float32 from 2^-126 to 2^119; give np.float32(...)"
        )
    return value


def _code_targets(
    source: Source, where: Layout, fmt: BlockFormat, out: tuple[Any, Any] | None
) -> tuple[Array, Array]:
    kinds = _code_type(fmt), np.dtype(np.uint8)
    shapes = where.shape, where.scales_shape
    if out is None:
        return np.empty(shapes[0], kinds[0]), np.empty(shapes[1], kinds[1])
    if not isinstance(out, tuple) or len(out) != 2:
        raise TypeError(f"out is {kind_of(out)}; give a tuple of two: codes and scales")
    of_scales = source._replace(array=np.empty(shapes[1], np.uint8))
    codes, scales = open_out(out[0], source, kinds[0]), open_out(out[1], of_scales, kinds[1])
    if np.may_share_memory(scales, codes) or np.may_share_memory(scales, source.array):
        raise ValueError("out's scales overlap its codes or x; give memory of their own")
    return codes, scales


def _plain(source: Source) -> Array:
    """float32 or float64 that no rounding to a block format tells from the source's numbers."""
    from halfulp.dtypes import kernels
    from halfulp.dtypes.wide_integers import odd_integers

    x = source.array
    if source.codes_of is not None:
        values = np.empty(x.shape, np.float32)
        kernels.decode(np.ascontiguousarray(x), values, source.codes_of)
        return values
    if x.dtype.kind == "f":
        return x
    if x.itemsize <= 4:
        return x.astype(np.float32 if x.itemsize <= 2 else np.float64)
    return odd_integers(x)


def _open_encoded(encoded: Any, fmt: BlockFormat) -> tuple[Source, Array, float]:
    if not isinstance(encoded, tuple) or not 2 <= len(encoded) <= 3:
        raise TypeError(
            f"encoded is {kind_of(encoded)}; give (codes, scales) or (codes, scales, tensor scale)"
        )
    codes, scales, tensor = (*encoded, None)[:3]
    if fmt.tensor_scale and tensor is None:
        raise ValueError(f"{fmt} has a tensor scale; give (codes, scales, tensor scale)")
    value = _given_tensor_scale(fmt, tensor)
    opened = _open_codes(codes, fmt.element, "codes"), _open_codes(scales, fmt.scale, "scales")
    return opened[0], opened[1].array.astype(np.uint8, copy=False), value or 1.0


def _open_codes(codes: Any, fmt: Format, what: str) -> Source:
    source = open_source(codes)
    if source.codes_of is not None or source.array.dtype.kind not in "iu":
        given = source.codes_of or source.array.dtype
        raise TypeError(f"{what} are codes of {fmt}, integers, not {given}; view them as bytes")
    low, high = (fmt.min, fmt.max) if isinstance(fmt, IntFormat) else (0, (1 << fmt.bits) - 1)
    limits, array = np.iinfo(source.array.dtype), source.array
    if array.size and (limits.min < low or limits.max > high):
        for found in (int(array.min()), int(array.max())):
            if not low <= found <= high:
                raise ValueError(f"{what}: {found} is no code of {fmt}; allowed: {low} to {high}")
    return source


def _as_float32(value: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", value))[0])
