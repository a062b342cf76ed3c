"""DMA: casts on the way, rows that are scattered, sums that are accumulated."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from halfulp.dtypes import BF16, FP16, FP32
from halfulp.engines import NEURONCORE_V2, Ledger, recording, reference
from tests.engines.inputs import mixed
from tests.engines.opinion import numbers, same

dma = NEURONCORE_V2.dma
SINGLE = st.floats(-1e6, 1e6, width=32)


def test_a_copy_casts_through_fp32() -> None:
    x = mixed((40, 9), 1)
    wanted = [reference.cast(one, FP16) for one in numbers(x.ravel())]
    assert same(dma.copy(x, out_format=FP16), np.array(wanted, np.float32).reshape(x.shape))
    # 2^24 + 1 is no float32: the detour is the documented way
    assert dma.copy(np.array([2**24 + 1], np.int32), out_format=FP32).tolist() == [2.0**24]


@given(st.integers(1, 6), st.integers(0, 3), st.data())
def test_scattered_rows_replace_or_are_added_one_after_the_other(
    rows: int, columns: int, data: Any
) -> None:
    def drawn(count: int) -> Any:
        values = st.lists(SINGLE, min_size=count * columns, max_size=count * columns)
        return np.array(data.draw(values), np.float32).reshape(count, columns)

    where = data.draw(st.lists(st.integers(0, rows - 1), max_size=12))
    table, values = drawn(rows), drawn(len(where))
    replaced, added = [row[:] for row in numbers(table)], [row[:] for row in numbers(table)]
    for place, row in zip(where, numbers(values), strict=True):
        replaced[place] = row
        added[place] = [reference.add(a, b) for a, b in zip(added[place], row, strict=True)]
    for accumulate, wanted in ((False, replaced), (True, added)):
        got = dma.scatter(table, where, values, accumulate=accumulate, out_format=BF16)
        cast = [[reference.cast(x, BF16) for x in row] for row in wanted]
        assert same(got, np.array(cast, np.float32).reshape(table.shape))


def test_the_table_itself_is_left_alone() -> None:
    table = np.ones((4, 3), np.float32)
    dma.scatter(table, [1, 2], np.full((2, 3), 7.0), accumulate=True)
    assert np.array_equal(table, np.ones((4, 3)))


def test_what_is_accumulated_is_added_once() -> None:
    x, y = mixed((30,), 2), mixed((30,), 3)
    assert same(dma.accumulate(x, y), NEURONCORE_V2.vector.tensor_tensor(x, y, "add"))
    assert isinstance(dma.accumulate(torch.ones(3), torch.ones(3)), torch.Tensor)
    with pytest.raises(ValueError, match="needed: equal"):
        dma.accumulate(x, y[:1])


@pytest.mark.parametrize(
    ("indices", "values", "error", "told"),
    [
        ([4], np.zeros((1, 3)), ValueError, "the table has 4 rows"),
        ([-1], np.zeros((1, 3)), ValueError, "indices from -1"),
        ([0.5], np.zeros((1, 3)), TypeError, "needed: integers"),
        ([1, 2], np.zeros((1, 3)), ValueError, r"needed: \(2, 3\)"),
    ],
)
def test_wrong_rows_are_refused(indices: Any, values: Any, error: Any, told: str) -> None:
    with pytest.raises(error, match=told):
        dma.scatter(np.zeros((4, 3)), indices, values)


def test_moves_are_in_the_ledger() -> None:
    table = np.zeros((4, 3), np.float32)
    with recording(Ledger()) as ledger:
        dma.copy(table, out_format=BF16)
        dma.scatter(table, [[1], [1]], np.full((2, 1, 3), 1e9), accumulate=True, out_format=FP16)
        dma.accumulate(table, table)
    names = [record.instruction for record in ledger.records]
    assert names == ["dma_copy", "scatter_add", "dma_accumulate"]
    second = ledger.records[1]
    assert second.overflow == 3 and second.shapes == ((4, 3), (2, 1), (2, 1, 3), (4, 3))
    assert second.bytes == 4 * (2 * 6 + 2) + 2 * 6
