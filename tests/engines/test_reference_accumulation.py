"""The judge of dot products is judged: sums worked by hand, numpy, Python's integers."""

import itertools
from math import inf
from typing import Any

import numpy as np
import pytest

from halfulp.dtypes import (
    BF16,
    E4M3,
    E5M2,
    FP16,
    FP32,
    INT8,
    UINT8,
    FloatFormat,
    Format,
)
from halfulp.engines import reference
from halfulp.engines.accumulation import (
    SYSTOLIC,
    Accumulation,
    Checked,
    IntegerAccumulator,
    Order,
    Wrap,
)
from halfulp.engines.reference_accumulation import dot, matmul
from tests.engines.inputs import KINDS, operands
from tests.engines.opinion import bits
from tests.engines.small_sums import EACH_ORDER, END, SMALL, exactly, fused, how, same, total


# 1.125 is a tie, 1 its even neighbour: an eighth is lost after a one, kept before it
@pytest.mark.parametrize(
    ("accumulation", "products", "wanted"),
    [
        (how(), (1, 0.125, 0.125), 1.0),
        (how(), (0.125, 0.125, 1), 1.25),
        (exactly(), (1, 0.125, 0.125), 1.25),
        (exactly(block=2), (1, 0.125, 0.125), 1.0),
        (exactly(block=2), (0.125, 0.125, 1), 1.25),
        (exactly(), (1, 0.125, 0.125, 0.125), 1.5),
        (how("pairwise", block=None), (1, 0.125, 0.125, 0.125), 1.25),
        (how("pairwise", block=None), (1, 0.125, 0.125), 1.0),
        (how("pairwise", block=None), (0.125, 0.125, 1), 1.25),
        # the fifth passes two levels: ((0.25 + 0.25) + 0.75) rather than 0.75 with a neighbour
        (how("pairwise", block=None), (0.125, 0.125, 0.125, 0.125, 0.75), 1.25),
        (how("pairwise", block=None), (1, 0.125, 0.125, 0, 0.125, 0.125), 1.25),
        (how("pairwise", block=2), (1, 0.125, 0.125, 0.125), 1.25),
        (how("pairwise", block=1), (1, 0.125, 0.125, 0.125), 1.0),
    ],
)
def test_the_order_decides_what_is_lost(
    accumulation: Accumulation, products: tuple[float, ...], wanted: float
) -> None:
    assert total(accumulation, *products) == wanted


def test_a_product_is_rounded_alone_where_it_says_so() -> None:
    product = (1.25, 1.25)  # 1.5625; 1.5 alone, and 1.5 + 0.125 is a tie
    assert total(how(), product, c=0.125) == 1.75
    assert total(how(rounds_products=True), product, c=0.125) == 1.5
    assert total(how("pairwise", block=1), product, c=0.125) == 1.5


@pytest.mark.parametrize(
    ("accumulation", "products", "c", "wanted"),
    [
        (fused(2), (1, 0.125, 0.125), None, 1.0),
        (fused(3), (1, 0.125, 0.125), None, 1.25),
        (fused(2, cut="nearest_even"), (1, 0.125, 0.125), None, 1.0),
        (fused(2, cut="nearest_even"), (1, 0.1875, 0.1875), None, 1.5),
        (fused(2), (1, 0.1875, 0.1875), None, 1.0),
        (fused(2), (1, -0.0625), None, 1.0),
        (fused(2, cut="toward_negative"), (1, -0.0625), None, 0.75),
        (fused(2, cut="toward_negative"), (1, 0.1875), None, 1.0),
        # the exponent of 1.5 x 1.5 = 2.25 is 0, so a quarter stays
        (fused(2), ((1.5, 1.5), (0.5, 0.5)), None, 2.5),
        # that of a subnormal is the smallest normal number's, and that of c its own
        (fused(1), (2.0**-16,), None, 0.0),
        (fused(2), (2.0**-16,), None, 2.0**-16),
        (fused(2, rounding="toward_positive"), (0.5,), 4.0, 4.0),
        (fused(3, rounding="toward_positive"), (0.5,), 4.0, 5.0),
        (fused(1), ((2.0**-10, 2.0**-10),), 2.0**-16, 0.0),
        # a zero has no exponent, whatever its other factor
        (fused(2), ((57344.0, 0.0), 0.125), None, 0.125),
        (fused(2, floor_exponent=0), (0.125,), None, 0.0),
        (fused(2, floor_exponent=-1), (0.125,), None, 0.125),
        (fused(2, floor_exponent=-1), (1, 0.125, 0.125), None, 1.0),
        (fused(0), (1.75, -0.5), None, 1.0),
        # the grid is the block's own
        (fused(2, block=2), (1, 0.125, 0.125, 0.125), None, 1.0),
        (fused(2, block=2, entry="late"), (1, 0.125, 0.125, 0.125), None, 1.25),
    ],
)  # fmt: skip
def test_fused_terms_are_cut_to_one_grid(
    accumulation: Accumulation, products: tuple[Any, ...], c: float | None, wanted: float
) -> None:
    assert same(total(accumulation, *products, c=c), wanted)


