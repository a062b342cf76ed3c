"""Elementwise operations, reductions and gathers equal the exact reference, bit for bit."""

from typing import Any

import numpy as np
import pytest
import torch

from halfulp.dtypes import BF16, FP16, FP32, FloatFormat, parse_format
from halfulp.dtypes.threads import get_num_threads, set_num_threads
from halfulp.engines import NEURONCORE_V1, NEURONCORE_V2, AluOp, reference, reference_rows
from halfulp.engines.elementwise import ARITHMETIC
from tests.engines import opinion
from tests.engines.inputs import CORNERS, Floats, mixed
from tests.engines.opinion import Array, numbers, same
from tests.strategies import layouts

vector = NEURONCORE_V2.vector
RESULTS = [
    FP32,
    BF16,
    FP16,
    *map(parse_format, ("tf32", "e4m3", "e5m2", "e3m4", "cfp8(2,5,bias=3)")),
]


def in_numpy(a: Array, b: Array, op: AluOp, fmt: FloatFormat = FP32) -> Floats:
    """The second opinion: numpy's basic float32 operations, which IEEE 754 fixes."""
    with np.errstate(all="ignore"):
        match op:
            case AluOp.ADD:
                found = a + b
            case AluOp.SUBTRACT:
                found = a - b
            case AluOp.MULTIPLY:
                found = a * b
            case AluOp.DIVIDE:
                found = a / b
            case _ if op not in ARITHMETIC:
                found = getattr(np, op.value)(a, b).astype(np.float32)
            case _:
                wins = b > a if op is AluOp.MAX else b < a
                found = np.where(
                    np.isnan(a) | np.isnan(b), np.float32(np.nan), np.where(wins, b, a)
                )
    return opinion.cast(opinion.single(np.asarray(found)), fmt)


@pytest.mark.parametrize("op", AluOp)
def test_corners_with_corners(op: AluOp) -> None:
    a, b = (grid.ravel() for grid in np.meshgrid(*[np.array(CORNERS, np.float32)] * 2))
    pairs = zip(numbers(a), numbers(b), strict=True)
    wanted = np.array([reference_rows.combine(x, y, op) for x, y in pairs], np.float32)
    assert same(vector.tensor_tensor(a, b, op), wanted)
    assert same(in_numpy(a, b, op), wanted)


@pytest.mark.parametrize("fmt", RESULTS, ids=str)
@pytest.mark.parametrize("op", AluOp)
def test_operations_with_every_result_format(op: AluOp, fmt: FloatFormat) -> None:
    a, b = mixed((40, 111), 1), mixed((40, 111), 2)
    got = vector.tensor_tensor(a, b, op, out_format=fmt)
    assert same(got, in_numpy(a, b, op, fmt))
    pairs = zip(numbers(a.ravel()[:600]), numbers(b.ravel()[:600]), strict=True)
    wanted = [reference.cast(reference_rows.combine(x, y, op), fmt) for x, y in pairs]
    assert same(got.ravel()[:600], np.array(wanted, np.float32))


SHAPES: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((), ()),
    ((1,), ()),
    ((17,), (17,)),
    ((3, 40), (40,)),
    ((3, 40), (3, 1)),
    ((3, 1), (1, 40)),
    ((2, 3, 40), (3, 40)),
    ((2, 3, 40), (2, 1, 40)),
    ((40,), (2, 3, 40)),
    ((2, 3, 1), (40,)),
    ((1, 1, 1), (2, 3, 4)),
    ((0, 5), (5,)),
    ((5, 0), (1, 1)),
    ((9000,), (9000,)),
    ((5, 2000), (5, 2000)),
    ((2, 2, 8192), (2, 2, 8192)),
    ((3, 3, 3001), (3, 3, 3001)),
]


@pytest.mark.parametrize(("a_shape", "b_shape"), SHAPES, ids=str)
def test_shapes_broadcast_as_numpy_does(a_shape: tuple[int, ...], b_shape: tuple[int, ...]) -> None:
    a, b = mixed(a_shape, 3), mixed(b_shape, 4)
    for op in (AluOp.ADD, AluOp.DIVIDE):
        assert same(vector.tensor_tensor(a, b, op, out_format=BF16), in_numpy(a, b, op, BF16))


def test_operands_in_any_memory() -> None:
    x, y = mixed((9, 37), 5), mixed((9, 37), 6)
    for _, a in layouts(x):
        for _, b in layouts(y):
            if a.shape == b.shape == x.shape:
                plain = np.ascontiguousarray(a, np.float32), np.ascontiguousarray(b, np.float32)
                assert same(
                    vector.tensor_tensor(a, b, "subtract"), in_numpy(*plain, AluOp.SUBTRACT)
                )


@pytest.mark.parametrize("op", AluOp)
def test_operations_with_a_number(op: AluOp) -> None:
    x = mixed((30, 37), 7)
    for scalar in (0.1, -0.0, 1e-40, np.inf, np.nan, 3):
        wanted = in_numpy(x, np.array(scalar, np.float32), op, FP16)
        assert same(vector.tensor_scalar(x, scalar, op, out_format=FP16), wanted)


