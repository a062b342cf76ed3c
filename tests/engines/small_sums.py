"""Sums that are worked by hand: numbers of three bits, where a rounding is plain to see."""

from math import copysign, isnan
from typing import Any

from halfulp.dtypes import E5M2
from halfulp.engines.accumulation import Accumulation, Entry, Join, Order
from halfulp.engines.reference_accumulation import dot

END = Entry.END
#: 1, 1.25, 1.5, 1.75, 2, 2.5 ... 57344; normal from 2^-14, subnormal from 2^-16.
SMALL = E5M2


def how(order: str = "sequential", **fields: Any) -> Accumulation:
    return Accumulation(Order(order), **({"accumulator": SMALL} | fields))


def exactly(**fields: Any) -> Accumulation:
    return how("exact", **({"block": None} | fields))


def fused(fraction_bits: int, **fields: Any) -> Accumulation:
    return how("fused", **({"fraction_bits": fraction_bits, "block": None} | fields))


def total(
    accumulation: Accumulation, *products: float | tuple[float, float], c: float | None = None
) -> float:
    """Of products, each a number (times one) or two factors."""
    pairs = [one if isinstance(one, tuple) else (one, 1.0) for one in products]
    row, column = [a for a, _ in pairs], [b for _, b in pairs]
    return dot(row, column, c, accumulation, SMALL, SMALL)


def same(x: float, y: float) -> bool:
    """Equal, zeros with their sign; NaN is NaN."""
    return (isnan(x) and isnan(y)) or (x == y and copysign(1, x) == copysign(1, y))


EACH_ORDER = [
    how(), how(rounds_products=True), how(entry=END, tile=2), how("pairwise", block=None),
    how("pairwise", block=2, entry=END), exactly(), exactly(entry="late"), fused(8),
    fused(8, entry=END), how(entry=END, tile=4, chains=4, join=Join.PAIRWISE),
]  # fmt: skip
