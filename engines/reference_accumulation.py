"""Dot products by any `Accumulation`, with fractions: slow, to be read aloud, the kernels' judge.

It shares the facts of formats and accumulations with the kernels, and no code.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import reduce
from math import isnan
from typing import Any

import numpy as np
import numpy.typing as npt

from halfulp.dtypes import FP32, FloatFormat, Format, Rounding
from halfulp.dtypes.reference import round_exact
from halfulp.dtypes.reference_rounding import exponent
from halfulp.engines.accumulation import (
    Accumulation,
    Checked,
    Entry,
    IntegerAccumulator,
    Join,
    NanRule,
    Order,
    Wrap,
)
from halfulp.engines.reference_sums import (
    CANONICAL,
    Exact,
    Operand,
    aligned_sum,
    draw,
    exact,
    operand,
    plus,
    round_to_span,
    span,
    times,
)

Array = npt.NDArray[Any]
Pair = tuple[Operand, Operand]

_QUIET, _MADE = 0x00400000, 0xFFC00000


def tiles(pairs: Sequence[Pair], how: Accumulation) -> Iterator[Sequence[Pair]]:
    size = how.tile or max(len(pairs), 1)
    return (pairs[start : start + size] for start in range(0, len(pairs), size))


def chains(tile: Sequence[Pair], how: Accumulation) -> list[list[Pair]]:
    """Those that have products, in the order in which they are taken."""
    found: list[list[Pair]] = [[] for _ in range(how.chains)]
    for k, pair in enumerate(tile):
        found[k // how.run % how.chains].append(pair)
    return [chain for chain in (reversed(found) if how.descending else found) if chain]


class _Output:
    """One output: how many numbers were rounded into its accumulator so far."""

    def __init__(self, how: Accumulation, number: int) -> None:
        assert isinstance(how.accumulator, FloatFormat)
        self.how, self.number, self.roundings = how, number, 0
        self.inside = span(how.accumulator, how.extra_exponent_bits)
        self.outside = span(how.outside)

    def rounded(self, x: Exact) -> float:
        """x in the accumulator's format."""
        stochastic = self.how.rounding is Rounding.STOCHASTIC
        noise = draw(self.how, self.number, self.roundings) if stochastic else None
        self.roundings += 1
        return round_to_span(x, self.inside, self.how.rounding, self.how, noise)

    def add(self, x: float, y: float) -> float:
        return self.rounded(plus(exact(x), exact(y)))

    def tree(self, leaf: Callable[[int], float], numbers: range) -> float:
        """Neighbours added, level by level; the last of an odd number passes on.

        Two are added as soon as both are there: the draws are numbered so.
        """
        if len(numbers) == 1:
            return leaf(numbers[0])
        full = 1 << (len(numbers) - 1).bit_length() - 1  # the first branch of a level has no gap
        left = self.tree(leaf, numbers[:full])
        return self.add(left, self.tree(leaf, numbers[full:]))

    def block(self, pairs: Sequence[Pair], total: float) -> float:
        how = self.how
        if how.order is Order.SEQUENTIAL:
            ((a, b),) = pairs
            product = exact(self.rounded(times(a, b))) if how.rounds_products else times(a, b)
            return self.rounded(plus(product, exact(total)))
        if how.order is Order.PAIRWISE:
            root = self.tree(lambda k: self.rounded(times(*pairs[k])), range(len(pairs)))
            return self.add(total, root)
        terms = [(times(a, b), a.exponent + b.exponent) for a, b in pairs]
        if how.entry is Entry.LATE:
            return self.add(total, self.rounded(aligned_sum(terms, how)))
        return self.rounded(aligned_sum([*terms, self._term(total)], how))

    def _term(self, total: float) -> tuple[Exact, int]:
        x = exact(total)
        power = exponent(abs(x)) if isinstance(x, Fraction) else self.inside.emin
        return x, max(power, self.inside.emin)

    def chain(self, pairs: Sequence[Pair], total: float) -> float:
        size = self.how.block or len(pairs)
        for start in range(0, len(pairs), size):
            total = self.block(pairs[start : start + size], total)
        return total

    def tile(self, pairs: Sequence[Pair], total: float) -> float:
        found = chains(pairs, self.how)
        if self.how.join is Join.CHAINED:
            for chain in found:
                total = self.chain(chain, total)
            return total
        if self.how.join is Join.SEQUENTIAL:
            return reduce(self.add, (self.chain(chain, 0.0) for chain in found))
        return self.tree(lambda number: self.chain(found[number], 0.0), range(len(found)))

    def total(self, pairs: Sequence[Pair], c: float | None) -> float:
        for tile in tiles(pairs, self.how):
            if self.how.entry is Entry.END:
                x = exact(self.tile(tile, 0.0))
                entered = x if c is None else plus(exact(c), x)
                c = round_to_span(entered, self.outside, self.how.psum_rounding, self.how)
            else:
                c = self.tile(tile, 0.0 if c is None else c)
        return 0.0 if c is None else c


def integer_total(pairs: Sequence[Pair], c: int, how: Accumulation) -> int:
    """The sum of integers, checked when `how` says and once more at the end."""
    held = how.accumulator
    assert isinstance(held, IntegerAccumulator)
    for tile in tiles(pairs, how):
        for a, b in tile:
            c += int(a.number) * int(b.number)
            c = _held(c, held) if held.checked is Checked.STEP else c
        c = _held(c, held) if held.checked is Checked.TILE else c
    return _held(c, held)


