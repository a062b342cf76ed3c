"""Codes of 4 and 6 bits in bytes without gaps, and back.

The codes of the last axis follow each other as the bits of a little-endian number: code i takes
bits i * width to i * width + width - 1, bit 0 being the lowest of the first byte. So a byte has the
first of its two 4-bit codes in its low half, as CUDA's __nv_fp4x2_e2m1 has it (ml_dtypes keeps each
code in a byte of its own); and of four 6-bit codes a, b, c, d the three bytes are

    a + 64 (b mod 4), b div 4 + 16 (c mod 16), c div 16 + 4 d.

OCP MX 1.0 leaves the storage open.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from halfulp.dtypes.block_format import BlockFormat, parse_block_format
from halfulp.dtypes.checks import integer
from halfulp.dtypes.containers import Source, open_source
from halfulp.dtypes.format import FloatFormat, Format
from halfulp.dtypes.formats import UnknownFormat, parse_format
from halfulp.dtypes.int_format import IntFormat

Array = npt.NDArray[Any]
#: By the bits of a code: the codes that fill whole bytes, and the bytes.
_GROUPS = {4: (2, 1), 6: (4, 3)}


def pack(codes: Any, fmt: Format | BlockFormat | str) -> Any:
    """Bytes that hold the codes of the last axis one behind the other.

    codes     integers of one dimension at least, numpy or torch: codes of `fmt`, for an IntFormat
              its values, kept in two's complement
    fmt       a format of 4 or 6 bits or a block format with such elements, or its name
    returns   uint8; n codes take ceil(n * bits / 8) bytes, the bits left over are 0

    Raises ValueError for formats of other widths and for integers that are no codes, TypeError for
    elements that are no integers.
    """
    fmt = _element(fmt)
    source = _open(codes, "codes")
    array = source.array
    low, high = (fmt.min, fmt.max) if isinstance(fmt, IntFormat) else (0, (1 << fmt.bits) - 1)
    if array.size and not low <= int(array.min()) <= int(array.max()) <= high:
        found = int(array.min()) if array.min() < low else int(array.max())
        raise ValueError(f"{found} is no code of {fmt}; allowed: {low} to {high}")
    mask = np.uint8((1 << fmt.bits) - 1)
    return source.give_back(_packed(array.astype(np.uint8) & mask, fmt.bits))


def unpack(packed: Any, fmt: Format | BlockFormat | str, *, count: int | None = None) -> Any:
    """The codes that the bytes of the last axis hold.

    packed    uint8 of one dimension at least, numpy or torch
    fmt       that of `pack`
    count     codes of the last axis: at most those that the bytes hold, and more than one byte less
              would; default: all that they hold, which may be one more than were packed
    returns   uint8, for a signed IntFormat int8

    Raises ValueError for another count, TypeError for elements that are not uint8.
    """
    fmt = _element(fmt)
    source = _open(packed, "packed")
    if source.array.dtype != np.uint8:
        raise TypeError(f"packed has type {source.array.dtype}; bytes are uint8")
    size = source.array.shape[-1]
    held = size * 8 // fmt.bits
    if count is None:
        count = held
    fewest = (size - 1) * 8 // fmt.bits + 1 if size else 0
    count = integer(count, "count", fewest, held)
    codes = np.ascontiguousarray(_unpacked(source.array, fmt.bits)[..., :count])
    if isinstance(fmt, IntFormat) and fmt.signed:
        unused = np.int8(8 - fmt.bits)
        codes = (codes.view(np.int8) << unused) >> unused
    return source.give_back(codes)


def _element(fmt: Format | BlockFormat | str) -> Format:
    if isinstance(fmt, str):
        fmt = _named(fmt)
    element = fmt.element if isinstance(fmt, BlockFormat) else fmt
    if not isinstance(element, FloatFormat | IntFormat):
        raise TypeError(f"fmt={fmt!r} is no format; give one of FORMATS or BLOCK_FORMATS")
    if element.bits not in _GROUPS:
        raise ValueError(f"codes of {element} have {element.bits} bits; packed are those of 4 or 6")
    return element


def _named(text: str) -> Format | BlockFormat:
    try:
        return parse_block_format(text)
    except UnknownFormat:
        return parse_format(text)


def _open(x: Any, what: str) -> Source:
    source = open_source(x)
    if source.codes_of is not None or source.array.dtype.kind not in "iu":
        given = source.codes_of or source.array.dtype
        raise TypeError(f"{what} are integers, not {given}; view them as bytes")
    if source.array.ndim == 0:
        raise ValueError(f"{what} have no dimension, so no last axis; give an array")
    return source


def _packed(codes: Array, bits: int) -> Array:
    """uint8 to uint8; the last group of codes may be partial."""
    shape, count = codes.shape[:-1], codes.shape[-1]
    per_group, group_bytes = _GROUPS[bits]
    groups = -(-count // per_group)
    if count % per_group:
        whole = np.zeros((*shape, groups * per_group), np.uint8)
        whole[..., :count] = codes
        codes = whole
    result = np.zeros((*shape, groups * group_bytes), np.uint8)
    for index in range(per_group):
        code = codes[..., index::per_group]
        place, shift = divmod(index * bits, 8)
        result[..., place::group_bytes] |= code << np.uint8(shift)
        if shift + bits > 8:
            result[..., place + 1 :: group_bytes] |= code >> np.uint8(8 - shift)
    return result[..., : -(-count * bits // 8)]


def _unpacked(packed: Array, bits: int) -> Array:
    """uint8 to uint8: every code of the groups that the bytes begin."""
    shape, size = packed.shape[:-1], packed.shape[-1]
    per_group, group_bytes = _GROUPS[bits]
    groups = -(-size // group_bytes)
    if size % group_bytes:
        whole = np.zeros((*shape, groups * group_bytes), np.uint8)
        whole[..., :size] = packed
        packed = whole
    result = np.empty((*shape, groups * per_group), np.uint8)
    for index in range(per_group):
        place, shift = divmod(index * bits, 8)
        code = packed[..., place::group_bytes] >> np.uint8(shift)
        if shift + bits > 8:
            code |= packed[..., place + 1 :: group_bytes] << np.uint8(8 - shift)
        result[..., index::per_group] = code & np.uint8((1 << bits) - 1)
    return result
