"""What the kernels of `accumulate` are told of an accumulation: constants, and the way to take."""

import functools
from math import ldexp
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from halfulp.dtypes import FP32, FloatFormat, Format, Rounding
from halfulp.dtypes.addresses import address
from halfulp.dtypes.direction import Direction
from halfulp.dtypes.parameters import INF32, bits32
from halfulp.dtypes.rounding import TRUTH_TABLES, stays_finite
from halfulp.engines import accumulate as driver
from halfulp.engines.accumulation import Accumulation, Order
from halfulp.engines.narrow import NARROW
from halfulp.engines.wide import INF64, ROUNDING, SUM

_LARGEST_SUM = 50  # bits of a float64 that a sum of aligned terms below four units may take


def bits64(x: float) -> int:
    """The code of a float64, as an int64."""
    return int(np.float64(x).view(np.int64))


class _Quick(NamedTuple):
    """Constants of `wide.ROUNDING` for normal numbers; `serves`: whether there is such a way."""

    shift: int
    add: int
    flip: int
    more: int
    serves: bool = True


def _quick(rounding: Rounding, dropped: int) -> _Quick:
    """For a rounding that drops so many bits."""
    half, all_ = 1 << (dropped - 1), (1 << dropped) - 1
    match rounding:
        case Rounding.NEAREST_EVEN:
            return _Quick(dropped, half - 1, 0, 1)
        case Rounding.NEAREST_AWAY:
            return _Quick(0, half, 0, 0)
        case Rounding.TOWARD_ZERO:
            return _Quick(0, 0, 0, 0)
        case Rounding.TOWARD_POSITIVE:
            return _Quick(63, 0, -1, all_)
        case Rounding.TOWARD_NEGATIVE:
            return _Quick(63, 0, 0, all_)
        case Rounding.TO_ODD | Rounding.STOCHASTIC:
            return _Quick(0, 0, 0, 0, serves=False)


def _constants(
    fmt: FloatFormat, rounding: Rounding, how: Accumulation, extra: int
) -> dict[str, int]:
    """The values of `wide.ROUNDING`."""
    width, m = fmt.exponent_bits + extra, fmt.mantissa_bits
    more = (1 << (width - 1)) - (1 << (fmt.exponent_bits - 1))
    emin, emax = fmt.emin - more, (1 << width) - 2 - fmt.bias - more
    shift = 52 - m
    # with one exponent bit no number is normal
    top = ldexp(2.0 - ldexp(1.0, -m), emax) if width > 1 else fmt.max
    least, largest = bits64(ldexp(1.0, emin)), bits64(top)
    quick = _quick(rounding, shift)
    plus, minus = (
        largest if not how.overflows_to_infinity and stays_finite(rounding, negative) else INF64
        for negative in (False, True)
    )
    random = rounding is Rounding.STOCHASTIC
    return {
        "shift": quick.shift, "add": quick.add, "flip": quick.flip, "more": quick.more,
        "keep": -(1 << shift), "least": least,
        "span": max(largest - least + 1, 0) if quick.serves else 0,
        "table": 0 if random else TRUTH_TABLES[rounding], "mantissa": m, "emin": emin,
        "max": largest, "over_plus": plus, "over_minus": minus, "flush": int(how.flushes_results),
        "random": int(random), "random_bits": how.random_bits if random else 1,
    }  # fmt: skip


class Parameters(NamedTuple):
    """Constants of the kernels: of the accumulator's rounding and sum, and of PSUM's rounding."""

    own: npt.NDArray[np.int64]
    psum: npt.NDArray[np.int64]


