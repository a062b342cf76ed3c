"""What the ledger counts equals what an independent count finds."""

import threading
from typing import Any

import numpy as np
import pytest
import torch

from halfulp.dtypes import BF16, FP16, FP32, FloatFormat, Format, IntFormat, parse_format
from halfulp.dtypes.threads import get_num_threads, set_num_threads
from halfulp.engines import NEURONCORE_V2, Activation, AluOp, Ledger, Record, recording
from halfulp.engines.ledger import TOTALS
from tests.engines import opinion
from tests.engines.inputs import OPERANDS, Floats, mixed, operands
from tests.engines.opinion import Array

core = NEURONCORE_V2
Counts = dict[str, int]


def only(ledger: Ledger) -> Record:
    (record,) = ledger.records
    return record


def counted(record: Record) -> Counts:
    return {name: getattr(record, name) for name in ("overflow", "underflow", "nan", "infinity")}


def plus(*counts: Counts) -> Counts:
    return {name: sum(one[name] for one in counts) for name in counts[0]}


def of_cast(x: Floats, fmt: Format, scale: float = 1.0) -> Counts:
    """Of what a cast changes: x float32, before it."""
    with np.errstate(all="ignore"):
        scaled = x * np.float32(scale)
    result, finite = opinion.cast(scaled, fmt), np.isfinite(scaled)
    if isinstance(fmt, IntFormat):
        return {
            "overflow": int(np.sum(finite & (np.rint(scaled).astype(np.float64) > fmt.max)))
            + int(np.sum(finite & (np.rint(scaled).astype(np.float64) < fmt.min))),
            "underflow": int(np.sum(finite & (scaled != 0) & (result == 0))),
            "nan": int(np.sum(np.isnan(scaled))),
            "infinity": 0,
        }
    return {
        "overflow": int(np.sum(finite & ~np.isfinite(result))),
        "underflow": int(np.sum((scaled != 0) & (result == 0))),
        "nan": int(np.sum(np.isnan(result))),
        "infinity": int(np.sum(np.isinf(result))),
    }


@pytest.mark.parametrize("kind", ["small", "large", "special"])
@pytest.mark.parametrize("name", OPERANDS)
def test_counts_of_a_product(name: str, kind: str) -> None:
    fmt = OPERANDS[name]
    before = get_num_threads()
    try:
        for shape in ((13, 257, 47), (1, 1, 1), (300, 130, 40), (20, 300, 700)):
            a, b = operands(kind, fmt, fmt, shape)
            casts = plus(of_cast(a, fmt, 2.0), of_cast(b, fmt, 0.5))
            result = opinion.matmul(a, b, fmt, fmt, a_scale=2.0, b_scale=0.5)
            if result.dtype == np.float32:
                casts = plus(casts, of_cast(result, FP32))
            for threads in (1, 2):
                set_num_threads(threads)
                with recording(Ledger()) as ledger:
                    core.tensor.matmul(a, b, a_format=fmt, a_scale=2.0, b_scale=0.5)
                assert counted(only(ledger)) == casts, (shape, threads)
    finally:
        set_num_threads(before)


def test_counts_of_the_way_out() -> None:
    for name in ("bf16", "fp32", "int8"):
        fmt = OPERANDS[name]
        a, b = operands("spread", fmt, fmt, (13, 257, 47))
        for out_format in (FP16, parse_format("e4m3")):
            assert isinstance(out_format, FloatFormat)
            for rescale in (1e-12, 1e5):
                with recording(Ledger()) as ledger:
                    core.tensor.matmul(a, b, a_format=fmt, out_format=out_format, rescale=rescale)
                raw = opinion.matmul(a, b, fmt, fmt, rescale=rescale)
                wanted = plus(of_cast(a, fmt), of_cast(b, fmt), of_cast(raw, out_format))
                assert counted(only(ledger)) == wanted


