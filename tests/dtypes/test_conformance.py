"""The conformance kit: right casts pass, each planted fault breaks its law."""

import json
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from halfulp.dtypes import E4M3, FORMATS, FloatFormat, encode, reference, round_to
from halfulp.dtypes.conformance import check_cast
from halfulp.dtypes.conformance_inputs import SOURCES, inputs, wanted
from halfulp.dtypes.conversion import conversion
from halfulp.dtypes.rounding import DETERMINISTIC, Rounding
from tests.dtypes.opinion import bits
from tests.strategies import EVERY_FLOAT

SMALL = [f for f in FORMATS.values() if isinstance(f, FloatFormat) and f.bits <= 8]


@pytest.mark.parametrize("fmt", EVERY_FLOAT.values(), ids=str)
def test_what_is_wanted_is_what_the_reference_says(fmt: FloatFormat) -> None:
    x = inputs(fmt, "float64")
    chosen = np.sort(np.random.default_rng(0).choice(len(x), min(len(x), 60), replace=False))
    for rounding in ("nearest_even", "toward_positive", "to_odd"):
        made = conversion(fmt, rounding=rounding)
        found = wanted(x if fmt.bits <= 8 else x[chosen], made)
        found = found[chosen] if fmt.bits <= 8 else found
        one_by_one = [reference.round_exact(one, fmt, rounding) for one in x[chosen].tolist()]
        assert np.array_equal(bits(found), bits(np.array(one_by_one)))


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("fmt", EVERY_FLOAT.values(), ids=str)
def test_the_inputs_hold_the_boundaries_in_order(fmt: FloatFormat, source: str) -> None:
    x = inputs(fmt, source)
    assert x.dtype == source and not x.flags.writeable
    assert np.isnan(x).sum() == (8 if fmt.has_nan else 0)
    numbers = x[~np.isnan(x)]
    assert np.all(numbers[1:] >= numbers[:-1])
    assert len(np.unique(x.view(SOURCES[source]))) == len(x)
    if source == "float64":
        edges = [fmt.max, np.nextafter(fmt.max, np.inf), fmt.tiny, fmt.smallest_subnormal / 2, 0.0]
        assert np.all(np.isin(edges, x)) and np.all(np.isin(np.negative(edges), x))


@pytest.mark.parametrize("rounding", DETERMINISTIC)
@pytest.mark.parametrize("fmt", SMALL, ids=str)
def test_our_casts_keep_every_law(fmt: FloatFormat, rounding: Rounding) -> None:
    report = check_cast(lambda x: round_to(x, fmt, rounding=rounding), fmt, rounding, "float64")
    assert report.ok, report
    assert report.law("exact").checked > 1 << 15


def _nan_to_max(x: Any) -> Any:
    return np.where(np.isnan(x), E4M3.max, round_to(x, E4M3))


def _flushing(x: Any) -> Any:
    return round_to(x, E4M3, subnormals="flush_outputs")


def _writing(x: Any) -> Any:
    rounded = round_to(x, E4M3)
    x[:] = rounded
    return rounded


FAULTS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "ties away": ("exact", lambda x: round_to(x, E4M3, rounding="nearest_away")),
    "twice": ("single rounding", lambda x: round_to(round_to(x, "fp32"), E4M3)),
    "NaN to max": ("NaN stays NaN", _nan_to_max),
    "overflow to max": ("overflow", lambda x: round_to(x, E4M3, overflow="saturate")),
    "-0 lost": ("sign-symmetric", lambda x: round_to(x, E4M3) + 0.0),
    "flushing": ("exact", _flushing),
    "upward": ("sign-symmetric", lambda x: round_to(x, E4M3, rounding="toward_positive")),
    "not monotone": ("monotone", lambda x: np.where(abs(x) == 3, 1, round_to(x, E4M3))),
    "moving": ("idempotent", lambda x: round_to(np.where(abs(x) == 3, 4, x), E4M3)),
    "writing": ("input unchanged", _writing),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_breaks_its_law(name: str) -> None:
    law, cast = FAULTS[name]
    report = check_cast(cast, E4M3, source="float64")
    assert not report.ok
    assert report.law(law).wrong > 0
    assert report.law(law).input.startswith("0x")
    assert "NOT CONFORMING" in str(report)


