"""Any accumulation in blocks of every size, in every order, of operands of every layout."""

import itertools
import math
from collections.abc import Callable
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
    INT16,
    TF32,
    FloatFormat,
    IntFormat,
    Rounding,
)
from halfulp.engines import matmul, reference_accumulation
from halfulp.engines.accumulation import (
    Accumulation,
    Checked,
    Entry,
    IntegerAccumulator,
    Join,
    Order,
    Wrap,
)
from tests.engines.dots import Array, assert_same, spread, summed

ZERO = Rounding.TOWARD_ZERO


@pytest.mark.parametrize("entry", ["late", "end"])
def test_trees_of_every_count(entry: str) -> None:
    for count, block in itertools.product((1, 2, 3, 5, 6, 7, 9, 13, 16, 17, 31), (5, 8, None)):
        how = summed("pairwise", block=block, entry=entry, accumulator=E4M3)
        a, b = spread((3, count), E4M3, 3, 1), spread((count, 5), E4M3, 3, 2)
        found = matmul(a, b, accumulation=how, a_format=E4M3)
        assert_same(found, reference_accumulation.matmul(a, b, None, how, E4M3, E4M3))


@pytest.mark.parametrize("join", Join)
@pytest.mark.parametrize("order", Order)
def test_chains_meet_as_declared(order: Order, join: Join) -> None:
    shapes = itertools.product((1, 2, 3, 5, 8), (1, 3), (None, 1, 2), (False, True))
    for chains, run, tiles, descending in shapes:
        how = summed(
            order, block=1 if order is Order.SEQUENTIAL else 2, entry=Entry.END, join=join,
            chains=chains, run=run, tile=None if tiles is None else tiles * chains * run,
            descending=descending, fraction_bits=4 if order is Order.FUSED else None,
            accumulator=BF16, psum=None if chains == 3 else TF32, psum_rounding=ZERO,
        )  # fmt: skip
        a, b = spread((2, 19), BF16, 4, 1), spread((19, 3), BF16, 4, 2)
        c = spread((2, 3), BF16, 4, 3) if run == 3 else None
        found = matmul(a, b, c, accumulation=how, a_format=BF16)
        assert_same(found, reference_accumulation.matmul(a, b, c, how, BF16, BF16))


def held_by(total: int, held: IntegerAccumulator) -> int:
    if held.overflow is Wrap.SATURATE:
        return min(max(total, held.min), held.max)
    return (total - held.min) % (held.max - held.min + 1) + held.min


def plain_sum(row: list[int], column: list[int], total: int, how: Accumulation) -> int:
    """A dot product by Python's integers."""
    held = how.accumulator
    assert isinstance(held, IntegerAccumulator)
    for k, (x, y) in enumerate(zip(row, column, strict=True), 1):
        total += x * y
        ends = k == len(row) or (how.tile is not None and k % how.tile == 0)
        if held.checked is Checked.STEP or (held.checked is Checked.TILE and ends):
            total = held_by(total, held)
    return held_by(total, held)


@pytest.mark.parametrize("bits", [8, 16, 18, 24, 32, 48, 63, 64])
@pytest.mark.parametrize("overflow", Wrap)
@pytest.mark.parametrize("checked", Checked)
def test_integer_accumulators_meet_their_limits(
    bits: int, overflow: Wrap, checked: Checked
) -> None:
    held = IntegerAccumulator(bits, overflow=overflow, checked=checked)
    fmt: IntFormat = INT8 if bits < 16 else INT16
    random = np.random.default_rng(bits)
    a, b = (random.integers(fmt.min, fmt.max, shape, endpoint=True) for shape in ((9, 7), (7, 17)))
    a[0], b[:, 0], b[:, 1] = fmt.min, fmt.min, fmt.max
    beside = random.integers(0, 100, (9, 17))
    near = np.where(random.random((9, 17)) < 0.5, held.min + beside, held.max - beside)
    for tile, c in itertools.product((None, 1, 3), (near, None)):
        how = summed(tile=tile, accumulator=held)
        found = matmul(a, b, c, accumulation=how, a_format=fmt)
        starts = np.zeros((9, 17), np.int64) if c is None else c
        wanted = [
            plain_sum(row, b[:, j].tolist(), int(starts[i, j]), how)
            for i, row in enumerate(a.tolist())
            for j in range(17)
        ]
        assert found.dtype == (np.int32 if bits <= 32 else np.int64)
        assert found.ravel().tolist() == wanted
    assert not np.array_equal(found, a @ b) or bits > 32


#: One of each family: (accumulation, the operands' format).
FAMILIES = [
    pytest.param(summed(), FP32, id="float32"),
    pytest.param(summed(accumulator=BF16), BF16, id="bfloat16"),
    pytest.param(summed(accumulator=FP16, rounding=ZERO), FP16, id="cut float16"),
    pytest.param(summed(tile=16, entry="end", extra_exponent_bits=1), FP16, id="wider range"),
    pytest.param(summed("pairwise", block=8), FP16, id="tree"),
    pytest.param(summed("fused", block=8, fraction_bits=24, rounding=ZERO), FP16, id="fused"),
    pytest.param(summed("exact", block=32, accumulator=BF16), BF16, id="exact"),
    pytest.param(
        summed(rounding="stochastic", accumulator=BF16, random_bits=8), BF16, id="stochastic"
    ),
    pytest.param(summed(rounding="stochastic", random_bits=20), FP16, id="many random bits"),
    pytest.param(summed(accumulator=IntegerAccumulator(18)), INT8, id="integers"),
]
families = pytest.mark.parametrize(("how", "fmt"), FAMILIES)


