"""The checks can fail: wrong arrays, planted on purpose, are all found by the tests' inputs."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pytest

from halfulp.dtypes import BF16, FP32, INT8, TF32, FloatFormat, Format, decode, encode
from halfulp.engines import NEURONCORE_V2
from tests.engines import opinion
from tests.engines.inputs import KINDS, SHAPES, Floats, operands
from tests.engines.opinion import (
    PASSES,
    Join,
    bits,
    four_passes,
    fused,
    plus,
    psum,
    same,
    single,
    systolic,
    tile_sum,
    tiles,
)

#: cast operands (M, K) and (K, N) -> what is in the accumulator
Rule = Callable[[Floats, Floats], Floats]


def product_rounded(a: Floats, b: Floats, c: Floats) -> Floats:
    with np.errstate(all="ignore"):
        return single(a * b + c)


def truncated(a: Floats, b: Floats, c: Floats) -> Floats:
    """Toward zero in place of to nearest."""
    nearest = fused(a, b, c)
    with np.errstate(all="ignore"):
        exact = a.astype(np.float64) * b + c
        beyond = np.abs(nearest.astype(np.float64)) > np.abs(exact)
        return np.where(beyond, np.nextafter(nearest, np.float32(0)), nearest)


def flushed(a: Floats, b: Floats, c: Floats) -> Floats:
    """Subnormal results become zero."""
    result = fused(a, b, c)
    return np.where(np.abs(result) < 2.0**-126, result * np.float32(0), result)


def one_chain(a: Floats, b: Floats) -> Floats:
    return tile_sum(a, b)


def descending(a: Floats, b: Floats) -> Floats:
    return systolic(a[:, ::-1], b[::-1])


def descending_within_tiles(a: Floats, b: Floats) -> Floats:
    order = [k for t in tiles(a.shape[1]) for k in range(t.stop - 1, t.start - 1, -1)]
    return systolic(a[:, order], b[order])


def two_chains(a: Floats, b: Floats) -> Floats:
    entries = []
    for t in tiles(a.shape[1]):
        chains = [tile_sum(a[:, t][:, i::2], b[t][i::2]) for i in (0, 1)]
        entries.append(plus(*chains))
    return psum(entries)


def pairwise(a: Floats, b: Floats) -> Floats:
    def tree(parts: Sequence[Floats]) -> Floats:
        if len(parts) == 1:
            return parts[0]
        middle = len(parts) // 2
        return plus(tree(parts[:middle]), tree(parts[middle:]))

    with np.errstate(all="ignore"):
        products = [single(a[:, k, None] * b[None, k]) for k in range(a.shape[1])]
    return psum([tree(products[t]) for t in tiles(a.shape[1])])


def accumulator_not_rounded(a: Floats, b: Floats) -> Floats:
    with np.errstate(all="ignore"):
        total = sum(tile_sum(a[:, t], b[t]).astype(np.float64) for t in tiles(a.shape[1]))
    return single(np.asarray(total))


def tiles_from_behind(a: Floats, b: Floats) -> Floats:
    return psum([tile_sum(a[:, t], b[t]) for t in list(tiles(a.shape[1]))[::-1]])


def accumulator_begins_at_zero(a: Floats, b: Floats) -> Floats:
    return plus(np.zeros(1, np.float32), systolic(a, b))


def joined_toward_zero(a: Floats, b: Floats) -> Floats:
    return truncated(a, np.float32(1) + np.zeros_like(a), b)


FAULTS: dict[str, Rule] = {
    "tiles of 64": partial(systolic, size=64),
    "tiles of 256": partial(systolic, size=256),
    "tiles of 127": partial(systolic, size=127),
    "product rounded": partial(systolic, step=product_rounded),
    "truncation in the array": partial(systolic, step=truncated),
    "subnormals flushed": partial(systolic, step=flushed),
    "truncation in the accumulator": partial(systolic, join=joined_toward_zero),
    "one chain over all tiles": one_chain,
    "descending rows": descending,
    "descending rows within tiles": descending_within_tiles,
    "two chains": two_chains,
    "pairwise": pairwise,
    "accumulator not rounded": accumulator_not_rounded,
    "tiles from behind": tiles_from_behind,
    "accumulator begins at +0": accumulator_begins_at_zero,
}


def all_of_a_pass_first(a: Floats, b: Floats) -> Floats:
    left, right = opinion.halves(a), opinion.halves(b)
    return psum(
        [tile_sum(left[i][:, t], right[j][t]) for i, j in PASSES for t in tiles(a.shape[1])]
    )


def passes_added_before(a: Floats, b: Floats, join: Join = plus) -> Floats:
    return psum([four_passes(a[:, t], b[t]) for t in tiles(a.shape[1])], join)


def rounded_halves(a: Floats, b: Floats) -> Floats:
    """High parts rounded to nearest in place of cut."""
    parts = []
    for x in (a, b):
        with np.errstate(all="ignore"):
            high = single((x * np.float32(4097)) - (x * np.float32(4096)))
            parts.append((high, single(x - high)))
    return psum(
        [tile_sum(parts[0][i][:, t], parts[1][j][t]) for t in tiles(a.shape[1]) for i, j in PASSES]
    )


FAULTS_OF_FOUR: dict[str, Rule] = {
    "one pass": systolic,
    "three passes": partial(four_passes, passes=PASSES[:3]),
    "lo x hi before hi x lo": partial(four_passes, passes=[PASSES[i] for i in (0, 2, 1, 3)]),
    "small passes first": partial(four_passes, passes=PASSES[::-1]),
    "tiles of 64": partial(four_passes, size=64),
    "truncation in the array": partial(four_passes, step=truncated),
    "truncation in the accumulator": partial(four_passes, join=joined_toward_zero),
    "all of a pass first": all_of_a_pass_first,
    "the passes of a tile are added before": passes_added_before,
    "halves rounded to nearest": rounded_halves,
}


def check(fmt: Format, product: Callable[[Floats, Floats], Floats]) -> None:
    """What test_matmul.py asserts of a kernel, until the first difference."""
    for kind in KINDS:
        for shape in SHAPES:
            if shape[1] == 0 or shape[0] * shape[1] * shape[2] > 200_000:
                continue
            a, b = operands(kind, fmt, fmt, shape)
            assert same(product(a, b), opinion.matmul(a, b, fmt, fmt)), (kind, shape)


def wrong_array(rule: Rule, fmt: Format) -> Callable[[Floats, Floats], Floats]:
    return lambda a, b: single(rule(opinion.cast(a, fmt), opinion.cast(b, fmt)))


def test_the_right_kernels_pass_the_check() -> None:
    for fmt in (BF16, FP32):
        check(fmt, partial(NEURONCORE_V2.tensor.matmul, a_format=fmt))


@pytest.mark.parametrize("name", FAULTS)
def test_a_wrong_sum_is_found(name: str) -> None:
    for fmt in (BF16, TF32):
        with pytest.raises(AssertionError):
            check(fmt, wrong_array(FAULTS[name], fmt))


@pytest.mark.parametrize("name", FAULTS_OF_FOUR)
def test_a_wrong_sum_of_four_passes_is_found(name: str) -> None:
    with pytest.raises(AssertionError):
        check(FP32, wrong_array(FAULTS_OF_FOUR[name], FP32))


def test_a_saturating_integer_sum_is_found() -> None:
    a, b = np.full((1, 2**17), -128, np.float32), np.full((2**17, 1), -128, np.float32)
    whole = a.astype(np.int64) @ b.astype(np.int64)
    saturated = np.clip(whole, -(2**31), 2**31 - 1).astype(np.int32)
    assert not same(saturated, opinion.matmul(a, b, INT8, INT8))
    assert same(NEURONCORE_V2.tensor.matmul(a, b, a_format=INT8), opinion.matmul(a, b, INT8, INT8))


def test_operands_that_are_not_cast_or_cast_twice_are_found() -> None:
    for name in ("e4m3", "e3m4", "fp16"):
        fmt = FloatFormat.parse(name)
        with pytest.raises(AssertionError):
            check(fmt, lambda a, b: single(systolic(a, b)))

        def twice(a: Floats, b: Floats, fmt: Format = fmt) -> Floats:
            through = [decode(encode(x, BF16), BF16) for x in (a, b)]
            return single(systolic(*(opinion.cast(x, fmt) for x in through)))

        with pytest.raises(AssertionError):
            check(fmt, twice)


def test_a_nan_of_another_code_and_a_zero_of_another_sign_are_found() -> None:
    a, b = operands("special", BF16, BF16, (9, 129, 33))
    right = opinion.matmul(a, b, BF16, BF16)
    other = right.copy()
    other[np.isnan(right)] = -other[np.isnan(right)]
    assert not same(other, right)
    zero = np.zeros((1, 1), np.float32)
    assert not same(-zero, zero) and np.array_equal(bits(zero), bits(zero.copy()))
