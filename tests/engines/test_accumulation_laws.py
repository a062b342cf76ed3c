"""What holds between accumulations, by the reference; and that the strategies reach every field."""

import dataclasses

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from halfulp.dtypes import E4M3, FP32, Rounding
from halfulp.engines.accumulation import (
    Accumulation,
    Entry,
    IntegerAccumulator,
    Join,
    NanRule,
    Order,
)
from halfulp.engines.reference_accumulation import matmul
from tests.engines.accumulations import (
    Array,
    Case,
    accumulations,
    cases,
    float_accumulations,
    integer_accumulations,
)
from tests.engines.opinion import bits


def result(case: Case, **fields: object) -> Array:
    how = dataclasses.replace(case.accumulation, **fields)  # type: ignore[arg-type]
    formats = case.a_format, case.b_format
    return matmul(case.a, case.b, case.c, how, *formats, out_format=case.out_format)


def given_order(*orders: Order) -> st.SearchStrategy[Accumulation]:
    return float_accumulations().filter(lambda how: how.order in orders)


sequential = given_order(Order.SEQUENTIAL)
few = settings(max_examples=60)


@few
@given(cases(sequential.filter(lambda how: how.entry is Entry.FIRST and not how.rounds_products)))
def test_one_exact_product_at_a_time_is_a_fused_multiply_add(case: Case) -> None:
    other = result(case, order=Order.EXACT, entry=Entry.BLOCK)
    np.testing.assert_array_equal(result(case), other)  # but for the signs of zeros


@few
@given(cases(sequential.filter(lambda how: how.entry is Entry.FIRST)))
def test_a_tree_of_one_is_a_rounded_product(case: Case) -> None:
    rounded = result(case, rounds_products=True)
    tree = result(case, order=Order.PAIRWISE, entry=Entry.LATE, rounds_products=False)
    np.testing.assert_array_equal(bits(rounded), bits(tree))


@few
@given(cases(given_order(Order.EXACT)))
def test_a_grid_below_every_term_cuts_nothing(case: Case) -> None:
    # whole 2^-18, and E is at most 2 x 7 of a product, or that of 131 of them
    how = dataclasses.replace(
        case.accumulation, accumulator=FP32, rounding=Rounding.TOWARD_POSITIVE, psum=None
    )
    small = dataclasses.replace(case, accumulation=how, a_format=E4M3, b_format=E4M3, c=None)
    cut = result(small, order=Order.FUSED, fraction_bits=40)
    np.testing.assert_array_equal(bits(cut), bits(result(small)))


@few
@given(cases(sequential))
def test_one_tile_is_the_whole_chain(case: Case) -> None:
    alone = dataclasses.replace(case, c=None)
    whole = {"tile": None, "chains": 1, "run": 1, "psum": None, "extra_exponent_bits": 0}
    end = result(alone, entry=Entry.END, join=Join.CHAINED, **whole)
    first = result(alone, entry=Entry.FIRST, join=Join.CHAINED, **whole)
    np.testing.assert_array_equal(bits(end), bits(first))


@few
@given(cases(sequential))
def test_chains_that_are_neighbors_are_one(case: Case) -> None:
    fields = {"run": 2, "tile": 4, "descending": False, "join": Join.CHAINED}
    one, two = (result(case, chains=count, **fields) for count in (1, 2))
    np.testing.assert_array_equal(bits(one), bits(two))


@few
@given(cases(float_accumulations().filter(lambda how: how.rounding is not Rounding.STOCHASTIC)))
def test_the_transposed_product_is_that_of_the_transposed(case: Case) -> None:
    nan = NanRule.CANONICAL
    turned = dataclasses.replace(
        case,
        a=np.ascontiguousarray(case.b.T),
        b=np.ascontiguousarray(case.a.T),
        c=None if case.c is None else np.ascontiguousarray(case.c.T),
        a_format=case.b_format,
        b_format=case.a_format,
    )
    np.testing.assert_array_equal(bits(result(turned, nan=nan)), bits(result(case, nan=nan)).T)


@few
@given(cases(float_accumulations().filter(lambda how: how.rounding is not Rounding.STOCHASTIC)))
def test_the_opposite_product_is_the_opposite(case: Case) -> None:
    nearest = {
        "rounding": Rounding.NEAREST_EVEN,
        "psum_rounding": Rounding.TOWARD_ZERO,
        "cut": Rounding.TOWARD_ZERO,
    }
    assume(case.a_format.min < 0)
    opposite = dataclasses.replace(case, a=-case.a, c=None if case.c is None else -case.c)
    np.testing.assert_array_equal(result(opposite, **nearest), -result(case, **nearest))


@few
@given(cases(integer_accumulations()))
def test_an_integer_sum_is_one_that_the_accumulator_holds(case: Case) -> None:
    held = case.accumulation.accumulator
    assert isinstance(held, IntegerAccumulator)
    found = result(case)
    assert ((held.min <= found) & (found <= held.max)).all()


@settings(max_examples=20)
@given(cases(float_accumulations().filter(lambda how: how.rounding is not Rounding.STOCHASTIC)))
def test_every_output_stands_alone(case: Case) -> None:
    whole = bits(result(case))
    for i, j in np.ndindex(whole.shape):
        c = None if case.c is None else case.c[i : i + 1, j : j + 1]
        one = dataclasses.replace(case, a=case.a[i : i + 1], b=case.b[:, j : j + 1], c=c)
        assert bits(result(one))[0, 0] == whole[i, j]


def test_the_strategies_reach_every_choice_of_every_field() -> None:
    found: dict[str, set[object]] = {
        field.name: set() for field in dataclasses.fields(Accumulation)
    }

    @settings(max_examples=400, database=None)
    @given(accumulations)
    def collect(how: Accumulation) -> None:
        for name, values in found.items():
            values.add(getattr(how, name))

    collect()
    choices = {"order": 4, "join": 3, "entry": 4, "cut": 3, "rounding": 7, "psum_rounding": 6}
    for name, values in found.items():
        assert len(values) >= (choices | {"nan": 3}).get(name, 2), name
