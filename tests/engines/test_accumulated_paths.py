"""Every path of `matmul` in any accumulation, taken on purpose, equals the reference by bits."""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from halfulp.dtypes import (
    BF16,
    E5M2,
    FP16,
    FP32,
    TF32,
    FloatFormat,
    Rounding,
)
from halfulp.dtypes.rounding import DETERMINISTIC
from halfulp.engines import accumulate_chains as driver
from halfulp.engines import matmul, reference_accumulation
from halfulp.engines.accumulation import Accumulation
from halfulp.engines.wide import COLUMNS, ROWS
from tests.engines.dots import (
    assert_same,
    dots,
    reference,
    spread,
    summed,
    ties,
    triples,
    way,
)  # fmt: skip

EVEN, AWAY, ZERO, UP, DOWN, ODD = (
    Rounding.NEAREST_EVEN, Rounding.NEAREST_AWAY, Rounding.TOWARD_ZERO, Rounding.TOWARD_POSITIVE,
    Rounding.TOWARD_NEGATIVE, Rounding.TO_ODD,
)  # fmt: skip
E8M4, E8M22, SHIFTED = FloatFormat(8, 4), FloatFormat(8, 22), FloatFormat(5, 10, bias=20)
E6M9, E3M20, E5M23 = FloatFormat(6, 9), FloatFormat(3, 20), FloatFormat(5, 23)

#: (accumulator, rounding, its way)
NARROW = [
    (FP32, EVEN, driver.CHAIN),
    *((fmt, EVEN, driver.EVEN) for fmt in (BF16, TF32, E8M4)),
    *((fmt, EVEN, driver.EVEN_RANGED) for fmt in (FP16, E5M2, SHIFTED, E6M9)),
    *((fmt, AWAY, driver.RANGED) for fmt in (BF16, FP16, TF32, E8M22)),
    *((fmt, ZERO, driver.RANGED) for fmt in (BF16, FP16, E5M23, E8M22)),
    *((fmt, ODD, driver.ODD_RANGED) for fmt in (BF16, FP16)),
]  # fmt: skip


@pytest.mark.parametrize(("held", "rounding", "taken"), NARROW, ids=str)
def test_chains_in_float32_are_exact(held: FloatFormat, rounding: Rounding, taken: int) -> None:
    for infinite in (True, False):
        how = summed(accumulator=held, rounding=rounding, overflows_to_infinity=infinite)
        a, b, c = triples(held, coarse=True, count=400)
        assert way(how, a, b, held) == taken
        found = dots(a, b, c, how, held)
        assert np.isinf(found).any() and np.isnan(found).any()
        assert {0, 1 << 31} <= set(found.view(np.uint32).tolist())
        assert ((found != 0) & (np.abs(found) < held.tiny)).any()
    dots(*ties(held), how, held)


@pytest.mark.parametrize(("held", "rounding"), [case[:2] for case in NARROW], ids=str)
def test_a_block_asks_every_row_and_column_what_is_not_ordinary(
    held: FloatFormat, rounding: Rounding
) -> None:
    how = summed(accumulator=held, rounding=rounding)
    given: dict[str, Any] = {"accumulation": how, "a_format": held}
    beyond = held.tiny * (1 + held.eps), 3 * held.smallest_subnormal, held.max
    for odd, factor in itertools.product(beyond, (0.625, 2.0)):
        pair = np.array([[odd], [1]], np.float32)
        own, other = reference(pair, np.full((2, 1), factor, np.float32), None, how, held)
        for count, turned in ((ROWS, False), (COLUMNS, True)):
            # a block for each place, in which it alone is odd
            here = np.eye(count, dtype=bool)[..., None]
            one = np.where(here, np.float32(odd), np.float32(1))
            all_alike = np.full((1, COLUMNS), factor, np.float32)
            if turned:
                found = matmul(all_alike[:, :ROWS].T, one.swapaxes(1, 2), **given).swapaxes(1, 2)
            else:
                found = matmul(one, all_alike, **given)
            assert_same(found, np.broadcast_to(np.where(here, own, other), found.shape))


