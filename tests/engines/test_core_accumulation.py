"""Cores whose Tensor Engine adds otherwise: the same casts, ways out and counts around it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfulp.dtypes import BF16, FP16, FP32, TF32, FloatFormat, Format, Rounding
from halfulp.engines import (
    NEURONCORE_V2,
    PRESETS,
    SYSTOLIC,
    Accumulation,
    Entry,
    IntegerAccumulator,
    IntegerMatmul,
    Ledger,
    NeuronCore,
    Order,
    UnsupportedFormat,
    recording,
    reference_accumulation,
)
from halfulp.engines.accumulation import SYSTOLIC_BF16
from halfulp.engines.presets import NEURONCORE
from tests.engines import opinion
from tests.engines.inputs import KINDS, OPERANDS, operands
from tests.engines.opinion import same

#: Another value than SYSTOLIC with the same sums: a seed that nothing draws from.
TWIN = replace(NEURONCORE_V2, accumulation=replace(SYSTOLIC, seed=1))
EXITS: list[dict[str, Any]] = [
    {},
    {"out_format": OPERANDS["e4m3"]},
    {"a_scale": 0.3, "b_scale": 1.7, "rescale": 1 / (0.3 * 1.7), "out_format": BF16},
    {"rescale": np.linspace(-2, 2, 37, dtype=np.float32), "bias": 0.1},
]

PAIRS = (
    ("int8", "int8"), ("int16", "int8"), ("uint8", "int8"), ("int32", "int16"), ("tf32", "fp32"),
    ("fp16", "e5m2"),
)  # fmt: skip


def core(accumulation: Accumulation, **more: Any) -> NeuronCore:
    return replace(NEURONCORE_V2, accumulation=accumulation, **more)


def counted(one: NeuronCore, *operands: Any, **given: Any) -> tuple[Any, Any]:
    """The result, and its record in the ledger."""
    with recording(Ledger()) as ledger:
        found = one.tensor.matmul(*operands, **given)
    (record,) = ledger.records
    return found, record


def check_twins(a: Any, b: Any, one: NeuronCore = NEURONCORE_V2, **given: Any) -> None:
    twin = replace(one, accumulation=TWIN.accumulation)
    (wanted, record), (found, again) = counted(one, a, b, **given), counted(twin, a, b, **given)
    assert same(found, wanted)
    assert again == record


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", OPERANDS)
def test_general_sums_of_the_same_order_give_the_same_bits_and_counts(name: str, kind: str) -> None:
    fmt = OPERANDS[name]
    for shape in ((9, 140, 37), (1, 257, 37), (3, 0, 37), (0, 5, 37), (130, 3, 37)):
        a, b = operands(kind, fmt, fmt, shape)
        for exit_ in EXITS if shape[1] == 140 else EXITS[:1]:
            check_twins(a, b, a_format=fmt, **exit_)


@pytest.mark.parametrize("name", ["bf16", "fp32", "int8", "int16", "e4m3"])
def test_general_sums_take_every_layout(name: str) -> None:
    fmt = OPERANDS[name]
    a, b = operands("special", fmt, fmt, (14, 131, 36))
    batch, more = a.reshape(2, 7, 131), np.stack([b, -b])
    cases: list[tuple[Any, Any, dict[str, Any]]] = [
        (batch, b, {}),
        (batch, more, {}),
        (a, more, {}),
        (batch[:, None], more, {}),
        (batch, np.ascontiguousarray(more.swapaxes(1, 2)), {"transpose_b": True}),
        (np.asfortranarray(a), np.asfortranarray(b), {}),
        (batch, b.T.copy(), {"transpose_b": True, "bias": np.arange(36, dtype=np.float32)}),
        (batch[:0], more[:1], {}),
        (batch[:0], b, {}),
    ]
    for left, right, more_given in cases:
        check_twins(left, right, a_format=fmt, **more_given)
        one = replace(NEURONCORE_V2, fp32_passes=1)
        check_twins(left, right, one, a_format=fmt, **more_given)


@pytest.mark.parametrize("passes", [1, 4])
@pytest.mark.parametrize("rule", IntegerMatmul)
@pytest.mark.parametrize("names", PAIRS)
def test_a_packed_operand_serves_every_core(
    names: tuple[str, str], rule: IntegerMatmul, passes: int
) -> None:
    a, b = operands("special", OPERANDS["int16"], OPERANDS["int16"], (5, 130, 33))
    b[0, 0], a[0] = -0.0, 1
    one = replace(NEURONCORE_V2, fp32_passes=passes, integer_matmul=rule)
    chosen: dict[str, Any] = {"a_format": names[0], "b_format": names[1]}
    wanted, record = counted(one, a, b, **chosen)
    others = [replace(NEURONCORE_V2, fp32_passes=count) for count in (1, 4)]
    for packer in (one, *others, replace(one, integer_matmul=IntegerMatmul.INT32)):
        found, again = counted(one, a, packer.tensor.pack(b, names[1]), **chosen)
        assert same(found, wanted) and again == record
    check_twins(a, b, one, **chosen)


@pytest.mark.parametrize("seed", range(3))
def test_halves_of_fp32_are_put_together_again(seed: int) -> None:
    a, b = operands("special", FP32, FP32, (5, 130, 33), seed)
    b.view(np.uint32)[3:40, :9] = np.random.default_rng(seed).integers(0, 1 << 32, (37, 9))
    one, four = replace(NEURONCORE_V2, fp32_passes=1), NEURONCORE_V2
    for using, packing in ((one, four), (four, one)):
        wanted = using.tensor.matmul(a, b, a_format="fp32")
        found = using.tensor.matmul(a, packing.tensor.pack(b, "fp32"), a_format="fp32")
        assert same(found, wanted)
    tiny = np.array([[-0.0, 2.0**-149, -(2.0**-140)]], np.float32)
    unit = np.ones((1, 1), np.float32)
    packed = four.tensor.pack(tiny, "fp32")
    assert same(
        one.tensor.matmul(unit, packed, a_format="fp32"),
        one.tensor.matmul(unit, tiny, a_format="fp32"),
    )


H100 = PRESETS["h100-wgmma-e4m3fn-fp32"].accumulation
SINGLE: list[tuple[Accumulation, Format, Format]] = [
    (NEURONCORE["neuroncore-assumed-chains4-pairwise-rounded-truncated-wide"], BF16, FP16),
    (NEURONCORE["neuroncore-assumed-chains2"], TF32, TF32),
    (H100, OPERANDS["e4m3"], OPERANDS["e5m2"]),
    (PRESETS["zen4-vdpbf16ps-bf16-fp32"].accumulation, BF16, BF16),
    (SYSTOLIC_BF16, BF16, OPERANDS["e4m3"]),
    (Accumulation(Order.EXACT, block=None, entry=Entry.END), FP16, FP16),
    (Accumulation(rounding=Rounding.STOCHASTIC, seed=7), BF16, BF16),
]


@pytest.mark.parametrize("kind", ["spread", "ties", "special"])
@pytest.mark.parametrize(("how", "a_format", "b_format"), SINGLE)
def test_other_sums_are_those_of_the_exact_reference(
    how: Accumulation, a_format: FloatFormat, b_format: FloatFormat, kind: str
) -> None:
    a, b = operands(kind, a_format, b_format, (3, 140, 5))
    given: dict[str, Any] = {"a_format": a_format, "b_format": b_format}
    left, right = opinion.cast(a, a_format), opinion.cast(b, b_format)
    sums = reference_accumulation.matmul(left, right, None, how, a_format, b_format)
    found = core(how).tensor.matmul(a, b, **given)
    assert same(found, opinion.single(sums)), "NaN is canonical, whatever the accumulation's"
    scaled = core(how).tensor.matmul(a, b, rescale=0.3, bias=1.0, out_format=FP16, **given)
    with np.errstate(all="ignore"):
        assert same(scaled, opinion.cast(sums * np.float32(0.3) + np.float32(1.0), FP16))


def by_passes(a: Any, b: Any, how: Accumulation) -> Any:
    """Four passes a tile by the reference, each with the sum so far as its accumulator input."""
    left, right, total = opinion.halves(a), opinion.halves(b), None
    for k in opinion.tiles(a.shape[1], how.tile or a.shape[1]):
        for i, j in opinion.PASSES:
            total = reference_accumulation.matmul(
                left[i][:, k], right[j][k], total, how, FP32, FP32
            )
    assert total is not None
    return opinion.single(total)


@pytest.mark.parametrize("kind", ["spread", "ties", "special", "small"])
@pytest.mark.parametrize(
    "how",
    [
        NEURONCORE["neuroncore-assumed-chains4-pairwise-rounded-truncated-wide"],
        replace(SYSTOLIC, tile=64, psum_rounding=Rounding.TOWARD_ZERO),
        Accumulation(Order.FUSED, fraction_bits=25, block=8, entry=Entry.END),
        Accumulation(Order.EXACT, tile=32, block=None, entry=Entry.END, psum=TF32),
    ],
)
def test_four_passes_of_other_sums_enter_psum_one_by_one(how: Accumulation, kind: str) -> None:
    a, b = operands(kind, FP32, FP32, (2, 140, 3))
    assert same(core(how).tensor.matmul(a, b, a_format="fp32"), by_passes(a, b, how))


def test_subnormals_in_psum_are_no_operands() -> None:
    how = replace(SYSTOLIC, tile=1, flushes_inputs=True)
    a = np.array([[1.5, 1.0, 2.0**-130]], np.float32)
    b = np.array([[2.0**-127], [2.0**-126], [2.0**20]], np.float32)
    assert core(how).tensor.matmul(a, b, a_format="fp32")[0, 0] == 2.0**-126
    both = core(how).tensor.matmul(np.array([[2.0**-64, 1]], np.float32),
                                   np.array([[2.0**-70], [2.0**-126]], np.float32),
                                   a_format="fp32")  # fmt: skip
    assert both[0, 0] == 2.0**-126 + 2.0**-134


END = replace(SYSTOLIC, seed=1)
REFUSED: list[tuple[Accumulation, str, str]] = [
    (Accumulation(), "fp32", "fp32 x fp32 takes four passes.*entry=first.*needs entry=end"),
    (Accumulation(accumulator=FP16), "bf16", "fp16 does not hold bf16"),
    (SYSTOLIC_BF16, "fp16", "the core's accumulation: bf16 does not hold fp16.*Tensor Engine"),
    (SYSTOLIC_BF16, "int16", "bf16 does not hold fp32"),
    (replace(END, rounding=Rounding.STOCHASTIC), "fp32", "four passes.*draws"),
    (Accumulation(accumulator=IntegerAccumulator(32)), "bf16", "bf16 operands with int32"),
    (Accumulation(accumulator=IntegerAccumulator(32)), "int16", "fp32 operands with int32"),
    (Accumulation(accumulator=IntegerAccumulator(8)), "uint8", "int8 does not hold uint8"),
]


@pytest.mark.parametrize(("how", "name", "words"), REFUSED)
def test_formats_that_an_accumulation_does_not_add(
    how: Accumulation, name: str, words: str
) -> None:
    rule = IntegerMatmul.INT32 if name == "uint8" else IntegerMatmul.DATA_SHEET
    one = core(how, integer_matmul=rule)
    a = np.ones((2, 2), np.float32)
    for call in (
        lambda: one.tensor.matmul(a, a, a_format=name),
        lambda: one.tensor.pack(a, name),
        lambda: one.tensor.check(name, name),
    ):
        with pytest.raises(UnsupportedFormat, match=words):
            call()


def test_an_accumulation_without_an_end_takes_fp32_in_one_pass() -> None:
    one = core(Accumulation(), fp32_passes=1)
    a, b = operands("spread", FP32, FP32, (3, 140, 4))
    wanted = reference_accumulation.matmul(a, b, None, Accumulation(), FP32, FP32)
    assert same(one.tensor.matmul(a, b, a_format="fp32"), wanted)
    assert Accumulation().entry is Entry.FIRST


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"fp32_passes": 3}, ValueError, "fp32_passes=3; allowed: 4 and 1"),
        ({"accumulation": "systolic"}, TypeError, "accumulation is a str; give an Accumulation"),
        ({"integer_matmul": "int64"}, ValueError, "integer_matmul='int64'.*'data_sheet'"),
        (
            {"accumulation": Accumulation(accumulator=IntegerAccumulator(33))},
            ValueError,
            "int33: PSUM holds numbers of 32 bits",
        ),
    ],
)
def test_cores_that_cannot_be(fields: dict[str, Any], error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        replace(NEURONCORE_V2, **fields)


@given(
    st.sampled_from(sorted(OPERANDS)), st.sampled_from(sorted(KINDS)), st.integers(1, 9),
    st.integers(1, 270), st.integers(1, 40), st.integers(0, 99),
)  # fmt: skip
def test_twins_of_any_shape(
    name: str, kind: str, rows: int, depth: int, columns: int, seed: int
) -> None:
    fmt = OPERANDS[name]
    check_twins(*operands(kind, fmt, fmt, (rows, depth, columns), seed), a_format=fmt)
