"""Dot products by `matmul` beside the reference: each by itself, and in every place of a block.

By itself an output stands beside zeros, and what is not ordinary in one lane sends all of them the
slow way: only a block full of ordinary sums goes the quick one.
"""

from itertools import combinations_with_replacement, product
from typing import Any

import numpy as np
import numpy.typing as npt

from halfulp.dtypes import FP32, FloatFormat, Format, round_to
from halfulp.engines import matmul, reference_accumulation
from halfulp.engines.accumulation import Accumulation
from halfulp.engines.wide import COLUMNS, ROWS
from halfulp.engines.wide_operands import extremes, factors
from halfulp.engines.wide_parameters import narrow_way

Array = npt.NDArray[Any]


def summed(*order: Any, **fields: Any) -> Accumulation:
    """An accumulation whose choices may be given by their names."""
    return Accumulation(*order, **fields)


def bits(x: Array) -> Array:
    """Integers as they are, float32 by their bits."""
    return x.view(np.uint32) if x.dtype == np.float32 else x


def reference(
    a: Any, b: Any, c: Any, how: Accumulation, fmt: Format, b_format: Format | None = None,
    out: FloatFormat = FP32,
) -> Array:  # fmt: skip
    """n dot products: a (n, K), b (n, K), c (n,) or None; (n,)."""
    starts = [None] * len(a) if c is None else np.asarray(c)[:, None, None]
    rows = zip(a[:, None], b[..., None], starts, strict=True)
    formats = fmt, fmt if b_format is None else b_format
    found = [
        reference_accumulation.matmul(row, column, start, how, *formats, out_format=out)
        for row, column, start in rows
    ]
    return np.concatenate(found).ravel()


def dots(
    a: Any, b: Any, c: Any, how: Accumulation, fmt: Format = FP32, b_format: Format | None = None,
    out: FloatFormat = FP32,
) -> Array:  # fmt: skip
    """The same; asserts that the kernel gives these bits, whatever stands beside an output."""
    integral = not isinstance(fmt, FloatFormat)
    a, b = (np.array(x, np.float32) for x in (a, b))
    c = None if c is None else np.array(c, np.int64 if integral else np.float32)
    wanted = reference(a, b, c, how, fmt, b_format, out)
    formats: dict[str, Any] = {"a_format": fmt, "b_format": b_format, "out_format": out}
    start = None if c is None else c[:, None, None]
    alone = matmul(a[:, None], b[..., None], start, accumulation=how, **formats)
    assert_same(alone, wanted[:, None, None], a, b, c)
    rows, columns = np.repeat(a[:, None], ROWS, 1), np.repeat(b[..., None], COLUMNS, 2)
    block = matmul(rows, columns, start, accumulation=how, **formats)
    assert_same(block, np.broadcast_to(wanted[:, None, None], block.shape), a, b, c)
    return wanted


def assert_same(found: Array, wanted: Array, *given: Array | None) -> None:
    """Of the first difference the message has what was given."""
    assert found.dtype == wanted.dtype and found.shape == wanted.shape
    wrong = np.argwhere(bits(found) != bits(wanted))
    if len(wrong):
        place = tuple(wrong[0])
        terms = [None if x is None else x[place[0]].tolist() for x in given]
        raise AssertionError(
            f"{len(wrong)} differ, first {place}: {found[place]!r}, not {wanted[place]!r}: {terms}"
        )


def way(how: Accumulation, a: Array, b: Array, fmt: FloatFormat) -> int:
    """The way of these chains, one of those of `halfulp.engines.accumulate`."""
    products = factors(extremes(a), fmt).times(factors(extremes(b), fmt))
    return narrow_way(how, products).way


def landmarks(fmt: FloatFormat, least: float) -> list[float]:
    """Numbers of a format where sums of it are decided, from `least` on: ones and their neighbors,
    factors of ties, the ends of the range."""
    m = fmt.mantissa_bits
    low, unit = (m + 1) // 2, 2.0**-m
    near = [1.0, 1 + unit, 2 - unit, 1 + 2.0**-low, 1 + 2.0 ** (low - m - 1), unit / 2, 2.0**-m]
    near += [unit * (1 + unit), unit / 2 * (1 + unit), 2.0**-30, 2.0**-31 * (1 + unit)]
    tiny, small = fmt.tiny, fmt.smallest_subnormal
    ends = [small, tiny - small, tiny, tiny + small, fmt.max, fmt.max / 2, fmt.max * unit / 4]
    found = np.unique(np.array(near + ends, np.float32))
    return found[(found >= least) & (round_to(found, fmt) == found)].tolist()


def triples(fmt: FloatFormat, coarse: bool = False, count: int = 700) -> tuple[Array, Array, Array]:
    """Some factors (n, 1) and accumulators (n,), the same at each call; `coarse`: every product is
    a whole multiple of float32's smallest number, which the quick ways need."""
    numbers = landmarks(fmt, 2.0**-149)
    factors = landmarks(fmt, 2.0 ** (fmt.mantissa_bits - 74) if coarse else 2.0**-149)
    wild = [0.0, -0.0, np.inf, np.nan]
    own = [*numbers, *(-x for x in numbers), *wild, -np.inf]
    tame = [*combinations_with_replacement(factors, 2)]
    rows = [(x, y, total) for (x, y), total in product(tame, own)]
    chosen = [rows[i] for i in np.random.default_rng(5).permutation(len(rows))[:count]]
    chosen += product([-1.0], [*factors[:3], *wild], own[:3] + own[-6:])
    a, b, c = np.array(chosen, np.float32).T
    return a[:, None], b[:, None], c


def ties(fmt: FloatFormat) -> tuple[Array, Array, Array]:
    """Factors (n, 1) and accumulators (n,) whose sums are ties, or all but that: what lies far
    below the tie is the accumulator, or the product."""
    m, unit = fmt.mantissa_bits, 2.0**-fmt.mantissa_bits
    low = (m + 1) // 2
    tie = 1 + 2.0**-low, 1 + 2.0 ** (low - m - 1)
    tiny = [x for x in (fmt.smallest_subnormal, 2.0**-40) if x < unit / 4]
    below = [0.0, *tiny, *(-x for x in tiny), unit, -unit]
    rows = [(sign * tie[0], tie[1], total) for sign in (1, -1) for total in below]
    small = [1.0, 1 + unit, 1 - unit / 2]
    for sign, part, total in product((1, -1), small, (1, -1, 1 + unit, -1 - unit, 2 - unit)):
        rows.append((sign * unit / 2, part, total))
    a, b, c = np.array(rows, np.float32).T
    return a[:, None], b[:, None], c


def spread(shape: tuple[int, ...], fmt: FloatFormat, reach: int, seed: int = 0) -> Any:
    """Random numbers of a format over binades about one, some zeros."""
    random = np.random.default_rng([seed, *shape])
    x = random.choice([-1.0, 1.0], shape) * (1 + random.integers(0, 8, shape) / 8)
    x = np.ldexp(x, random.integers(max(-reach, fmt.emin), min(reach, fmt.emax), shape))
    return np.where(random.random(shape) < 0.1, 0, x).astype(np.float32)
