"""The Vector Engine's instructions beyond single operators, against the reference."""

from collections.abc import Callable
from dataclasses import replace
from math import inf, nan
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from halfulp.dtypes import BF16, FP16, FP32, INT8, INT16, INT32, UINT8
from halfulp.engines import NEURONCORE_V2, AluOp, Ledger, recording, reference, reference_rows
from halfulp.engines.elementwise import ARITHMETIC
from halfulp.engines.reduction import EVEN_ODD, SEQUENTIAL, TREE, Reduction
from halfulp.engines.vector import UnsupportedInstruction
from tests.engines.inputs import Floats, mixed
from tests.engines.opinion import bits, numbers, same

vector = NEURONCORE_V2.vector
SINGLE = st.floats(width=32, allow_nan=True, allow_infinity=True)
MODERATE = st.floats(-1e6, 1e6, width=32)
ORDERS = (SEQUENTIAL, EVEN_ODD, TREE, Reduction(4), Reduction(7), Reduction(128))


def single(rows: Any) -> Floats:
    return np.array(rows, np.float32)


def finite(shape: tuple[int, ...], seed: int) -> Floats:
    random = np.random.default_rng(seed)
    drawn = random.normal(size=shape) * 2.0 ** random.integers(-12, 13, shape)
    return drawn.astype(np.float32)


def with_order(order: Reduction) -> Any:
    return replace(NEURONCORE_V2, reduction=order).vector


@given(st.lists(SINGLE, min_size=1, max_size=40), SINGLE, SINGLE, st.sampled_from(AluOp),
       st.sampled_from(AluOp), st.booleans(), st.booleans())  # fmt: skip
def test_two_operators_have_fp32_between_them(
    drawn: list[float], first: float, second: float, op0: AluOp, op1: AluOp, rev0: bool, rev1: bool
) -> None:
    x = single(drawn)
    combine, cast = reference_rows.combine, reference.cast

    def one(a: float, b: float, op: AluOp, turned: bool) -> float:
        return combine(b, a, op) if turned else combine(a, b, op)

    wanted = [cast(one(one(a, first, op0, rev0), second, op1, rev1), FP16) for a in numbers(x)]
    got = vector.tensor_scalar(
        x, first, op0, reverse0=rev0, operand1=second, op1=op1, reverse1=rev1, out_format=FP16
    )
    assert same(got, single(wanted))


def test_an_operand_may_have_a_number_a_row() -> None:
    x, column = mixed((9, 33), 1), mixed((9, 1), 2)
    got = vector.tensor_scalar(x, column, "subtract", operand1=0.5, op1="multiply")
    between = vector.tensor_tensor(x, column, "subtract")
    assert same(got, vector.tensor_scalar(between, 0.5, "multiply"))
    turned = vector.tensor_scalar(x, torch.from_numpy(column), "subtract", reverse0=True)
    assert same(turned, vector.tensor_tensor(column, x, "subtract"))
    with pytest.raises(ValueError, match="it must broadcast"):
        vector.tensor_scalar(x[:, :1], x, "add")
    with pytest.raises(ValueError, match="give both or neither"):
        vector.tensor_scalar(x, 1.0, "add", op1="add")


@pytest.mark.parametrize("order", ORDERS, ids=str)
@pytest.mark.parametrize("shape", [(1,), (17, 1), (5, 31), (33, 513), (3, 4, 50), (0, 3), (3, 0)])
def test_sums_follow_the_order_of_the_core(order: Reduction, shape: tuple[int, ...]) -> None:
    x = finite(shape, 3)
    engine = with_order(order)
    for axis in range(x.ndim):
        moved = np.moveaxis(x, axis, -1)
        count = int(np.prod(moved.shape[:-1]))
        rows = numbers(np.ascontiguousarray(moved).reshape(count, moved.shape[-1]))
        got = np.asarray(engine.tensor_reduce(x, "add", axis=axis, out_format=BF16))
        wanted = [reference.cast(reference_rows.total(row, order.lanes), BF16) for row in rows]
        assert same(got, single(wanted).reshape(moved.shape[:-1])), axis


