"""In which ways another cast differs from ours: each kind is a rule that foretells its answer.

What an answer should have been is asked of the second opinion, so that a fault of our kernels is
never explained by itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from halfulp.dtypes import FloatFormat, Overflow, Rounding
from tests.dtypes.opinion import Array, convert, encode_by_spacing, values_of

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Differing:
    """Inputs with the two codes that they became: the same place in each array."""

    fmt: FloatFormat
    overflow: Overflow
    x: Array
    ours: npt.NDArray[np.int64]
    theirs: npt.NDArray[np.int64]

    @cached_property
    def wide(self) -> npt.NDArray[np.float64]:
        return convert(self.x, np.float64)

    @cached_property
    def single(self) -> npt.NDArray[np.float64]:
        """By way of float32."""
        return convert(convert(self.x, np.float32), np.float64)

    @cached_property
    def our_values(self) -> npt.NDArray[np.float64]:
        return values_of(self.ours, self.fmt)

    @cached_property
    def their_values(self) -> npt.NDArray[np.float64]:
        return values_of(self.theirs % (1 << self.fmt.bits), self.fmt)

    @cached_property
    def saturated(self) -> Mask:
        """Where they give the largest value with the sign of an input that is past it."""
        same_sign = np.signbit(self.their_values) == np.signbit(self.wide)
        is_largest = np.abs(self.their_values) == self.fmt.max
        return is_largest & same_sign & (np.abs(self.wide) > self.fmt.max)

    def became(self, x: npt.NDArray[np.float64]) -> Mask:
        """Where their code is what exact rounding makes of x; never for NaN."""
        return (self.theirs == self.due(x)) & ~np.isnan(x)

    def due(self, x: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        code = encode_by_spacing(x, self.fmt, Rounding.NEAREST_EVEN, self.overflow)
        return np.where(code == -1, 0, code)  # NaN where there is none, as asked of our casts


def _both_nan(d: Differing) -> Mask:
    return np.isnan(d.our_values) & np.isnan(d.their_values)


def _nan_of_its_sign(d: Differing) -> Mask:
    negative = np.signbit(d.wide) & (d.theirs == (d.ours | d.fmt.sign_code))
    return _both_nan(d) & negative


def _is_negative_scale(d: Differing) -> Mask:
    return np.signbit(d.wide) & (not d.fmt.signed)


def _subnormal_went_up(d: Differing) -> Mask:
    """A float32 subnormal between the two smallest scales gives the upper one, however near."""
    low, high, size = d.fmt.tiny, 2 * d.fmt.tiny, np.abs(d.single)
    between = (size > low) & (size < high) & (high <= np.finfo(np.float32).tiny)
    return between & (not d.fmt.signed) & (d.theirs == d.due(np.full(d.x.shape, high)))


def _is_no_code(d: Differing) -> Mask:
    return (d.theirs < 0) | (d.theirs >= 1 << d.fmt.bits)


def _to_the_even_scale(d: Differing) -> Mask:
    """Halfway between scales ours takes the larger: there is no significand that could be even."""
    halfway = np.frexp(d.wide)[0] == 0.75
    return halfway & (not d.fmt.signed) & (d.theirs == d.ours - 1) & (d.theirs % 2 == 0)


#: The first rule that holds names the kind.
KINDS: dict[str, Callable[[Differing], Mask]] = {
    "halfulp is not exact": lambda d: d.ours != d.due(d.wide),
    "no code of the format": _is_no_code,
    "NaN with the input's sign": _nan_of_its_sign,
    "another code of NaN": _both_nan,
    "NaN becomes -0": lambda d: np.isnan(d.wide) & (d.theirs == d.fmt.sign_code),
    "rounded twice, by way of float32": lambda d: d.became(d.single),
    "a tie goes to the even code": _to_the_even_scale,
    "the largest value past it": lambda d: d.saturated & np.isfinite(d.wide),
    "the largest value for infinity": lambda d: d.saturated & np.isinf(d.wide),
    "no sign, its size is taken": lambda d: _is_negative_scale(d) & d.became(np.abs(d.wide)),
    "no sign, its size is rounded twice": lambda d: (
        _is_negative_scale(d) & d.became(np.abs(d.single))
    ),
    "no zero, the smallest value": lambda d: (d.wide == 0) & (d.theirs == 0),
    "no sign, its size goes up as a subnormal number": lambda d: (
        _is_negative_scale(d) & _subnormal_went_up(d)
    ),
    "a subnormal number goes up": _subnormal_went_up,
    "unexplained": lambda d: np.ones(d.x.shape, bool),
}


def by_kind(d: Differing) -> dict[str, Mask]:
    """Which of the differences are of each kind that there is; each is of one."""
    left = np.ones(d.x.shape, bool)
    found = {}
    for name, rule in KINDS.items():
        which = left & rule(d)
        if which.any():
            found[name] = which
        left &= ~which
    return found
