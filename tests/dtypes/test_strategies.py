"""The strategies draw what they promise, and Hypothesis finds them by the types of formats."""

import importlib
import math
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import entry_points
from operator import eq
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from halfulp import dtypes
from halfulp.dtypes import (
    BLOCK_FORMATS,
    E4M3,
    E4M3FN,
    E8M0FNU,
    FORMATS,
    BlockFormat,
    FloatFormat,
    Format,
    IntFormat,
    Specials,
    encode,
    hypothesis_types,
    parse_format,
    reference,
    round_to,
    strategies,
)
from halfulp.dtypes.conformance_inputs import SOURCES, magnitude
from tests.dtypes.opinion import bits

sources = st.sampled_from(list(SOURCES))
slow = settings(suppress_health_check=[HealthCheck.too_slow])


def drawn(strategy: st.SearchStrategy[Any], wanted: Callable[[Any], bool]) -> Any:
    """An example that is wanted; NoSuchExample when none is drawn in many."""
    return find(strategy, wanted, settings=settings(max_examples=3000, database=None))


@given(strategies.formats())
def test_every_format_drawn_can_be_named(fmt: Format) -> None:
    assert parse_format(str(fmt)) == fmt


@pytest.mark.parametrize(
    "wanted",
    [
        lambda fmt: fmt == E8M0FNU,
        lambda fmt: fmt.exponent_bits == 1 and fmt.mantissa_bits == 0,
        lambda fmt: fmt.exponent_bits == 8 and fmt.mantissa_bits >= 22,
        lambda fmt: fmt.mantissa_bits == 23 and not fmt.subnormals,
        lambda fmt: fmt.specials is Specials.FNUZ and fmt.bias != fmt.default_bias,
        lambda fmt: fmt.smallest_subnormal == 2.0**-149,
        lambda fmt: fmt.emax == 127 and fmt.bits == 5,
        lambda fmt: not fmt.signed and fmt.exponent_bits < 8 and fmt not in strategies.CORNERS,
    ],
)
def test_any_means_the_whole_family(wanted: Callable[[FloatFormat], bool]) -> None:
    assert drawn(strategies.float_formats(), wanted)


def _is_not_in(table: list[Format], fmt: Format) -> bool:
    return fmt not in table


def _is_a(kind: type, fmt: Format) -> bool:
    return isinstance(fmt, kind)


def test_named_and_corners_are_those_of_the_tables() -> None:
    for which, table in (("named", FORMATS.values()), ("corners", strategies.CORNERS)):
        for fmt in table:
            drawn(strategies.formats(which), partial(eq, fmt))
        with pytest.raises(NoSuchExample):
            drawn(strategies.formats(which), partial(_is_not_in, [*table]))
    with pytest.raises(ValueError, match="allowed: 'named', 'corners', 'any'"):
        strategies.float_formats("all")


@given(st.data(), strategies.formats())
def test_codes_and_values_belong_to_the_format(data: st.DataObject, fmt: Format) -> None:
    code = data.draw(strategies.codes(fmt))
    reference.value(code, fmt)  # or it is refused
    value = data.draw(strategies.values(fmt))
    if not math.isnan(value):
        assert reference.round_exact(value, fmt) == value
        assert math.copysign(1, reference.round_exact(value, fmt)) == math.copysign(1, value)


def test_the_special_codes_and_values_are_drawn() -> None:
    for code in (0, 0x80, E4M3.max_code, E4M3.inf_code, E4M3.nan_code, 0xFF):
        assert drawn(strategies.codes(E4M3), partial(eq, code)) == code
    for wanted in (math.isnan, math.isinf, lambda x: x == 0 and math.copysign(1, x) < 0):
        assert drawn(strategies.values(E4M3), wanted) is not None
    for name, absent in (("allow_nan", math.isnan), ("allow_infinity", math.isinf)):
        with pytest.raises(NoSuchExample):
            drawn(strategies.values(E4M3, **{name: False}), absent)


@pytest.mark.parametrize(
    ("fmt", "options"),
    [("e4m3fn", "allow_infinity"), ("e2m1fn", "allow_nan"), ("int8", "allow_nan")],
)
def test_values_that_a_format_has_not_are_refused(fmt: str, options: str) -> None:
    with pytest.raises(ValueError, match=f"{options}=True, but {fmt} has none"):
        strategies.values(fmt, **{options: True})


