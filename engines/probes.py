"""What a function that adds is asked to reveal its tree, and which numbers serve for that."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from halfulp.dtypes import FP32, FloatFormat, Rounding
from halfulp.dtypes.checks import integer
from halfulp.engines.accumulation import Accumulation, Entry, IntegerAccumulator, Join, Order
from halfulp.engines.trees import MOST_LEAVES

#: Takes a float32 array (n,) and returns its sum, as what `float` takes.
Function = Callable[[npt.NDArray[np.float32]], Any]

_WIDEST = 53  # significant bits of an accumulator of float64
# +big + 1 rounds to big, and -big + 1 to -big
_ABSORBING = {Rounding.NEAREST_EVEN, Rounding.NEAREST_AWAY, Rounding.TOWARD_NEGATIVE}
_PLAIN = Accumulation()


class NoTree(ValueError):
    """The answers of a function are those of no summation tree."""


class Magnitudes(NamedTuple):
    """The numbers of the probes; `spacing` is None where big + n is big."""

    big: float
    one: float
    spacing: float | None = None

    def check(self, n: int) -> None:
        """Raise ValueError for numbers with which n of them cannot be probed."""
        for name, x in zip(self._fields, self, strict=True):
            if x is not None and not (0 < x <= FP32.max and float(np.float32(x)) == x):
                raise ValueError(f"{name}={x!r}; needed: a positive number that float32 holds")
        if (
            self.big <= n * self.one
            or not n * self.one <= (self.spacing or n * self.one) < self.big
        ):
            raise ValueError(
                f"{self} with n={n}; needed: n * one < big, and where there is a spacing,"
                " n * one <= spacing < big"
            )


def magnitudes(fmt: FloatFormat | str, n: int, accumulation: Accumulation = _PLAIN) -> Magnitudes:
    """Numbers of `fmt` with which n of them that are summed so can be probed.

    To nearest, big is the largest power of two, and one is 1 where float64 would lose it too, or
    else the smallest number: 2^15 and 2^-24 in fp16. Where big + 1 is not big but one of its
    neighbors (toward zero, toward positive, to odd, stochastic), big is so small that its
    neighbors' `spacing` is more than the count, which is then what the answer leaves modulo it.

    Raises ValueError where the range or the precision is too small for n, and for integers.
    """
    fmt = FloatFormat.parse(fmt) if isinstance(fmt, str) else fmt
    n = integer(n, "n", 1, MOST_LEAVES)
    if isinstance(accumulation.accumulator, IntegerAccumulator) or not fmt.signed:
        raise ValueError(f"{fmt} in {accumulation.accumulator}: probes need signed floats")
    held = (accumulation.accumulator, accumulation.outside)
    grid = [] if accumulation.fraction_bits is None else [accumulation.fraction_bits + 1]
    precisions = [*(each.precision for each in held), *grid]
    coarsest, finest = min(precisions), max(precisions)
    absorbs = _absorbs(accumulation)
    count = max(n - 1, 1).bit_length()  # 2^count >= n
    # two roundings for each number, off by two ulps of big at most: they must stay beside the count
    largest = n if absorbs else (n << (count + finest - coarsest + 3)) + n
    if largest > 1 << coarsest:
        raise ValueError(
            f"n={n}: the sum keeps {coarsest} bits, and counts up to {largest} must be exact"
        )
    top = min(each.emax for each in (fmt, *held))
    bottom = max(_lowest(each, accumulation) for each in (fmt, *held))
    between = count + finest + absorbs
    if top - bottom < between:
        raise ValueError(
            f"{fmt} in {accumulation.outside} goes from 2^{bottom} to 2^{top}; n={n} needs"
            f" 2^{between} between one and big: let the function multiply operands to such numbers"
        )
    if absorbs:
        wide = bottom <= 0 and top >= count + 1 + max(finest, _WIDEST)
        return Magnitudes(math.ldexp(1.0, top), math.ldexp(1.0, 0 if wide else bottom))
    low = 0 if bottom <= 0 and top >= between else bottom
    return Magnitudes(*(math.ldexp(1.0, low + power) for power in (between, 0, count)))


def _absorbs(accumulation: Accumulation) -> bool:
    """Whether big + 1 is big and -big + 1 is -big."""
    how = accumulation
    # ones that a fused addition cuts off never come to the rounding
    cut = how.order is Order.FUSED and how.entry is not Entry.LATE and how.join is Join.CHAINED
    return (cut or how.rounding in _ABSORBING) and how.psum_rounding in _ABSORBING


def _lowest(fmt: FloatFormat, accumulation: Accumulation) -> int:
    """Exponent of the smallest power of two that is neither flushed nor cut off alone."""
    if not fmt.subnormals:
        return fmt.emin + 1  # the first code of the lowest binade is zero
    flushes = accumulation.flushes_inputs or accumulation.flushes_results
    lowest = fmt.emin - (0 if flushes else fmt.mantissa_bits)
    if accumulation.fraction_bits is None:
        return lowest
    # the exponent that the grid follows is a subnormal's emin, and not below its floor
    floor = fmt.emin if accumulation.floor_exponent is None else accumulation.floor_exponent
    return max(lowest, max(fmt.emin, floor) - accumulation.fraction_bits)


class Probe:
    """The function, asked."""

    def __init__(self, function: Function, n: int, numbers: Magnitudes) -> None:
        self.function, self.n, self.numbers = function, n, numbers

    def _answer(self, x: npt.NDArray[np.float32]) -> float:
        answer = self.function(x)
        try:
            # numpy's float() of an array of one would only warn
            if getattr(answer, "ndim", 0):
                raise TypeError
            number = float(answer)
        except (TypeError, ValueError):
            raise TypeError(
                f"the function returned {' '.join(repr(answer).split()):.60}, of type"
                f" {type(answer).__name__}; needed: the sum, a number"
            ) from None
        if not math.isfinite(number):
            raise NoTree(
                f"the answer is {number} with numbers from {self.numbers.one:g} to"
                f" {self.numbers.big:g}; give a smaller big if the sum overflows"
            )
        return number

    def refuse_what_is_no_sum(self) -> None:
        one = self.numbers.one
        answer = self._answer(np.full(self.n, one, np.float32))
        if answer != self.n * one:
            raise NoTree(
                f"of {self.n} times {one:g} it makes {answer:g}, not {self.n * one:g}: no plain sum"
                " of its array, or one that flushes subnormals, or does not hold these counts"
            )

    def survivors(self, i: int, j: int, ones: Sequence[bool] | None = None) -> int:
        """How many ones the answer counts, with +big at i and -big at j; `ones` are all others."""
        big, one, spacing = self.numbers
        x = np.full(self.n, one, np.float32)
        if ones is not None:
            x[~np.array(ones)] = 0
        x[i], x[j] = big, -big
        answer = self._answer(x)
        left = answer if spacing is None else answer % spacing
        count = round(left / one)
        if count * one != left or not 0 <= count <= self.n - 2:
            raise NoTree(
                f"with {big:g} at {i} and {-big:g} at {j} the answer is {answer:g}, no count of the"
                f" {self.n - 2} others: {big:g} + {one:g} is not {big:g} there (a rounding that is"
                " not to nearest needs `spacing`), or it is no plain sum"
            )
        return count

    def lost(self, i: int, j: int) -> int:
        return self.n - self.survivors(i, j)
