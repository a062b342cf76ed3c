"""The tables of rounding: truth tables, what stays finite, names; beside the exact reference."""

from fractions import Fraction

import pytest

from halfulp.dtypes import E4M3, NanTo, Overflow, Rounding, Specials, Subnormals
from halfulp.dtypes.reference import nearest_code
from halfulp.dtypes.reference_rounding import Noise, exponent, whole
from halfulp.dtypes.rounding import DETERMINISTIC, TRUTH_TABLES, choice, stays_finite, truth_table


@pytest.mark.parametrize("rounding", DETERMINISTIC)
def test_a_truth_table_says_what_the_reference_does(rounding: Rounding) -> None:
    table = TRUTH_TABLES[rounding]
    assert 0 <= table < 1 << 16
    for index in range(16):
        negative, odd, guard, sticky = (bool(index >> place & 1) for place in (3, 2, 1, 0))
        below = 2 + odd
        size = below + Fraction(guard, 2) + Fraction(sticky, 4)
        assert table >> index & 1 == whole(size, negative, rounding, None) - below, bin(index)


def test_a_truth_table_has_a_bit_for_each_case() -> None:
    assert TRUTH_TABLES.keys() == set(DETERMINISTIC) == set(Rounding) - {Rounding.STOCHASTIC}
    assert truth_table(lambda *given: True) == 0xFFFF
    for place in range(4):  # negative, odd, guard, sticky
        one = truth_table(lambda *given, place=place: given[place])
        assert [one >> index & 1 for index in range(16)] == [
            index >> (3 - place) & 1 for index in range(16)
        ]


@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize("rounding", DETERMINISTIC)
def test_what_stays_finite_is_what_the_reference_keeps(rounding: Rounding, negative: bool) -> None:
    code = nearest_code(-1e300 if negative else 1e300, E4M3, rounding, Overflow.INF)
    assert stays_finite(rounding, negative) is (code & 0x7F == E4M3.max_code)


def test_stochastic_overflow_does_not_stay_finite() -> None:
    assert not stays_finite(Rounding.STOCHASTIC, False)
    code = nearest_code(1e300, E4M3, "stochastic", noise=Noise(0))
    assert code == E4M3.inf_code


def test_the_names_of_the_choices() -> None:
    assert list(map(str, Rounding)) == [
        "nearest_even", "nearest_away", "toward_zero", "toward_positive", "toward_negative",
        "to_odd", "stochastic",
    ]  # fmt: skip
    assert list(map(str, Overflow)) == ["inf", "saturate", "saturate_all", "nan"]
    assert list(map(str, Subnormals)) == ["keep", "flush_inputs", "flush_outputs"]
    assert list(map(str, NanTo)) == ["zero", "max"]
    assert list(map(str, Specials)) == ["ieee", "fn", "fnuz", "finite"]


def test_a_choice_is_taken_as_member_and_as_name_and_refused_in_full() -> None:
    assert choice(NanTo, NanTo.MAX, "nan") is choice(NanTo, "max", "nan") is NanTo.MAX
    with pytest.raises(ValueError) as caught:
        choice(NanTo, "least", "nan")
    assert str(caught.value) == "nan='least' is not known; allowed: 'zero', 'max'"
    assert caught.value.__suppress_context__


def test_the_exponent_of_a_fraction_is_that_of_its_binade() -> None:
    for power in (-3, 0, 2):
        unit = Fraction(2) ** power
        for share, wanted in (
            (1, power),
            (Fraction(5, 3), power),
            (Fraction(999, 1000), power - 1),
        ):
            assert exponent(unit * share) == wanted


@pytest.mark.parametrize(("value", "bits"), [(0, 0), (0, 33), (-1, 8), (256, 8)])
def test_a_draw_has_1_to_32_bits(value: int, bits: int) -> None:
    with pytest.raises(ValueError) as caught:
        Noise(value, bits)
    assert str(caught.value) == (
        f"Noise(value={value}, bits={bits}): bits must be 1 to 32, value 0 to 2^bits - 1"
    )
