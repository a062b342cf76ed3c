"""What accumulations and presets are said to be: every field, every question, every standing."""

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given

from halfulp.dtypes import BF16, FP32, Rounding
from halfulp.engines import PRESETS, SYSTOLIC, Accumulation, Entry, IntegerAccumulator, Join, Order
from halfulp.engines.described import described
from halfulp.engines.open_questions import questions
from halfulp.engines.preset_facts import Fact, Known, facts
from halfulp.engines.preset_sources import SOURCES, sources
from tests.engines.accumulations import accumulations

FIELDS = {field.name for field in fields(Accumulation)}
OURS = "neuroncore-v2-matmul-bf16-fp32"


def said(how: Accumulation) -> dict[str, str]:
    return {one.topic: one.words for one in described(how)}


def by_topic(name: str) -> dict[str, Fact]:
    return {fact.statement.topic: fact for fact in facts(PRESETS[name])}


def test_every_field_is_said_by_one_topic() -> None:
    fused = Accumulation(Order.FUSED, block=4, fraction_bits=24, entry=Entry.END)
    topics = {one.topic: one.fields for how in (fused, SYSTOLIC) for one in described(how)}
    assert sorted(name for each in topics.values() for name in each) == sorted(FIELDS)


@given(accumulations)
def test_every_accumulation_is_told_in_short_words(how: Accumulation) -> None:
    for one in described(how):
        assert one.words and len(one.words) < 120 and {*one.fields} <= FIELDS


@pytest.mark.parametrize(
    ("fields", "topic", "words"),
    [
        ({"chains": 2, "run": 2}, "chains", "2, k to chain (k // 2) mod 2; each goes on"),
        ({"chains": 4, "join": Join.PAIRWISE}, "chains", "their sums added in pairs"),
        ({"chains": 4, "descending": True}, "chains", "from the last to the first"),
        ({"tile": None}, "tile", "all k are one"),
        ({"entry": Entry.FIRST}, "accumulator", "the sum starts from it"),
        ({"rounds_products": True}, "products", "rounded before they are added"),
        ({"accumulator": BF16, "psum": FP32}, "sums", "bf16 inside a tile, fp32 outside"),
        ({"rounding": Rounding.TO_ODD}, "rounding", "to odd"),
        ({"rounding": "stochastic", "seed": 7}, "rounding", "at random, by 16 bits of seed 7"),
        ({"extra_exponent_bits": 1}, "exponents", "1 bit more inside a tile"),
        ({"extra_exponent_bits": 2}, "exponents", "2 bits more inside a tile"),
        ({"order": "exact"}, "order", "1 product at once is added exactly"),
        ({"order": "exact", "block": 2}, "order", "2 products at once are added exactly"),
        ({"flushes_inputs": True}, "subnormals", "zero as operands"),
        ({"nan": "all_ones"}, "NaN", "sign 0, all fraction bits set"),
    ],
)
def test_a_field_changes_the_words_of_its_topic(
    fields: dict[str, Any], topic: str, words: str
) -> None:
    changed, plain = said(replace(SYSTOLIC, **fields)), said(SYSTOLIC)
    assert words in changed[topic] and words not in plain[topic]
    assert {name for name in plain if plain[name] != changed.get(name)} >= {topic}


def test_integers_have_neither_rounding_nor_nan() -> None:
    held = IntegerAccumulator(16, overflow="saturate", checked="end")  # type: ignore[arg-type]
    assert said(Accumulation(accumulator=held)) == {
        "sums": "int16, which saturates, checked after the last",
        "tile": "all k are one",
    }


def test_what_a_neuroncore_leaves_open_is_asked_once_each() -> None:
    asked = [one.asks for fact in facts(PRESETS[OURS]) for one in fact.open if one.asks]
    assert sorted(asked) == sorted(question.asks for question in questions(BF16))
    for fact in facts(PRESETS[OURS]):
        assert (fact.known is Known.ASSUMED) is bool(fact.open), fact.statement.topic
        assert all(one.alternatives for one in fact.open)


def test_what_a_neuroncore_documents_is_no_assumption() -> None:
    found = by_topic(OURS)
    documented = {topic for topic, fact in found.items() if fact.known is Known.DOCUMENTED}
    assert documented == {"sums"} and found["sums"].source == "NKI"
    (tile,) = found["tile"].open
    assert "documented for v2" in tile.asks and tile.alternatives == {"64 rows": {"tile": 64}}


def test_an_alternative_names_the_others_and_what_the_engines_have() -> None:
    found = by_topic("neuroncore-assumed-chains4-pairwise-truncated")
    direction, chains = found["chains"].open
    assert [*direction.alternatives] == ["from row 127 down"]
    assert [*chains.alternatives] == [
        "one, k ascending, as the engines have it", "2 strided", "4 strided, in sequence",
    ]  # fmt: skip
    (rounding,) = found["rounding"].open
    assert rounding.alternatives == {
        "to nearest, ties to even, as the engines have it": {"rounding": Rounding.NEAREST_EVEN}
    }


@pytest.mark.parametrize("name", PRESETS)
def test_every_alternative_is_another_accumulation_that_is_allowed(name: str) -> None:
    how = PRESETS[name].accumulation
    for fact in facts(PRESETS[name]):
        for one in fact.open:
            for change in one.alternatives.values():
                # questions are about the assumed core, of which presets are variants
                base = SYSTOLIC if one.asks else how
                changed = replace(base, **change)
                told = fact.statement.fields
                assert [getattr(changed, f) for f in told] != [getattr(how, f) for f in told]


@pytest.mark.parametrize("name", PRESETS)
def test_every_fact_has_a_source_or_is_assumed(name: str) -> None:
    preset = PRESETS[name]
    assert sources(preset.source)
    assert preset.documented | preset.modeled <= FIELDS
    for fact in facts(preset):
        assert (fact.known is Known.ASSUMED) is (not fact.source)
        assert set(filter(None, fact.source.split(", "))) <= SOURCES.keys()


def test_what_no_vector_reaches_is_modeled() -> None:
    unreached = {"floor", "overflow", "subnormals", "NaN"}
    for name, more in {
        "h100-mma-e5m2-fp16": set[str](), "h100-wgmma-e4m3fn-fp32": {"accumulator"},
        "h100-wmma-bf16-fp32": {"chains"},
    }.items():  # fmt: skip
        found = by_topic(name)
        modeled = {topic for topic, fact in found.items() if fact.known is Known.MODELED}
        assert modeled == unreached | more
        assert {fact.known for topic, fact in found.items() if topic not in modeled} == {
            Known.VECTORS
        }
        assert found["subnormals"].source == "MMA-Sim, FASI"
    measured = by_topic("zen4-vdpbf16ps-bf16-fp32").values()
    assert {fact.known for fact in measured} == {Known.MEASURED}
