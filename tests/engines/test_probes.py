"""The numbers of the probes: which serve for a format and a sum, and which are refused."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from halfulp.dtypes import BF16, E4M3, E8M0FNU, FP16, FP32, FloatFormat, Rounding
from halfulp.engines import Accumulation, Entry, IntegerAccumulator, Order
from halfulp.engines.probes import Magnitudes, magnitudes
from halfulp.engines.reveal import reveal

ODD = Rounding.TO_ODD
FUSED = Accumulation(Order.FUSED, block=8, fraction_bits=25, rounding=ODD)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n=0 is out of range; allowed: 1"),
        ({"n": 5, "checks": -1}, "checks=-1"),
        ({"n": 5, "big": 4.0}, "needed: n \\* one < big"),
        ({"n": 5, "big": 2.0**128}, "a positive number that float32 holds"),
        ({"n": 5, "one": 0.1}, "a positive number that float32 holds"),
        ({"n": 5, "one": 0.0}, "a positive number that float32 holds"),
        ({"n": 5, "big": math.nan}, "a positive number that float32 holds"),
        ({"n": 5, "spacing": 4.0}, "n \\* one <= spacing < big"),
        ({"n": 5, "fmt": "e4m3"}, "e4m3 in fp32 goes from 2\\^-9 to 2\\^7; n=5 needs 2\\^28"),
        ({"n": 5, "fmt": "int8"}, "integer format"),
    ],
)
def test_numbers_that_do_not_probe_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reveal(np.sum, **arguments)


@pytest.mark.parametrize("n", [1.5, True, "3"])
def test_n_is_an_integer(n: Any) -> None:
    with pytest.raises(TypeError, match="is not an integer"):
        reveal(np.sum, n)


@pytest.mark.parametrize(
    ("fmt", "n", "accumulation", "expected"),
    [
        (FP32, 32, Accumulation(), Magnitudes(2.0**127, 1.0)),
        (BF16, 32, Accumulation(), Magnitudes(2.0**127, 1.0)),
        (FP16, 4096, Accumulation(), Magnitudes(2.0**15, 2.0**-24)),
        (FP32, 32, Accumulation(accumulator=FP16), Magnitudes(2.0**15, 2.0**-24)),
        (FP16, 8, Accumulation(flushes_inputs=True), Magnitudes(2.0**15, 2.0**-14)),
        (FP32, 32, Accumulation(rounding=Rounding.TOWARD_NEGATIVE), Magnitudes(2.0**127, 1.0)),
        (FP32, 32, FUSED, Magnitudes(2.0**127, 1.0)),
        (FP16, 32, FUSED, Magnitudes(2.0**15, 2.0**-24)),
        (FP16, 32, dataclasses.replace(FUSED, fraction_bits=32), Magnitudes(2.0**15, 2.0**-24)),
        (FP16, 32, dataclasses.replace(FUSED, fraction_bits=33), None),
        (FP32, 32, dataclasses.replace(FUSED, entry=Entry.LATE), Magnitudes(2.0**31, 1.0, 32.0)),
        (FP32, 32, dataclasses.replace(FUSED, fraction_bits=3), None),
        (FP16, 8, dataclasses.replace(FUSED, fraction_bits=6), Magnitudes(2.0**15, 2.0**-20)),
        (FP32, 8, dataclasses.replace(FUSED, floor_exponent=30), Magnitudes(2.0**127, 2.0**5)),
        (FP32, 32, Accumulation(rounding=ODD), Magnitudes(2.0**29, 1.0, 32.0)),
        (
            FP32, 32, Accumulation(entry=Entry.END, psum_rounding=ODD),
            Magnitudes(2.0**29, 1.0, 32.0),
        ),
        (FP16, 8, Accumulation(rounding=ODD), Magnitudes(2.0**3, 2.0**-24, 2.0**-21)),
        (E4M3, 9, Accumulation(accumulator=E4M3), Magnitudes(2.0**7, 2.0**-9)),
        (E4M3, 17, Accumulation(accumulator=E4M3), None),
        (E8M0FNU, 9, Accumulation(), None),
        (FP16, 40000, Accumulation(), None),
        (BF16, 257, Accumulation(accumulator=BF16), None),
        (BF16, 9, Accumulation(accumulator=BF16, rounding=ODD), None),
        (FP32, 3, Accumulation(accumulator=IntegerAccumulator(32)), None),
    ],
)  # fmt: skip
def test_numbers_follow_from_the_format_and_the_sum(
    fmt: FloatFormat, n: int, accumulation: Accumulation, expected: Magnitudes | None
) -> None:
    if expected is not None:
        assert magnitudes(fmt, n, accumulation) == expected
        assert magnitudes(fmt.name, n, accumulation) == expected
        return
    with pytest.raises(ValueError, match=r"needs 2\^|must be exact|probes need signed floats"):
        magnitudes(fmt, n, accumulation)
