"""Casts on the way into an engine and out of it, at every boundary of every format a core takes."""

import numpy as np
import pytest

from halfulp.dtypes import FP32, TF32, FloatFormat, IntFormat
from halfulp.engines import NEURONCORE_V2, Ledger, UnsupportedFormat, recording, reference
from tests.engines import opinion
from tests.engines.inputs import Floats
from tests.engines.opinion import numbers, same
from tests.strategies import CORNERS, FLOATS, float32_boundaries

core = NEURONCORE_V2
ONE = np.ones((1, 1), np.float32)


def taken(fmt: FloatFormat) -> bool:
    try:
        core.check_operand(fmt)
    except UnsupportedFormat:
        return False
    return True


FORMATS = [fmt for fmt in (FLOATS | CORNERS).values() if taken(fmt)]


def points(fmt: FloatFormat) -> Floats:
    """Values, ties and their neighbors; of the larger formats a part."""
    x = float32_boundaries(fmt)
    step = max(1, x.size // 30_000)
    return x[::step] if step > 1 else x


def test_the_cores_formats_are_many() -> None:
    names = {fmt.name for fmt in FORMATS}
    assert {"fp32", "tf32", "bf16", "fp16", "e4m3", "e5m2", "e3m4", "cfp8(2,5,bias=3)"} <= names
    assert {f"cfp8({e},{7 - e})" for e in (1, 2, 6)} <= names
    assert all(fmt.bits == 8 or fmt in FLOATS.values() for fmt in FORMATS)


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_values_and_ties_on_their_way_in_and_out(fmt: FloatFormat) -> None:
    x = points(fmt)
    wanted = opinion.cast(x, fmt)
    some = slice(None, None, max(1, x.size // 3000))
    judged = np.array([reference.cast(one, fmt) for one in numbers(x[some])], np.float32)
    assert same(wanted[some], judged)
    assert same(core.vector.tensor_copy(x, out_format=fmt), wanted)
    # one product with 1, to which +0 is added
    other = fmt if fmt in (FP32, TF32) else "bf16"
    summed = core.tensor.matmul(x[:, None], ONE, a_format=fmt, b_format=other)[:, 0]
    turned = core.tensor.matmul(ONE, x[None], a_format=other, b_format=fmt)[0]
    finite = np.isfinite(wanted) if fmt == FP32 else np.ones(x.shape, bool)
    assert same(summed[finite], wanted[finite] + np.float32(0))
    assert same(turned[finite], wanted[finite] + np.float32(0))
    # and as the format of the sum, which is no -0 before it is cast
    out = core.tensor.matmul(x[:, None], ONE, a_format=FP32, b_format=FP32, out_format=fmt)[:, 0]
    finite = np.isfinite(x)
    assert same(out[finite], np.where(x == 0, np.float32(0), wanted)[finite])


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_counts_of_casts_at_the_boundaries(fmt: FloatFormat) -> None:
    x = points(fmt)
    result, finite = opinion.cast(x, fmt), np.isfinite(x)
    with recording(Ledger()) as ledger:
        core.vector.tensor_copy(x, out_format=fmt)
    (record,) = ledger.records
    assert record.overflow == np.sum(finite & ~np.isfinite(result))
    assert record.underflow == np.sum(finite & (x != 0) & (result == 0))
    assert record.nan == np.sum(np.isnan(x))  # counted even where the format has none
    assert record.infinity == np.sum(np.isinf(result))


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_vectors_of_one_value_are_cast_and_counted_as_the_value(fmt: FloatFormat) -> None:
    # four vectors whose lanes are all ordinary, or one, go a quicker way
    count = 5 * 16
    x = points(fmt)
    x = x[np.isfinite(x)][:: max(1, x.size // 2000)]
    wanted = opinion.cast(x, fmt)
    other = fmt if fmt in (FP32, TF32) else "bf16"
    first = np.eye(count, 1, dtype=np.float32)
    rows, ones = np.repeat(x[:, None], count, 1), np.ones((1, count), np.float32)
    plus = wanted + np.float32(0)  # as an operand: the sum begins with +0
    for a, b, how, right in (
        (rows, first, {"a_format": fmt, "b_format": other}, plus),
        (ONE, np.repeat(x, count)[None], {"a_format": other, "b_format": fmt}, plus),
        (x[:, None], ones, {"a_format": FP32, "b_format": FP32, "out_format": fmt},
         np.where(x == 0, np.float32(0), wanted)),
    ):  # fmt: skip
        with recording(Ledger()) as ledger:
            got = core.tensor.matmul(a, b, **how).reshape(x.size, -1)
        finite = np.isfinite(wanted)
        assert same(got[finite], np.repeat(right[finite, None], got.shape[1], 1))
        (record,) = ledger.records
        assert record.overflow == count * np.sum(~np.isfinite(wanted))
        assert record.underflow == count * np.sum((x != 0) & (wanted == 0))


@pytest.mark.parametrize("name", ["int8", "int16", "int32", "uint8", "uint16", "uint32"])
def test_integers_and_ties_on_their_way_in(name: str) -> None:
    fmt = IntFormat.parse(name)
    near = np.array([fmt.min, 0, fmt.max, -1, 1, 2**24, -(2**24)], np.float64)
    steps = np.array([0, 0.25, 0.5, 0.75, 1, 1.5, 2.5, 3.5])
    x = np.concatenate([near[:, None] + steps, near[:, None] - steps]).ravel().astype(np.float32)
    x = np.concatenate([x, np.nextafter(x, np.float32(np.inf)), [np.inf, -np.inf, np.nan, -0.0]])
    x = x.astype(np.float32)
    wanted = opinion.cast(x, fmt)
    judged = [reference.cast_integer(one, fmt) for one in numbers(x)]
    assert same(wanted, np.array(judged, np.float32))
    got = core.tensor.matmul(x[:, None], ONE, a_format=fmt, b_format=fmt)[:, 0]
    assert same(got.astype(np.float32), wanted)