def test_an_operand_is_counted_once_however_often_it_is_used() -> None:
    a, b = operands("special", BF16, BF16, (40, 130, 33))
    for left, right in (
        (a, np.stack([b] * 5)),
        (np.stack([a] * 5), b),
        (np.stack([a] * 5), b[None]),
        (np.stack([np.stack([a] * 2)] * 3), np.stack([b] * 2)),
        (a[None, None], np.stack([np.stack([b] * 2)] * 3)),
    ):
        with recording(Ledger()) as ledger:
            result = core.tensor.matmul(left, right, a_format="bf16")
        wanted = plus(of_cast(left, BF16), of_cast(right, BF16), of_cast(result, FP32))
        assert counted(only(ledger)) == wanted, (left.shape, right.shape)
    packed = core.tensor.pack(b, "bf16")
    with recording(Ledger()) as ledger:
        result = core.tensor.matmul(a, packed, a_format="bf16")
    wanted = plus(of_cast(a, BF16), of_cast(b, BF16), of_cast(result, FP32))
    assert counted(only(ledger)) == wanted


@pytest.mark.parametrize(
    ("a", "b", "names", "macs", "size"),
    [
        ((3, 4), (4, 5), ("bf16", "bf16", "fp32"), 60, 2 * 12 + 2 * 20 + 4 * 15),
        ((2, 3, 4), (4, 5), ("fp32", "fp32", "fp32"), 120, 4 * (24 + 20 + 30)),
        ((2, 3, 4), (2, 4, 5), ("e4m3", "e5m2", "bf16"), 120, 24 + 40 + 2 * 30),
        ((3, 4), (7, 4, 5), ("tf32", "tf32", "fp32"), 420, 4 * (12 + 140 + 105)),
        ((3, 4), (4, 5), ("int8", "int8", "int32"), 60, 12 + 20 + 4 * 15),
        ((3, 4), (4, 5), ("int16", "int16", "fp32"), 60, 2 * 12 + 2 * 20 + 4 * 15),
        ((3, 0), (0, 5), ("bf16", "bf16", "fp32"), 0, 4 * 15),
    ],
)
def test_work_and_bytes_of_a_product(
    a: tuple[int, ...], b: tuple[int, ...], names: tuple[str, ...], macs: int, size: int
) -> None:
    out_format = "fp32" if names[2] == "int32" else names[2]
    with recording(Ledger()) as ledger:
        result = core.tensor.matmul(
            np.ones(a), np.ones(b), a_format=names[0], b_format=names[1], out_format=out_format
        )
    record = only(ledger)
    assert (record.engine, record.instruction) == ("tensor", "nc_matmul")
    assert record.shapes == (a, b, result.shape)
    assert (record.formats, record.macs, record.bytes) == (names, macs, size)


@pytest.mark.parametrize("fmt", [FP32, BF16, FP16, OPERANDS["e4m3"]], ids=str)
def test_counts_of_single_elements(fmt: FloatFormat) -> None:
    x, y = mixed((40, 777), 1), mixed((40, 777), 2)
    with np.errstate(all="ignore"):
        total = opinion.single(x + y)
    with recording(Ledger()) as ledger:
        core.vector.tensor_tensor(x, y, AluOp.ADD, out_format=fmt)
        core.vector.tensor_copy(x, out_format=fmt)
        core.dma.gather(x, [3, 3, 0], out_format=fmt)
        powers = core.scalar.activation(x, Activation.EXP)
        core.scalar.activation(x, Activation.EXP, out_format=fmt)
    add, copy, gather, _, exp = ledger.records
    assert counted(add) == of_cast(total, fmt)
    assert counted(copy) == of_cast(x, fmt)
    assert counted(gather) == of_cast(x[[3, 3, 0]], fmt)
    assert counted(exp) == of_cast(powers, fmt)
    item = fmt.bits // 8
    assert add.bytes == (8 + item) * x.size and copy.bytes == (4 + item) * x.size
    assert gather.bytes == (4 + item) * 3 * 777 + 4 * 3
    assert exp.bytes == (4 + item) * x.size
    assert [one.instruction for one in (add, copy, gather)] == [
        "tensor_tensor",
        "tensor_copy",
        "gather",
    ]
    assert [one.engine for one in ledger.records] == ["vector", "vector", "dma", "scalar", "scalar"]
    assert all(one.macs == 0 for one in ledger.records)


