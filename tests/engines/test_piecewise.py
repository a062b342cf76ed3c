"""Piecewise cubics against fractions, fits against the functions, and the engine with both."""

from dataclasses import replace
from fractions import Fraction
from math import isnan, pi
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfulp.dtypes import BF16, FP32
from halfulp.dtypes.reference import round_exact
from halfulp.engines import NEURONCORE_V2, Activation, Ledger, recording
from halfulp.engines.piecewise import NotATable, PiecewiseCubic, Segment
from halfulp.engines.piecewise_fit import fit
from halfulp.engines.reference import subtract
from tests.engines.inputs import mixed
from tests.engines.opinion import numbers, same

scalar = NEURONCORE_V2.scalar
SINGLE = st.floats(-1e6, 1e6, width=32)


def fused(a: float, b: float, c: float) -> float:
    """a * b + c, rounded once to float32."""
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    if exact:
        return float(round_exact(exact, FP32))
    return a * b + c  # a zero: its sign is IEEE 754's in float64 too


def cubic(table: PiecewiseCubic, x: float) -> float:
    """The definition: the last segment that starts at or before x, or the first."""
    chosen = table.segments[0]
    for segment in table.segments[1:]:
        chosen = segment if x >= segment.start else chosen
    d = subtract(x, chosen.anchor)
    c0, c1, c2, c3 = chosen.coefficients
    return fused(fused(fused(c3, d, c2), d, c1), d, c0)


@st.composite
def tables(draw: Any) -> PiecewiseCubic:
    starts = sorted(draw(st.sets(SINGLE, min_size=2, max_size=9)))
    segments = [Segment(start, draw(SINGLE), (*(draw(SINGLE) for _ in range(4)),))
                for start in starts[:-1]]  # fmt: skip
    return PiecewiseCubic("drawn", tuple(segments), starts[-1])


@given(tables(), st.lists(st.floats(-1e7, 1e7, width=32), min_size=1, max_size=40))
def test_a_table_gives_its_cubics_step_by_step(table: PiecewiseCubic, drawn: list[float]) -> None:
    x = np.array([*drawn, *(s.start for s in table.segments), table.stop], np.float32)
    wanted = np.array([cubic(table, number) for number in numbers(x)], np.float32)
    assert same(table(x), wanted)


def test_shapes_strides_and_sizes_around_the_vectors() -> None:
    table = fit("tanh", 16, (-4, 4)).table
    for size in (0, 1, 15, 16, 17, 1023, 1024, 1025, 40_000):
        x = np.linspace(-9, 9, size, dtype=np.float32)
        parts = [table(part) for part in np.array_split(x, 7)]
        assert same(table(x), np.concatenate(parts))
    x = np.linspace(-5, 5, 24, dtype=np.float32).reshape(2, 3, 4)
    assert same(table(x.transpose(2, 0, 1)), table(x).transpose(2, 0, 1))
    assert table(np.array(1.0, np.float32)).shape == ()


def test_nan_gives_nan_and_an_infinity_what_the_cubic_gives() -> None:
    line = PiecewiseCubic("line", (Segment(0.0, 0.0, (1.0, 2.0, 0.0, 0.0)),), 1.0)
    assert isnan(line(np.array([np.nan], np.float32))[0])
    # 0 * inf is NaN: a cubic without a third power is one all the same
    assert isnan(line(np.array([np.inf], np.float32))[0])
    cube = PiecewiseCubic("cube", (Segment(0.0, 0.0, (0.0, 0.0, 0.0, 1.0)),), 1.0)
    assert cube(np.array([-np.inf], np.float32))[0] == -np.inf


