"""Strategies: every kind of `Accumulation`, the operands that it takes, and small matrices.

Formats come first, then numbers beside what decides in them: ties, cancellations, subnormals, the
largest number. A case is shrunk by its fields; its matrices follow from a kind and a seed.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from halfulp.dtypes import (
    BF16,
    E2M1FN,
    E3M4,
    E4M3,
    E4M3FN,
    E5M2,
    FORMATS,
    FP16,
    FP32,
    TF32,
    FloatFormat,
    Format,
    IntFormat,
    Rounding,
)
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
from tests.engines.inputs import KINDS
from tests.strategies import CORNERS, float32_boundaries

Floats = npt.NDArray[np.float32]
Array = npt.NDArray[Any]
Random = np.random.Generator

#: Named ones; one and no place to spare, shifted ranges, a single binade, more places than range.
ACCUMULATORS: tuple[FloatFormat, ...] = (
    FP32, TF32, BF16, FP16, E5M2, E4M3, E3M4,
    FloatFormat(8, 13), FloatFormat(8, 1), FloatFormat(2, 1), FloatFormat(3, 20),
    FloatFormat(5, 23), FloatFormat(8, 10, bias=139), FloatFormat(5, 10, bias=100),
    FloatFormat(5, 10, bias=-90), FloatFormat(1, 3), FloatFormat(6, 9),
)  # fmt: skip
OPERAND_FORMATS: tuple[Format, ...] = (*FORMATS.values(), *CORNERS.values())
#: With and without subnormals, infinity and NaN.
OUT_FORMATS = (FP32, BF16, FP16, TF32, E5M2, E4M3, E4M3FN, E2M1FN)
ENTRIES = {
    Order.SEQUENTIAL: (Entry.FIRST, Entry.END),
    Order.PAIRWISE: (Entry.LATE, Entry.END),
    Order.FUSED: (Entry.BLOCK, Entry.LATE, Entry.END),
    Order.EXACT: (Entry.BLOCK, Entry.LATE, Entry.END),
}
CUTS = (Rounding.TOWARD_ZERO, Rounding.TOWARD_NEGATIVE, Rounding.NEAREST_EVEN)

_often_false = st.integers(0, 3).map(lambda n: n == 3)


@st.composite
def accumulator_formats(draw: st.DrawFn) -> FloatFormat:
    """IEEE style, with subnormals and mantissa bits."""
    if draw(st.integers(0, 3)):
        return draw(st.sampled_from(ACCUMULATORS))
    return FloatFormat(draw(st.integers(2, 8)), draw(st.integers(1, 23)))


@st.composite
def integer_accumulations(draw: st.DrawFn) -> Accumulation:
    bits = draw(st.sampled_from([8, 16, 24, 32, 48, 64]) | st.integers(8, 64))
    held = IntegerAccumulator(
        bits, overflow=draw(st.sampled_from(Wrap)), checked=draw(st.sampled_from(Checked))
    )
    return Accumulation(tile=draw(st.none() | st.integers(1, 8)), accumulator=held)


@st.composite
def float_accumulations(draw: st.DrawFn) -> Accumulation:
    order = draw(st.sampled_from(Order))
    entry = draw(st.sampled_from(ENTRIES[order]))
    sequential, end = order is Order.SEQUENTIAL, entry is Entry.END
    fused, stepwise = order is Order.FUSED, order in (Order.SEQUENTIAL, Order.PAIRWISE)
    blocks = st.none() | st.integers(1, 6) | st.sampled_from([8, 16, 32])
    chains, run = draw(st.sampled_from([1, 1, 2, 3, 4, 8])), draw(st.sampled_from([1, 1, 2, 3]))
    accumulator = draw(accumulator_formats())
    rounding = draw(st.sampled_from(Rounding))
    most = min(32, 51 - accumulator.mantissa_bits)
    return Accumulation(
        order,
        block=1 if sequential else draw(blocks),
        tile=draw(st.none() | st.integers(1, 8 if chains * run == 1 else 3).map(
            lambda n: n * chains * run
        )),
        chains=chains,
        run=run,
        descending=draw(_often_false),
        join=draw(st.sampled_from(Join)) if end else Join.CHAINED,
        entry=entry,
        rounds_products=sequential and draw(_often_false),
        fraction_bits=draw(st.integers(0, 40)) if fused else None,
        cut=draw(st.sampled_from(CUTS)),
        floor_exponent=draw(st.none() | st.integers(-160, 20)) if fused else None,
        accumulator=accumulator,
        rounding=rounding,
        seed=draw(st.sampled_from([0, 1, (1 << 64) - 1, 0x123456789ABCDEF0])),
        random_bits=draw(st.integers(1, most)),
        extra_exponent_bits=draw(st.integers(0, 2)) if stepwise and end else 0,
        psum=draw(st.none() | accumulator_formats()) if end else None,
        psum_rounding=draw(st.sampled_from([r for r in Rounding if r is not Rounding.STOCHASTIC])),
        flushes_inputs=draw(_often_false),
        flushes_results=draw(_often_false),
        overflows_to_infinity=draw(st.booleans()),
        nan=draw(st.sampled_from(NanRule)),
    )  # fmt: skip


accumulations = st.integers(0, 7).flatmap(
    lambda n: integer_accumulations() if n == 7 else float_accumulations()
)


def accepts(accumulation: Accumulation, fmt: Format) -> bool:
    try:
        accumulation.check_operand(fmt)
    except ValueError:
        return False
    return True


def operand_formats(accumulation: Accumulation) -> st.SearchStrategy[Format]:
    """Those whose values the accumulator holds: its own is always one, or int8."""
    held = accumulation.accumulator
    own: list[Format] = [held] if isinstance(held, FloatFormat) else [IntFormat(8)]
    found = [fmt for fmt in OPERAND_FORMATS if accepts(accumulation, fmt)]
    return st.sampled_from(own + found)


def _target(accumulation: Accumulation) -> FloatFormat:
    """The accumulator's format: its places and its ends are where sums are decided."""
    held = accumulation.accumulator
    return held if isinstance(held, FloatFormat) else FP32


