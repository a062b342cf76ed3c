"""A product that cores share: the bits of parts by the reference, added message by message."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from halfulp.dtypes import BF16, FP16, FP32, INT8, FloatFormat, Format
from halfulp.engines import (
    NEURONCORE_V1,
    NEURONCORE_V2,
    UnsupportedFormat,
    reference,
    reference_collectives,
    row_parallel_matmul,
)
from tests.engines.inputs import KINDS, Floats, operands
from tests.engines.opinion import same


def by_reference(
    a: Floats, b: Floats, ranks: int, fmt: Format, accumulate: FloatFormat, out: FloatFormat,
    bias: Any = None,
) -> Floats:  # fmt: skip
    """Each rank's part by the reference, then the ring, then the bias."""
    parts = zip(np.array_split(a, ranks, 1), np.array_split(b, ranks, 0), strict=True)
    sums = [reference.matmul(left, right, fmt, fmt).astype(np.float32) for left, right in parts]
    rows = [[float(x) for x in part.reshape(-1)] for part in sums]
    total = reference_collectives.all_reduce(rows, accumulate).ranks[0]
    shift = np.full(b.shape[1], -0.0) if bias is None else np.asarray(bias, np.float32)
    columns = [float(shift[index % b.shape[1]]) for index in range(len(total))]
    found = [reference.cast(reference.add(x, y), out) for x, y in zip(total, columns, strict=True)]
    return np.array(found, np.float32).reshape(len(a), b.shape[1])


@given(
    st.integers(2, 5), st.sampled_from(sorted(KINDS)), st.sampled_from([BF16, FP16, FP32, INT8]),
    st.sampled_from([FP32, BF16]), st.sampled_from([FP32, BF16]), st.integers(1, 9),
    st.booleans(),
)  # fmt: skip
def test_the_bits_are_those_of_the_reference(
    ranks: int, kind: str, fmt: Format, accumulate: FloatFormat, out: FloatFormat, depth: int,
    biased: bool,
) -> None:  # fmt: skip
    a, b = operands(kind, fmt, fmt, (3, depth, 2), 5)
    bias = np.array([0.25, -3.0], np.float32) if biased else None
    found = row_parallel_matmul(
        a, b, ranks, core=NEURONCORE_V2, a_format=fmt, accumulate_format=accumulate,
        out_format=out, bias=bias,
    )  # fmt: skip
    assert same(found, by_reference(a, b, ranks, fmt, accumulate, out, bias))


def test_many_rows_of_k() -> None:
    a, b = operands("spread", BF16, BF16, (4, 700, 5), 3)
    for accumulate in (FP32, BF16):
        found = row_parallel_matmul(
            a, b, 3, core=NEURONCORE_V2, a_format=BF16, accumulate_format=accumulate
        )
        assert same(found, by_reference(a, b, 3, BF16, accumulate, FP32))


def test_the_number_of_cores_changes_the_bits() -> None:
    a, b = operands("ordinary", BF16, BF16, (16, 600, 16), 3)
    alone, two, three = (
        row_parallel_matmul(a, b, ranks, core=NEURONCORE_V2, a_format=BF16) for ranks in (1, 2, 3)
    )
    assert same(alone, NEURONCORE_V2.tensor.matmul(a, b, a_format=BF16))
    assert not same(alone, two) and not same(two, three)


def test_more_axes_and_tensors() -> None:
    a, b = operands("ordinary", BF16, BF16, (6, 40, 7), 3)
    given_: dict[str, Any] = {"core": NEURONCORE_V2, "a_format": "bf16"}
    chosen = 4
    flat = row_parallel_matmul(a, b, chosen, **given_)
    batch = row_parallel_matmul(a.reshape(2, 3, 40), b, chosen, **given_)
    assert same(batch.reshape(6, 7), flat)
    tensor = row_parallel_matmul(torch.from_numpy(a), torch.from_numpy(b), chosen, **given_)
    assert isinstance(tensor, torch.Tensor) and same(tensor.numpy(), flat)


def test_more_cores_than_rows_of_k_have_nothing_to_do() -> None:
    a, b = np.ones((1, 2), np.float32), np.ones((2, 1), np.float32)
    found = row_parallel_matmul(a, b, 5, core=NEURONCORE_V2, a_format=BF16)
    assert found.tolist() == [[2.0]]


def test_wrong_use() -> None:
    a, b = np.ones((2, 3), np.float32), np.ones((3, 2), np.float32)
    with pytest.raises(ValueError, match="ranks=0 is out of range"):
        row_parallel_matmul(a, b, 0, core=NEURONCORE_V2, a_format=BF16)
    with pytest.raises(ValueError, match=r"a has shape \(2, 3\), b \(2, 3\); needed"):
        row_parallel_matmul(a, a, 2, core=NEURONCORE_V2, a_format=BF16)
    with pytest.raises(UnsupportedFormat, match="fp16"):
        row_parallel_matmul(a, b, 2, core=NEURONCORE_V2, a_format=BF16, accumulate_format=FP16)
    with pytest.raises(UnsupportedFormat, match="NeuronCore-v1 has no e4m3"):
        row_parallel_matmul(a, b, 2, core=NEURONCORE_V1, a_format="e4m3")