@pytest.mark.parametrize(
    ("segments", "stop", "told"),
    [
        ((), 1.0, "no segments"),
        ((Segment(0.0, 0.0, (0.0,) * 4),), 0.0, "ascending"),
        ((Segment(1.0, 0.0, (0.0,) * 4), Segment(0.5, 0.0, (0.0,) * 4)), 2.0, "ascending"),
    ],
)
def test_a_table_proves_itself(segments: Any, stop: float, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        PiecewiseCubic("wrong", segments, stop)


@pytest.mark.parametrize("number", [np.inf, np.nan, 0.1, 1e39])
def test_a_segment_holds_numbers_of_float32(number: float) -> None:
    with pytest.raises(ValueError, match="float32"):
        Segment(0.0, 0.0, (number, 0.0, 0.0, 0.0))


def test_a_table_goes_through_a_file(tmp_path: Path) -> None:
    table = fit("gelu", 9, (-3, 3)).table
    table.write(tmp_path / "gelu.json")
    assert PiecewiseCubic.read(tmp_path / "gelu.json") == table


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "{}", '{"kind": "halfulp piecewise cubic", "schema": 2}',
        '{"kind": "halfulp piecewise cubic", "schema": 1, "name": "x", "segments": [], "stop": 1}',
        '{"kind": "halfulp piecewise cubic", "schema": 1, "name": "x", "stop": 1,'
        ' "segments": [{"start": 0, "anchor": 0, "coefficients": [1, 2, 3]}]}',
    ],
)  # fmt: skip
def test_a_file_that_holds_no_table_is_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(NotATable):
        PiecewiseCubic.read(tmp_path / "t.json")


def test_a_cubic_is_fitted_exactly() -> None:
    found = fit(lambda x: 1 + x * (2 + x * (3 + 4 * x)), 1, (-1, 1), name="a cubic")
    assert found.table.segments[0].coefficients == (1.0, 2.0, 3.0, 4.0)
    assert found.table.name == "a cubic" and found.error < 1e-6


@pytest.mark.parametrize("name", ["exp", "tanh", "gelu", "sigmoid", "arctan"])
def test_more_segments_are_nearer(name: str) -> None:
    errors = [fit(name, count, (-2, 2)).error for count in (1, 2, 4, 8, 16)]
    # a cubic through four points: halving the width divides the error by 16, at best
    assert all(4 < one / two < 40 for one, two in zip(errors, errors[1:], strict=False))


def test_the_error_that_is_told_is_there() -> None:
    found = fit("exp", 4, (0, 2))
    (y,) = found.table(np.array([found.at], np.float32)).tolist()
    true = float(np.exp(found.at))
    assert abs(y - true) / 2.0**-23 / 2 ** np.floor(np.log2(true)) == pytest.approx(found.ulps)


