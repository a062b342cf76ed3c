"""`formats`, `show` and `explain`: what they tell is what the reference and the casts do."""

import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from halfulp.dtypes import FORMATS, FloatFormat, Overflow, Rounding, Subnormals, encode
from halfulp.study.cli import app
from halfulp.study.explanation import Question, explain, read_number
from tests.strategies import float_formats, floats_near, overflows_of, roundings


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output


def test_every_named_format_is_listed() -> None:
    status, text = run("formats")
    assert status == 0
    assert {line.split()[0] for line in text.splitlines() if line} >= set(FORMATS)


@pytest.mark.parametrize("name", FORMATS)
def test_every_named_format_is_shown(name: str) -> None:
    status, text = run("show", "format", name)
    assert status == 0 and text.startswith(f"{name}\n")
    assert run("show", name) == (status, text)
    fmt = FORMATS[name]
    if isinstance(fmt, FloatFormat) and fmt.bits <= 8:
        cells = [
            cell for line in text.splitlines() if line.startswith("0x") for cell in line.split()
        ]
        numbers = [float(cell) for cell in cells if not cell.startswith("0x")]
        assert len(numbers) == 1 << fmt.bits
        assert max(x for x in numbers if np.isfinite(x)) == float(f"{fmt.max:g}")


def test_an_explanation_step_by_step() -> None:
    assert run("explain", "431.99999999999994", "e4m3fn") == (
        0,
        "x            431.99999999999994 = 0x1.affffffffffffp+8, float64 0x407affffffffffff\n"
        "typed        431.99999999999994 is no float64: rounded to x first\n"
        "spacing      32.0 (e4m3fn, around x)\n"
        "toward zero  416.0  code 0x7d, 0 1111 101\n"
        "away         448.0  code 0x7e, 0 1111 110\n"
        "midpoint     432.0: x lies 281474976710655/2^49 = 0.4999999999999982 of the way,"
        " below it\n"
        "rule         nearest_even: the nearer one; at the midpoint the one whose last bit is 0\n"
        "result       416.0, code 0x7d, 0 1111 101\n"
        "kernel       the same code\n",
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("500", "e4m3"), ["(past the largest finite value)", "past 240.0 the policy is 'inf'"]),
        (("500", "e4m3fn", "--overflow", "torch"), ["result       448.0", "'saturate_all'"]),
        (("nan", "e2m1fn"), ["e2m1fn has none"]),
        (("--", "-0.3", "e8m0"), ["a scale has no negative values", "result       nan, code 0xff"]),
        (("0", "e8m0"), ["zero, and e8m0fnu has none"]),
        (("1e400", "bf16"), ["infinity; the policy is 'inf'", "1e400 is no float64"]),
        (("0x1p-9", "e4m3", "--subnormals", "flush_outputs"), ["is subnormal, and becomes zero"]),
        (("1e-40", "bf16", "--source", "float32", "--subnormals", "flush_inputs"),
         ["it is subnormal in float32, and taken for zero"]),
        (("1.07", "e4m3", "--rounding", "stochastic"),
         ["0.56", "by chance", "greatest random bits\nresult       1.125,"]),
        (("inf", "e4m3", "--rounding", "stochastic"), ["result       inf, code 0x78"]),
        (("0x1.10000000000001p0", "e4m3"), ["is no float64: rounded to x first", "at it"]),
        (("0x1p-1074", "float(5,2,bias=-20)"), ["1/2^1093 of the way"]),
        (("1.125", "e4m3"), ["x is a value of the format"]),
        (("0.001", "float(4,3,no_subnormals)"), ["between zero and the smallest value"]),
        (("--", "-0.0", "bf16"), ["special      zero", "result       -0.0, code 0x8000"]),
    ],
)  # fmt: skip
def test_what_matters_is_told(arguments: tuple[str, ...], words: list[str]) -> None:
    status, text = run("explain", *arguments)
    assert status == 0
    assert all(word in text for word in words), text
    assert "DIFFERS" not in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("explain", "x", "e4m3"), "'x' is no number; give a decimal"),
        (("explain", "1/0", "e4m3"), "is no number"),
        (("explain", "1e99999999", "e4m3"), "an exponent of at most four digits"),
        (("explain", "0x.p1", "e4m3"), "is no number"),
        (("explain", "1", "e4mm"), "did you mean e4m3"),
        (("explain", "1", "int8"), "int8 is an integer format; give a float format"),
        (("explain", "1", "e4m3", "--rounding", "up"), "--rounding: rounding='up' is not known"),
        (("explain", "1", "e4m3", "--overflow", "wrap"), "or a library's policy: 'neuron'"),
        (("explain", "1", "e4m3", "--source", "int8"), "allowed: 'float32', 'float64'"),
        (("show", "e4m3", "bf16"), "give one name, not e4m3 bf16"),
        (("show", "bf17"), "did you mean bf16"),
    ],
)
def test_wrong_words_end_with_two(arguments: tuple[str, ...], words: str) -> None:
    status, text = run(*arguments)
    assert status == 2
    assert words in re.sub(r"\s+", " ", text)


@given(st.data(), float_formats(), roundings, st.sampled_from(Subnormals))
def test_an_explanation_ends_where_the_cast_ends(
    data: st.DataObject, fmt: FloatFormat, rounding: Rounding, subnormals: Subnormals
) -> None:
    overflow: Overflow = data.draw(st.sampled_from(overflows_of(fmt)))
    x = data.draw(floats_near(fmt))
    text = explain(Question(x.hex(), fmt, rounding, overflow, subnormals, "float64"))
    code = encode(x, fmt, rounding=rounding, overflow=overflow, subnormals=subnormals, nan="zero")
    assert text.endswith("kernel       the same code\n")
    (result,) = re.findall(r"^result .* code (0x[0-9a-f]+),", text, re.M)
    assert int(result, 16) == code


def test_a_neighbor_that_float64_does_not_hold_is_told_as_a_power() -> None:
    status, text = run("explain", "0x1p1023", "e8m0fnu")
    assert status == 0 and "\ntoward zero  8.98846567431158e+307" in text
    assert "\naway         2^1024 " in text


def test_numbers_are_read_exactly() -> None:
    assert read_number("0.1") == Fraction(1, 10)
    assert read_number("0x1.8p3") == 12.0 and read_number(" -Inf ") == float("-inf")
    assert read_number("0x1.00000000000000001p0") == 1 + Fraction(1, 16**17)
    assert read_number("-0x.8") == Fraction(-1, 2)
    assert str(read_number("-0")) == str(read_number("-0x0p1")) == "-0.0"
