"""Batches, strides, packed operands and containers change no bit of a product."""

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

from halfulp.dtypes import BF16, FP16
from halfulp.dtypes.threads import get_num_threads, set_num_threads
from halfulp.engines import NEURONCORE_V2
from tests.engines import opinion
from tests.engines.inputs import OPERANDS, Floats, operands, ordinary
from tests.engines.opinion import Array, bits, same
from tests.strategies import layouts

tensor = NEURONCORE_V2.tensor
matmul = tensor.matmul
FORMATS = ["bf16", "fp32", "int8", "e4m3"]


def pair(name: str, a_shape: tuple[int, ...], b_shape: tuple[int, ...]) -> tuple[Floats, Floats]:
    random, fmt = np.random.default_rng(11), OPERANDS[name]
    return ordinary(fmt, a_shape, random), ordinary(fmt, b_shape, random)


def wanted(name: str, a: Array, b: Array) -> Array:
    fmt = OPERANDS[name]
    plain = np.ascontiguousarray(a, np.float32), np.ascontiguousarray(b, np.float32)
    return opinion.matmul(*plain, fmt, fmt)


BATCHES = [
    ((5,), (5,)),
    ((2, 3), (2, 3)),
    ((2, 3), (3,)),
    ((2, 3), (2, 1)),
    ((3,), (2, 3)),
    ((2, 1), (1, 3)),
    ((), (4,)),
    ((4,), ()),
    ((1, 1), (1,)),
    ((2, 1, 2), (3, 1)),
    ((0,), (0,)),
    ((2, 0), (1,)),
]


@pytest.mark.parametrize(("lead_a", "lead_b"), BATCHES, ids=str)
@pytest.mark.parametrize("name", FORMATS)
def test_batches_and_broadcast_batches(
    name: str, lead_a: tuple[int, ...], lead_b: tuple[int, ...]
) -> None:
    a, b = pair(name, (*lead_a, 9, 130), (*lead_b, 130, 33))
    right = wanted(name, a, b)
    assert same(matmul(a, b, a_format=name), right)
    turned = np.ascontiguousarray(b.swapaxes(-1, -2))
    assert same(matmul(a, turned, a_format=name, transpose_b=True), right)
    assert same(matmul(a, turned.swapaxes(-1, -2), a_format=name), right)


def test_large_batches_are_shared_among_threads() -> None:
    before = get_num_threads()
    try:
        for name in FORMATS:
            a, b = pair(name, (7, 40, 130), (7, 130, 70))
            for threads in (1, 2, 3):
                set_num_threads(threads)
                assert same(matmul(a, b, a_format=name), wanted(name, a, b))
    finally:
        set_num_threads(before)


def views(x: Floats) -> list[tuple[str, Array]]:
    """The matrix x in other memory, with its own shape."""
    return [(name, view) for name, view in layouts(x) if view.shape == x.shape]


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("name", FORMATS)
def test_matrices_in_any_memory(name: str, transposed: bool) -> None:
    for shape in ((9, 130, 33), (1, 129, 1), (17, 3, 1), (1, 1, 40)):
        a, b = operands("ordinary", OPERANDS[name], OPERANDS[name], shape)
        stored = np.ascontiguousarray(b.T) if transposed else b
        for a_name, a_view in views(a):
            for b_name, b_view in views(stored):
                right = wanted(name, a_view, b_view.T if transposed else b_view)
                got = matmul(a_view, b_view, a_format=name, transpose_b=transposed)
                assert same(got, right), (shape, a_name, b_name)


