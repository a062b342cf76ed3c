"""Sums in ring order: the bits of a ring simulated message by message, and what it moves."""

from collections.abc import Callable
from functools import reduce
from math import nan, prod
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from halfulp.dtypes import BF16, FORMATS, FP16, FP32, INT8, FloatFormat
from halfulp.engines import (
    NEURONCORE_V2,
    UnsupportedFormat,
    all_gather,
    all_reduce,
    reduce_scatter,
    reference,
    reference_collectives,
    ring_traffic,
)
from halfulp.engines.reference_collectives import Ring
from tests.engines.inputs import CORNERS, Floats, mixed
from tests.engines.opinion import bits, numbers, same

FORMAT_PAIRS = [(a, out) for a in (FP32, BF16) for out in (FP32, BF16, FP16, FORMATS["e4m3"])]
#: None at all, fewer elements than ranks, odd and even counts, one to three axes.
SHAPES = [(), (0,), (3, 0), (1,), (2,), (3,), (5,), (7,), (2, 4), (3, 5), (17,), (2, 3, 4)]
#: Numbers that cancel and tie: at the last place of fp32 and of bf16, halves and quarters of it.
TYING = (
    *(2.0**24, 2.0**24 + 2, 2.0**25, 1.0, 2.0, 3.0, 0.5, 0.25, 0.75, 256.0, 258.0, 2.0**30),
    *(1 + 2.0**-8, 1 + 3 * 2.0**-8, 1 + 2.0**-9, 1 + 2.0**-8 + 2.0**-23, 2.0**-8, 2.0**-24),
    *(1 + 2.0**-23, 2.0**-25, 3 * 2.0**-149, 2.0**-133, 2.0**-134, 255.5 * 2.0**120),
)
VALUES = st.one_of(
    st.sampled_from([sign * x for x in TYING for sign in (1, -1)]),
    st.sampled_from(CORNERS),
    st.floats(width=32),
)


@st.composite
def drawn_parts(draw: st.DrawFn) -> list[Floats]:
    ranks, shape = draw(st.integers(1, 8)), draw(st.sampled_from(SHAPES))
    row = st.lists(VALUES, min_size=prod(shape), max_size=prod(shape))
    return [np.array(draw(row), np.float32).reshape(shape) for _ in range(ranks)]


def rows(parts: list[Floats]) -> list[list[float]]:
    return [numbers(part.reshape(-1)) for part in parts]


def single(ring: Ring) -> Floats:
    """What every rank has, once it is seen to be the same."""
    found = [np.array(row, np.float32) for row in ring.ranks]
    assert all(same(one, found[0]) for one in found)
    return found[0]


@given(drawn_parts(), st.sampled_from(FORMAT_PAIRS))
@example([np.array([2.0**24], np.float32), np.array([1], np.float32)], (FP32, FP32))
@example([np.array([nan], np.float32)], (BF16, FORMATS["e4m3"]))
def test_a_sum_has_the_bits_of_the_messages(
    parts: list[Floats], formats: tuple[FloatFormat, FloatFormat]
) -> None:
    inner, out = formats
    got = all_reduce(parts, accumulate_format=inner, out_format=out)
    wanted = single(reference_collectives.all_reduce(rows(parts), inner, out))
    assert same(got, wanted.reshape(parts[0].shape))
    chunks = reduce_scatter(parts, accumulate_format=inner, out_format=out)
    ends = reference_collectives.reduce_scatter(rows(parts), inner, out).ranks
    assert len(chunks) == len(ends) == len(parts)
    pairs = zip(chunks, ends, strict=True)
    assert all(same(chunk, np.array(end, np.float32)) for chunk, end in pairs)
    assert same(np.concatenate(chunks), got.reshape(-1))


@given(drawn_parts(), st.sampled_from([FP32, BF16, FP16]), st.data())
def test_gathered_parts_stand_side_by_side(
    parts: list[Floats], fmt: FloatFormat, data: Any
) -> None:
    if not parts[0].ndim:
        parts = [part.reshape(1) for part in parts]
    axis = data.draw(st.integers(-parts[0].ndim, parts[0].ndim - 1))
    got = all_gather(parts, axis=axis, out_format=fmt)
    flat = single(reference_collectives.all_gather(rows(parts), fmt))
    pieces = [piece.reshape(parts[0].shape) for piece in np.split(flat, len(parts))]
    assert same(got, np.concatenate(pieces, axis))


