"""What products issue, and what that costs."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfulp.engines import (
    NEURONCORE_V1,
    NEURONCORE_V2,
    IntegerMatmul,
    Ledger,
    NeuronCore,
    Record,
    recording,
)
from halfulp.engines.instructions import (
    Issues,
    LoadStationary,
    MultiplyMoving,
    cycles,
    issues,
    product,
)

SIZES = st.integers(0, 1100)
CLOCK_HZ = 2.8e9  # trainium_inferentia2_arch.rst


def record_of(a: Any, b: Any, one: NeuronCore = NEURONCORE_V2, **given: Any) -> Record:
    with recording(Ledger()) as ledger:
        one.tensor.matmul(np.ones(a), np.ones(b), **given)
    (record,) = ledger.records
    return record


def test_documented_costs() -> None:
    """nki.isa nc_matmul: max(min(64, columns), moving), four times for fp32."""
    whole = product(128, 128, 512)
    assert whole == ((LoadStationary(128, 128), 1), (MultiplyMoving(128, 128, 512), 1))
    assert cycles(whole) == 512
    assert cycles(whole) / CLOCK_HZ == pytest.approx(182.9e-9, rel=1e-3)
    assert cycles(product(128, 128, 512, 4)) == 2048
    assert MultiplyMoving(128, 128, 1).cycles == 64
    assert MultiplyMoving(128, 16, 1).cycles == 16
    assert MultiplyMoving(1, 64, 65, 4).cycles == 260
    # nc_transpose: max(P, min(64, F))
    for depth, width in ((128, 128), (3, 128), (128, 3), (70, 20)):
        assert cycles(issues(width, depth, depth)) == max(depth, min(64, width))


def test_loading_takes_a_fourth_and_hides_behind_a_multiplication_of_its_columns() -> None:
    assert LoadStationary(128, 128).background_cycles == 32
    assert LoadStationary(128, 5, 4).background_cycles == 8
    for columns in range(1, 129):
        for passes in (1, 4):
            load = LoadStationary(128, columns, passes)
            assert load.cycles == 0
            assert load.background_cycles <= MultiplyMoving(1, columns, 1, passes).cycles


def tiles(length: int, size: int) -> Iterator[int]:
    while length > 0:
        yield min(length, size)
        length -= size


def one_by_one(columns: int, depth: int, moving: int, passes: int) -> list[Any]:
    """The instructions in order: the sums of at most eight moving tiles are open in PSUM."""
    found: list[Any] = []
    strips = list(tiles(moving, 512))
    for m in tiles(columns, 128):
        for first in range(0, len(strips), 8):
            for k in tiles(depth, 128):
                found.append(LoadStationary(k, m, passes))
                found += [MultiplyMoving(k, m, n, passes) for n in strips[first : first + 8]]
    return found


def spread(issued: Issues) -> list[Any]:
    return [instruction for instruction, count in issued for _ in range(count)]


@given(SIZES, SIZES, st.integers(0, 9000), st.sampled_from([1, 4]))
def test_issues_are_those_of_the_loops(columns: int, depth: int, moving: int, passes: int) -> None:
    found, wanted = (
        spread(issues(columns, depth, moving, passes)),
        one_by_one(columns, depth, moving, passes),
    )
    assert sorted(map(repr, found)) == sorted(map(repr, wanted))


@given(SIZES, SIZES, SIZES, st.integers(0, 3))
def test_a_product_takes_the_cheaper_way(rows: int, depth: int, columns: int, items: int) -> None:
    ways = issues(rows, depth, columns), issues(columns, depth, rows)
    found = product(rows, depth, columns, 1, items)
    assert cycles(found) == items * min(map(cycles, ways))
    used = sum(
        one.rows * one.columns * one.moving * count
        for one, count in found
        if isinstance(one, MultiplyMoving)
    )
    assert used == items * rows * depth * columns, "every multiply-accumulate, once"


@pytest.mark.parametrize(
    ("a", "b", "given", "wanted"),
    [
        ((128, 128), (128, 512), {"a_format": "bf16"}, (1, 1, 512)),
        ((128, 128), (128, 512), {"a_format": "e4m3"}, (1, 1, 512)),
        ((128, 128), (128, 512), {"a_format": "tf32"}, (1, 1, 512)),
        ((128, 128), (128, 512), {"a_format": "int8"}, (1, 1, 512)),
        ((128, 128), (128, 512), {"a_format": "fp32"}, (1, 1, 2048)),
        ((128, 128), (128, 512), {"a_format": "tf32", "b_format": "fp32"}, (1, 1, 2048)),
        ((128, 128), (128, 512), {"a_format": "int16"}, (1, 1, 2048)),
        # the rows of a batch against one right operand are rows of one product
        ((4, 128, 128), (128, 128), {"a_format": "bf16"}, (1, 1, 512)),
        # a right operand for each item
        ((4, 128, 64), (4, 64, 128), {"a_format": "bf16"}, (4, 4, 512)),
        ((1, 300), (300, 8), {"a_format": "bf16"}, (3, 3, 24)),
        ((3, 0), (0, 8), {"a_format": "bf16"}, (0, 0, 0)),
        ((0, 5), (5, 8), {"a_format": "bf16"}, (0, 0, 0)),
        # five K tiles, nine strips of 512: eight open sums, then one
        ((128, 640), (640, 4608), {"a_format": "bf16"}, (10, 45, 5 * 4608)),
    ],
)
def test_what_the_ledger_says(a: Any, b: Any, given: Any, wanted: tuple[int, int, int]) -> None:
    with recording(Ledger()) as ledger:
        NEURONCORE_V2.tensor.matmul(np.ones(a), np.ones(b), **given)
    counts = ledger.issued()
    found = counts.get("LoadStationary", 0), counts.get("MultiplyMoving", 0)
    assert (*found, ledger.cycles().get("tensor", 0)) == wanted
    assert ledger.records[0].cycles == wanted[2]


def test_cost_is_the_hardwares_whatever_is_computed() -> None:
    """One pass for fp32 is an assumption about values; the four times are documented."""
    one = replace(NEURONCORE_V2, fp32_passes=1)
    given = (128, 128), (128, 512)
    assert record_of(*given, one, a_format="fp32").cycles == 2048
    as_fp32 = replace(NEURONCORE_V2, integer_matmul=IntegerMatmul.FP32)
    assert record_of(*given, as_fp32, a_format="int8").cycles == 2048
    assert record_of(*given, NEURONCORE_V1, a_format="bf16").cycles == 512


def test_cycles_of_a_ledger_are_those_of_its_records() -> None:
    with recording(Ledger()) as ledger:
        for rows in (1, 128, 300):
            NEURONCORE_V2.tensor.matmul(np.ones((rows, 200)), np.ones((200, 40)), a_format="bf16")
        NEURONCORE_V2.vector.tensor_copy(np.ones(3), out_format="bf16")
    assert ledger.cycles() == {"tensor": sum(record.cycles for record in ledger.records)}
    assert sum(ledger.issued().values()) == sum(
        count for record in ledger.records for _, count in record.issued
    )
    assert ledger.records[-1].cycles == 0, "the Vector Engine's cost is not known here"