def _ldexp(significand: Array | float, exponent: Array | int) -> Floats:
    with np.errstate(over="ignore", under="ignore"):
        return np.ldexp(significand, exponent).astype(np.float32)


def _signs(shape: tuple[int, ...], random: Random) -> Floats:
    return random.choice(np.array([-1, 1], np.float32), shape)


def grid(fmt: Format, held: FloatFormat, shape: tuple[int, ...], random: Random) -> Floats:
    """Ones, and ones in the places around the accumulator's last: ties, carries, cancellations."""
    places = np.array([0, 0, 1, held.mantissa_bits, held.mantissa_bits + 1])
    powers = -random.choice(places, shape) // random.integers(1, 3, shape)
    return _signs(shape, random) * _ldexp(1.0, powers)


def edges(fmt: Format, held: FloatFormat, shape: tuple[int, ...], random: Random) -> Floats:
    """Products around the accumulator's smallest numbers."""
    low, high = held.emin - held.mantissa_bits - 3, held.emin + 2
    # the factors share the exponent, or one of them has it all
    powers = random.integers(low, high + 1, shape) // random.choice([1, 2], shape)
    significand = random.choice(np.array([1.0, 1.0, 1.25, 1.5, 1.75, 1.9375]), shape)
    return _signs(shape, random) * _ldexp(significand, powers)


def brink(fmt: Format, held: FloatFormat, shape: tuple[int, ...], random: Random) -> Floats:
    """Products around the accumulator's largest number, which few sums pass, some to come back."""
    few = random.random(shape) * max(shape) < 2
    below = np.where(few, random.integers(-1, 2, shape), random.integers(3, 9, shape))
    powers = (held.emax - below) // random.choice([1, 2], shape)
    x = _signs(shape, random) * _ldexp(random.choice(np.array([1.0, 1.5, 1.75]), shape), powers)
    largest = np.float32(held.max) * _signs(shape, random)
    return np.where(few & (random.random(shape) < 0.3), largest, x)


def ones(fmt: Format, held: FloatFormat, shape: tuple[int, ...], random: Random) -> Floats:
    """Zeros of both signs and ones: what is left is signs of zeros."""
    return random.choice(np.array([0.0, -0.0, 0.0, -0.0, 1.0, -1.0], np.float32), shape)


