"""What our own sums reveal is the tree that their accumulation declares.

A sum's answers know nothing of the code that writes trees, and `reveal` nothing of accumulations.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from halfulp.dtypes import FP16, FP32, TF32, FloatFormat
from halfulp.engines import (
    PRESETS,
    SYSTOLIC,
    Accumulation,
    Entry,
    Join,
    Order,
    Tree,
    declared_tree,
    matmul,
    reveal,
)
from halfulp.engines.open_questions import QUESTIONS
from halfulp.engines.probes import Magnitudes, magnitudes
from tests.engines.accumulations import float_accumulations

Floats = npt.NDArray[np.float32]

#: They hold counts of more than twenty beside what a rounding away from big leaves.
WIDE = (FP32, FP32, TF32, FP16, FloatFormat(8, 13), FloatFormat(6, 12))


def numbers(how: Accumulation, depth: int, with_input: bool) -> Magnitudes:
    """What the products and the input are. Raises ValueError where no tree can be revealed."""
    held = how.accumulator
    # integers are refused as accumulators, whatever the operands
    fmt = held if isinstance(held, FloatFormat) else FP32
    if not (fmt.tiny <= 1 <= fmt.max):
        raise ValueError(f"{fmt} has no 1, by which the products are multiplied")
    return magnitudes(fmt, depth + with_input, how)


def revealed(how: Accumulation, depth: int, with_input: bool) -> Tree:
    """The tree by which `matmul` adds: x[k] times 1, and the input is the last leaf."""
    held = how.accumulator
    assert isinstance(held, FloatFormat)
    ones = np.ones((depth, 1), np.float32)

    def total(x: Floats) -> Any:
        c = x[depth:, None] if with_input else None
        return matmul(x[None, :depth], ones, c, accumulation=how, a_format=held)[0, 0]

    given_ = numbers(how, depth, with_input)
    return reveal(total, depth + with_input, **given_._asdict())


@st.composite
def sums(draw: st.DrawFn) -> tuple[Accumulation, int, bool]:
    """An accumulation, most of them wide enough for counts, K, and whether there is an input."""
    how = draw(float_accumulations())
    if draw(st.integers(0, 7)):
        held, psum = draw(st.sampled_from(WIDE)), draw(st.sampled_from(WIDE))
        how = replace(
            how,
            accumulator=held,
            psum=psum if how.entry is Entry.END else None,
            random_bits=min(how.random_bits, 51 - held.mantissa_bits),
            fraction_bits=None if how.fraction_bits is None else max(how.fraction_bits, 9),
        )
    return how, draw(st.integers(1, 20)), draw(st.booleans())


def is_revealable(case: tuple[Accumulation, int, bool]) -> bool:
    try:
        numbers(*case)
    except ValueError:
        return False
    return True


@given(sums())
def test_a_product_reveals_the_tree_that_is_declared(case: tuple[Accumulation, int, bool]) -> None:
    assume(is_revealable(case))
    assert revealed(*case) == declared_tree(*case)


def test_of_the_sums_that_are_drawn_most_are_revealed() -> None:
    drawn: list[tuple[Accumulation, int, bool]] = []

    @settings(max_examples=300, database=None, derandomize=True)
    @given(sums())
    def draw(case: tuple[Accumulation, int, bool]) -> None:
        drawn.append(case)

    draw()
    kept = [how for how, *_ in filter(is_revealable, drawn)]
    assert len(kept) > len(drawn) / 2
    assert {how.order for how in kept} == {*Order}
    assert {(how.entry, how.join) for how in kept} >= {(Entry.END, join) for join in Join}
    assert {how.entry for how in kept} == {*Entry}


#: Of machines, and of what is open about a NeuronCore.
NAMED: dict[str, Accumulation] = {
    **{name: preset.accumulation for name, preset in PRESETS.items()},
    **{
        f"{question.name}: {name}": fields["accumulation"]
        for question in QUESTIONS
        for name, fields in question.alternatives.items()
        if "accumulation" in fields
    },
}
INTEGERS = {name for name, how in NAMED.items() if not isinstance(how.accumulator, FloatFormat)}


def depth_of(how: Accumulation) -> int:
    """A tile, or two blocks, and one that is not whole."""
    return (how.tile or 2 * (how.block or 8)) + 5


@pytest.mark.parametrize("name", sorted(NAMED.keys() - INTEGERS))
def test_every_named_sum_of_floats_reveals_its_tree(name: str) -> None:
    how = NAMED[name]
    assert revealed(how, depth_of(how), True) == declared_tree(how, depth_of(how), True)


def test_integers_alone_have_no_tree_to_reveal() -> None:
    assert INTEGERS == {name for name in PRESETS if name.startswith("zen4-vp")} | {
        "int32 overflow: saturates"
    }
    for name in INTEGERS:
        with pytest.raises(ValueError, match="probes need signed floats"):
            numbers(NAMED[name], 8, True)


FUSED = Accumulation(Order.FUSED, block=4, fraction_bits=24, tile=8)


@pytest.mark.parametrize(
    ("how", "wrong"),
    [
        (SYSTOLIC, {"tile": 64}),
        (SYSTOLIC, {"entry": Entry.FIRST}),
        (SYSTOLIC, {"chains": 2, "join": Join.SEQUENTIAL}),
        (SYSTOLIC, {"chains": 128, "descending": True}),
        (replace(SYSTOLIC, chains=4, join=Join.SEQUENTIAL), {"join": Join.PAIRWISE}),
        (replace(SYSTOLIC, chains=4, join=Join.SEQUENTIAL), {"run": 2}),
        (FUSED, {"block": 8}),
        (FUSED, {"entry": Entry.LATE}),
        (FUSED, {"order": Order.EXACT, "fraction_bits": None}),
        (FUSED, {"order": Order.PAIRWISE, "entry": Entry.LATE, "fraction_bits": None}),
    ],
)
def test_a_sum_in_another_order_reveals_another_tree(
    how: Accumulation, wrong: dict[str, Any]
) -> None:
    depth = depth_of(how)
    assert revealed(replace(how, **wrong), depth, True) != declared_tree(how, depth, True)