@pytest.mark.parametrize(
    ("segments", "span", "told"),
    [
        (0, (0, 1), "one or more"),
        (4, (1, 1), "the lower first"),
        (4, (0, np.inf), "finite"),
        ([0.5], (0, 1), "from 0.0 on"),
        ([0, 1], (0, 1), "below 1.0"),
    ],
)
def test_a_fit_without_segments_is_refused(segments: Any, span: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        fit("exp", segments, span)


def test_the_sine_of_nine_comes_from_a_short_last_segment() -> None:
    """Documented: about 27.65. That is the cubic about pi, extrapolated."""
    nine = np.array([9.0], np.float32)

    def at_nine(segments: Any) -> float:
        return float(fit("sin", segments, (-pi, pi)).table(nine)[0])

    expected = -(9 - pi) + (9 - pi) ** 3 / 6
    assert expected == pytest.approx(27.6526, abs=1e-4)
    assert at_nine(1) < -60
    assert [round(at_nine(count), 2) for count in (16, 32, 64, 128)] == [26.91, 27.47, 27.61, 27.64]
    # few segments, of which the last is short, say the same as hundreds of one width
    assert at_nine([-pi, -2.0, 0.0, 2.0, 3.125]) == pytest.approx(27.65, abs=0.01)
    assert at_nine(512) == pytest.approx(27.65, abs=0.005)


def test_an_engine_takes_a_table_in_a_functions_place() -> None:
    table = fit("gelu", 16, (-4, 4)).table
    core = replace(NEURONCORE_V2, tables={Activation.GELU: table})
    x = mixed((300,), 5)[np.isfinite(mixed((300,), 5))]
    for fmt in (FP32, BF16):
        got = core.scalar.activation(x, "gelu", scale=0.5, bias=0.25, out_format=fmt)
        argument = scalar.activation(x, "copy", scale=0.5, bias=0.25)
        wanted = scalar.activation(table(argument), "copy", out_format=fmt)
        assert same(got, wanted)
        assert same(scalar.activation(x, table, scale=0.5, bias=0.25, out_format=fmt), wanted)
    assert same(core.scalar.activation(x, "exp"), scalar.activation(x, "exp"))
    assert not same(core.scalar.activation(x, "gelu"), scalar.activation(x, "gelu"))
    assert hash(core) != hash(NEURONCORE_V2) and core.table_of(Activation.EXP) is None
    wrong: Any = {"gelu": 3}
    unknown: Any = {"gelo": table}
    with pytest.raises(TypeError, match="needed: a PiecewiseCubic"):
        replace(NEURONCORE_V2, tables=wrong)
    with pytest.raises(ValueError, match="'gelo' is not known"):
        replace(NEURONCORE_V2, tables=unknown)


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("log", [2.0**-64, 1, 2.0**64], [0, -1, 2.0**-65, 2.0**65, np.inf]),
        ("sqrt", [2.0**-116, 2.0**118], [0, -1, 2.0**-117, 2.0**119]),
        ("rsqrt", [2.0**-87, 2.0**97], [0, -(2.0**-80), 2.0**98]),
        ("reciprocal", [2.0**-42, -(2.0**42)], [0, 2.0**-43, -(2.0**43)]),
        ("sin", [0, 3.1415925, -3.1415925], [3.1415930, -9.0]),
        ("arctan", [0, 1.5707963, -1.5707963], [1.5707966, -9.0]),
        ("exp", [0, -1e30, 1e30], []),
    ],
)
def test_departures_from_the_documented_ranges_are_counted(
    name: str, inside: list[float], outside: list[float]
) -> None:
    x = np.array([*inside, *outside, np.nan], np.float32)
    with recording(Ledger()) as ledger:
        scalar.activation(x, name)
        scalar.activation(x * np.float32(4), name, scale=0.25)
        scalar.activation_reduce(x, name)
    assert [record.departures for record in ledger.records] == [len(outside)] * 3
    assert ledger.totals()["departures"] == 3 * len(outside)


def test_activation_reduce_adds_the_results_before_their_cast() -> None:
    x = mixed((6, 70), 8)
    x[~np.isfinite(x)] = 1
    with recording(Ledger()) as ledger:
        y, sums = scalar.activation_reduce(x, "tanh", scale=0.5, bias=0.1, out_format=BF16)
    assert same(y, scalar.activation(x, "tanh", scale=0.5, bias=0.1, out_format=BF16))
    exact = scalar.activation(x, "tanh", scale=0.5, bias=0.1)
    total = np.zeros(6, np.float32)
    for column in exact.T:
        total = total + column
    assert same(sums, total) and sums.shape == (6,)
    (record,) = ledger.records
    assert record.instruction == "activation_reduce(tanh)"
    assert record.shapes == ((6, 70), (6, 70), (6,)) and record.formats == ("fp32", "bf16", "fp32")
    with pytest.raises(ValueError, match="at least one axis"):
        scalar.activation_reduce(1.0, "exp")


def test_softmax_takes_the_cores_table_for_exp() -> None:
    line = PiecewiseCubic("1 + x/8", (Segment(-8.0, 0.0, (1.0, 0.125, 0.0, 0.0)),), 0.0)
    core = replace(NEURONCORE_V2, tables={"exp": line})  # type: ignore[dict-item]
    x = np.linspace(-3, 3, 60, dtype=np.float32).reshape(4, 15)
    x[1], x[2, 3] = -np.inf, np.nan
    with recording(Ledger()) as ledger:
        got = core.vector.softmax(x, out_format=BF16)
    vector = NEURONCORE_V2.vector
    shifted = vector.tensor_tensor(x, vector.tensor_reduce(x, "max", keepdims=True), "subtract")
    power = line(shifted)
    inverse = vector.reciprocal(vector.tensor_reduce(power, "add", keepdims=True))
    wanted = vector.tensor_tensor(power, inverse, "multiply", out_format=BF16)
    wanted[1] = 0
    assert same(got, wanted)
    assert [record.masked_rows for record in ledger.records] == [1]
    assert np.isnan(got[2]).all() and not same(got, vector.softmax(x, out_format=BF16))