@given(st.data(), strategies.float_formats(), sources)
def test_a_near_tie_is_at_or_beside_a_quarter(
    data: st.DataObject, fmt: FloatFormat, source: str
) -> None:
    x = data.draw(strategies.near_ties(fmt, source))
    kind = np.dtype(source).type
    assert math.isnan(x) or float(kind(x)) == x
    if source != "float64" or fmt.mantissa_bits >= 20 or math.isnan(x):
        return  # there a quarter of a step is no number of the source
    size = abs(x)
    code = reference.nearest_code(size, fmt, "toward_zero", "saturate")
    if fmt.has_zero is False and size < fmt.tiny:
        return
    code = min(code, fmt.max_code)
    low, high = magnitude(code, fmt), magnitude(code + 1, fmt)
    share = (size - low) / (high - low)
    assert min(abs(share - quarter) for quarter in (0.25, 0.5, 0.75)) < 1e-6


def _is_a_tie(x: float, fmt: Any) -> bool:
    return bool(
        round_to(x, fmt, rounding="nearest_even") != round_to(x, fmt, rounding="nearest_away")
    )


@pytest.mark.parametrize("source", ["float32", "float64"])
@pytest.mark.parametrize("strategy", ["near_ties", "numbers"])
def test_wrong_casts_are_found(strategy: str, source: str) -> None:
    draw = getattr(strategies, strategy)(E4M3, source)
    assert abs(drawn(draw, lambda x: _is_a_tie(x, E4M3))) == E4M3.smallest_subnormal / 2
    kind = np.dtype(source).type
    assert drawn(draw, lambda x: _is_lost_by_a_cut(x, kind))


def _is_lost_by_a_cut(x: float, kind: Any) -> bool:
    """Whether a cast that does not look at the last twelve bits of its source would be wrong."""
    word = np.dtype(f"u{kind(x).itemsize}").type
    cut = float((kind(x).view(word) >> word(12) << word(12)).view(kind))
    return math.isfinite(x) and bool(round_to(x, E4M3) != round_to(cut, E4M3))


def test_ties_of_integers_are_drawn() -> None:
    assert drawn(strategies.near_ties("int8"), lambda x: _is_a_tie(x, "int8")) == 0.5
    assert abs(drawn(strategies.boundaries("int8"), lambda x: abs(x) > 127.5)) > 127.5


@pytest.mark.parametrize(
    "place",
    [
        0.0,
        E4M3.smallest_subnormal / 2,
        E4M3.smallest_subnormal,
        E4M3.tiny - E4M3.smallest_subnormal,
        E4M3.tiny,
        E4M3.max,
        248.0,
        np.nextafter(248.0, 0),
        np.nextafter(248.0, np.inf),
        256.0,
        -1.0,
    ],
)
def test_the_boundaries_hold(place: float) -> None:
    assert drawn(strategies.boundaries(E4M3), lambda x: x == place) == place


@given(st.data(), sources)
def test_specials_and_numbers_are_of_their_source(data: st.DataObject, source: str) -> None:
    fmt = data.draw(strategies.formats())
    kind = np.dtype(source).type
    for strategy in (
        strategies.special_values(source),
        strategies.numbers(fmt, source),
        strategies.boundaries(fmt, source),
    ):
        x = data.draw(strategy)
        assert math.isnan(x) or float(kind(x)) == x


def test_numbers_give_nan_only_where_a_cast_takes_it() -> None:
    for fmt, takes in (("e4m3", True), ("int8", True), ("e2m1fn", False)):
        if takes:
            assert math.isnan(drawn(strategies.numbers(fmt), math.isnan))
        else:
            with pytest.raises(NoSuchExample):
                drawn(strategies.numbers(fmt), math.isnan)
    assert math.isnan(drawn(strategies.numbers("e2m1fn", allow_nan=True), math.isnan))


@pytest.mark.parametrize("strategy", ["near_ties", "boundaries", "numbers", "arrays"])
def test_an_unknown_source_is_refused(strategy: str) -> None:
    with pytest.raises(ValueError, match="allowed: float16, float32, float64"):
        getattr(strategies, strategy)(E4M3, "bfloat16")