@functools.lru_cache(256)
def parameters(how: Accumulation, longest: int) -> Parameters:
    """`longest` is the number of products in the longest block."""
    held = how.accumulator
    assert isinstance(held, FloatFormat)
    given = _constants(held, how.rounding, how, how.extra_exponent_bits)
    given["tiny_power"] = bits64(ldexp(1.0, held.emin))
    floor = how.floor_exponent
    given["floor_power"] = 0 if floor is None else bits64(ldexp(1.0, floor))
    # an exact sum keeps as many bits as there is room for
    bits = how.fraction_bits
    kept = _LARGEST_SUM - (longest + 1).bit_length() if bits is None else bits
    # an unsigned grid is moved by half its range, so that its sums are positive
    signed = how.order is Order.EXACT or how.cut is Rounding.TOWARD_ZERO
    given["grid"] = bits64(ldexp(1.0 if signed else 1.5, 52 - kept))
    psum = _constants(how.outside, how.psum_rounding, how, 0)
    return Parameters(
        np.array([given[name] for name in SUM], np.int64),
        np.array([psum[name] for name in ROUNDING], np.int64),
    )


class NarrowWay(NamedTuple):
    """How a chain is first tried in float32.

    way     one of the driver's ways
    given   the values of `narrow.NARROW`
    scale   what numbers are multiplied by, a power of two
    """

    way: int
    given: npt.NDArray[np.int64]
    scale: float

    @property
    def arguments(self) -> tuple[int, int, int, int]:
        """What the kernel takes."""
        return self.way, address(self.given), bits64(self.scale), bits64(1 / self.scale)


_WIDE = NarrowWay(driver.WIDE, np.zeros(len(NARROW), np.int64), 1.0)
#: Roundings of chains in float32. Toward negative is not among them: there processors give -0 for
#: x - x.
_DIRECTIONS = {
    Rounding.NEAREST_EVEN: Direction.CUT,
    Rounding.NEAREST_AWAY: Direction.CUT,
    Rounding.TOWARD_ZERO: Direction.CUT,
    Rounding.TOWARD_POSITIVE: Direction.UP,
}


#: Roundings that need no bit below float32's last place.
_OF_FLOAT32 = (Rounding.NEAREST_EVEN, Rounding.TOWARD_ZERO, Rounding.TOWARD_POSITIVE)


@functools.lru_cache(256)
def narrow_way(how: Accumulation, b_format: Format) -> NarrowWay:
    """The way for a chain; `driver.WIDE` when float32 is too narrow for it."""
    held, rounding = how.accumulator, how.rounding
    chain = how.order is Order.SEQUENTIAL and not how.rounds_products
    plain = not how.extra_exponent_bits and not how.flushes_results
    if not (chain and plain and rounding in _DIRECTIONS and isinstance(held, FloatFormat)):
        return _WIDE
    assert isinstance(b_format, FloatFormat)
    shift, dropped = -126 - held.emin, 23 - held.mantissa_bits
    finest = b_format.emin - b_format.mantissa_bits + shift
    nearest = rounding in (Rounding.NEAREST_EVEN, Rounding.NEAREST_AWAY)
    if finest < -149 or held.emax + shift > 127 or not (dropped or rounding in _OF_FLOAT32):
        return _WIDE
    direction = _DIRECTIONS[rounding]
    if not dropped and rounding is Rounding.NEAREST_EVEN:
        if held != FP32:
            return _WIDE
        return NarrowWay(driver.CHAIN, _narrow_constants({"direction": Direction.NEAREST}), 1.0)
    half, below = (1 << dropped) >> 1, (1 << dropped) - 1
    largest = bits32(ldexp(held.max, shift))
    given = {
        "direction": direction, "add": half if nearest else 0, "flip": -1,
        "more": below if rounding is Rounding.TOWARD_POSITIVE else 0, "keep": ~below,
        "place": below + 1, "limit": largest + nearest,
    }  # fmt: skip
    ties = rounding is Rounding.NEAREST_EVEN
    # to nearest, the step past the largest number of a format with float32's exponents is infinity
    free = nearest and largest + below + 1 == INF32
    way = (
        (driver.FREE_TIES if ties else driver.FREE)
        if free
        else (driver.LIMITED_TIES if ties else driver.LIMITED)
    )
    return NarrowWay(way, _narrow_constants(given), ldexp(1.0, shift))


def _narrow_constants(given: dict[str, int]) -> npt.NDArray[np.int64]:
    return np.array([given.get(name, 0) for name in NARROW], np.int64)
