"""The value itself: what contradicts is refused with what is allowed; equal values are one key."""

import copy
import dataclasses
import pickle
from typing import Any

import pytest
from hypothesis import given

from halfulp.dtypes import (
    BF16,
    E4M3FN,
    E5M2,
    FP16,
    FP32,
    INT8,
    INT16,
    INT32,
    TF32,
    UINT8,
    UINT16,
    FloatFormat,
    Rounding,
)
from halfulp.engines.accumulation import (
    SYSTOLIC,
    SYSTOLIC_BF16,
    Accumulation,
    Checked,
    Entry,
    IntegerAccumulator,
    Join,
    NanRule,
    Order,
    Wrap,
)
from halfulp.engines.presets import NEURONCORE, PRESETS, Preset, Standing, preset
from tests.engines.accumulations import accumulations

#: For calls that a type checker refuses too.
untyped: Any = Accumulation
untyped_integer: Any = IntegerAccumulator
FUSED = {"order": "fused", "block": 4, "fraction_bits": 24}
INTEGERS = {"accumulator": IntegerAccumulator(32)}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        # choices
        ({"order": "tree"}, "order='tree' is not known; allowed: 'sequential', 'pairwise'"),
        ({"join": "x"}, "join='x' is not known; allowed: 'chained', 'sequential', 'pairwise'"),
        ({"entry": "x"}, "entry='x' is not known; allowed: 'first', 'block', 'late', 'end'"),
        ({"nan": "x"}, "nan='x' is not known; allowed: 'canonical', 'all_ones', 'operand'"),
        ({"rounding": "up"}, "rounding='up' is not known; allowed: 'nearest_even'"),
        ({"cut": "up"}, "cut='up' is not known; allowed: 'nearest_even'"),
        ({"psum_rounding": "up"}, "psum_rounding='up' is not known; allowed: 'nearest_even'"),
        # numbers
        ({"order": "exact", "block": 0}, "block=0 is out of range; allowed: 1 to 512"),
        ({"order": "exact", "block": 513}, "block=513 is out of range; allowed: 1 to 512"),
        ({"tile": 0}, "tile=0 is out of range; allowed: 1 to"),
        ({"chains": 0}, "chains=0 is out of range; allowed: 1 to 512"),
        ({"run": 513}, "run=513 is out of range; allowed: 1 to 512"),
        ({"seed": -1}, "seed=-1 is out of range; allowed: 0 to 18446744073709551615"),
        ({"random_bits": 33}, "random_bits=33 is out of range; allowed: 1 to 32"),
        ({"extra_exponent_bits": 3}, "extra_exponent_bits=3 is out of range; allowed: 0 to 2"),
        (FUSED | {"fraction_bits": 41}, "fraction_bits=41 is out of range; allowed: 0 to 40"),
        (FUSED | {"floor_exponent": 301}, "floor_exponent=301 is out of range; allowed: -300 to"),
        # what does not go together
        ({"tile": 6, "chains": 4}, "tile=6 is no multiple of chains * run = 4"),
        ({"tile": 6, "chains": 2, "run": 2}, "tile=6 is no multiple of chains * run = 4"),
        ({"entry": "block"}, "entry=block with order=sequential; allowed there: first, end"),
        ({"entry": "late"}, "entry=late with order=sequential; allowed there: first, end"),
        (
            {"order": "pairwise", "entry": "first"},
            "entry=first with order=pairwise; allowed there: late, end",
        ),
        (FUSED | {"entry": "first"}, "entry=first with order=fused; allowed there: block, late"),
        ({"block": 2}, "block=2 with order=sequential; leave it 1"),
        ({"block": None}, "block=None with order=sequential; leave it 1"),
        ({"order": "exact", "rounds_products": True}, "rounds_products with order=exact"),
        ({"order": "pairwise", "rounds_products": True}, "pairwise always rounds them"),
        ({"order": "fused"}, "fraction_bits=None with order=fused; fused has 0 to 40"),
        ({"fraction_bits": 24}, "fraction_bits=24 with order=sequential; fused has 0 to 40"),
        (FUSED | {"cut": "to_odd"}, "cut=to_odd; allowed: toward_zero, toward_negative, nearest"),
        ({"order": "exact", "floor_exponent": 0}, "floor_exponent with order=exact; only fused"),
        ({"join": "pairwise", "chains": 2}, "join=pairwise with entry=first: chains that start"),
        (
            FUSED | {"entry": "end", "extra_exponent_bits": 1},
            "extra_exponent_bits with order=fused",
        ),
        ({"extra_exponent_bits": 1}, "extra_exponent_bits with entry=first"),
        ({"psum": FP32}, "psum=fp32 with entry=first; end only"),
        ({"accumulator": E4M3FN}, "accumulator=e4m3fn: IEEE style formats with subnormals"),
        ({"accumulator": FloatFormat(5, 0)}, "and mantissa bits"),
        ({"accumulator": FloatFormat(4, 3, subnormals=False)}, "formats with subnormals"),
        ({"entry": "end", "psum": E4M3FN}, "psum=e4m3fn: IEEE style formats"),
        (
            {"rounding": "stochastic", "random_bits": 29},
            "random_bits=29 for fp32; at most 28",
        ),
        ({"entry": "end", "psum_rounding": "stochastic"}, "psum_rounding=stochastic; determin"),
        # integers
        (INTEGERS | {"order": "exact"}, "order=exact with an integer accumulator"),
        (INTEGERS | {"chains": 2}, "chains=2 with an integer accumulator"),
        (INTEGERS | {"entry": "end"}, "entry=end with an integer accumulator"),
        (INTEGERS | {"rounds_products": True}, "rounds_products=True with an integer"),
        (INTEGERS | {"rounding": "toward_zero"}, "and has no roundings: rounding=nearest_even"),
        (INTEGERS | {"psum": FP32}, "psum=fp32 with an integer accumulator"),
        (INTEGERS | {"flushes_inputs": True}, "flushes_inputs=True with an integer"),
        (INTEGERS | {"nan": "operand"}, "nan=operand with an integer accumulator"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_with_what_can(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError) as caught:
        untyped(**fields)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"chains": 2.0}, "chains=2.0 is not an integer; give 1 to 512"),
        ({"order": "exact", "block": "8"}, "block='8' is not an integer"),
        ({"tile": True}, "tile=True is not an integer"),
        (FUSED | {"fraction_bits": 24.0}, "fraction_bits=24.0 is not an integer"),
        ({"descending": 1}, "descending=1 is not a bool"),
        ({"flushes_results": None}, "flushes_results=None is not a bool"),
    ],
    ids=str,
)
def test_another_kind_of_value_is_a_type_error(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(TypeError) as caught:
        untyped(**fields)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "fields", "error", "words"),
    [
        ((7,), {}, ValueError, "bits=7 is out of range; allowed: 8 to 64"),
        ((65,), {}, ValueError, "bits=65 is out of range; allowed: 8 to 64"),
        ((32.0,), {}, TypeError, "bits=32.0 is not an integer"),
        ((32,), {"overflow": "clip"}, ValueError, "allowed: 'wrap', 'saturate'"),
        ((32,), {"checked": "never"}, ValueError, "allowed: 'step', 'tile', 'end'"),
    ],
)
def test_an_integer_accumulator_proves_itself(
    arguments: tuple[Any, ...], fields: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        untyped_integer(*arguments, **fields)


def test_an_integer_accumulator_has_the_range_of_twos_complement() -> None:
    held = IntegerAccumulator(8, overflow=Wrap.SATURATE, checked=Checked.END)
    assert (held.min, held.max, held.name) == (-128, 127, "int8")
    assert str(held) == "int8, saturate, checked each end"


@pytest.mark.parametrize(
    ("order", "entry"),
    [("sequential", "first"), ("pairwise", "late"), ("fused", "block"), ("exact", "block")],
)
def test_the_entry_follows_from_the_order(order: str, entry: str) -> None:
    made = untyped(order, fraction_bits=24 if order == "fused" else None)
    assert made.entry is Entry(entry)


def test_names_become_formats() -> None:
    made = untyped(accumulator="bf16", entry="end", psum="float32")
    assert made == Accumulation(accumulator=BF16, entry=Entry.END, psum=FP32)
    for field in ("accumulator", "psum"):
        with pytest.raises(ValueError, match=f"{field}: no format is called 'bf17'; did you mean"):
            untyped(entry="end", **{field: "bf17"})


def test_names_become_members() -> None:
    made = untyped("pairwise", entry="end", join="sequential", nan="all_ones", rounding="to_odd")
    assert made.order is Order.PAIRWISE and made.entry is Entry.END
    assert made.join is Join.SEQUENTIAL and made.nan is NanRule.ALL_ONES
    assert made.rounding is Rounding.TO_ODD


@pytest.mark.parametrize(
    ("accumulator", "fmt", "words"),
    [
        (FP16, BF16, "fp16 does not hold bf16: 11 significant bits up to 65504, needed 8 up to"),
        (BF16, FP16, "bf16 does not hold fp16: 8 significant bits"),
        (E5M2, FP16, "e5m2 does not hold fp16"),
        (FP32, INT8, "int8 operands with accumulator=fp32; give an IntegerAccumulator"),
        (IntegerAccumulator(32), BF16, "bf16 operands with int32"),
        (IntegerAccumulator(32), INT32, "needed: integers of at most 16 bits"),
        (IntegerAccumulator(8), UINT8, "int8 does not hold uint8, which goes from 0 to 255"),
        (IntegerAccumulator(16), UINT16, "int16 does not hold uint16"),
    ],
)
def test_operands_that_the_accumulator_does_not_hold_are_refused(
    accumulator: Any, fmt: Any, words: str
) -> None:
    with pytest.raises(ValueError) as caught:
        Accumulation(accumulator=accumulator).check_operand(fmt)
    assert words in str(caught.value)


def test_operands_that_the_accumulator_holds_pass() -> None:
    for fmt in (FP32, TF32, BF16, FP16, E5M2, E4M3FN):
        Accumulation().check_operand(fmt)
    Accumulation(accumulator=IntegerAccumulator(8)).check_operand(INT8)
    Accumulation(accumulator=IntegerAccumulator(16)).check_operand(INT16)


def test_the_result_has_the_format_outside() -> None:
    assert SYSTOLIC.outside == FP32 and SYSTOLIC_BF16.outside == FP32
    assert Accumulation(accumulator=BF16).outside == BF16


@given(accumulations)
def test_equal_values_are_one_key(made: Accumulation) -> None:
    for same in (copy.deepcopy(made), pickle.loads(pickle.dumps(made)), dataclasses.replace(made)):
        assert same == made and hash(same) == hash(made) and len({same, made}) == 1
    if isinstance(made.accumulator, FloatFormat):
        assert made.outside in (made.accumulator, made.psum)  # kept, and of no weight
        assert pickle.loads(pickle.dumps(made)) == made
    longer = dataclasses.replace(made, tile=None if made.tile else made.chains * made.run)
    assert longer != made


def test_a_value_does_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        untyped().chains = 2


def test_a_preset_is_found_by_its_name() -> None:
    assert all(found.name == name for name, found in PRESETS.items())
    assert preset("h100-wmma-fp16-fp32").accumulation.fraction_bits == 25
    assert preset("neuroncore-v2-matmul-bf16-fp32").accumulation == SYSTOLIC
    with pytest.raises(
        ValueError, match="no preset 'h100-fp16'; the nearest: .*h100-wmma-fp16-fp32"
    ):
        preset("h100-fp16")


def test_every_preset_says_how_it_is_known() -> None:
    for found in PRESETS.values():
        assert found.source and found.machine and found.instruction
        assumed = found.machine.startswith("NeuronCore")
        assert (found.standing is Standing.ASSUMED) is assumed
        assert not assumed or "assumed" in found.note


def test_a_preset_proves_itself() -> None:
    found: Preset = preset("v100-wmma-fp16-fp16")
    with pytest.raises(ValueError, match="fp16 does not hold bf16"):
        dataclasses.replace(found, a_format=BF16)


def test_what_is_open_about_a_neuroncore_differs() -> None:
    assert NEURONCORE["neuroncore-assumed-chains1"] == SYSTOLIC
    assert len(set(NEURONCORE.values())) == len(NEURONCORE) == 32
    assert all(how.entry is Entry.END and how.tile == 128 for how in NEURONCORE.values())


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"accumulator": INT8}, "accumulator=.*or an IntegerAccumulator"),
        ({"accumulator": "int8"}, "accumulator='int8'; needed: a float format or its name, or"),
        ({"accumulator": 32}, "accumulator=32; needed"),
        ({"psum": "int32", "entry": "end"}, "psum='int32'; needed: a float format or its name"),
    ],
)
def test_another_kind_of_accumulator_is_no_accumulation(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(TypeError, match=named):
        Accumulation(**fields)


@pytest.mark.parametrize(
    "field",
    [{"run": 2}, {"descending": True}, {"seed": 1}, {"random_bits": 3}, {"cut": "nearest_even"}],
    ids=str,
)
def test_an_integer_accumulator_has_no_other_choices(field: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(field))):
        Accumulation(accumulator=IntegerAccumulator(32), **field)
