"""Proof of stochastic rounding: what every draw of random bits makes of chosen inputs.

An input goes up for all draws from a threshold on; how many of the 2^random_bits those are is its
probability. The exact reference gives the threshold and is asked on both sides of it. That the
number is the distance from the neighbor toward zero, in ulps, cut to that many bits, is confirmed
with the fractions of the two neighbors.
"""

import dataclasses
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
import numpy.typing as npt

from halfulp.dtypes import cast, reference
from halfulp.dtypes.conversion import Conversion
from halfulp.dtypes.exhaustive import SHOWN, Progress, Verdict, Wrong, options_of, wrong_at
from halfulp.dtypes.format import FloatFormat
from halfulp.dtypes.intervals import INFINITY, NAN, SIGN, TINY, code_of, meaning, number, pattern_of
from halfulp.dtypes.random_bits import GivenBits
from halfulp.dtypes.reference import Noise
from halfulp.dtypes.rounding import Rounding, Subnormals
from halfulp.dtypes.wording import counted

#: Up to here every draw is made; of 32 bits the draws beside the threshold and some others.
ENUMERATED_BITS, MOST_BITS = 16, 32
_OTHER_DRAWS = 58
#: Values of a format beside which inputs lie: all, or so many of them.
_CHOSEN = 128
_AT_ONCE = 1 << 20  # pairs of an input and a draw
Array = npt.NDArray[Any]


class UnconfirmedProbability(ArithmeticError):
    """The reference goes up for another number of draws than the fractions say."""


@dataclass(frozen=True)
class Lot:
    """An input, what it becomes below and from the threshold on, and for how many draws of 2^32."""

    pattern: int
    low: int
    high: int
    ups: int

    def threshold(self, bits: int) -> int:
        """The first draw of so many bits that goes up; 2^bits when none does."""
        return (1 << bits) - (self.ups >> (MOST_BITS - bits))


def verify_draws(
    made: Conversion,
    *,
    part: range | None = None,
    progress: Progress = lambda share: None,
) -> Verdict:
    """Judge the public casts for every draw of 1 to 16 bits, and for chosen draws of 32.

    made       a stochastic conversion to a float format; its own `random` does not matter
    part       float32 patterns; chosen inputs outside are left out
    progress   told the share of the work that is done

    The verdict counts pairs of an input and a draw.

    Raises UnconfirmedProbability when the exact opinions differ.
    """
    began = time.perf_counter()
    assert isinstance(made.fmt, FloatFormat)
    chosen = [one for one in inputs_of(made.fmt) if part is None or one in part]
    widths = (*range(1, ENUMERATED_BITS + 1), MOST_BITS)
    lots = []
    for pattern in chosen:
        lots.append(lot_of(pattern, made, widths))
        progress(len(lots) / (2 * len(chosen)))
    pairs, wrong, first = 0, 0, list[Wrong]()
    batches = [(bits, some) for bits in widths for some in _batches(lots, bits)]
    for index, (bits, some) in enumerate(batches):
        count, faults, shown = _judge(made, some, bits)
        pairs, wrong = pairs + count, wrong + faults
        first += shown[: SHOWN - len(first)]
        progress(0.5 + (index + 1) / (2 * len(batches)))
    return Verdict(pairs, wrong, tuple(first), time.perf_counter() - began)