def test_counts_of_rows() -> None:
    x = np.random.default_rng(3).normal(scale=20, size=(40, 70)).astype(np.float32)
    x[5] = np.nan
    gamma, beta = np.full(70, 1e4, np.float32), np.zeros(70, np.float32)
    with recording(Ledger()) as ledger:
        normed, shares = core.vector.layernorm(x, gamma, beta, 1e-5), core.vector.softmax(x)
        total = core.vector.tensor_reduce(x, "add", axis=1)
        core.vector.layernorm(x, gamma, beta, 1e-5, out_format=FP16)
        core.vector.softmax(x, out_format=OPERANDS["e4m3"])
        core.vector.tensor_reduce(x, "add", axis=1, out_format=OPERANDS["e3m4"])
    found = [counted(one) for one in ledger.records[3:]]
    raw = ((normed, FP16), (shares, OPERANDS["e4m3"]), (total, OPERANDS["e3m4"]))
    assert found == [of_cast(values, fmt) for values, fmt in raw]
    names = [one.instruction for one in ledger.records[3:]]
    assert names == ["layernorm", "softmax", "tensor_reduce"]
    assert found[1]["underflow"] > 0 and found[2]["overflow"] > 0 and found[0]["nan"] == 70


def test_totals_are_sums_and_layers_are_names() -> None:
    with recording(Ledger()) as ledger:
        ledger.layer = "first"
        core.tensor.matmul(np.full((2, 3), 1e9), np.ones((3, 4)), a_format="fp16")
        ledger.layer = "second"
        core.vector.tensor_copy(np.array([1e-9, np.nan]), out_format="fp16")
    assert [one.layer for one in ledger.records] == ["first", "second"]
    assert len(ledger) == 2 and set(ledger.totals()) == set(TOTALS)
    assert ledger.totals() == {
        "macs": 24, "bytes": 2 * 6 + 2 * 12 + 4 * 8 + 6 * 2, "overflow": 6, "underflow": 1,
        "nan": 1, "infinity": 6 + 8, "departures": 0, "masked_rows": 0,
    }  # fmt: skip


def test_records_are_found_by_layer_engine_and_format() -> None:
    with recording(Ledger()) as ledger:
        for layer in ("enc", "enc.0", "enc.0.query", "enc.01", "", "encoder"):
            ledger.layer = layer
            core.vector.tensor_copy(np.ones(3), out_format="fp16")
            core.tensor.matmul(np.ones((2, 3)), np.ones((3, 4)), a_format="e4m3", b_format="e5m2")

    def layers(**wanted: str) -> list[str]:
        return [record.layer for record in ledger.where(**wanted)]

    assert ledger.where() == ledger.records
    assert layers(layer="enc.0") == ["enc.0"] * 2 + ["enc.0.query"] * 2
    assert layers(layer="enc", engine="vector") == ["enc", "enc.0", "enc.0.query", "enc.01"]
    assert layers(layer="") == [""] * 2
    assert layers(layer="enc.") == layers(layer="nc.0") == layers(engine="scalar") == []
    assert ledger.where(engine="tensor") == ledger.records[1::2]
    # of the first operand, of another, of the result
    for name in ("e4m3", "e5m2"):
        assert ledger.where(format=name) == ledger.records[1::2]
    assert ledger.where(format="fp16") == ledger.records[::2]
    assert ledger.where(format="fp32") == ledger.records
    assert ledger.where(format="fp16", engine="tensor") == ledger.where(format="bf16") == []


def add_one() -> None:
    core.vector.tensor_scalar(torch.ones(3), 1, "add")


def test_recordings_are_nested() -> None:
    outer, inner = Ledger(), Ledger()
    add_one()
    with recording(outer) as given:
        assert given is outer
        add_one()
        with recording(inner):
            add_one()
        add_one()
        with pytest.raises(ZeroDivisionError), recording(inner):
            _ = 1 / 0
        add_one()
    add_one()
    assert (len(outer), len(inner)) == (3, 1)


def test_each_thread_records_for_itself() -> None:
    ledgers = [Ledger() for _ in range(4)]
    unrecorded: list[Any] = []

    def work(number: int) -> None:
        with recording(ledgers[number]):
            for _ in range(number + 1):
                add_one()

    def outside() -> None:
        add_one()
        unrecorded.append(True)

    with recording(Ledger()) as here:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        threads.append(threading.Thread(target=outside))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        add_one()
    assert [len(ledger) for ledger in ledgers] == [1, 2, 3, 4]
    assert unrecorded == [True] and len(here) == 1


def test_results_do_not_depend_on_recording() -> None:
    a, b = operands("special", BF16, BF16, (40, 130, 33))
    plain: Array = core.tensor.matmul(a, b, a_format="bf16")
    with recording(Ledger()):
        assert opinion.same(core.tensor.matmul(a, b, a_format="bf16"), plain)
