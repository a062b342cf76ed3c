"""Fast block formats on slots of memory; `halfulp.dtypes.reference_blocks` is the slow, exact twin.

Arrays are C-contiguous, with one slot a block: a multiple of 16 elements, zeros behind the block's
last.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, assert_never

import numpy as np
import numpy.typing as npt

from halfulp.dtypes import block_drivers
from halfulp.dtypes.addresses import address
from halfulp.dtypes.block_codec import FIXED_NAMES, POWER_NAMES, QUOTIENT_NAMES, TENSOR_NAMES
from halfulp.dtypes.block_format import (
    LARGEST_TENSOR_SCALE,
    LEAST_TENSOR_SCALE,
    BlockFormat,
    ScaleRule,
)
from halfulp.dtypes.block_layout import slot_of
from halfulp.dtypes.format import FloatFormat
from halfulp.dtypes.jit import Kernel
from halfulp.dtypes.parameters import Parameters, bits32, parameters32
from halfulp.dtypes.rounding import NanTo, Overflow, Rounding
from halfulp.dtypes.threads import parallel, split

__all__ = ["decode", "encode", "maxima", "tensor_scale"]

Array = npt.NDArray[Any]
#: As in `halfulp.dtypes.kernels`: what no cache holds, and what is worth a second thread.
_STREAMING_BYTES = 8 << 20
_PARALLEL_ELEMENTS = 1 << 17
#: Tensor scales below have quotients with subnormal remainders.
_LIFTED = 2.0**-60
_NOTHING: Parameters = np.zeros(1, np.int64)
_FRACTION64 = (1 << 52) - 1


def maxima(x: Array, fmt: BlockFormat) -> Array:
    """The magnitude bits of each block's maximum, uint32 or uint64 as x is float32 or float64."""
    slot = slot_of(fmt.block_size)
    result = np.empty(x.size // slot, f"u{x.itemsize}")
    places = [(x, slot * x.itemsize), (result, x.itemsize)]
    _run(block_drivers.MAXIMA, places, (), slot, int(x.itemsize == 8))
    return result


def tensor_scale(maxima: Array, fmt: BlockFormat) -> float:
    """The float32 nearest to amax / (largest scale * largest element), from 2^-126 to 2^119.

    amax is the largest magnitude in a block without NaN and infinity.
    """
    infinity = np.array(np.inf, f"f{maxima.itemsize}").view(maxima.dtype)
    top = maxima.max(initial=0)
    if top >= infinity:
        top = maxima[maxima < infinity].max(initial=0)
    amax = float(np.asarray(top).view(f"f{maxima.itemsize}"))
    divisor: float = fmt.scale.max * fmt.element_max
    quotient = Fraction(amax) / Fraction(divisor)
    if quotient < LEAST_TENSOR_SCALE:
        return LEAST_TENSOR_SCALE
    unit = Fraction(math.ldexp(1.0, math.frexp(quotient)[1] - 24))
    # round() takes the even one at a tie
    return min(float(round(quotient / unit) * unit), LARGEST_TENSOR_SCALE)


def encode(
    x: Array, codes: Array, scales: Array, fmt: BlockFormat, rule: ScaleRule, tensor: float,
    found: Array | None,
) -> None:  # fmt: skip
    """Fill codes and scales; x is float32 or float64.

    found   the blocks' `maxima`, for e4m3fn scales alone
    """
    slot = slot_of(fmt.block_size)
    places = [(x, slot * x.itemsize), (codes, slot), (scales, 1)]
    more = slot, int(_streams(codes)), int(x.itemsize == 8)
    element, beside = _element(fmt, tensor), _tensor(tensor)
    if found is None:
        given = [element, _power_rule(fmt, rule), beside]
        _run(block_drivers.ENCODE_POWERS, places, given, *more, _fixed(fmt))
    else:
        places.append((found, found.itemsize))
        given = [element, _quotient_rule(fmt, tensor), beside, _scale(fmt)]
        _run(block_drivers.ENCODE_QUOTIENTS, places, given, *more)


def decode(codes: Array, scales: Array, out: Array, fmt: BlockFormat, tensor: float) -> None:
    """Fill `out`, float32."""
    slot = slot_of(fmt.block_size)
    places = [(codes, slot), (scales, 1), (out, 4 * slot)]
    given = [_element(fmt, tensor), _scale(fmt)]
    kinds = _fixed(fmt), int(fmt.has_power_scale)
    _run(block_drivers.DECODE, places, given, slot, int(_streams(out)), *kinds)


def _streams(out: Array) -> bool:
    """Whether the result is written past the caches: it is larger than they are."""
    return out.nbytes >= _STREAMING_BYTES and address(out) % 64 == 0


def _run(
    driver: Kernel, places: Sequence[tuple[Array, int]], given: Sequence[Parameters], slot: int,
    *more: int,
) -> None:  # fmt: skip
    """Run a driver over all blocks; `places` are arrays and the bytes of a block in them."""
    source, step = places[0]
    blocks = source.nbytes // step
    parameters = [address(values) for values in given]
    chunk = block_drivers.CHUNK // slot
    if source.size < _PARALLEL_ELEMENTS:
        pieces = [(0, blocks)]
    else:
        pieces = split(blocks, chunk, _PARALLEL_ELEMENTS // 2 // slot)
    parallel(
        driver,
        [
            (*(address(array) + a * size for array, size in places), *parameters, b - a, slot)
            + more
            for a, b in pieces
        ],
    )


def _values(names: Sequence[str], **values: int) -> Parameters:
    return np.array([values[name] for name in names], np.int64)


def _fixed(fmt: BlockFormat) -> int:
    return int(not isinstance(fmt.element, FloatFormat))


def _element(fmt: BlockFormat, tensor: float) -> Parameters:
    element = fmt.element
    if isinstance(element, FloatFormat):
        own = parameters32(element, Overflow.SATURATE_ALL, Rounding.NEAREST_EVEN, NanTo.ZERO)
        return np.concatenate([own, _tensor(tensor)])
    return _values(
        FIXED_NAMES,
        unit=bits32(fmt.element_unit),
        per_unit=bits32(1 / fmt.element_unit),
        most=bits32(element.max),
    )


def _scale(fmt: BlockFormat) -> Parameters:
    if fmt.has_power_scale:
        return _NOTHING
    return parameters32(fmt.scale, Overflow.SATURATE_ALL)


def _tensor(tensor: float) -> Parameters:
    lift = 2.0**64 if tensor < _LIFTED else 1.0
    return _values(TENSOR_NAMES, tensor_scale=bits32(tensor), lift=bits32(lift))


def _power_rule(fmt: BlockFormat, rule: ScaleRule) -> Parameters:
    carry = _carry(fmt, rule)
    offset = 1023 - fmt.scale.bias + fmt.element_emax
    return _values(POWER_NAMES, offset=offset, carry_low=carry & 0xFFFFFFFF, carry_high=carry >> 32)


def _carry(fmt: BlockFormat, rule: ScaleRule) -> int:
    """What is added to a float64's fraction to reach the next exponent where the rule goes up."""
    match rule:
        case ScaleRule.FLOOR:
            return 0
        case ScaleRule.CEIL:
            return _FRACTION64
        case ScaleRule.EVEN:
            return 1 << (51 - fmt.element_fraction_bits)
        case ScaleRule.RCEIL:
            fraction = np.array(fmt.element_max, np.float64).view(np.uint64)
            return _FRACTION64 - (int(fraction) & _FRACTION64)
    assert_never(rule)


def _quotient_rule(fmt: BlockFormat, tensor: float) -> Parameters:
    return _values(
        QUOTIENT_NAMES,
        element_max=bits32(fmt.element_max),
        tensor_scale=bits32(tensor),
        least=bits32(fmt.scale.smallest_subnormal),
    )