def given(fmt: Any, shape: tuple[int, ...], seed: int) -> Array:
    x = spread(shape, FP16, 3, seed)
    return np.rint(x * 8) if isinstance(fmt, IntFormat) else x


def wanted(how: Accumulation, fmt: Any, a: Array, b: Array, c: Array | None = None) -> Array:
    """Of a batch; the number of an output is its place in the whole."""
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    shape = (*batch, a.shape[-2], b.shape[-1])
    count = math.prod(batch)
    left, right = (
        np.broadcast_to(x, (*batch, *x.shape[-2:])).reshape(count, *x.shape[-2:]) for x in (a, b)
    )
    starts = None if c is None else np.broadcast_to(c, shape).reshape(count, *shape[-2:])
    found = [
        reference_accumulation.matmul(
            left[i], right[i], None if starts is None else starts[i], how, fmt, fmt,
            output=i * shape[-2] * shape[-1],
        )
        for i in range(count)
    ]  # fmt: skip
    return np.stack(found).reshape(shape)


@families
@pytest.mark.parametrize("depth", [0, 1, 127, 128, 129])
def test_every_size_of_a_block(how: Accumulation, fmt: Any, depth: int) -> None:
    a, b = given(fmt, (9, depth), 1), given(fmt, (depth, 33), 2)
    few = (slice(None),) * 2 if depth < 2 else (slice(None, None, 4), slice(None, None, 8))
    stochastic = how.rounding is Rounding.STOCHASTIC
    whole = None if stochastic else wanted(how, fmt, a[few[0]], b[:, few[1]])
    for rows, columns in itertools.product((1, 4, 7, 8, 9), (1, 15, 16, 17, 33)):
        found = matmul(a[:rows], b[:, :columns], accumulation=how, a_format=fmt)
        assert found.shape == (rows, columns)
        if whole is not None:
            some = found[few]
            assert_same(some, whole[: some.shape[0], : some.shape[1]])
        elif depth == 127 and rows * columns in (9, 15, 8 * 17):  # its noise has their numbers
            assert_same(found, wanted(how, fmt, a[:rows], b[:, :columns]))


def strided(x: Array) -> Array:
    wide = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)
    wide[..., ::2] = x
    return wide[..., ::2]


def read_only(x: Array) -> Array:
    x = x.copy()
    x.flags.writeable = False
    return x


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "transposed": lambda x: np.ascontiguousarray(x.swapaxes(-1, -2)).swapaxes(-1, -2),
    "strided": strided,
    "backward": lambda x: np.ascontiguousarray(x[..., ::-1, ::-1])[..., ::-1, ::-1],
    "read-only": read_only,
    "float64": lambda x: x.astype(np.float64),
    "float16": lambda x: x.astype(np.float16),
}


@families
def test_every_layout_and_batch(how: Accumulation, fmt: Any) -> None:
    shapes = [((2, 1, 3, 5), (2, 5, 4)), ((3, 5), (2, 5, 4)), ((2, 3, 5), (5, 4)), ((1, 5), (5, 1))]
    inputs: list[tuple[int, ...] | None] = [None, (), (1,), (4,), (3, 1), (2, 1, 1), (2, 3, 4)]
    for (left, right), shape in itertools.product(shapes, inputs):
        a, b = given(fmt, left, 1), given(fmt, right, 2)
        result = (*np.broadcast_shapes(left[:-2], right[:-2]), left[-2], right[-1])
        c = None if shape is None else given(fmt, shape, 3)
        if c is not None and isinstance(fmt, IntFormat):
            c = c.astype(np.int64)
        try:
            fits = shape is None or np.broadcast_shapes(shape, result) == result
        except ValueError:
            fits = False
        if fits:
            right_bits = wanted(how, fmt, a, b, c)
            assert_same(matmul(a, b, c, accumulation=how, a_format=fmt), right_bits)
    a, b = given(fmt, (2, 9, 5), 1), given(fmt, (2, 5, 17), 2)
    plain = matmul(a, b, accumulation=how, a_format=fmt)
    for change in LAYOUTS.values():
        before = a.copy(), b.copy()
        assert_same(matmul(change(a), change(b), accumulation=how, a_format=fmt), plain)
        assert_same(a, before[0])
        assert_same(b, before[1])
    parts = [matmul(a[i], b[i], accumulation=how, a_format=fmt) for i in (0, 1)]
    if how.rounding is not Rounding.STOCHASTIC:
        assert_same(np.stack(parts), plain)
    assert matmul(a[:0], b[:0], accumulation=how, a_format=fmt).shape == (0, 9, 17)


@pytest.mark.parametrize("out", [FP32, FP16, BF16, E5M2, E4M3], ids=str)
def test_a_result_is_rounded_to_its_format(out: FloatFormat) -> None:
    for how in (summed(), summed(accumulator=BF16), summed(nan="all_ones")):
        a, b = spread((9, 5), E4M3, 6, 1), spread((5, 17), E4M3, 6, 2)
        c = spread((9, 17), BF16, 20, 3)
        c[0, 0], c[1, 1], c[2, 2] = np.nan, np.inf, -np.inf
        found = matmul(a, b, c, accumulation=how, a_format=BF16, b_format="e4m3", out_format=out)
        assert_same(found, reference_accumulation.matmul(a, b, c, how, BF16, E4M3, out_format=out))