@pytest.mark.parametrize("fmt", RESULTS, ids=str)
def test_copies_and_reciprocals(fmt: FloatFormat) -> None:
    x = mixed((3000,), 8)
    copied = np.array([reference.cast(one, fmt) for one in numbers(x)], np.float32)
    assert same(vector.tensor_copy(x, out_format=fmt), copied)
    inverse = [reference.cast(reference.divide(1.0, one), fmt) for one in numbers(x)]
    assert same(vector.reciprocal(x, out_format=fmt), np.array(inverse, np.float32))


def test_values_of_other_types_come_in_through_fp32() -> None:
    double = np.array([1 + 2.0**-24 + 2.0**-50, 1e-40, 1e-46, 1e300, -1e300, np.nan, 0.1])
    with np.errstate(all="ignore"):
        wanted = opinion.cast(opinion.single(double), BF16)
    assert same(vector.tensor_copy(double, out_format=BF16), wanted)
    whole = np.array([2**24 + 1, -(2**31), 7], np.int64)
    got = vector.tensor_copy(whole, out_format=FP32)
    assert same(got, np.array([2**24, -(2**31), 7], np.float32))
    half = torch.tensor([0.1, 65504, 6e-8], dtype=torch.float16)
    assert same(vector.tensor_copy(half, out_format=FP32).numpy(), half.float().numpy())


def test_tensors_and_numbers_come_back_in_kind() -> None:
    x = torch.linspace(-2, 2, 60).reshape(3, 4, 5)
    results: list[Any] = [
        vector.tensor_tensor(x, x.numpy(), "add"),
        vector.tensor_scalar(x, 2, "multiply"),
        vector.tensor_reduce(x, "add"),
        vector.tensor_copy(x.requires_grad_(), out_format=BF16),
        vector.softmax(x),
        vector.layernorm(x, torch.ones(5), torch.zeros(5), 1e-5),
    ]
    assert all(isinstance(one, torch.Tensor) and not one.requires_grad for one in results)
    assert all(one.dtype == torch.float32 for one in results)
    number = vector.tensor_tensor(1.5, 2.5, "add")
    assert number == 4.0 and np.ndim(number) == 0


def chain(x: Array, axis: int, op: AluOp) -> Floats:
    """One element after the other, in float32."""
    moved = np.moveaxis(x, axis, 0)
    start = 0.0 if op is AluOp.ADD else -np.inf
    total: Floats = np.full(moved.shape[1:], start, np.float32)
    for one in moved:
        total = in_numpy(total, one, op)
    return total


@pytest.mark.parametrize("op", [AluOp.ADD, AluOp.MAX])
@pytest.mark.parametrize(
    "shape", [(1,), (16,), (1000,), (5, 31), (17, 16), (33, 513), (3, 4, 50), (2, 3, 4, 17), (0, 3)]
)
def test_reductions_go_one_after_the_other(op: AluOp, shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(9)
    near = (random.normal(size=shape) * 2.0 ** random.integers(-12, 13, shape)).astype(np.float32)
    for x in (near, mixed(shape, 10), np.full(shape, -0.0, np.float32)):
        for axis in range(-x.ndim, x.ndim):
            if op is AluOp.MAX and x.shape[axis] == 0:
                continue
            for fmt in (FP32, FP16):
                got = vector.tensor_reduce(x, op, axis=axis, out_format=fmt)
                wanted = opinion.cast(chain(x, axis, op), fmt)
                assert same(np.asarray(got), wanted), (axis, fmt)
                kept = vector.tensor_reduce(x, op, axis=axis, keepdims=True, out_format=fmt)
                assert same(np.asarray(kept), np.expand_dims(wanted, axis))


def test_a_sum_equals_the_reference() -> None:
    x = mixed((40, 300), 11)
    x[np.isnan(x) | np.isinf(x)] = 1.0
    wanted = np.array([reference_rows.total(row) for row in numbers(x)], np.float32)
    assert same(vector.tensor_reduce(x, "add"), wanted)
    highest = np.array([reference_rows.largest(row) for row in numbers(x)], np.float32)
    assert same(vector.tensor_reduce(x, "max"), highest)


def test_threads_change_no_sum() -> None:
    x = mixed((300, 700), 12)
    before, results = get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            set_num_threads(threads)
            results.append([vector.tensor_reduce(x, "add", axis=axis) for axis in (0, 1)])
    finally:
        set_num_threads(before)
    assert all(same(a, b) for one in results for a, b in zip(one, results[0], strict=True))


@pytest.mark.parametrize("kind", [np.int8, np.int32, np.int64, np.uint8, np.uint16])
def test_gathers_take_rows(kind: type[np.integer[Any]]) -> None:
    table = mixed((50, 37), 13)
    where = np.random.default_rng(0).integers(0, 50, (3, 4)).astype(kind)
    for core in (NEURONCORE_V1, NEURONCORE_V2):
        got = core.dma.gather(table, where, out_format=BF16)
        assert same(got, opinion.cast(table[where.astype(np.int64)], BF16))
    assert NEURONCORE_V2.dma.gather(table, np.zeros((0, 2), kind)).shape == (0, 2, 37)


def test_gathers_of_tensors() -> None:
    table, where = torch.from_numpy(mixed((50, 37), 14)), torch.tensor([[4, 49], [0, 4]])
    got = NEURONCORE_V2.dma.gather(table, where)
    assert isinstance(got, torch.Tensor)
    assert same(got.numpy(), opinion.single(table.numpy()[where.numpy()]))
