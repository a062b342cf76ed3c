"""What a ring of ranks moves: its traffic, and the records of collectives in the ledger."""

from math import nan

import numpy as np
import pytest

from halfulp.dtypes import BF16, FP16, FP32, TF32
from halfulp.engines import (
    Collective,
    Ledger,
    all_gather,
    all_reduce,
    recording,
    reduce_scatter,
    reference_collectives,
    ring_traffic,
)
from halfulp.engines.outlines import is_outline, outline
from halfulp.engines.reference_collectives import Ring


def moved(ring: Ring) -> tuple[int, int, int, int]:
    """Steps, longest message, most elements that a rank sends; sends and receives."""
    sent, both = [0] * len(ring.ranks), [0] * len(ring.ranks)
    for message in (one for step in ring.steps for one in step):
        sent[message.sender] += len(message.values)
        both[message.sender] += len(message.values)
        both[message.receiver] += len(message.values)
    longest = {max(len(one.values) for one in step) for step in ring.steps} or {0}
    assert len(longest) == 1
    return len(ring.steps), longest.pop(), max(sent), max(both)


@pytest.mark.parametrize("ranks", range(1, 9))
@pytest.mark.parametrize("elements", [0, 1, 5, 7, 8, 9, 23, 24])
def test_the_traffic_is_that_of_the_messages(elements: int, ranks: int) -> None:
    part = [0.0] * elements
    simulated = {
        "all_reduce": reference_collectives.all_reduce([part] * ranks),
        "reduce_scatter": reference_collectives.reduce_scatter([part] * ranks),
        "all_gather": reference_collectives.all_gather(reference_collectives.cut(part, ranks)),
    }
    for name, ring in simulated.items():
        traffic = ring_traffic(elements, ranks, "bf16", collective=name)
        found = traffic.steps, traffic.bytes_per_step, traffic.bytes_sent, traffic.bytes_moved
        steps, *counts = moved(ring)
        assert found == (steps, *(2 * count for count in counts)), name
        assert steps == (ranks - 1) * (2 if name == "all_reduce" else 1)


def test_the_traffic_of_equal_chunks_is_the_known_formula() -> None:
    traffic = ring_traffic(1 << 20, 8, FP32)
    assert traffic.steps == 14 and traffic.bytes_per_step == 4 * (1 << 17)
    assert traffic.bytes_sent == traffic.steps * traffic.bytes_per_step
    assert traffic.bytes_moved == 2 * traffic.bytes_sent == 2 * 2 * 7 * (4 << 20) // 8
    half = ring_traffic(1 << 20, 8, TF32, collective=Collective.ALL_GATHER)
    assert 2 * half.bytes_sent == traffic.bytes_sent


def test_collectives_are_in_the_ledger() -> None:
    parts = [np.full((2, 5), x, np.float32) for x in (3e38, 3e38, 1.0)]
    with recording(Ledger()) as ledger:
        all_reduce(parts, accumulate_format=BF16, out_format=FP16)
        all_gather(parts, axis=0, out_format=BF16)
        reduce_scatter(parts)
    reduced, gathered, scattered = ledger.records
    assert [r.instruction for r in ledger.records] == [kind.value for kind in Collective]
    assert {record.engine for record in ledger.records} == {"dma"}
    assert reduced.shapes == ((2, 5),) * 4 and reduced.formats == ("fp32",) * 3 + ("fp16",)
    # chunks of 4, 3, 3: rank 1 sends all but its own and the next one's twice, receives likewise
    assert reduced.bytes == 2 * (4 * 10 - 4 - 3 - 3 - 3) and reduced.accumulator == "bf16"
    # infinite sums: chunk 0 (4) and chunk 1 (3) at the last addition, chunk 2 (3) at both; the cast
    assert reduced.infinity == 4 + 3 + 2 * 3 + 10
    assert (reduced.overflow, reduced.nan, reduced.underflow) == (0, 0, 0)
    assert gathered.shapes == ((2, 5),) * 3 + ((6, 5),) and gathered.accumulator == ""
    assert gathered.bytes == 2 * 2 * 20 and gathered.formats[-1] == "bf16"
    assert scattered.shapes == ((2, 5),) * 3 + ((4,), (3,), (3,))
    assert scattered.formats == ("fp32",) * 6 and scattered.bytes == 4 * (2 * 10 - 3 - 3)


def test_every_rounding_is_counted() -> None:
    with recording(Ledger()) as ledger:
        # the parts become infinite as they are cast to bf16: two parts, then their sum
        all_reduce([np.full(3, 3.4e38, np.float32)] * 2, accumulate_format=BF16)
        all_reduce([np.full(3, 2.0**-149, np.float32)] * 4, out_format=BF16)
        all_reduce([np.full(3, 2.0**15, np.float32)] * 2, out_format=FP16)
        all_gather([np.full(3, nan, np.float32)] * 2)
    cast, tiny, result, gathered = ledger.records
    assert (cast.overflow, cast.infinity, cast.nan) == (6, 9, 0)
    assert (tiny.underflow, tiny.overflow) == (3, 0)
    assert (result.overflow, result.infinity) == (3, 3)
    assert gathered.nan == 6


def test_outlines_are_recorded_and_not_computed() -> None:
    shape = 1 << 20, 1 << 20
    parts = [outline(shape)] * 3
    with recording(Ledger()) as ledger:
        reduced, gathered = all_reduce(parts, out_format=BF16), all_gather(parts, axis=0)
        scattered = reduce_scatter(parts, accumulate_format="bf16")
        assert is_outline(all_reduce([np.zeros(3, np.float32), outline((3,))]))
    assert is_outline(reduced) and reduced.shape == shape
    assert is_outline(gathered) and gathered.shape == (3 << 20, 1 << 20)
    assert all(map(is_outline, scattered)) and sum(map(np.size, scattered)) == 1 << 40
    for record, fmt in zip(ledger.records, (FP32, FP32, BF16), strict=False):
        elements = 3 << 40 if record.instruction == "all_gather" else 1 << 40
        traffic = ring_traffic(elements, 3, fmt, collective=record.instruction)
        assert record.bytes == traffic.bytes_moved > 0