@pytest.mark.parametrize(
    ("accumulation", "products", "c", "wanted"),
    [
        (how(), (0.125, 0.125), 1.0, 1.0),
        (exactly(), (0.125, 0.125), 1.0, 1.25),
        (exactly(), (1, 0.125), 0.125, 1.25),
        (exactly(entry="late"), (1, 0.125), 0.125, 1.0),
        (how(entry=END), (0.125, 0.125), 1.0, 1.25),
        (how(entry=END, tile=1), (0.125, 0.125), 1.0, 1.0),
        (how(entry=END, tile=1), (1, 0.125), None, 1.0),
        (how(entry=END, tile=1, psum_rounding="toward_positive"), (1, 0.125), None, 1.25),
        (how(entry=END, tile=1, rounding="toward_positive"), (1, 0.125), None, 1.0),
        (how(entry=END, tile=1, psum=FP32), (1, 0.125), None, 1.125),
        (how(entry=END, psum=FP32), (1, 0.125), 0.0625, 1.0625),
        (exactly(entry=END, tile=2), (1, 0.125, 0.125), 0.125, 1.0),
        (fused(2, entry=END, tile=2), (1, 0.125, 0.125, 0.125), None, 1.25),
        (fused(2, tile=2), (1, 0.125, 0.125, 0.125), None, 1.0),
        (how("pairwise", block=2, entry=END), (1, 0.125, 0.125, 0.125), None, 1.25),
        # c enters once, whatever the number of tiles
        (how(entry=END, tile=1), (1, 1, 1), 1.0, 4.0),
        (how(tile=1), (1, 1, 1), 1.0, 4.0),
        # the accumulator input is rounded to nearest, past the largest number to infinity
        (how(rounding="toward_positive"), (), 1.125, 1.25),
        (how(), (), 1e6, inf),
    ],
)
def test_the_entry_decides_where_the_accumulator_comes_in(
    accumulation: Accumulation, products: tuple[float, ...], c: float | None, wanted: float
) -> None:
    assert total(accumulation, *products, c=c) == wanted


@pytest.mark.parametrize(
    ("fields", "products", "wanted"),
    [
        ({"chains": 2, "join": "sequential"}, (1, 0.125, 0, 0.125), 1.25),
        ({"chains": 2, "join": "chained"}, (1, 0.125, 0, 0.125), 1.0),
        ({"chains": 2, "join": "chained", "descending": True}, (1, 0.125, 0, 0.125), 1.25),
        ({"chains": 2, "run": 2, "join": "sequential"}, (0.125, 0.125, 1, 0), 1.25),
        ({"chains": 2, "run": 1, "join": "sequential"}, (0.125, 0.125, 1, 0), 1.0),
        ({"chains": 4, "join": "pairwise"}, (1, 0.125, 0.125, 0.125), 1.25),
        ({"chains": 4, "join": "sequential"}, (1, 0.125, 0.125, 0.125), 1.0),
        ({"chains": 4, "join": "sequential", "descending": True}, (1, 0.125, 0.125, 0.125), 1.5),
        ({"chains": 3, "join": "pairwise"}, (0.125, 0.125, 1), 1.25),
        # a chain without products has no sum; the last tile has two chains only
        (
            {"chains": 4, "tile": 4, "join": "pairwise", "descending": True},
            (1, 0.125, 0.125), 1.25,
        ),
        ({"chains": 4, "join": "pairwise", "tile": 4}, (1, 0, 0, 0, 0.125, 0.125), 1.25),
        ({"chains": 2, "run": 2, "join": "sequential", "tile": 4}, (0, 0, 0, 0, 1, 0.125), 1.0),
    ],
)  # fmt: skip
def test_the_join_decides_how_chains_meet(
    fields: dict[str, Any], products: tuple[float, ...], wanted: float
) -> None:
    assert total(how(entry=END, **fields), *products) == wanted