def test_the_orders_differ() -> None:
    x = finite((4, 1000), 4)
    sums = [bits(with_order(order).tensor_reduce(x, "add")).tolist() for order in ORDERS]
    assert len({tuple(one) for one in sums}) == len(ORDERS)
    with pytest.raises(ValueError, match="out of range"):
        Reduction(-1)
    wrong: Any = 2
    with pytest.raises(TypeError, match="needed: a Reduction"):
        replace(NEURONCORE_V2, reduction=wrong)


@pytest.mark.parametrize("op", ["min", "multiply"])
def test_other_reductions_go_in_index_order(op: str) -> None:
    x = mixed((6, 41), 5)
    for axis in (0, 1):
        moved = np.moveaxis(x, axis, 0)
        total = np.full(moved.shape[1:], inf if op == "min" else 1.0, np.float32)
        for one in moved:
            total = vector.tensor_tensor(total, one, op)
        assert same(vector.tensor_reduce(x, op, axis=axis), total)
    with pytest.raises(ValueError, match="the minimum of an axis of length 0"):
        vector.tensor_reduce(np.zeros((3, 0)), "min")


@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_softmax_and_rmsnorm_add_in_that_order(order: Reduction) -> None:
    engine, lanes = with_order(order), order.lanes
    x, gamma = finite((19, 70), 6), finite((70,), 7)
    softmax = [reference_rows.softmax(row, BF16, lanes=lanes) for row in numbers(x)]
    assert same(engine.softmax(x, out_format=BF16), single(softmax))
    norm = [reference_rows.rmsnorm(r, numbers(gamma), 1e-6, lanes=lanes) for r in numbers(x)]
    assert same(engine.rmsnorm(x, gamma, 1e-6), single(norm))


@pytest.mark.parametrize("shape", [(1, 1), (16, 16), (17, 33), (2, 3, 40), (0, 4), (40, 1024)])
def test_rmsnorm_equals_the_reference(shape: tuple[int, ...]) -> None:
    x, gamma = finite(shape, 8), finite(shape[-1:], 9)
    wanted = [
        reference_rows.rmsnorm(row, numbers(gamma), 1e-5, FP16)
        for row in numbers(x.reshape(-1, shape[-1]))
    ]
    got = vector.rmsnorm(x, gamma, 1e-5, out_format=FP16)
    assert same(got, single(wanted).reshape(shape))
    with pytest.raises(ValueError, match="gamma has shape"):
        vector.rmsnorm(x, gamma[:0] if shape[-1] else gamma, 1e-5)


@given(st.lists(st.lists(MODERATE, min_size=1, max_size=70), min_size=1, max_size=1))
def test_statistics_are_their_definition(drawn: list[list[float]]) -> None:
    x = np.repeat(single(drawn), 18, axis=0)
    found = vector.bn_stats(x)
    wanted = reference_rows.bn_stats(numbers(x)[0])
    assert same(found, np.repeat(single([wanted]), 18, axis=0))
    merged = vector.bn_aggr(found, out_format=BF16)
    once = [reference.cast(y, BF16) for y in reference_rows.bn_aggr(wanted)]
    assert same(merged, np.repeat(single([once]), 18, axis=0))


def test_statistics_say_what_numpy_says_of_the_even_and_the_odd() -> None:
    x = np.random.default_rng(1).normal(3, 2, (5, 512)).astype(np.float32)
    found = vector.bn_stats(x).astype(np.float64)
    for start, part in ((0, x[:, ::2]), (3, x[:, 1::2])):
        wide = part.astype(np.float64)
        exact = [np.full(5, 256.0), wide.mean(1), wide.var(1) * 256]
        # 256 roundings of 2^-24 each, in the mean and in the squares
        assert np.allclose(found[:, start : start + 3].T, exact, rtol=2 * 256 * 2.0**-24, atol=0)
    whole = vector.bn_aggr(vector.bn_stats(x)).astype(np.float64)
    wide = x.astype(np.float64)
    exact = [wide.mean(1), wide.var(1)]
    assert np.allclose(whole.T, exact, rtol=3 * 256 * 2.0**-24, atol=0)