def summed(ranks: list[float], start: int, way: int) -> list[float]:
    """What each chunk would be that begins at rank chunk + start and goes up (1) or down (-1)."""
    found = []
    for chunk in range(len(ranks)):
        order = [(chunk + start + way * step) % len(ranks) for step in range(len(ranks))]
        found.append(reduce(reference.add, [ranks[rank] for rank in order]))
    return found


def test_the_order_is_that_of_the_ring_and_no_other() -> None:
    # 2^30 takes 1 in without a trace, -2^30 takes it out again
    ranks = [2.0**30, 1.0, 1.0, -(2.0**30)]
    got = all_reduce([np.full(4, x, np.float32) for x in ranks]).tolist()
    # chunk 0: ((1 + 1) - 2^30) + 2^30; chunk 1: ((1 - 2^30) + 2^30) + 1;
    # chunk 2: ((-2^30 + 2^30) + 1) + 1; chunk 3: ((2^30 + 1) + 1) - 2^30
    assert got == [0.0, 1.0, 2.0, 0.0]
    alike = [(k, way) for k in range(4) for way in (1, -1) if summed(ranks, k, way) == got]
    assert alike == [(1, 1)]


def test_the_first_chunks_are_the_longer_ones() -> None:
    # five elements of four ranks: 2, 1, 1, 1, so that elements 0 and 1 are of chunk 0
    parts = [np.full(5, x, np.float32) for x in (2.0**30, 1.0, 1.0, -(2.0**30))]
    assert all_reduce(parts).tolist() == [0.0, 0.0, 1.0, 2.0, 0.0]
    assert [chunk.size for chunk in reduce_scatter(parts)] == [2, 1, 1, 1]
    assert [chunk.tolist() for chunk in reduce_scatter(parts)] == [[0.0, 0.0], [1.0], [2.0], [0.0]]


def test_bf16_rounds_every_part_and_every_sum() -> None:
    # 1 + 2^-8 ties to 1, wherever it is: the start of one chunk, the end of the other
    parts = [np.full(2, 1 + 2.0**-8, np.float32), np.full(2, 2.0**-8, np.float32)]
    assert all_reduce(parts, accumulate_format="bf16").tolist() == [1.0, 1.0]
    assert all_reduce(parts).tolist() == [1 + 2.0**-7] * 2
    # fp32 would give 258
    parts = [np.full(1, x, np.float32) for x in (1.0, 256.0, 1.0)]
    assert all_reduce(parts, accumulate_format=BF16).tolist() == [256.0]
    assert all_reduce(parts, out_format=BF16).tolist() == [258.0]


def test_specials_are_those_of_an_addition() -> None:
    odd = np.array([0xFFC01234, 0x7F800001, 0x80000000, 0x80000000, 1], np.uint32).view(np.float32)
    other = np.array([1, 1, -0.0, 0.0, 2.0**-149], np.float32)
    for parts in ([odd, other], [other, odd]):
        got = bits(all_reduce(parts))
        assert got.tolist() == [0x7FC00000, 0x7FC00000, 0x80000000, 0, 2]
    assert bits(all_reduce([odd])).tolist() == [0x7FC00000, 0x7FC00000, 0x80000000, 0x80000000, 1]
    assert bits(all_gather([odd]))[:2].tolist() == [0x7FC00000, 0x7FC00000]
    assert np.isnan(all_reduce([np.array([np.inf]), np.array([-np.inf])]))


def test_one_rank_has_its_own_part() -> None:
    part = np.array([1 + 2.0**-8 + 2.0**-20, -0.0], np.float32)
    got = all_reduce([part], accumulate_format=BF16)
    assert same(got, part) and got is not part
    assert same(all_reduce([part], out_format=BF16), np.array([1 + 2.0**-7, -0.0], np.float32))
    assert same(reduce_scatter([part])[0], part)
    assert same(all_gather([part]), part)


