"""The conformance kit: right casts pass, each planted fault breaks its law."""

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from halfulp.dtypes import E4M3, FORMATS, FloatFormat, round_to
from halfulp.dtypes.conformance import check_cast
from halfulp.dtypes.rounding import DETERMINISTIC, Rounding

SMALL = [f for f in FORMATS.values() if isinstance(f, FloatFormat) and f.bits <= 8]


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
    assert abs(float(law.input.partition("(")[2].rstrip(")"))) == E4M3.smallest_subnormal / 2


def test_a_cast_that_raises_is_reported_with_the_input() -> None:
    def cast(x: Any) -> Any:
        if (x == 7).any():
            raise OverflowError("seven")
        return round_to(x, E4M3)

    law = check_cast(cast, E4M3).law("answers")
    assert (law.wrong, law.input, law.got) == (1, "0x40e00000 (7.0)", "OverflowError: seven")


@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_ml_dtypes_rounds_float64_twice() -> None:
    def cast(x: Any) -> Any:
        return x.astype(ml_dtypes.float8_e4m3fn)

    assert check_cast(cast, "e4m3fn", overflow="ml_dtypes").ok
    assert (
        check_cast(cast, "e4m3fn", source="float64", overflow="ml_dtypes")
        .law("single rounding")
        .wrong
    )


def test_torch_rounds_float64_twice() -> None:
    torch = pytest.importorskip("torch")

    def cast(x: Any) -> Any:
        return torch.from_numpy(x).to(torch.float8_e5m2).double().numpy()

    assert check_cast(cast, "e5m2", overflow="torch").ok
    assert check_cast(cast, "e5m2", source="float64", overflow="torch").law("single rounding").wrong


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fmt": "int8"}, "integer format"),
        ({"fmt": "e4m3", "rounding": "stochastic"}, "no one answer"),
        ({"fmt": "e4m3", "source": "bfloat16"}, "allowed: float16, float32, float64"),
    ],
)
def test_wrong_choices_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_cast(np.asarray, **options)