def _held(x: int, held: IntegerAccumulator) -> int:
    if held.overflow is Wrap.SATURATE:
        return min(max(x, held.min), held.max)
    return (x - held.min) % 2**held.bits + held.min


def _code(x: float) -> int:
    return int.from_bytes(struct.pack("<f", x), "little")


def _nan_code(pairs: Sequence[Pair], c: Operand | None, how: Accumulation) -> int:
    """Bits of the NaN that x86 gives: the latest among the operands, or one that a step made."""
    nans = [c.code] if c is not None and isnan(c.number) else []
    for tile in tiles(pairs, how):
        for a, b in (pair for chain in chains(tile, how) for pair in chain):
            nans += [x.code for x in (a, b) if isnan(x.number)][:1]
    return nans[-1] if nans else _MADE


def result_code(total: float, nan_code: int, how: Accumulation, fmt: FloatFormat) -> int:
    """Float32 bits of the result; the payload of a NaN has the places of the format."""
    rounded = round_exact(total, fmt, nan="zero")
    if not isnan(rounded):
        return _code(rounded)
    if how.nan is NanRule.CANONICAL:
        return CANONICAL
    below = (1 << (23 - fmt.mantissa_bits)) - 1
    code = 0x7FFFFFFF if how.nan is NanRule.ALL_ONES else nan_code
    return code & ~below | _QUIET


def dot_code(
    pairs: Sequence[Pair], c: Operand | None, how: Accumulation, fmt: FloatFormat, output: int
) -> int:
    """Float32 bits of one output."""
    total = _Output(how, output).total(pairs, None if c is None else float(c.number))
    return result_code(total, _nan_code(pairs, c, how), how, fmt)


def dot(
    row: Sequence[float],
    column: Sequence[float],
    c: float | None,
    accumulation: Accumulation,
    a_format: Format,
    b_format: Format,
    *,
    out_format: FloatFormat = FP32,
    output: int = 0,
) -> float:
    """Output number `output`, of any numbers; with an integer accumulator an int.

    row, column   K numbers each, rounded to their formats, nearest even; an integer format
                  saturates, and a NaN becomes 0 where there is none
    c             the accumulator input, rounded to the format that the accumulator has outside,
                  by the accumulation's `input_rounding`

    Raises ValueError for formats that the accumulator does not hold.
    """
    how = accumulation
    left, right = (
        _operands([(x, CANONICAL) for x in numbers], fmt, how)
        for numbers, fmt in ((row, a_format), (column, b_format))
    )
    pairs = list(zip(left, right, strict=True))
    if isinstance(how.accumulator, IntegerAccumulator):
        return integer_total(pairs, int(c or 0), how)
    start = (
        None
        if c is None
        else operand(c, CANONICAL, how.outside, how.flushes_inputs, how.input_rounding)
    )
    return _number(dot_code(pairs, start, how, out_format, output))


def matmul(
    a: Array,
    b: Array,
    c: Array | None,
    accumulation: Accumulation,
    a_format: Format,
    b_format: Format,
    *,
    out_format: FloatFormat = FP32,
    output: int = 0,
) -> Array:
    """a (M, K) times b (K, N), both float32, as `dot` has it; the first output is number `output`.

    c   (M, N) or what broadcasts to it: float32; integers for an integer accumulator

    float32, the bits of NaN too; with an integer accumulator int32, or int64 above 32 bits.
    """
    how, shape = accumulation, (a.shape[0], b.shape[1])
    left = [_operands(_bits_of(row), a_format, how) for row in a]
    right = [_operands(_bits_of(column), b_format, how) for column in b.T]
    each = [list(zip(row, column, strict=True)) for row in left for column in right]
    if isinstance(how.accumulator, IntegerAccumulator):
        starts = np.broadcast_to(0 if c is None else c, shape).ravel().tolist()
        totals = [integer_total(*one, how) for one in zip(each, starts, strict=True)]
        dtype = np.int32 if how.accumulator.bits <= 32 else np.int64
        return np.array(totals, dtype).reshape(shape)
    inputs: list[Operand | None] = [None] * len(each)
    if c is not None:
        wide = np.broadcast_to(c, shape).ravel()
        inputs = [
            operand(x, code, how.outside, how.flushes_inputs, how.input_rounding)
            for x, code in _bits_of(wide)
        ]
    codes = [
        dot_code(pairs, start, how, out_format, number)
        for number, (pairs, start) in enumerate(zip(each, inputs, strict=True), output)
    ]
    return np.array(codes, np.uint32).reshape(shape).view(np.float32)


def _bits_of(x: Array) -> list[tuple[float, int]]:
    """Float32 numbers with their bits: a Python float need not keep those of a NaN."""
    assert x.dtype == np.float32
    return list(zip(x.tolist(), x.view(np.uint32).tolist(), strict=True))


def _operands(x: list[tuple[float, int]], fmt: Format, how: Accumulation) -> list[Operand]:
    how.check_operand(fmt)
    return [operand(number, code, fmt, how.flushes_inputs) for number, code in x]


def _number(code: int) -> float:
    (number,) = struct.unpack("<f", code.to_bytes(4, "little"))
    return float(number)