@pytest.mark.parametrize(
    ("rounding", "wanted"),
    [
        ("nearest_even", (1.0, 1.0, 1.25)),
        ("nearest_away", (1.0, 1.25, 1.25)),
        ("toward_zero", (1.0, 1.0, 1.0)),
        ("toward_positive", (1.25, 1.25, 1.25)),
        ("toward_negative", (1.0, 1.0, 1.0)),
        ("to_odd", (1.25, 1.25, 1.25)),
    ],
)
@pytest.mark.parametrize("form", ["sequential", "pairwise", "exact", "fused"])
def test_the_accumulator_is_rounded(form: str, rounding: str, wanted: tuple[float, ...]) -> None:
    opposite = {"toward_positive": "toward_negative", "toward_negative": "toward_positive"}
    fraction_bits = 10 if form == "fused" else None
    for rest, expected in zip((0.0625, 0.125, 0.1875), wanted, strict=True):
        up, down = (
            how(form, rounding=mode, fraction_bits=fraction_bits)
            for mode in (rounding, opposite.get(rounding, rounding))
        )
        assert total(up, rest, c=1.0) == expected
        assert total(down, -rest, c=-1.0) == -expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("formats", [(BF16, BF16), (E4M3, E5M2), (FP16, FP32)])
def test_the_systolic_sum_is_that_of_the_engines_reference(
    kind: str, formats: tuple[FloatFormat, FloatFormat]
) -> None:
    for shape in ((2, 7, 3), (1, 130, 2), (1, 257, 1), (2, 0, 1)):
        a, b = operands(kind, *formats, shape)
        left, right = (
            [[reference.cast(x, fmt) for x in row] for row in matrix.tolist()]
            for matrix, fmt in ((a, formats[0]), (b.T, formats[1]))
        )
        wanted = [[reference.systolic_sum(row, column) for column in right] for row in left]
        found = matmul(a, b, None, SYSTOLIC, *formats)
        expected = np.array(wanted, np.float32).reshape(found.shape)
        np.testing.assert_array_equal(
            bits(found), np.where(np.isnan(expected), 0x7FC00000, bits(expected))
        )


@pytest.mark.parametrize("kind", KINDS)
def test_rounded_products_and_sums_are_those_of_numpy(kind: str) -> None:
    a, b = operands(kind, FP32, FP32, (3, 9, 4))
    c = np.zeros((), np.float32)
    with np.errstate(all="ignore"):
        wanted = np.zeros((3, 4), np.float32)
        for k in range(9):
            wanted += a[:, k : k + 1] * b[k]
        products = a[:, :, None] * b
        tree = [products[:, k] for k in range(9)]
        while len(tree) > 1:
            tree = [tree[i] + tree[i + 1] for i in range(0, len(tree) - 1, 2)] + tree[
                len(tree) & ~1 :
            ]
    for accumulation, expected in (
        (Accumulation(rounds_products=True), wanted),
        (Accumulation(Order.PAIRWISE, block=None), tree[0] + c),
    ):
        found = matmul(a, b, c, accumulation, FP32, FP32)
        np.testing.assert_array_equal(
            bits(found), np.where(np.isnan(expected), 0x7FC00000, bits(expected))
        )


@pytest.mark.parametrize("bits_held", [8, 11, 32, 40])
@pytest.mark.parametrize(("overflow", "checked"), list(itertools.product(Wrap, Checked)))
def test_integers_are_those_of_python(bits_held: int, overflow: Wrap, checked: Checked) -> None:
    held = IntegerAccumulator(bits_held, overflow=overflow, checked=checked)
    one = Accumulation(tile=3, accumulator=held)
    formats: tuple[Format, Format] = (INT8, INT8) if bits_held == 8 else (UINT8, INT8)
    random = np.random.default_rng(bits_held)
    a = random.integers(0, 128, (3, 11)).astype(np.float32)
    b = random.integers(-128, 128, (11, 2)).astype(np.float32)
    c = random.integers(held.min, held.max, (3, 2), endpoint=True)
    found = matmul(a, b, c, one, *formats)
    assert found.dtype == (np.int32 if bits_held <= 32 else np.int64)

    def hold(x: int) -> int:
        if overflow is Wrap.SATURATE:
            return sorted((held.min, x, held.max))[1]
        low = x & (2**bits_held - 1)
        return low - 2**bits_held if low > held.max else low

    for i, j in np.ndindex(3, 2):
        x = int(c[i, j])
        for k in range(11):
            x += int(a[i, k]) * int(b[k, j])
            if checked is Checked.STEP or (checked is Checked.TILE and k % 3 == 2):
                x = hold(x)
        assert found[i, j] == hold(x)


def test_an_integer_sum_of_nothing_is_its_input_held() -> None:
    one = Accumulation(accumulator=IntegerAccumulator(8))
    assert dot([], [], None, one, INT8, INT8) == 0
    assert dot([], [], 300, one, INT8, INT8) == 44


def test_a_sum_of_nothing_is_the_accumulator_input() -> None:
    for one in EACH_ORDER:
        assert same(total(one), 0.0)
        assert same(total(one, c=-1.5), -1.5)
        assert matmul(
            np.zeros((0, 3), np.float32), np.zeros((3, 2), np.float32), None, one, SMALL, SMALL
        ).shape == (0, 2)