def test_statistics_of_chunks_make_a_layernorm() -> None:
    x, one, none = finite((7, 1200), 10), np.ones(1200, np.float32), np.zeros(1200, np.float32)
    parts = [vector.bn_stats(x[:, start : start + 512]) for start in (0, 512, 1024)]
    found = vector.bn_aggr(np.concatenate(parts, axis=1))
    spread = NEURONCORE_V2.scalar.activation(found[:, 1:], "rsqrt", bias=1e-5)
    y = vector.tensor_scalar(x, found[:, :1], "subtract", operand1=spread, op1="multiply")
    assert same(vector.layernorm(x, one, none, 1e-5), vector.tensor_scalar(y, 0.0, "add"))


@pytest.mark.parametrize("shape", [(3, 0), (2, 513), ()])
def test_rows_that_bn_stats_does_not_take(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="rows of 1 to 512"):
        vector.bn_stats(np.zeros(shape))
    with pytest.raises(ValueError, match="a last axis of 3, 6, 9"):
        vector.bn_aggr(np.zeros((4, 5)))


@given(st.integers(1, 20), st.integers(1, 5), st.data())
def test_a_scan_goes_step_by_step(steps: int, rows: int, data: Any) -> None:
    grid = st.lists(SINGLE, min_size=rows * steps, max_size=rows * steps)
    a, b = (single(data.draw(grid)).reshape(rows, steps) for _ in range(2))
    first = single(data.draw(st.lists(SINGLE, min_size=rows, max_size=rows)))
    ops = [data.draw(st.sampled_from(ARITHMETIC)) for _ in range(2)]
    got = vector.tensor_tensor_scan(a, b, first, *ops, out_format=BF16)
    wanted = [
        [reference.cast(y, BF16) for y in reference_rows.scan(*row, ops[0], ops[1])]
        for row in zip(numbers(a), numbers(b), numbers(first), strict=True)
    ]
    assert same(got, single(wanted).reshape(a.shape))


def test_a_scan_of_other_shapes() -> None:
    a, b = finite((2, 3, 9), 11), finite((2, 3, 9), 12)
    got = vector.tensor_tensor_scan(a, b, 0.5, "multiply", "add")
    one = vector.tensor_tensor_scan(a[1, 2], b[1, 2], 0.5, "multiply", "add")
    assert same(got[1, 2], one)
    # a cumulative sum: x times 1, plus the sum before it
    ones = np.ones_like(a)
    total = vector.tensor_tensor_scan(ones, a, 0.0, "multiply", "add")
    assert same(total[..., -1], vector.tensor_reduce(a, "add"))
    for wrong, told in ((("less", "add"), "a scan of 'less'"), (("mod", "add"), "is not known")):
        with pytest.raises(ValueError, match=told):
            vector.tensor_tensor_scan(a, b, 0.0, *wrong)
    with pytest.raises(ValueError, match="needed: the same"):
        vector.tensor_tensor_scan(a, b[..., 1:], 0.0, "add", "add")


def test_select_takes_from_one_or_the_other() -> None:
    x, y = mixed((6, 30), 13), mixed((30,), 14)
    asked = np.arange(180).reshape(6, 30) % 3 == 0
    wanted = vector.tensor_copy(np.where(asked, x, y), out_format=BF16)
    assert same(vector.select(asked, x, y, out_format=BF16), wanted)
    # NaN is not zero
    assert vector.select(np.array([nan, 0.0, -0.0]), 1.0, 2.0).tolist() == [1.0, 2.0, 2.0]
    with pytest.raises(ValueError, match="shapes do not go together"):
        vector.select(asked, x[:5], y)


def test_max8_gives_the_eight_largest() -> None:
    x = finite((5, 100), 15)
    assert same(vector.max8(x), np.sort(x, axis=1)[:, :-9:-1])
    special = single([[1, nan, -inf, inf, 0.0, -0.0, 2, -1, -3, 2]])
    (found,) = vector.max8(special).tolist()
    assert str(found) == "[nan, inf, 2.0, 2.0, 1.0, 0.0, -0.0, -1.0]"
    for shape in ((3, 7), (2, 16385), ()):
        with pytest.raises(ValueError, match="rows of 8 to 16384"):
            vector.max8(np.zeros(shape))


