"""LayerNorm and softmax equal the exact reference, bit for bit."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from halfulp.dtypes import BF16, FP16, FP32, FloatFormat
from halfulp.dtypes.threads import get_num_threads, set_num_threads
from halfulp.engines import NEURONCORE_V2, Activation, Ledger, recording, reference_rows
from tests.engines import opinion
from tests.engines.inputs import Floats, mixed
from tests.engines.opinion import numbers, same
from tests.strategies import layouts

vector, scalar = NEURONCORE_V2.vector, NEURONCORE_V2.scalar
#: Around the sixteen rows and columns that are turned at once, and the 512 of bn_stats.
SHAPES = [
    (1, 1),
    (3, 2),
    (5, 15),
    (16, 16),
    (17, 17),
    (33, 64),
    (4, 511),
    (2, 513),
    (2, 1025),
    (1, 1537),
]


def near(shape: tuple[int, ...], seed: int = 0) -> Floats:
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def steep(shape: tuple[int, ...], seed: int = 0) -> Floats:
    """Exponents from 2^-20 to 2^20: every order of additions gives another sum."""
    random = np.random.default_rng([seed, *shape])
    return (near(shape, seed) * 2.0 ** random.integers(-20, 21, shape)).astype(np.float32)


def faint(shape: tuple[int, ...], seed: int = 0) -> Floats:
    """Squares are subnormal or zero."""
    return (near(shape, seed) * 2.0**-72).astype(np.float32)


def huge(shape: tuple[int, ...], seed: int = 0) -> Floats:
    """Sums and squares overflow."""
    return (near(shape, seed) * 2.0**62).astype(np.float32)


INPUTS: list[Callable[[tuple[int, ...], int], Floats]] = [near, steep, faint, huge, mixed]


def norm_by_reference(
    x: Floats, gamma: Floats, beta: Floats, eps: float, fmt: FloatFormat = FP32
) -> Floats:
    rows = [
        reference_rows.layernorm(row, numbers(gamma), numbers(beta), eps, fmt) for row in numbers(x)
    ]
    return np.array(rows, np.float32).reshape(x.shape)


@pytest.mark.parametrize("make", INPUTS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_layernorm_equals_the_reference(
    shape: tuple[int, int], make: Callable[[tuple[int, ...], int], Floats]
) -> None:
    x, gamma, beta = make(shape, 1), near(shape[1:], 2), near(shape[1:], 3)
    for eps, fmt in ((1e-12, FP32), (1e-5, BF16), (1e-40, FP32)):
        wanted = norm_by_reference(x, gamma, beta, eps, fmt)
        assert same(vector.layernorm(x, gamma, beta, eps, out_format=fmt), wanted), eps


def in_order(row: Floats, gamma: Floats, beta: Floats, eps: float, parts: list[Any]) -> Floats:
    """LayerNorm with groups of another choice, to show that the order can be seen."""
    found: reference_rows.Statistics = (0.0, 0.0, 0.0)
    for part in parts:
        found = reference_rows._aggregate(found, reference_rows._statistics(numbers(row[part])))
    with np.errstate(all="ignore"):
        variance = np.float32(found[2]) / np.float32(found[0])
        spread = scalar.activation(np.float32(variance + np.float32(eps)), "rsqrt")
        return ((row - np.float32(found[1])) * spread) * gamma + beta


def test_other_orders_of_layernorm_would_be_found() -> None:
    x, gamma, beta = steep((1, 1025)), near((1025,), 2), near((1025,), 3)
    got = vector.layernorm(x, gamma, beta, 1e-12)[0]
    chunks = [range(start, min(start + 512, 1025)) for start in (0, 512, 1024)]
    right = [part for chunk in chunks for part in (chunk[::2], chunk[1::2])]
    run = partial(in_order, x[0], gamma, beta, 1e-12)
    assert same(got, run([list(part) for part in right]))
    quarters = [range(start, min(start + 256, 1025)) for start in range(0, 1025, 256)]
    wrong = {
        "one pass over all": [range(1025)],
        "even and odd of all": [range(0, 1025, 2), range(1, 1025, 2)],
        "chunks without even and odd": chunks,
        "odd before even": [part for chunk in chunks for part in (chunk[1::2], chunk[::2])],
        "chunks of 256": [part for chunk in quarters for part in (chunk[::2], chunk[1::2])],
    }
    for name, parts in wrong.items():
        assert not same(got, run([list(part) for part in parts])), name


def softmax_by_reference(x: Floats, mask: Any = None, **given: Any) -> Floats:
    rows = numbers(x)
    masks = [None] * len(rows) if mask is None else np.broadcast_to(mask, x.shape).tolist()
    found = [
        reference_rows.softmax(row, mask=one, **given) for row, one in zip(rows, masks, strict=True)
    ]
    return np.array(found, np.float32).reshape(x.shape)


@pytest.mark.parametrize("make", INPUTS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("shape", SHAPES[::2], ids=str)
def test_softmax_equals_the_reference(
    shape: tuple[int, int], make: Callable[[tuple[int, ...], int], Floats]
) -> None:
    x = make(shape, 4)
    if shape[1] <= 64:
        for given in ({"scale": 0.125}, {"scores_format": BF16, "scale": 3.0}):
            assert same(vector.softmax(x, **given), softmax_by_reference(x, **given)), given
        got = vector.softmax(x, out_format=FP16)
        assert same(got, softmax_by_reference(x, fmt=FP16))
    assert same(vector.softmax(x), softmax_by_reference(x))


@pytest.mark.parametrize("lowest", [-np.inf, float(np.finfo(np.float32).min), -10000.0])
def test_additive_masks(lowest: float) -> None:
    x = near((12, 40), 5)
    blocked = np.random.default_rng(1).random((12, 40)) < 0.4
    blocked[3] = True
    mask = np.where(blocked, np.float32(lowest), np.float32(0))
    wanted = softmax_by_reference(x, mask, scale=0.3)
    assert same(vector.softmax(x, mask=mask, scale=0.3), wanted)
    # all -infinity: no share for anyone; all the same lowest number: shares by score
    assert np.all(wanted[3] == 0) if lowest == -np.inf else np.all(wanted[3] >= 0)
    padding = mask[0]
    assert same(vector.softmax(x, mask=padding), softmax_by_reference(x, padding))


def test_masks_of_booleans() -> None:
    x = near((12, 40), 6)
    allowed = np.random.default_rng(2).random((12, 40)) < 0.6
    allowed[3] = False
    got = vector.softmax(x, mask=allowed)
    assert same(got, softmax_by_reference(x, allowed))
    assert np.all(got[3] == 0) and np.all(got[~allowed] == 0)
    assert same(vector.softmax(torch.from_numpy(x), mask=torch.from_numpy(allowed)).numpy(), got)


def test_what_is_masked_by_a_boolean_takes_no_part_even_if_it_is_no_number() -> None:
    x = near((3, 20), 7)
    allowed = np.ones((3, 20), bool)
    allowed[:, 5] = False
    wanted = vector.softmax(x, mask=allowed)
    for number in (np.nan, np.inf, -np.inf):
        x[:, 5] = number
        assert same(vector.softmax(x, mask=allowed), wanted)


@pytest.mark.parametrize(
    "mask_shape",
    [(7,), (1, 7), (5, 7), (5, 1), (1, 1), (2, 1, 1, 7), (2, 1, 5, 7), (3, 5, 7), (1, 3, 1, 7)],
)
@pytest.mark.parametrize("boolean", [False, True])
def test_masks_broadcast_to_the_scores(mask_shape: tuple[int, ...], boolean: bool) -> None:
    x = near((2, 3, 5, 7), 8)
    mask: Any = near(mask_shape, 9)
    if boolean:
        mask = mask > 0
    whole = np.ascontiguousarray(np.broadcast_to(mask, x.shape))
    wanted = softmax_by_reference(x.reshape(-1, 7), whole.reshape(-1, 7)).reshape(x.shape)
    assert same(vector.softmax(x, mask=mask), wanted)
    assert same(vector.softmax(x, mask=whole[..., ::-1][..., ::-1]), wanted)


def test_rows_that_hold_no_number() -> None:
    x = near((6, 37), 10)
    x[0], x[1, 3], x[2, 0], x[3, 36] = -np.inf, np.nan, np.inf, -np.inf
    x[4] = -np.inf
    x[4, 7] = np.nan
    got = vector.softmax(x)
    assert same(got, softmax_by_reference(x))
    assert np.all(got[0] == 0)
    assert np.all(np.isnan(got[[1, 2, 4]]))
    assert got[3, 36] == 0 and np.all(np.isfinite(got[5]))


def test_rows_in_any_memory_and_shape() -> None:
    x, gamma, beta = near((20, 37), 11), near((37,), 12), near((37,), 13)
    for name, view in layouts(x):
        if view.shape == x.shape:
            plain = np.ascontiguousarray(view, np.float32)
            assert same(vector.softmax(view), vector.softmax(plain)), name
            normed = vector.layernorm(plain, gamma, beta, 1e-5)
            assert same(vector.layernorm(view, gamma, beta, 1e-5), normed), name
    assert same(vector.softmax(x[0]), vector.softmax(x)[0])
    wanted = vector.layernorm(x, gamma, beta, 1e-5)
    got = vector.layernorm(x.reshape(2, 5, 2, 37), gamma[::-1][::-1], beta, 1e-5)
    assert same(got, wanted.reshape(2, 5, 2, 37))
    for shape in ((0, 7), (3, 0), (2, 0, 5)):
        assert vector.softmax(near(shape)).shape == shape
        assert vector.layernorm(near(shape), near(shape[-1:]), near(shape[-1:]), 1.0).shape == shape


def test_threads_change_no_row() -> None:
    x, gamma, beta = steep((500, 130)), near((130,), 1), near((130,), 2)
    before, results = get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            set_num_threads(threads)
            results.append(vector.softmax(x, mask=gamma, scale=0.5))
            results.append(vector.layernorm(x, gamma, beta, 1e-12))
    finally:
        set_num_threads(before)
    assert all(same(results[0], one) for one in results[::2])
    assert all(same(results[1], one) for one in results[1::2])


def test_functions_inside_rows_are_those_of_the_scalar_engine() -> None:
    x = near((3, 64), 3)
    with np.errstate(all="ignore"):
        shifted = x - x.max(axis=1, keepdims=True)
    powers = scalar.activation(shifted, Activation.EXP)
    total = vector.tensor_reduce(powers, "add", keepdims=True)
    shares = vector.tensor_tensor(powers, vector.reciprocal(total), "multiply", out_format=BF16)
    assert same(vector.softmax(x, out_format=BF16), shares)
    assert same(opinion.cast(shares, BF16), shares)


@pytest.mark.parametrize("rows", [1, 15, 16, 17, 40])
def test_rows_without_any_score_are_counted(rows: int) -> None:
    x = np.random.default_rng(1).normal(size=(rows, 21)).astype(np.float32)
    x[::3] = -np.inf
    x[0, 4] = np.nan  # no masked row, though every number of it is -inf
    with recording(Ledger()) as ledger:
        y = vector.softmax(x)
        vector.softmax(np.zeros((rows, 5)), mask=np.arange(5) > 9)
    first, second = ledger.records
    assert first.masked_rows == len(x[::3]) - 1 and second.masked_rows == rows
    assert (y[3::3] == 0).all() and np.isnan(y[0]).all()
    assert ledger.totals()["masked_rows"] == first.masked_rows + rows