def test_the_smallest_failing_input_is_shown() -> None:
    law = check_cast(FAULTS["ties away"][1], E4M3).law("exact")
    half = E4M3.smallest_subnormal / 2
    assert (law.input, law.got, law.wanted) == (f"0x3a800000 ({half})", f"{2 * half}", "0.0")


def test_a_cast_that_raises_is_reported_with_the_input() -> None:
    def cast(x: Any) -> Any:
        if (x == 7).any():
            raise OverflowError("seven")
        return round_to(x, E4M3)

    law = check_cast(cast, E4M3).law("answers")
    assert (law.wrong, law.input, law.got) == (1, "0x40e00000 (7.0)", "OverflowError: seven")


def _ml_dtypes(name: str) -> Callable[[Any], Any]:
    return lambda x: x.astype(getattr(ml_dtypes, name))


def _torch(name: str) -> Callable[[Any], Any]:
    torch = pytest.importorskip("torch")
    return lambda x: torch.from_numpy(x).to(getattr(torch, name)).double().numpy()


@pytest.mark.parametrize(
    ("library", "dtype", "fmt", "reproducer"),
    [
        (_ml_dtypes, "bfloat16", "bf16", 1.0039062500001),
        (_ml_dtypes, "float8_e4m3fn", "e4m3fn", 0.9687499999999999),
        (_ml_dtypes, "float8_e3m4", "e3m4", 1.0312500000001),
        (_torch, "float16", "fp16", 1.0004882812501),
        (_torch, "bfloat16", "bf16", 1.0039062500001),
        (_torch, "float8_e5m2", "e5m2", 1.12500000000001),
        (_torch, "float8_e4m3fn", "e4m3fn", 0.9687499999999999),
    ],
)
def test_a_library_that_rounds_float64_twice_is_found(
    library: Callable[[str], Callable[[Any], Any]], dtype: str, fmt: str, reproducer: float
) -> None:
    cast, policy = library(dtype), library.__name__.strip("_")
    if float(cast(np.array([reproducer]))[0]) == round_to(reproducer, fmt):
        pytest.skip(f"this version of {policy} rounds {reproducer} to {dtype} once")
    assert check_cast(cast, fmt, overflow=policy).ok, "float32 has no way to round twice"
    report = check_cast(cast, fmt, source="float64", overflow=policy)
    law = report.law("single rounding")
    assert law.wrong > 0 and law.wrong == report.law("exact").wrong
    assert report.law("monotone").wrong == report.law("NaN stays NaN").wrong == 0


def test_the_policy_that_is_followed_instead_is_named() -> None:
    report = check_cast(lambda x: round_to(x, "e4m3fn", overflow="saturate"), "e4m3fn")
    assert [str(policy) for policy in report.instead] == ["saturate"]
    assert "past the largest value it does as overflow saturate\n" in str(report)
    wrapping = check_cast(lambda x: np.where(abs(x) > 448, 1, round_to(x, "e4m3fn")), "e4m3fn")
    assert wrapping.law("overflow").wrong and wrapping.instead == ()


@pytest.mark.parametrize("fmt", ["e4m3fnuz", "e4m3b11fnuz"])
def test_formats_without_a_negative_zero_are_symmetric_around_it(fmt: str) -> None:
    report = check_cast(lambda x: round_to(x, fmt), fmt)
    assert report.ok and report.law("sign-symmetric").checked > 1 << 15
    shifted = check_cast(lambda x: round_to(np.where(x == -3, -4, x), fmt), fmt)
    assert shifted.law("sign-symmetric").input == "0xc0400000 (-3.0)"