def test_small_tiles_are_transposed_and_rows_shuffled() -> None:
    x = mixed((32, 20), 16)
    assert same(vector.nc_transpose(x), vector.tensor_copy(x.T, out_format=FP32))
    with pytest.raises(ValueError, match="at most 32 x 32"):
        vector.nc_transpose(np.zeros((33, 4)))
    x = finite((64, 5), 17)
    mask = [(7 * place + 3) % 32 for place in range(32)]
    got = vector.nc_stream_shuffle(x, mask, out_format=BF16)
    wanted = np.concatenate([x[:32][mask], x[32:][mask]])
    assert same(got, vector.tensor_copy(wanted, out_format=BF16))
    with pytest.raises(ValueError, match="32 numbers from 0 to 31"):
        vector.nc_stream_shuffle(x, [*mask[:31], 32])
    with pytest.raises(ValueError, match="32, 64, 96 or 128 rows"):
        vector.nc_stream_shuffle(x[:40], mask)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32])
@pytest.mark.parametrize("op", ["bitwise_and", "bitwise_or", "bitwise_xor", "left_shift"])
def test_integers_are_bits_to_bitwise_operators(kind: Any, op: str) -> None:
    about = np.iinfo(kind)
    a = np.random.default_rng(2).integers(about.min, about.max, 300, kind, endpoint=True)
    b = a[::-1] if "bitwise" in op else a % kind(about.bits)
    wanted = getattr(np, op)(a, b)
    with recording(Ledger()) as ledger:
        got = vector.tensor_tensor(a, b, op)
    assert got.dtype == kind and np.array_equal(got, wanted)
    assert ledger.records[0].formats == (np.dtype(kind).name,) * 3


def test_bits_of_floats_and_of_two_types_are_refused() -> None:
    whole = np.arange(4, dtype=np.int32)
    for other in (np.ones(4, np.float32), whole.astype(np.int16), whole.astype(np.int64)):
        with pytest.raises(TypeError, match="two arrays of one integer type"):
            vector.tensor_tensor(whole, other, "bitwise_and")


def test_integers_above_two_to_24_are_lossy_here_and_exact_on_gpsimd() -> None:
    a = np.array([2**24 + 1, 2**30 + 1, -(2**31)], np.int32)
    one = np.ones(3, np.int32)
    through_fp32 = vector.tensor_tensor(a, one, "add")
    assert through_fp32.tolist() == [2.0**24 + 1 - 1, 2.0**30, -(2.0**31)]
    exact = NEURONCORE_V2.gpsimd.tensor_tensor(a, one, "add")
    assert exact.tolist() == [2**24 + 2, 2**30 + 2, -(2**31) + 1]


@pytest.mark.parametrize("fmt", [INT8, UINT8, INT16, INT32], ids=str)
def test_floats_to_integers_saturate(fmt: Any) -> None:
    x = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 1e20, -1e20, inf, -inf, nan, 126.5], np.float32)
    got = vector.tensor_copy(x, out_format=fmt)
    limits = np.array([1e20, -1e20, inf, -inf])
    exact = [0, 2, 2, 0, -2 if fmt.min else 0, *np.clip(limits, fmt.min, fmt.max), 0, 126]
    assert got.dtype == fmt.numpy and got.tolist() == [int(y) for y in exact]
    assert same(vector.tensor_copy(x, out_format="bf16"), vector.tensor_copy(x, out_format=BF16))


@pytest.mark.parametrize("op", ["max", "add"])
def test_pools_are_reductions_of_windows(op: str) -> None:
    x = finite((2, 3, 9, 10), 18)
    for window, stride in (((2, 2), None), ((3, 2), (1, 2)), ((9, 10), None), ((1, 1), (4, 3))):
        steps = window if stride is None else stride
        got = vector.pool(x, op, window, stride=stride, out_format=BF16)
        for i in range(got.shape[2]):
            for j in range(got.shape[3]):
                top, left = i * steps[0], j * steps[1]
                part = x[:, :, top : top + window[0], left : left + window[1]]
                flat = np.ascontiguousarray(part).reshape(2, 3, -1)
                wanted = vector.tensor_reduce(flat, op)
                if op == "add":
                    wanted = vector.tensor_scalar(wanted, float(flat.shape[-1]), "divide")
                assert same(got[:, :, i, j].copy(), vector.tensor_copy(wanted, out_format=BF16))
        assert got.shape[2] == (9 - window[0]) // steps[0] + 1
    for wrong in ((10, 2), (0, 1)):
        with pytest.raises(ValueError, match="one that fits"):
            vector.pool(x, op, wrong)
    with pytest.raises(ValueError, match="pool takes 'max' and 'add'"):
        vector.pool(x, "min", (2, 2))