@pytest.mark.parametrize("name", FORMATS)
def test_batches_in_any_memory(name: str) -> None:
    a, b = pair(name, (4, 6, 9, 130), (4, 6, 130, 33))
    right = wanted(name, a, b)
    turned = np.ascontiguousarray(a.transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3)
    heads = np.ascontiguousarray(b.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    assert same(matmul(turned, heads, a_format=name), right)
    assert same(matmul(a[::-1, ::2], b[::-1, ::2], a_format=name), right[::-1, ::2].copy())
    assert same(
        matmul(a[..., ::-1], b[:, :, ::-1], a_format=name),
        wanted(name, a[..., ::-1], b[:, :, ::-1]),
    )
    repeated = np.broadcast_to(a[0, 0], a.shape)
    assert same(matmul(repeated, b, a_format=name), wanted(name, repeated, b))


@pytest.mark.parametrize("name", FORMATS)
def test_packed_operands(name: str) -> None:
    for shape in ((9, 130, 33), (1, 1, 1), (40, 1025, 70), (3, 0, 4)):
        a, b = operands("spread", OPERANDS[name], OPERANDS[name], shape)
        right = wanted(name, a, b)
        turned = np.ascontiguousarray(b.T)
        for packed in (tensor.pack(b, name), tensor.pack(turned, name, transposed=True)):
            assert (packed.depth, packed.width) == shape[1:]
            for _ in range(2):
                assert same(matmul(a, packed, a_format=name), right)
            assert same(matmul(a[None, :, None], packed, a_format=name), right[None, :, None])


@pytest.mark.parametrize("name", ["bf16", "fp32", "int8"])
@pytest.mark.parametrize("width", [1, 31, 32, 127, 128, 160, 257, 300])
def test_one_row_alone_is_the_row_among_others(name: str, width: int) -> None:
    # it has a micro-kernel of its own, for several panels at once
    for depth in (1, 128, 129, 1030):
        a, b = operands("spread", OPERANDS[name], OPERANDS[name], (9, depth, width))
        packed = tensor.pack(b, name)
        rows = matmul(a, packed, a_format=name)
        for number, row in enumerate(a):
            assert same(matmul(row[None], packed, a_format=name)[0], rows[number])
        assert same(rows[:1], wanted(name, a[:1], b))


def test_one_row_is_shared_among_threads() -> None:
    a, b = pair("bf16", (9, 1024), (1024, 2100))
    packed, before = tensor.pack(b, "bf16"), get_num_threads()
    rows = matmul(a, packed, a_format="bf16")
    try:
        for threads in (1, 2, 3):
            set_num_threads(threads)
            for number, row in enumerate(a):
                assert same(matmul(row[None], packed, a_format="bf16")[0], rows[number])
    finally:
        set_num_threads(before)


def test_a_scale_of_the_packed_operand() -> None:
    a, b = pair("bf16", (9, 130), (130, 33))
    packed = tensor.pack(b, "fp16", scale=0.7)
    got = matmul(a, packed, a_format="bf16", a_scale=3.0)
    assert same(got, opinion.matmul(a, b, BF16, FP16, a_scale=3.0, b_scale=0.7))


@pytest.mark.parametrize("name", FORMATS)
def test_a_result_written_to_memory_of_the_caller(name: str) -> None:
    a, b = pair(name, (2, 9, 130), (2, 130, 33))
    right = wanted(name, a, b)
    out = np.full(right.shape, 77, right.dtype)
    assert matmul(a, b, a_format=name, out=out) is out
    assert same(out, right)
    tensor_out = torch.full(right.shape, 77, dtype=getattr(torch, str(right.dtype)))
    torch_result = matmul(torch.from_numpy(a), torch.from_numpy(b), a_format=name, out=tensor_out)
    assert torch_result is tensor_out
    assert same(tensor_out.numpy(), right)


#: An array whose rows of 33 lie apart, as a batch of (2, 3) products of 9 rows.
APART: dict[str, Callable[[np.dtype[Any]], Array]] = {
    "rows in turn": lambda kind: np.full((2, 9, 3, 33), 77, kind).swapaxes(1, 2),
    "batch in turn": lambda kind: np.full((3, 2, 9, 33), 77, kind).swapaxes(0, 1),
    "gaps": lambda kind: np.full((2, 3, 9, 40), 77, kind)[..., :33],
    "every other": lambda kind: np.full((2, 6, 18, 33), 77, kind)[:, ::2, ::2],
}


@pytest.mark.parametrize("make", APART.values(), ids=APART)
@pytest.mark.parametrize("name", FORMATS)
def test_rows_of_a_result_may_lie_apart(name: str, make: Callable[[np.dtype[Any]], Array]) -> None:
    a, b = pair(name, (2, 3, 9, 130), (2, 3, 130, 33))
    right = wanted(name, a, b)
    out = make(right.dtype)
    memory = out.base
    assert memory is not None
    matmul(a, b, a_format=name, out=out)
    assert same(np.ascontiguousarray(out), right)
    # nothing between the rows was written
    assert np.count_nonzero(memory == 77) == memory.size - np.count_nonzero(right != 77)


def test_rows_of_a_result_that_share_memory_are_refused() -> None:
    a, b = pair("bf16", (2, 3, 9, 130), (2, 3, 130, 33))
    memory = np.zeros(2 * 3 * 9 * 33, np.float32)
    strides = 4 * np.array([3 * 9 * 33, 9 * 33, 33, 1])
    for axis, step in ((0, 0), (1, 33), (2, 15), (2, 0), (3, 2)):
        steps = [step if index == axis else old // 4 for index, old in enumerate(strides)]
        out = np.lib.stride_tricks.as_strided(memory, (2, 3, 9, 16), [4 * each for each in steps])
        with pytest.raises(ValueError, match="needed: C-contiguous"):
            matmul(a, b[..., :16], a_format="bf16", out=out)


@pytest.mark.parametrize("lead", [(), (1,), (2, 1, 3)], ids=str)
def test_one_operand_for_all_and_deep_batches_want_a_contiguous_result(
    lead: tuple[int, ...],
) -> None:
    a, b = pair("bf16", (*lead, 9, 130), (*lead, 130, 33))
    out = np.zeros((*lead, 18, 33), np.float32)[..., ::2, :]
    with pytest.raises(ValueError, match="needed: C-contiguous"):
        matmul(a, b, a_format="bf16", out=out)


SOURCES: list[Callable[[Floats], object]] = [
    torch.from_numpy,
    lambda x: torch.from_numpy(x).requires_grad_(),
    lambda x: x.astype(np.float64),
    lambda x: x.astype(np.float16).astype(np.float32),
    lambda x: x.tolist(),
]


@pytest.mark.parametrize("name", ["bf16", "int8"])
@pytest.mark.parametrize("number", range(len(SOURCES)))
def test_containers_and_types_of_operands(name: str, number: int) -> None:
    a, b = pair(name, (9, 130), (130, 33))
    a, b = (x.astype(np.float16).astype(np.float32) for x in (a, b))
    source = SOURCES[number]
    got: Any = matmul(source(a), source(b), a_format=name)
    assert isinstance(got, torch.Tensor) == isinstance(source(a), torch.Tensor)
    assert same(np.asarray(got), wanted(name, a, b))


def test_codes_of_other_formats_are_decoded() -> None:
    a, b = pair("bf16", (9, 130), (130, 33))
    short, half = a.astype(ml_dtypes.bfloat16), b.astype(np.float16)
    right = wanted("bf16", short.astype(np.float32), half.astype(np.float32))
    assert same(matmul(short, half, a_format="bf16"), right)
    tensors = torch.from_numpy(a).to(torch.bfloat16), torch.from_numpy(b).to(torch.float16)
    assert same(matmul(*tensors, a_format="bf16").numpy(), right)
    assert matmul(*tensors, a_format="bf16").dtype == torch.float32


def test_int8_tensors_give_int32_tensors() -> None:
    a, b = pair("int8", (9, 130), (130, 33))
    whole = [torch.from_numpy(np.clip(np.rint(x), -128, 127)).to(torch.int8) for x in (a, b)]
    got = matmul(*whole, a_format="int8")
    assert got.dtype == torch.int32
    assert same(got.numpy(), wanted("int8", *(x.numpy() for x in whole)))


def test_operands_are_not_written_to() -> None:
    for name in FORMATS:
        a, b = pair(name, (9, 130), (130, 33))
        before = bits(a).copy(), bits(b).copy()
        a.flags.writeable = b.flags.writeable = False
        matmul(a, b, a_format=name)
        matmul(a, tensor.pack(b.T, name, transposed=True), a_format=name)
        assert np.array_equal(bits(a), before[0]) and np.array_equal(bits(b), before[1])
