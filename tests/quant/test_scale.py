"""Scales: the largest finite magnitude and what follows from it."""

from fractions import Fraction

import numpy as np
import pytest

from halfulp.dtypes import E3M4, E4M3, E5M2, FP16, INT8, INT16, FloatFormat, IntFormat, cfp8
from halfulp.quant import scale

FORMATS = (E3M4, E4M3, E5M2, FP16, cfp8(2, 5), cfp8(2, 5, bias=9))
VALUES = [1.0, 15.5, 240.0, 57344.0, 65504.0, 7.75, 1e-3, 3e38, 1e-40, 2.0**-149, 0.1, 30.3]


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
@pytest.mark.parametrize("value", VALUES)
def test_the_power_of_two_is_the_largest_that_fits(fmt: FloatFormat, value: float) -> None:
    largest = Fraction(float(np.float32(value)))
    factor = scale.power_of_two(float(largest), fmt)
    mantissa, exponent = np.frexp(factor)
    assert mantissa == 0.5
    if abs(exponent - 1) < scale.LARGEST_EXPONENT:
        assert largest * Fraction(factor) <= Fraction(fmt.max) < largest * Fraction(factor) * 2


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_the_power_of_two_stays_where_its_inverse_is_normal(fmt: FloatFormat) -> None:
    for largest in (2.0**-149, 3.4e38):
        factor = scale.power_of_two(largest, fmt)
        assert 2.0**-60 <= factor <= 2.0**60
    assert scale.power_of_two(0.0, fmt) == 1.0


def test_the_largest_magnitude_ignores_what_is_not_finite() -> None:
    x = np.array([[-np.inf, 1.5, -2.5], [np.nan, np.inf, 0.0]], np.float32)
    assert scale.largest_finite(x) == 2.5
    assert scale.largest_finite(-x) == 2.5
    assert scale.largest_finite(np.full(3, -np.inf, np.float32)) == 0.0
    assert scale.largest_finite(np.full(3, -np.nan, np.float32)) == 0.0


def test_the_largest_magnitude_of_nothing_is_zero() -> None:
    assert scale.largest_finite(np.zeros((0, 4), np.float32)) == 0.0
    assert scale.largest_finite(np.array([-0.0], np.float32)) == 0.0


@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_magnitude_is_exact_for_every_kind_of_value(sign: int) -> None:
    for value in VALUES:
        x = np.array([0.0, sign * value, value / 4], np.float32)
        assert scale.largest_finite(x) == abs(float(x[1]))


def test_the_largest_magnitude_of_views_is_that_of_their_elements() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 4, 5, 6)).astype(np.float32)
    for view in (x, x.transpose(0, 2, 1, 3), x[:, 1], x[::2, :, ::-1], x.transpose(3, 2, 1, 0)):
        assert scale.largest_finite(view) == float(np.abs(view).max())
    assert scale.largest_finite(np.broadcast_to(x[:1], (9, 4, 5, 6))) == float(np.abs(x[:1]).max())


def test_the_largest_magnitude_does_not_depend_on_flush_to_zero() -> None:
    torch = pytest.importorskip("torch")
    x = np.array([2.0**-149, -(2.0**-140), 2.0**-145], np.float32)
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor has no flush-to-zero mode")
    try:
        found = scale.largest_finite(x)
    finally:
        torch.set_flush_denormal(False)
    assert found == 2.0**-140


@pytest.mark.parametrize("fmt", [INT8, INT16], ids=str)
@pytest.mark.parametrize("value", VALUES)
def test_the_symmetric_scale_takes_the_largest_to_the_maximum(fmt: IntFormat, value: float) -> None:
    largest = float(np.float32(value))
    factor = scale.symmetric(largest, fmt)
    if factor < 2.0**60:
        assert np.rint(np.float32(largest) * np.float32(factor)) == fmt.max
        assert factor == float(np.float32(fmt.max / largest))
    assert scale.symmetric(0.0, fmt) == 1.0


def test_channel_scales_are_those_of_the_rows() -> None:
    w = np.array([[1.0, -2.0], [0.0, 0.0], [np.inf, 0.5], [-127.0, 1.0]], np.float32)
    rows = [scale.symmetric(v, INT8) for v in (2.0, 0.0, 0.5, 127.0)]
    assert scale.symmetric_by_channel(w, INT8).tolist() == [float(np.float32(r)) for r in rows]


def test_the_inverse_is_rounded_once() -> None:
    a, b = 3.7, np.array([0.1, 7.0, 1e-3], np.float32)
    exact = [1 / (Fraction(a) * Fraction(float(v))) for v in b]
    assert scale.inverse(a, b).tolist() == [float(np.float32(float(e))) for e in exact]  # type: ignore[union-attr]
    assert scale.inverse(2.0**40, 2.0**20) == 2.0**-60