@pytest.mark.parametrize("fmt", ["bf16", "fp16", "tf32", "fp32", "float(5,23)"])
@pytest.mark.parametrize("source", SOURCES)
def test_wide_formats_are_judged_too(fmt: str, source: str) -> None:
    assert check_cast(lambda x: round_to(x, fmt), fmt, source=source).ok


@pytest.mark.parametrize("fmt", ["fp16", "fp32", "float(5,23)"])
def test_a_wrong_tie_of_a_wide_format_is_found(fmt: str) -> None:
    def cast(x: Any) -> Any:
        return round_to(x, fmt, rounding="nearest_away")

    assert check_cast(cast, fmt, source="float64").law("exact").wrong > 0


def test_level_two_asks_more() -> None:
    first, second = (check_cast(lambda x: round_to(x, E4M3), E4M3, level=n) for n in (1, 2))
    assert first.ok and second.ok
    assert second.law("exact").checked > 20 * first.law("exact").checked


def test_codes_are_taken_for_their_values() -> None:
    def cast(x: Any) -> Any:
        return encode(x, E4M3)

    assert check_cast(cast, E4M3, codes=True).ok
    law = check_cast(lambda x: cast(x) ^ (x == 3), E4M3, codes=True).law("exact")
    assert (law.wrong, law.input, law.got) == (1, "0x40400000 (3.0)", "3.25")
    law = check_cast(lambda x: cast(x).astype(int) + 256 * (x == 3), E4M3, codes=True).law(
        "answers"
    )
    assert law.input == "0x40400000 (3.0)" and "324 is no code of e4m3" in law.got


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda x: x[1:], "ValueError: the result has the shape (0,), the input (1,)"),
        (lambda x: None, "the result has the shape ()"),
        (lambda x: x.astype(int), "an array of int64, not of floats"),
        (lambda x: x.astype(object), "an array of object, not of floats"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_what_is_no_result_is_told(answer: Callable[[Any], Any], words: str) -> None:
    (law,) = check_cast(answer, E4M3).laws
    assert law.name == "answers" and words in law.got
    assert (law.wrong, law.input) == (1, "0x00000000 (0.0)")


def test_values_are_no_codes() -> None:
    (law,) = check_cast(lambda x: round_to(x, E4M3), E4M3, codes=True).laws
    assert law.name == "answers" and "an array of float32, not of codes" in law.got


def test_a_cast_that_only_takes_single_numbers_is_told_with_how_many_it_failed() -> None:
    def cast(x: Any) -> Any:
        if len(x) > 2:
            raise ValueError("too many")
        return round_to(x, E4M3)

    law = check_cast(cast, E4M3).law("answers")
    assert (law.wrong, law.got) == (1, "ValueError: too many")
    count = int(law.input.removeprefix("all ").removesuffix(" at once"))
    assert 2 < count <= 5, "each half of them is answered"


def test_a_report_is_data() -> None:
    found = json.loads(json.dumps(check_cast(FAULTS["ties away"][1], E4M3).as_json()))
    assert (found["format"], found["source"], found["level"], found["ok"]) == (
        "e4m3",
        "float32",
        1,
        False,
    )
    assert [law["name"] for law in found["laws"]][:2] == ["exact", "overflow"]
    assert found["laws"][0]["wrong"] > 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fmt": "int8"}, "integer format"),
        ({"fmt": "e4m3", "rounding": "stochastic"}, "no one answer"),
        ({"fmt": "e4m3", "source": "bfloat16"}, "allowed: float16, float32, float64"),
        ({"fmt": "e4m3", "level": 3}, "allowed: 1, 2"),
        ({"fmt": "e2m1fn", "overflow": "nan"}, "has no NaN"),
    ],
)
def test_wrong_choices_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_cast(np.asarray, **options)