@slow
@given(st.data(), strategies.formats(), sources)
def test_arrays_give_the_bits_of_the_reference(
    data: st.DataObject, fmt: Format, source: str
) -> None:
    x = data.draw(strategies.arrays(fmt, source, layouts=True))
    assert x.dtype.newbyteorder("=") == source
    right = [
        reference.nearest_code(float(one), fmt) for one in x.astype(np.float64).ravel().tolist()
    ]
    assert encode(x, fmt).ravel().tolist() == right


@given(strategies.arrays(E4M3, shape=(2, 3)))
def test_layouts_change_the_memory_and_no_value(x: np.ndarray[Any, Any]) -> None:
    plain = strategies.LAYOUTS["C order"](x)
    for name, lay in strategies.LAYOUTS.items():
        laid = lay(x)
        assert laid.shape == x.shape
        assert np.array_equal(bits(laid.astype(np.float32)), bits(plain)), name
    assert strategies.LAYOUTS["Fortran order"](x).flags.f_contiguous
    assert not strategies.LAYOUTS["unaligned"](x).flags.aligned
    assert not strategies.LAYOUTS["read-only"](x).flags.writeable
    assert strategies.LAYOUTS["every third"](x).strides == (3 * 3 * 12, 3 * 4)
    assert strategies.LAYOUTS["backwards"](x).strides[0] < 0
    assert not strategies.LAYOUTS["other byte order"](x).dtype.isnative


def test_types_are_drawn_by_themselves() -> None:
    assert drawn(st.from_type(FloatFormat), lambda fmt: fmt == E4M3FN) == E4M3FN
    assert drawn(st.from_type(IntFormat), lambda fmt: fmt.bits == 8) is not None
    for kind in (FloatFormat, IntFormat):
        drawn(st.from_type(Format), partial(_is_a, kind))  # type: ignore[arg-type]
    assert drawn(st.from_type(BlockFormat), lambda _: True) in BLOCK_FORMATS.values()


def _said(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


DRAW = "print(type(st.from_type(F).filter(lambda f: f.bits == 8).example()).__name__)"


@pytest.mark.parametrize(
    "order",
    [
        "from hypothesis import strategies as st; from halfulp.dtypes import FloatFormat as F",
        "from halfulp.dtypes import FloatFormat as F; from hypothesis import strategies as st",
    ],
)
def test_either_import_order_registers_the_types(order: str) -> None:
    quiet = "import warnings; warnings.simplefilter('ignore')"
    assert _said(f"{quiet}; {order}; {DRAW}") == "FloatFormat\n"


def test_the_package_brings_no_hypothesis_and_hypothesis_no_package() -> None:
    assert _said("import sys, halfulp.dtypes; print('hypothesis' in sys.modules)") == "False\n"
    heavy = ("halfulp.dtypes", "numba", "torch", "ml_dtypes")
    script = f"import sys, hypothesis; print([name for name in {heavy} if name in sys.modules])"
    assert _said(script) == "[]\n"
    registered = "import sys, hypothesis; print('halfulp.hypothesis_plugin' in sys.modules)"
    assert _said(registered) == "True\n"


def test_the_entry_point_costs_hypothesis_less_than_twenty_milliseconds() -> None:
    (entry,) = entry_points(group="hypothesis", name="halfulp")
    assert entry.value == "halfulp.hypothesis_plugin:register"
    script = (
        "import importlib.metadata as m, time\n"
        "(entry,) = m.entry_points(group='hypothesis', name='halfulp')\n"
        "start = time.perf_counter(); entry.load()(); print(time.perf_counter() - start)"
    )
    assert min(float(_said(script)) for _ in range(5)) < 0.02


@pytest.mark.parametrize("loaded", [True, False])
def test_formats_are_registered_where_hypothesis_is_loaded(
    loaded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered: list[bool] = []
    monkeypatch.setattr(hypothesis_types, "register", lambda: registered.append(True))
    if not loaded:
        monkeypatch.delitem(sys.modules, "hypothesis")
    importlib.reload(dtypes)
    assert registered == [True] * loaded
