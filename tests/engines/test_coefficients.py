"""The polynomials of the functions against many digits."""

from collections.abc import Callable
from typing import Any

import mpmath
import pytest

from halfulp.engines import coefficients
from halfulp.engines.trigonometry import far_parts

many: Any = mpmath
_TINY = "1e-30"


def _log(z: Any) -> Any:
    s = many.sqrt(z)
    return (2 * many.atanh(s) / s - 2) / z


def _sin(z: Any) -> Any:
    r = many.sqrt(z)
    return (many.sin(r) / r - 1) / z


def _cos(z: Any) -> Any:
    return ((many.cos(many.sqrt(z)) - 1) / z + many.mpf(1) / 2) / z


def _arctan(z: Any) -> Any:
    t = many.sqrt(z)
    return (many.atan(t) / t - 1) / z


def _erf_of(z: Any) -> Any:
    x = many.sqrt(z)
    return many.erf(x) / x


def _erf(t: Any) -> Any:
    return _erf_of((t + 1) * 8)


def _tail(t: Any) -> Any:
    a = 3 * (1 + t) / (1 - t)
    return many.ncdf(-a) * many.exp(a * a / 2)


_ROOT = 2.0**0.5
_QUOTIENT = ((_ROOT - 1) / (_ROOT + 1)) ** 2
#: The function, and the ends of its interval.
FITS: dict[str, tuple[Callable[[Any], Any], float, float]] = {
    "QUICK_EXP": (lambda r: many.exp(r), -0.34658, 0.34658),
    "QUICK_EXPM1": (lambda r: many.expm1(r) / r, -0.34658, 0.34658),
    "QUICK_ERF": (lambda t: _erf_of((t + 1) * many.mpf(63) ** 2 / 512), -1.0, 1.0),
    "HALF_ERF": (_erf, -1.0, 1.0),
    "EXP": (lambda r: many.exp(r), -0.34658, 0.34658),
    "EXP2": (lambda r: many.mpf(2) ** r, -0.5, 0.5),
    "LOG": (_log, 0.0, _QUOTIENT),
    "SIN": (_sin, 0.0, 0.61686),
    "COS": (_cos, 0.0, 0.61686),
    "ARCTAN": (_arctan, 0.0, (_ROOT - 1) ** 2),
    "ERF": (_erf, -1.0, 1.0),
    "TAIL": (_tail, -1.0, 12 / 18),
}


#: The error of a table, where float64 could tell it.
BOUNDS = {
    "QUICK_EXP": 2.0**-39,
    "QUICK_EXPM1": 2.0**-43,
    "QUICK_ERF": 2.0**-39,
    "HALF_ERF": 2.0**-49,
}


def worst(name: str) -> float:
    """The largest relative error at 500 places, the ends among them."""
    function, low, high = FITS[name]
    terms = [many.mpf(c) for c in reversed(getattr(coefficients, name))]
    errors = []
    for i in range(501):
        x = many.mpf(low) + (many.mpf(high) - many.mpf(low)) * i / 500
        # beside a quotient of zeros
        x += many.mpf(_TINY)
        errors.append(abs(many.polyval(terms, x) / function(x) - 1))
    return float(max(errors))


def test_every_table_is_tested() -> None:
    tables = {name for name in vars(coefficients) if name.isupper()}
    assert tables == set(FITS)


@pytest.mark.parametrize("name", FITS)
def test_a_polynomial_is_off_by_less_than_float64_can_tell(name: str) -> None:
    with many.workdps(80):
        assert worst(name) < BOUNDS.get(name, 2.0**-53)


def test_a_wrong_digit_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, *rest = coefficients.LOG
    monkeypatch.setattr(coefficients, "LOG", (first, second * (1 + 2.0**-44), *rest))
    with many.workdps(80):
        assert worst("LOG") > 2.0**-53


def test_the_parts_of_two_over_pi_are_its_bits() -> None:
    parts = far_parts()
    with many.workdps(120):
        for row in range(len(parts) // 4):
            exact = 2 / many.pi * many.mpf(2) ** (row - 3)
            exact -= 4 * many.floor(exact / 4)
            found = sum(map(many.mpf, parts[4 * row : 4 * row + 4]))
            assert 0 <= exact - found < many.mpf(2) ** -106
            assert all(part * 2.0**106 == int(part * 2.0**106) for part in parts)