def test_batchnorm_is_its_composition() -> None:
    x = finite((4, 3, 20, 10), 19)
    gamma, beta, mean, variance = (abs(finite((3,), seed)) for seed in (20, 21, 22, 23))
    given_stats = vector.batchnorm(x, gamma, beta, 1e-3, mean=mean, variance=variance)
    rows = np.ascontiguousarray(x.swapaxes(0, 1)).reshape(3, -1)
    parts = [vector.bn_stats(rows[:, start : start + 512]) for start in (0, 512)]
    found = vector.bn_aggr(np.concatenate(parts, axis=1))
    own = vector.batchnorm(x, gamma, beta, 1e-3, out_format=BF16)
    for got, (m, v), fmt in (
        (given_stats, (mean, variance), FP32),
        (own, (found[:, 0], found[:, 1]), BF16),
    ):
        spread = NEURONCORE_V2.scalar.activation(v, "rsqrt", bias=1e-3)
        y = vector.tensor_scalar(
            rows, m[:, None], "subtract", operand1=spread[:, None], op1="multiply"
        )
        y = vector.tensor_scalar(
            y, gamma[:, None], "multiply", operand1=beta[:, None], op1="add", out_format=fmt
        )
        assert same(got, np.ascontiguousarray(y.reshape(3, 4, 20, 10).swapaxes(0, 1)))
    with pytest.raises(ValueError, match="give both, or neither"):
        vector.batchnorm(x, gamma, beta, 1e-3, mean=mean)
    with pytest.raises(ValueError, match=r"needed: \(3,\)"):
        vector.batchnorm(x, gamma[:2], beta, 1e-3)


LATER: list[Callable[..., Any]] = [vector.range_select, vector.select_reduce]


@pytest.mark.parametrize("instruction", LATER)
def test_what_came_later_raises(instruction: Callable[..., Any]) -> None:
    with pytest.raises(UnsupportedInstruction, match="NeuronCore-v2 has no .* NeuronCore-v3"):
        instruction(np.zeros(3), 1)


def test_every_instruction_is_in_the_ledger_and_comes_back_in_kind() -> None:
    x = torch.linspace(-2, 2, 64).reshape(2, 32)
    eight = torch.ones(32)
    with recording(Ledger()) as ledger:
        results: list[Any] = [
            vector.bn_stats(x), vector.bn_aggr(x[:, :6]), vector.max8(x), vector.nc_transpose(x),
            vector.rmsnorm(x, eight, 1e-5), vector.tensor_tensor_scan(x, x, 0.0, "add", "add"),
            vector.select(x, x, 0.0), vector.pool(x, "max", (1, 2)),
            vector.batchnorm(x.reshape(2, 4, 8), torch.ones(4), torch.zeros(4), 1e-5),
            vector.nc_stream_shuffle(x.reshape(32, 2), list(range(32))),
            vector.tensor_tensor(x.to(torch.int32), x.to(torch.int32), "bitwise_xor"),
            vector.tensor_copy(x, out_format=INT8),
        ]  # fmt: skip
    assert all(isinstance(one, torch.Tensor) for one in results)
    names = [record.instruction for record in ledger.records]
    assert names == [
        "bn_stats", "bn_aggr", "max8", "nc_transpose", "rmsnorm", "tensor_tensor_scan", "select",
        "pool", "batchnorm", "nc_stream_shuffle", "tensor_tensor", "tensor_copy",
    ]  # fmt: skip
    assert {record.engine for record in ledger.records} == {"vector"}
    shapes = [record.shapes[-1] for record in ledger.records]
    assert shapes == [tuple(one.shape) for one in results]
