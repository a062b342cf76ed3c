"""conv2d is the matmul of its columns, bit for bit, and torch's where every sum is exact."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from halfulp.dtypes import FP32, FloatFormat
from halfulp.engines import NEURONCORE_V2, Ledger, recording
from tests.engines import opinion
from tests.engines.inputs import OPERANDS, mixed
from tests.engines.opinion import Floats, same

core = NEURONCORE_V2
Pair = tuple[int, int]


def normal(shape: tuple[int, ...], seed: int) -> Floats:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Any, Any, dict[str, Any]]:
    groups = draw(st.integers(1, 3))
    depth, outputs = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    steps = st.one_of(st.integers(1, 3), st.tuples(st.integers(1, 3), st.integers(1, 3)))
    sides = st.one_of(st.integers(0, 2), st.tuples(st.integers(0, 2), st.integers(0, 2)))
    image = draw(st.tuples(st.integers(7, 9), st.integers(7, 9)))
    x = (draw(st.integers(0, 2)), depth * groups, *image)
    weight = (outputs * groups, depth, *kernel)
    more = {"stride": draw(steps), "padding": draw(sides), "dilation": draw(steps)}
    return x, weight, {**more, "groups": groups}


@given(cases())
def test_where_sums_are_exact_torch_agrees(case: tuple[Any, Any, dict[str, Any]]) -> None:
    x_shape, weight_shape, more = case
    random = np.random.default_rng(1)
    x = random.integers(-8, 9, x_shape).astype(np.float32)
    weight = random.integers(-8, 9, weight_shape).astype(np.float32)
    wanted = functional.conv2d(torch.from_numpy(x), torch.from_numpy(weight), **more).numpy()
    for name in ("bf16", "fp32", "int8"):
        found = core.tensor.conv2d(x, weight, a_format=name, out_format="fp32", **more)
        assert found.dtype == (np.int32 if name == "int8" else np.float32)
        # no sum is -0: they start from +0
        assert np.array_equal(found.astype(np.float32), wanted)


@pytest.mark.parametrize("name", ["bf16", "e4m3", "fp32", "int8", "fp16"])
def test_it_is_the_product_of_unfolded_columns(name: str) -> None:
    x, weight = mixed((2, 20, 9, 8), 1), mixed((6, 20, 3, 3), 2)
    window: dict[str, Any] = {"stride": (1, 2), "padding": (2, 1), "dilation": (2, 1)}
    unfolded = functional.unfold(torch.from_numpy(x), (3, 3), **window)
    rows = unfolded.numpy().swapaxes(1, 2)
    exits: list[dict[str, Any]] = [
        {},
        {"bias": normal((6,), 3), "rescale": normal((6,), 4), "out_format": "bf16"},
        {"a_scale": 0.5, "b_scale": np.linspace(0.5, 2, 6, dtype=np.float32)},
        {"a_scale": 3.0, "b_scale": 0.1},
    ]
    for more in exits:
        wanted = core.tensor.matmul(
            rows, weight.reshape(6, -1), a_format=name, transpose_b=True, **more
        )
        found = core.tensor.conv2d(x, weight, a_format=name, **window, **more)
        assert same(found, np.ascontiguousarray(wanted.swapaxes(1, 2)).reshape(found.shape))


def test_groups_are_convolutions_of_their_own() -> None:
    x, weight = normal((2, 6, 5, 5), 1), normal((9, 2, 3, 2), 2)
    bias, rescale, scale = normal((9,), 3), normal((9,), 4), np.abs(normal((9,), 5)) + 1
    found = core.tensor.conv2d(
        x, weight, a_format="bf16", bias=bias, rescale=rescale, b_scale=scale, groups=3
    )
    for index in range(3):
        part = slice(3 * index, 3 * index + 3)
        wanted = core.tensor.conv2d(
            x[:, 2 * index : 2 * index + 2], weight[part], a_format="bf16", bias=bias[part],
            rescale=rescale[part], b_scale=scale[part],
        )  # fmt: skip
        assert same(np.ascontiguousarray(found[:, part]), wanted)


def test_an_operand_is_counted_once() -> None:
    x, weight = mixed((2, 4, 9, 9), 1), mixed((6, 4, 3, 3), 2)
    for name in ("fp16", "e4m3", "fp32", "int8"):
        fmt = OPERANDS[name]
        with recording(Ledger()) as ledger:
            out = core.tensor.conv2d(x, weight, a_format=fmt, padding=1)
        (record,) = ledger.records
        assert record.instruction == "conv2d"
        assert record.shapes == (x.shape, weight.shape, out.shape)
        size = fmt.bits // 8
        assert record.bytes == size * (x.size + weight.size) + 4 * out.size
        assert record.macs == out.size * 36
        # 162 places are stationary in tiles of 128 and 34, six columns move through each: 64 + 34
        assert record.cycles == (4 if fmt == FP32 else 1) * 98
        if isinstance(fmt, FloatFormat):
            casts = [opinion.cast(one, fmt) for one in (x, weight)]
            lost = sum(
                int(np.sum(np.isfinite(one) & ~np.isfinite(cast)))
                for one, cast in zip((x, weight), casts, strict=True)
            )
            assert record.overflow == lost
            assert record.nan == sum(int(np.isnan(one).sum()) for one in (*casts, out))
            assert record.infinity == sum(int(np.isinf(one).sum()) for one in (*casts, out))


def test_torch_tensors_stay_torch_tensors() -> None:
    x, weight = torch.ones(1, 1, 3, 3), torch.ones(1, 1, 2, 2)
    found = core.tensor.conv2d(x, weight, a_format="bf16")
    assert isinstance(found, torch.Tensor) and found.tolist() == [[[[4, 4], [4, 4]]]]


def ones(*shape: int) -> Any:
    return np.ones(shape, np.float32)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"stride": 1.5}, "stride=1.5; needed: an integer from 1 on, or two"),
        ({"stride": (1.5, 2)}, r"stride=\(1.5, 2\); needed"),
        ({"padding": "1"}, "padding='1'; needed: an integer from 0 on"),
        ({"dilation": None}, "dilation=None; needed"),
        ({"stride": True}, "stride=True; needed"),
        ({"groups": 1.5}, "groups=1.5; needed: an integer"),
        ({"a_scale": "x"}, "a_scale='x'; needed: a number"),
        ({"b_scale": "x"}, "b_scale='x'; needed: a number"),
    ],
)
def test_other_kinds_are_told_by_the_parameters_name(more: dict[str, Any], words: str) -> None:
    with recording(Ledger()) as ledger, pytest.raises(TypeError, match=words):
        core.tensor.conv2d(ones(1, 2, 3, 3), ones(2, 2, 2, 2), a_format="bf16", **more)
    assert len(ledger) == 0


def test_steps_may_be_of_numpy() -> None:
    x, weight = ones(1, 1, 5, 5), ones(1, 1, 2, 2)
    wanted = core.tensor.conv2d(x, weight, a_format="bf16", stride=2)
    for stride in (np.int64(2), np.array([2, 2]), [2, 2]):
        found: Any = core.tensor.conv2d(x, weight, a_format="bf16", stride=stride)  # type: ignore[arg-type]
        assert np.array_equal(found, wanted)


@pytest.mark.parametrize(
    ("x", "weight", "more", "words"),
    [
        (ones(1, 2, 3), ones(1, 2, 3, 3), {}, r"x has shape \(1, 2, 3\).*\(N, C, H, W\)"),
        (ones(1, 2, 3, 3), ones(2, 3, 3), {}, r"weight \(2, 3, 3\).*\(O, C / groups, R, S\)"),
        (ones(1, 2, 3, 3), ones(1, 1, 3, 3), {}, "needed: C=1"),
        (ones(1, 2, 3, 3), ones(3, 1, 3, 3), {"groups": 2}, "groups=2 must divide O=3"),
        (ones(1, 2, 3, 3), ones(2, 2, 3, 3), {"groups": 0}, "groups=0 must divide"),
        (ones(1, 2, 3, 3), ones(0, 2, 3, 3), {}, "at least one element"),
        (ones(1, 2, 3, 3), ones(1, 2, 4, 3), {}, r"the kernel spans \(4, 3\)"),
        (ones(1, 2, 3, 3), ones(1, 2, 2, 2), {"dilation": 3}, r"the kernel spans \(4, 4\)"),
        (ones(1, 2, 3, 3), ones(1, 2, 2, 2), {"stride": 0}, "stride=0; needed"),
        (ones(1, 2, 3, 3), ones(1, 2, 2, 2), {"padding": -1}, "padding=-1; needed"),
        (ones(1, 2, 3, 3), ones(1, 2, 2, 2), {"padding": (1, 2, 3)}, "padding=.*or two"),
        (ones(1, 2, 3, 3), ones(1, 2, 2, 2), {"dilation": (0, 1)}, "dilation=.*needed"),
        (ones(1, 2, 3, 3), ones(2, 2, 2, 2), {"bias": ones(3)}, r"bias has shape \(3,\)"),
        (ones(1, 2, 3, 3), ones(2, 2, 2, 2), {"b_scale": ones(3)}, r"b_scale has shape \(3,\)"),
        (ones(1, 2, 3, 3), ones(2, 2, 2, 2), {"a_scale": 0}, "a_scale=0"),
        (ones(1, 2, 3, 3), ones(2, 2, 2, 2), {"a_scale": ones(2)}, r"a_scale has shape \(2,\)"),
        (ones(1, 2, 3, 3), ones(2, 2, 2, 2), {"b_scale": -1}, "b_scale=-1.0; needed: a positive"),
        (ones(1, 2, 3, 3), ones(2, 2, 2, 2), {"b_format": "fp32"}, "bf16 x fp32"),
        (ones(1, 2, 3, 3), ones(2, 2, 2, 2), {"out_format": "int8"}, "results are float"),
    ],
)
def test_refusals(x: Any, weight: Any, more: dict[str, Any], words: str) -> None:
    with recording(Ledger()) as ledger, pytest.raises(ValueError, match=words):
        core.tensor.conv2d(x, weight, a_format="bf16", **more)
    assert len(ledger) == 0