def inputs_of(fmt: FloatFormat) -> list[int]:
    """float32 patterns: values of the format, some between each and the next, and specials."""
    every = range(fmt.max_code + 1)  # of fp32 too many for a list
    codes: Sequence[int] = every
    random = np.random.default_rng(0)
    if len(every) > _CHOSEN:
        ends = {*every[:4], *every[-4:], 1 << fmt.mantissa_bits, (1 << fmt.mantissa_bits) - 1}
        codes = sorted(ends | set(random.integers(0, len(every), _CHOSEN - len(ends)).tolist()))
    finite = INFINITY - 1
    found = {1, TINY_PATTERN - 1, TINY_PATTERN, finite, INFINITY, NAN, 0}
    for code in codes:
        low = meaning(code, fmt)
        high = meaning(code + 1, fmt) if code < fmt.max_code else min(low + (1 << 23), finite)
        gap = max(high - low, 1)
        found |= {low, low + 1, high - 1, low + int(random.integers(gap))}
        found |= {low + gap * quarter // 4 for quarter in (1, 2, 3)}
        if code == 0 and high > 2 * TINY_PATTERN:  # many binades lie between
            found |= {pattern_of(number(high) * share) for share in (0.25, 0.5, 0.75)}
    return sorted(found | {SIGN + one for one in found})


TINY_PATTERN = pattern_of(TINY)


def lot_of(pattern: int, made: Conversion, widths: tuple[int, ...]) -> Lot:
    """The input's two results and its probability, confirmed for each number of random bits."""

    def ask(draw: int, bits: int = MOST_BITS) -> int:
        return reference.nearest_code(
            number(pattern), made.fmt, made.rounding, made.overflow,
            subnormals=made.subnormals, source_tiny=TINY, nan=made.nan, noise=Noise(draw, bits),
        )  # fmt: skip

    stays, goes = 0, (1 << MOST_BITS) - 1
    low, high = ask(stays), ask(goes)
    while low != high and goes - stays > 1:
        middle = (stays + goes) // 2
        stays, goes = (stays, middle) if ask(middle) != low else (middle, goes)
    lot = Lot(pattern, low, high, 0 if low == high else (1 << MOST_BITS) - goes)
    for bits in widths:
        threshold = lot.threshold(bits)
        sides = [(threshold - 1, low)]
        sides += [(threshold, high), ((1 << bits) - 1, high)] if threshold < 1 << bits else []
        if any(ask(draw, bits) != code for draw, code in sides):
            raise UnconfirmedProbability(f"{lot} with {counted(bits, 'random bit')}: {threshold}")
    share = _share(pattern, made)
    if share is not None and lot.ups != floor(share * 2**MOST_BITS):
        raise UnconfirmedProbability(f"{lot}: the distance is {share}")
    return lot


def _share(pattern: int, made: Conversion) -> Fraction | None:
    """How far the input lies from its neighbor toward zero; None where it has not two of them.

    None also with flushed subnormals: the distance is that between the neighbors before.
    """
    if made.subnormals is not Subnormals.KEEP:
        return None
    fmt, x = made.fmt, number(pattern)
    away = Rounding.TOWARD_NEGATIVE if pattern & SIGN else Rounding.TOWARD_POSITIVE
    low, high = (
        reference.value(code_of(x, dataclasses.replace(made, rounding=rounding)), fmt)
        for rounding in (Rounding.TOWARD_ZERO, away)
    )
    size = abs(Fraction(x)) if pattern & (SIGN - 1) < INFINITY else None
    low = Fraction(0) if low is reference.Special.MINUS_ZERO else low
    if size is None or not isinstance(low, Fraction) or not isinstance(high, Fraction):
        return None
    if low == high or not abs(low) <= size < abs(high):  # clamped to the smallest scale
        return None
    return (size - abs(low)) / (abs(high) - abs(low))


def _batches(lots: list[Lot], bits: int) -> Iterator[list[Lot]]:
    draws = 1 << bits if bits <= ENUMERATED_BITS else _OTHER_DRAWS
    size = max(1, _AT_ONCE // draws)
    yield from (lots[begin : begin + size] for begin in range(0, len(lots), size))


def _draws(lots: list[Lot], bits: int) -> Array:
    """The draws of each input, a row each."""
    if bits <= ENUMERATED_BITS:
        return np.broadcast_to(np.arange(1 << bits), (len(lots), 1 << bits))
    last = (1 << bits) - 1
    thresholds = np.array([[lot.threshold(bits)] for lot in lots])
    beside = np.clip(thresholds + np.arange(-2, 2), 0, last)
    others = np.random.default_rng(1).integers(0, last, (len(lots), _OTHER_DRAWS))
    ends = np.broadcast_to([0, last], (len(lots), 2))
    return np.concatenate([beside, others, ends], axis=1)


def _judge(made: Conversion, lots: list[Lot], bits: int) -> tuple[int, int, list[Wrong]]:
    """Pairs of an input and a draw, how many are wrong, and some of these."""
    draws = _draws(lots, bits)
    patterns = np.array([[lot.pattern] for lot in lots], np.uint32)
    goes_up = draws >= np.array([[lot.threshold(bits)] for lot in lots])
    codes_of = np.array([[lot.low, lot.high] for lot in lots])
    bits_of = np.array([[meaning(code, made.fmt) for code in both] for both in codes_of.tolist()])
    wanted_codes = np.where(goes_up, codes_of[:, 1:], codes_of[:, :1])
    wanted_bits = np.where(goes_up, bits_of[:, 1:], bits_of[:, :1])
    x = np.repeat(patterns.view(np.float32), draws.shape[1], axis=1)
    options = options_of(dataclasses.replace(made, random=GivenBits(draws, bits)))
    codes = cast.encode(x, made.fmt, **options)
    values = cast.round_to(x, made.fmt, **options).view(np.uint32)
    wrong = (codes != wanted_codes) | (values != wanted_bits)
    found = (codes, wanted_codes, values, wanted_bits)
    shown = []
    for row, column in np.argwhere(wrong)[:SHOWN].tolist():
        draw = f" with draw {draws[row, column]} of {counted(bits, 'bit')}"
        shown.append(wrong_at(lots[row].pattern, (row, column), found, draw))
    return draws.size, int(np.count_nonzero(wrong)), shown
