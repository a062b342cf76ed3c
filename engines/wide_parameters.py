"""What the kernels of `accumulate` are told of an accumulation: constants, and the way to take."""

import functools
from math import ldexp
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from halfulp.dtypes import FP32, FloatFormat, Rounding
from halfulp.dtypes.parameters import bits32
from halfulp.dtypes.rounding import TRUTH_TABLES, stays_finite
from halfulp.engines import accumulate_chains as driver
from halfulp.engines import twice
from halfulp.engines.accumulation import Accumulation, Order
from halfulp.engines.narrow import NARROW
from halfulp.engines.wide import INF64, ROUNDING, SUM
from halfulp.engines.wide_operands import Factors

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
        case Rounding.STOCHASTIC:
            return _Quick(0, 0, 0, 0)
        case Rounding.TO_ODD:
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
        "keep": -(1 << shift), "least": least, "one": 1,
        "noise_shift": shift - how.random_bits if random else 0,
        "span": max(largest - least + 1, 0) if quick.serves and not random else 0,
        "noisy_span": max(largest - least + 1, 0) if random else 0,
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
    """The way of a chain: one of the driver's, and the values of `narrow.NARROW`."""

    way: int
    given: npt.NDArray[np.int64]


_WIDE = NarrowWay(driver.WIDE, np.zeros(len(NARROW), np.int64))
_CHAIN = NarrowWay(driver.CHAIN, _WIDE.given)
_CHAIN_ROUNDED = NarrowWay(driver.CHAIN_ROUNDED, _WIDE.given)
_PAIRS = NarrowWay(driver.PAIRS, _WIDE.given)
_WAYS = {
    Rounding.NEAREST_EVEN: driver.EVEN_RANGED,
    Rounding.NEAREST_AWAY: driver.RANGED,
    Rounding.TOWARD_ZERO: driver.RANGED,
    Rounding.TO_ODD: driver.ODD_RANGED,
    Rounding.STOCHASTIC: driver.NOISY_RANGED,
}
#: Bits of float32 below the accumulator's last place that a rounding needs, if any.
_NEEDED = {Rounding.NEAREST_EVEN: 1, Rounding.NEAREST_AWAY: 1}
#: Those that need not know whether something was lost below float32's last place.
_WITHOUT_LOSS = (Rounding.NEAREST_AWAY, Rounding.TOWARD_ZERO, Rounding.STOCHASTIC)
_SMALLEST_EXPONENT = -149  # of float32's last place


@functools.lru_cache(256)
def fixed_way(how: Accumulation) -> NarrowWay | None:
    """The way for any products; None where it depends on them."""
    held, rounding = how.accumulator, how.rounding
    assert isinstance(held, FloatFormat)
    if how.extra_exponent_bits or how.flushes_results:
        return _WIDE
    if how.order is Order.PAIRWISE and held == FP32 and rounding is Rounding.NEAREST_EVEN:
        return _PAIRS
    if how.order is not Order.SEQUENTIAL:
        return _WIDE
    if held == FP32 and rounding is Rounding.NEAREST_EVEN:
        return _CHAIN_ROUNDED if how.rounds_products else _CHAIN
    stochastic = rounding is Rounding.STOCHASTIC
    needed = how.random_bits if stochastic else _NEEDED.get(rounding, 0)
    too_few = 23 - held.mantissa_bits < needed
    return _WIDE if how.rounds_products or rounding not in _WAYS or too_few else None


@functools.lru_cache(256)
def narrow_way(how: Accumulation, products: Factors) -> NarrowWay:
    """The way for products of which this is known."""
    fixed, held, rounding = fixed_way(how), how.accumulator, how.rounding
    if fixed is not None:
        return fixed
    assert isinstance(held, FloatFormat)
    # what float32 would lose below its last place, nothing would tell
    if rounding not in _WITHOUT_LOSS and products.finest < _SMALLEST_EXPONENT:
        return _WIDE
    dropped, stochastic = 23 - held.mantissa_bits, rounding is Rounding.STOCHASTIC
    half = (1 << dropped) >> 1
    add = {Rounding.NEAREST_EVEN: half - 1, Rounding.NEAREST_AWAY: half}.get(rounding, 0)
    # float32's exponents: subnormals are rounded alike, past the largest number is infinity
    free = rounding is Rounding.NEAREST_EVEN and held == FloatFormat(8, held.mantissa_bits)
    way, least, largest = _WAYS[rounding], ldexp(1.0, held.emin), held.max
    if free and _twice(held, products):
        way, largest = driver.TWICE, ldexp(1.0, twice.SUM_EXPONENT)
        least = max(ldexp(1.0, products.top - 24), least)
    elif free:
        way = driver.EVEN
    given = {
        "add": add, "keep": -(1 << dropped), "place": 1 << dropped, "below": (1 << dropped) - 1,
        "shift": dropped - how.random_bits if stochastic else dropped,
        "least": bits32(least), "span": max(bits32(largest) - bits32(least) + 1, 0), "one": 1,
        "spacer": bits32(ldexp(1.5, dropped)),
    }  # fmt: skip
    return NarrowWay(way, np.array([given[name] for name in NARROW], np.int64))


def _twice(held: FloatFormat, products: Factors) -> bool:
    """Whether `halfulp.engines.twice` serves an accumulator with float32's exponents."""
    q, together = held.precision, held.precision + products.significant
    return 2 * q < 24 and together <= 24 and products.top <= twice.PRODUCT_EXPONENT