def payloads(fmt: Format, held: FloatFormat, shape: tuple[int, ...], random: Random) -> Floats:
    """NaN with bits of their own, quiet and signaling, and infinities times zeros."""
    codes = random.choice(np.array([0, 1 << 31], np.uint32), shape)
    codes |= np.uint32(0x7F800000) | random.integers(1, 1 << 23, shape, dtype=np.uint32)
    x = ones(fmt, held, shape, random)
    draw = random.random(shape) * max(shape)
    x[draw < 0.2] = np.inf
    found = np.where((0.3 < draw) & (draw < 0.6), codes, x.view(np.uint32))
    return found.view(np.float32)


def neighbors(fmt: Format, held: FloatFormat, shape: tuple[int, ...], random: Random) -> Floats:
    """Values of the operand's own format, its ties, and what lies beside them."""
    if isinstance(fmt, IntFormat):
        halves = random.integers(2 * fmt.min - 3, 2 * fmt.max + 4, shape)
        return halves.astype(np.float32) * np.float32(0.5)
    return random.choice(float32_boundaries(fmt), shape)


OWN = {made.__name__: made for made in (grid, edges, brink, ones, payloads, neighbors)}
EVERY_KIND = (*KINDS, *OWN)


def matrix(kind: str, fmt: Format, held: FloatFormat, shape: tuple[int, int], seed: int) -> Floats:
    """Float32 numbers for an operand, most of them not yet in its format."""
    random = np.random.default_rng(seed)
    if kind in OWN:
        return np.ascontiguousarray(OWN[kind](fmt, held, shape, random), np.float32)
    if 0 in shape or fmt not in FORMATS.values():  # those kinds are for ranges around one
        return neighbors(fmt, held, shape, random)
    return np.ascontiguousarray(KINDS[kind](fmt, shape, random), np.float32)


@dataclass(frozen=True, eq=False)
class Case:
    """A product: a (M, K), b (K, N), c (M, N) or None, and how it is summed."""

    accumulation: Accumulation
    a_format: Format
    b_format: Format
    out_format: FloatFormat
    a: Floats
    b: Floats
    c: Array | None


def _integers(accumulation: Accumulation, shape: tuple[int, int], seed: int) -> Array:
    """Half of them beside the limits."""
    held = accumulation.accumulator
    assert isinstance(held, IntegerAccumulator)
    random = np.random.default_rng(seed)
    x = random.integers(held.min, held.max, shape, endpoint=True, dtype=np.int64)
    near = random.integers(0, min(100, held.max), shape)
    x = np.where(random.random(shape) < 0.25, held.min + near, x)
    return np.where(random.random(shape) < 0.25, held.max - near, x)


@st.composite
def cases(
    draw: st.DrawFn, given: st.SearchStrategy[Accumulation] = accumulations, most: int = 20
) -> Case:
    """K from 0 to `most`, rarely 129 to 131; M and N from 1 to 4, rarely 0."""
    accumulation = draw(given)
    formats = operand_formats(accumulation)
    a_format, b_format = draw(formats), draw(formats)
    sides = st.integers(1, 4) | st.sampled_from([1, 2, 3, 4, 0])
    rows, columns = draw(sides), draw(sides)
    long = most >= 20 and draw(st.integers(0, 24)) == 24
    depth = draw(st.integers(129, 131)) if long else draw(st.integers(0, most))
    kinds, seeds = st.sampled_from(EVERY_KIND), st.integers(0, 1 << 16)
    held, kind = _target(accumulation), draw(kinds)
    a = matrix(kind, a_format, held, (rows, depth), draw(seeds))
    other = draw(kinds) if draw(_often_false) else kind
    b = matrix(other, b_format, held, (depth, columns), draw(seeds))
    c: Array | None = None
    if draw(st.booleans()):
        shape, seed = (rows, columns), draw(seeds)
        if isinstance(accumulation.accumulator, IntegerAccumulator):
            c = _integers(accumulation, shape, seed)
        else:
            c = matrix(draw(kinds), accumulation.outside, held, shape, seed)
    out = draw(st.just(FP32) | st.sampled_from(OUT_FORMATS))
    return Case(accumulation, a_format, b_format, out, a, b, c)