@pytest.mark.parametrize("rounding", DETERMINISTIC)
@pytest.mark.parametrize("held", [FP32, FP16, E3M20], ids=str)
def test_chains_in_float64_are_exact(held: FloatFormat, rounding: Rounding) -> None:
    products = summed(accumulator=held, rounding=rounding, rounds_products=True)
    tree = summed("pairwise", accumulator=held, rounding=rounding, entry="late")
    one = summed("exact", accumulator=held, rounding=rounding)
    for how in (products, tree, one):
        dots(*triples(held, count=150), how, held)
        dots(*ties(held), how, held)
    flushed = replace(products, flushes_inputs=True, flushes_results=True, rounds_products=False)
    finite = replace(flushed, overflows_to_infinity=False, flushes_inputs=False)
    for how in (flushed, finite):
        a, b, c = triples(held, count=250)
        found = dots(a, b, c, how, held)
        assert not ((found != 0) & (np.abs(found) < held.tiny)).any()


@pytest.mark.parametrize("extra", [1, 2])
@pytest.mark.parametrize("held", [FP32, FP16, BF16], ids=str)
def test_an_accumulator_of_wider_range_comes_back_from_beyond(
    held: FloatFormat, extra: int
) -> None:
    most, least = held.max, held.smallest_subnormal
    for rounding, order in itertools.product((EVEN, UP, ODD), ("sequential", "pairwise")):
        how = summed(
            order, accumulator=held, rounding=rounding, entry="end", extra_exponent_bits=extra,
            block=1 if order == "sequential" else None,
        )  # fmt: skip
        a = [[most, most, -most, -most], [least, least, -least, least], [most, least, most, most],
             [least, -least, 1.5 * least, least], [most, most, most, -most]]  # fmt: skip
        b = [[1, 1, 1, 1], [0.5, 0.25, 0.25, 0.5], [1, 1, -1, 1], [0.5, 1, 0.25, 0.5], [2, 2, 1, 2]]
        found = dots(a, b, None, how, held)
        assert found[0] == 0
        dots(*triples(held, count=150), how, held)


def test_products_below_float32_are_told_in_float64() -> None:
    for held in (BF16, TF32, E8M22):
        how = summed(accumulator=held)
        a, b, c = triples(held, count=600)
        assert way(how, a, b, held) == driver.WIDE
        dots(a, b, c, how, held)
        # above float32's smallest number, but for the last places
        fine = np.array([[2.0**-70 * (1 + held.eps)]], np.float32)
        assert way(how, fine, fine, held) == driver.WIDE
        dots(fine, fine, None, how, held)


def test_products_rounded_apart_are_float32s_own() -> None:
    how = summed(rounds_products=True)
    a, b, c = triples(FP32)
    assert way(how, a, b, FP32) == driver.CHAIN_ROUNDED
    dots(a, b, c, how)
    dots(*ties(FP32), how)


FUSED = [
    {"fraction_bits": bits, "cut": cut, "entry": entry, "block": block, "floor_exponent": floor}
    for bits, cut, entry, block, floor in (
        *itertools.product((0, 3, 25), (ZERO, DOWN, EVEN), ("block", "late"), (4,), (None, 2)),
        *itertools.product((24,), (ZERO, DOWN, EVEN), ("block", "end"), (None, 1), (-30,)),
        (40, ZERO, "block", 16, None), (40, DOWN, "late", 3, 100), (40, EVEN, "block", 2, -300),
    )
]  # fmt: skip


@pytest.mark.parametrize("fields", FUSED, ids=lambda fields: "-".join(map(str, fields.values())))
def test_aligned_sums_are_exact(fields: dict[str, Any]) -> None:
    for held, rounding in ((FP32, ZERO), (FP16, EVEN)):
        how = summed("fused", accumulator=held, rounding=rounding, **fields)
        a, b = (spread((30, 7), FP16, reach, seed) for reach, seed in ((9, 1), (6, 2)))
        a[:3, :4] = 0  # a block of zeros
        a[3:6] *= np.float32(FP16.smallest_subnormal)  # whose exponent is the smallest normal's
        dots(a, b, spread((30,), held, 12, 3), how, FP16)
        dots(a, b, None, how, FP16)


WILD = [
    summed("fused", block=4, fraction_bits=10),
    summed("fused", block=4, fraction_bits=10, cut=DOWN, entry="late"),
    summed("fused", block=4, fraction_bits=10, cut=EVEN, entry="end", floor_exponent=0),
    summed("exact", block=4),
    summed("exact", block=None, entry="late"),
    summed("pairwise", block=None),
    summed(accumulator=BF16),
    summed(accumulator=TF32, rounding=ZERO),
    summed(),
    summed(rounding=UP, nan="operand"),
    summed("fused", block=3, fraction_bits=25, nan="all_ones"),
]


