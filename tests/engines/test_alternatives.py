"""Inputs that tell accumulations apart: complete, few, and answered as the definition says."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from halfulp.dtypes import BF16, E4M3FN, FP16, FP32, TF32, FloatFormat
from halfulp.engines import NEURONCORE_V2, PRESETS, SYSTOLIC, reference_accumulation
from halfulp.engines.alternative_inputs import DEPTH, Inputs, inputs, large
from halfulp.engines.alternatives import (
    NAN,
    Words,
    answers,
    canonical,
    check,
    chosen,
    classes,
    table,
    telling,
    telling_places,
)
from halfulp.engines.presets import NEURONCORE

LIBRARIES = {fmt: inputs(fmt) for fmt in (BF16, FP16, FP32)}
TABLES = {fmt: table(LIBRARIES[fmt], NEURONCORE) for fmt in (BF16, FP16)}
FEW = {
    fmt: LIBRARIES[fmt].take(telling_places(words, LIBRARIES[fmt].designed))
    for fmt, words in TABLES.items()
}
#: Ways to add with the same answers, by the format of the operands: products of bf16 and of the
#: halves of fp32 fit an exponent that is two bits wider, products of fp16 every fp32.
CLASSES = {BF16: 24, FP16: 8, FP32: 24}


def same(words: Words) -> set[tuple[int, int]]:
    """Pairs of rows that are equal."""
    pairs = combinations(range(len(words)), 2)
    return {(i, j) for i, j in pairs if np.array_equal(words[i], words[j])}


@pytest.mark.parametrize("fmt", [BF16, FP16])
def test_a_large_library_tells_nothing_apart_that_the_few_inputs_do_not(fmt: FloatFormat) -> None:
    more = inputs(fmt, random=80)
    new = [place for place, name in enumerate(more.names) if name not in LIBRARIES[fmt].names]
    assert len(new) >= 128
    large_one = np.hstack([TABLES[fmt], table(more.take(new), NEURONCORE)])
    few = table(FEW[fmt], NEURONCORE)
    assert same(few) == same(large_one)
    assert len(classes(few, NEURONCORE)) == CLASSES[fmt]
    assert len(FEW[fmt]) <= 4 and FEW[fmt].designed == len(FEW[fmt])


def test_fp32_in_four_passes_has_as_many_classes_as_bf16() -> None:
    library = LIBRARIES[FP32]
    few = library.take([library.names.index(name) for name in FEW[BF16].names])
    assert len(classes(table(few, NEURONCORE), NEURONCORE)) == CLASSES[FP32]


@pytest.mark.parametrize("fmt", [BF16, FP16])
def test_what_is_not_told_apart_cannot_be(fmt: FloatFormat) -> None:
    """A rounded product is the exact one where the exponents are wide enough for it."""
    for group in classes(table(FEW[fmt], NEURONCORE), NEURONCORE):
        hows = [NEURONCORE[name] for name in group]
        if fmt == BF16:
            assert len(hows) == 1 or all(how.extra_exponent_bits for how in hows)
            hows = [replace(how, rounds_products=False) for how in hows]
        else:
            hows = [replace(how, rounds_products=False, extra_exponent_bits=0) for how in hows]
        assert len(set(hows)) == 1


@pytest.mark.parametrize("fmt", [BF16, FP16])
def test_answers_are_those_of_the_definition(fmt: FloatFormat) -> None:
    few = FEW[fmt]
    a, b = few.values()
    for how in [*NEURONCORE.values()][::3]:  # fractions are slow
        expected = [
            reference_accumulation.dot(row.tolist(), column.tolist(), None, how, fmt, fmt)
            for row, column in zip(a, b, strict=True)
        ]
        words = canonical(np.array(expected, np.float32).view(np.uint32))
        assert np.array_equal(answers(few, how), words)


@pytest.mark.parametrize("fmt", LIBRARIES)
def test_the_order_of_the_engines_answers_as_the_engine_does(fmt: FloatFormat) -> None:
    library = LIBRARIES[fmt]
    a, b = library.values()
    found = NEURONCORE_V2.tensor.matmul(a[:, None, :], b[:, :, None], a_format=fmt)
    assert np.array_equal(answers(library, SYSTOLIC), canonical(found[:, 0, 0].view(np.uint32)))


@pytest.mark.parametrize("fmt", LIBRARIES)
def test_the_library_is_always_the_same_and_grows_at_the_end_of_each_kind(fmt: FloatFormat) -> None:
    library, again, more = LIBRARIES[fmt], inputs(str(fmt)), inputs(fmt, random=20)
    assert library.names == again.names and len(set(library.names)) == len(library)
    places = [more.names.index(name) for name in library.names]
    for found in (again, more.take(places)):
        assert found.designed == library.designed
        assert np.array_equal(found.a, library.a) and np.array_equal(found.b, library.b)
    assert library.a.shape == library.b.shape == (len(library), DEPTH)
    assert len(inputs(fmt, random=0)) == library.designed
    kinds = {name.partition(":")[0] for name in library.names}
    expected = {"tree", "rounding", "subnormal", "cancel", "random, like", "random, mixed"}
    wide = {"tiny", "overflow", "random, tiny", "random, huge"}
    assert kinds == (expected if fmt == FP16 else expected | wide)


def test_a_tree_has_its_large_numbers_where_it_says() -> None:
    library = LIBRARIES[BF16]
    assert (large(BF16), large(FP16), large(FP32)) == (100, 30, 100)
    a, b = library.values()
    for place, name in enumerate(library.names):
        if name.startswith("tree"):
            i, j = (int(part.rpartition(" at ")[2]) for part in name.split(","))
            products = a[place].astype(float) * b[place]
            assert (products[i], products[j]) == (2.0**100, -(2.0**100))
            rest = np.delete(products, [i, j])
            assert set(rest[: 126 if j < 128 else 127]) == {1.0}


@pytest.mark.parametrize(
    ("name", "kind", "fmt"),
    [
        ("toward zero in PSUM", {"psum_rounding": "toward_zero"}, BF16),
        ("flushed operands", {"flushes_inputs": True}, BF16),
        ("flushed results", {"flushes_results": True}, BF16),
        ("tiles of 64", {"tile": 64}, FP16),
        ("the accumulator input first", {"entry": "first"}, BF16),
    ],
)
def test_the_whole_library_finds_a_machine_that_is_none(
    name: str, kind: dict[str, object], fmt: FloatFormat
) -> None:
    other = answers(LIBRARIES[fmt], replace(SYSTOLIC, **kind))  # type: ignore[arg-type]
    assert not (TABLES[fmt] == other).all(axis=1).any(), name


@given(
    arrays(np.uint32, st.tuples(st.integers(1, 6), st.integers(0, 6)), elements=st.integers(0, 2))
)
def test_the_chosen_tell_all_apart_and_each_is_needed(words: Words) -> None:
    found = chosen(words)
    assert same(words[:, found]) == same(words) and len(set(found)) == len(found)
    for place in found:
        rest = [other for other in found if other != place]
        assert same(words[:, rest]) != same(words)
    begun = chosen(words, [0]) if words.shape[1] else [0]
    assert begun[0] == 0


def test_where_nothing_differs_one_input_is_left() -> None:
    assert len(telling(LIBRARIES[BF16], {"one": SYSTOLIC, "same": SYSTOLIC})) == 1
    assert len(telling(LIBRARIES[BF16], {"one": SYSTOLIC})) == 1


def test_the_sign_of_a_zero_is_asked_only_where_nothing_else_differs() -> None:
    few = table(FEW[BF16], NEURONCORE)
    unsigned = np.where(few == 0x80000000, 0, few)
    assert same(unsigned) == same(few)


def test_every_nan_counts_as_the_same() -> None:
    words = np.array([0x7F800001, 0xFFC00000, 0x7FFFFFFF, 0x7F800000, 0xFF800000, 0x80000000])
    found = canonical(words)
    assert found.tolist() == [NAN, NAN, NAN, 0x7F800000, 0xFF800000, 0x80000000]
    assert words[0] == 0x7F800001
    a, b = np.full((2, 1, DEPTH), 0x3F80, np.uint16)
    a[0, :2] = 0x7F80, 0xFF80
    one = Inputs(BF16, ("inf - inf",), a, b, 1)
    for name in ("h100-wmma-bf16-fp32", "neuroncore-assumed-chains2"):
        assert answers(one, PRESETS[name].accumulation).tolist() == [NAN]


@pytest.mark.parametrize(
    ("preset", "fmt", "message"),
    [
        ("h100-wmma-fp16-fp16", FP16, "its result is fp16, not fp32"),
        ("zen4-vpdpbusd-uint8-int32", BF16, "bf16 operands with"),
        ("h100-wmma-bf16-fp32", FP32, "fp32 takes four passes a tile; needed: tile=128"),
        ("h100-wmma-fp16-fp16", BF16, "fp16 does not hold bf16"),
    ],
)
def test_what_gives_no_fp32_is_refused(preset: str, fmt: FloatFormat, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check(PRESETS[preset].accumulation, fmt)


def test_other_operands_are_refused_or_held() -> None:
    with pytest.raises(ValueError, match="needed: operands of IEEE style"):
        inputs(E4M3FN)
    with pytest.raises(ValueError, match="random=-1"):
        inputs(BF16, random=-1)
    assert len(inputs(TF32)) == len(LIBRARIES[BF16])