@pytest.mark.parametrize("inner", [FP32, BF16], ids=lambda fmt: fmt.name)
def test_large_arrays_are_added_as_vector_adds_them(inner: FloatFormat) -> None:
    shape, ranks = (77, 1031), 3
    parts = [mixed(shape, seed) for seed in range(ranks)]
    vector = NEURONCORE_V2.vector
    cast = [vector.tensor_copy(part, out_format=inner).reshape(-1) for part in parts]
    chunks = [np.array_split(part, ranks) for part in cast]
    sums = []
    for c in range(ranks):
        first, second, last = (chunks[(c + step) % ranks][c] for step in (1, 2, 3))
        total = vector.tensor_tensor(first, second, "add", out_format=inner)
        sums.append(vector.tensor_tensor(total, last, "add", out_format=inner))
    wanted = np.concatenate(sums).reshape(shape)
    before = [bits(part).copy() for part in parts]
    assert same(all_reduce(parts, accumulate_format=inner), wanted)
    strided = [np.asfortranarray(part) for part in parts]
    assert same(all_reduce(strided, accumulate_format=inner), wanted)
    assert all(np.array_equal(bits(part), old) for part, old in zip(parts, before, strict=True))


def test_results_are_of_the_first_parts_kind() -> None:
    x, y = mixed((3, 5), 1), mixed((3, 5), 2)
    tensors = [torch.from_numpy(x.copy()).requires_grad_(), torch.from_numpy(y.copy())]
    got = all_reduce(tensors)
    assert isinstance(got, torch.Tensor) and same(got.numpy(), all_reduce([x, y]))
    assert isinstance(all_reduce((tensors[1], x)), torch.Tensor)
    assert isinstance(all_reduce((x, tensors[1])), np.ndarray)
    for chunk, wanted in zip(reduce_scatter(tensors), reduce_scatter([x, y]), strict=True):
        assert isinstance(chunk, torch.Tensor) and same(chunk.numpy(), wanted)
    assert same(all_gather(tensors, axis=0).numpy(), all_gather([x, y], axis=0))
    # other elements are converted through fp32
    assert all_reduce([torch.full((2,), 1.5, dtype=torch.bfloat16), [1, 2]]).tolist() == [2.5, 3.5]
    assert all_reduce([2**24 + 1, 0]) == 2**24


ONE = np.zeros(3, np.float32)


@pytest.mark.parametrize(
    ("call", "error", "told"),
    [
        (lambda: all_reduce([]), ValueError, "parts is empty; give one array a rank"),
        (lambda: all_gather(()), ValueError, "at least one"),
        (lambda: reduce_scatter(ONE), TypeError, "parts is an ndarray; give a list"),  # type: ignore[arg-type]
        (lambda: all_reduce("ab"), TypeError, "parts is a str"),
        (lambda: all_reduce([ONE, ONE, ONE[:2]]), ValueError, r"part 2 has shape \(2,\), part 0"),
        (lambda: all_gather([ONE], axis=1), ValueError, "axis=1; the parts have 1 axes"),
        (lambda: all_gather([1.0]), ValueError, "axis=-1; the parts have 0 axes"),
        (lambda: all_reduce([ONE], out_format=INT8), UnsupportedFormat, "out_format=int8"),
        (lambda: all_gather([ONE], out_format="int8"), UnsupportedFormat, "out_format=int8"),
        (lambda: all_reduce([ONE], accumulate_format=INT8), UnsupportedFormat, "float formats"),
        (lambda: reduce_scatter([ONE], accumulate_format=FP16), UnsupportedFormat, "fp32, bf16"),
        (lambda: ring_traffic(3, 0, FP32), ValueError, "ranks=0 is out of range"),
        (lambda: ring_traffic(-1, 2, FP32), ValueError, "elements=-1 is out of range"),
        (lambda: ring_traffic(3, 2.0, FP32), TypeError, "ranks=2.0 is not an integer"),  # type: ignore[arg-type]
        (lambda: ring_traffic(3, 2, INT8), UnsupportedFormat, "fmt=int8"),
        (lambda: ring_traffic(3, 2, FP32, collective="send"), ValueError, "allowed: 'all_reduce'"),
    ],
)
def test_what_is_wrong_is_refused(
    call: Callable[[], Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        call()