@pytest.mark.parametrize(
    "how", WILD, ids=lambda how: f"{how.order}-{how.cut}-{how.entry}-{how.nan}"
)
def test_what_is_not_finite_stays_in_its_lane(how: Accumulation) -> None:
    a, b = spread((8, 9), BF16, 9, 1), spread((9, 16), BF16, 9, 2)
    c = spread((8, 16), BF16, 9, 3)
    a[1, 4], a[2, 8], b[0, 3], b[5, 9], b[8, 15] = np.inf, np.nan, -np.inf, np.inf, np.nan
    b[2, 12] = np.nan  # and later a's
    a[3, 0], c[4, 4], c[5, 5], c[6, 9] = 0, np.inf, -np.inf, np.nan
    a.view(np.uint32)[2, 8], c.view(np.uint32)[6, 9] = 0xFF812345, 0x7F891234
    found = matmul(a, b, c, accumulation=how, a_format=BF16)
    wanted = reference_accumulation.matmul(a, b, c, how, BF16, BF16)
    assert_same(found, wanted)
    assert 20 < np.isfinite(found).sum() < 128 - 20


def exact_rows() -> list[list[tuple[float, float]]]:
    """Sums that no float64 holds, as products."""
    big, low = (2.0**125, 2.0**125), (2.0**-149, 2.0**-149)
    one = (1.0, 1.0)
    full = 2.0 - 2.0**-23
    rows = [
        [big, low],  # 2^-298 beside 2^250
        [big, low, (-(2.0**125), 2.0**125)],  # which alone is left
        [big, (-(2.0**125), 2.0**125)],
        [big, (-(2.0**125), 2.0**125), low, (2.0**-149, -(2.0**-149))],
        [(2.0**40, 2.0**40), (-1.0, 2.0**-100)],  # a borrow over all digits between
        [(2.0**40, 2.0**40), (-1.0, 2.0**-100), (-(2.0**40), 2.0**40), (1.0, 2.0**-100)],
        [(full * 2.0**60, full * 2.0**60), (full * 2.0**-60, full * 2.0**-60)],
        [(full * 2.0**30, full * 2.0**30)] * 5 + [(full * 2.0**-64, full)] * 4,  # carries
        [(1.0, 2.0**16)] + [(full, 2.0**-8)] * 3 + [(2.0**-120, 1.0)],  # a tie, and what is below
        [(1 + 2.0**-12, 1 + 2.0**-12), (2.0**-100, 1.0)],
        [(1 + 2.0**-12, 1 + 2.0**-12), (-(2.0**-100), 1.0)],
        [one, (2.0**-24, 1.0), (2.0**-140, 2.0**-140)],
        [one, (2.0**-24, 1.0), (-(2.0**-140), 2.0**-140)],
        [one, (-(2.0**-25), 1.0), (2.0**-140, 2.0**-140)],
        [(2.0**-149, 0.5), (2.0**-149, 2.0**-149)],  # half of the smallest number
        [(2.0**-149, 0.5), (-(2.0**-149), 2.0**-149)],
        [(2.0**127, 2.0), (-(2.0**127), 2.0**-24), (-(2.0**-149), 2.0**-100)],  # about the largest
        [(2.0**64, 2.0**64), (-1.0, 2.0**-60), (2.0**-120, -1.0)],
        [(2.0**127, 2.0**127)] * 8 + [(-(2.0**-149), 2.0**-149)],
        *([(2.0**k, 1.0), (2.0 ** (k - 70), 1.0), (-(2.0 ** (k - 110)), 2.0**-3)]
          for k in range(-40, 40, 7)),
    ]  # fmt: skip
    return rows + [[(-x, y) for x, y in row] for row in rows]


@pytest.mark.parametrize("rounding", DETERMINISTIC)
def test_exact_sums_that_no_float64_holds(rounding: Rounding) -> None:
    rows = exact_rows()
    most = max(map(len, rows))
    a, b = np.array([[*row, *[(0.0, 1.0)] * (most - len(row))] for row in rows], np.float32).T
    for entry in ("block", "late"):
        how = summed("exact", block=None, entry=entry, rounding=rounding)
        for c in (-0.0, -(2.0**-149), 2.0**127):
            dots(a.T, b.T, np.full(len(rows), c), how)
