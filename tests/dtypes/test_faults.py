"""The checks can fail: wrong casts, planted on purpose, are all found."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from halfulp.dtypes import FloatFormat, Overflow, Rounding, encode, kernels
from halfulp.dtypes.conversion import Conversion
from halfulp.dtypes.parameters import NAMES32, NAMES64
from tests.dtypes import test_cast
from tests.dtypes.opinion import Array, Encoder, convert, differences, encode_by_spacing, values_of
from tests.strategies import FLOATS, boundaries, float32_boundaries

#: Planted faults can show where float64 is finer, and where there are NaN and -0.
SMALLER = {
    name: fmt
    for name, fmt in FLOATS.items()
    if name != "fp32" and fmt.has_nan and fmt.has_minus_zero
}
EVEN, INF, SATURATE = Rounding.NEAREST_EVEN, Overflow.INF, Overflow.SATURATE


def right(x: Array, fmt: FloatFormat, rounding: Rounding, overflow: Overflow) -> Array:
    return encode(x, fmt, rounding=rounding, overflow=overflow)


def ties_away(x: Array, fmt: FloatFormat, rounding: Rounding, overflow: Overflow) -> Array:
    return right(x, fmt, Rounding.NEAREST_AWAY if rounding is EVEN else rounding, overflow)


def ties_toward_zero(x: Array, fmt: FloatFormat, rounding: Rounding, overflow: Overflow) -> Array:
    finite = np.isfinite(x) & (np.abs(x) < fmt.max)
    below = np.where(finite, np.nextafter(x, 0), x) if rounding is EVEN else x
    tie = right(x, fmt, EVEN, overflow) != right(x, fmt, Rounding.NEAREST_AWAY, overflow)
    even = right(x, fmt, rounding, overflow)
    near = np.minimum(right(below, fmt, rounding, overflow), even)
    return np.where(tie | (near < even), near, even)


def sticky_dropped(x: Array, fmt: FloatFormat, rounding: Rounding, overflow: Overflow) -> Array:
    dropped = np.uint64(52 - fmt.mantissa_bits - 1)
    kept = (x.view(np.uint64) >> dropped << dropped).view(np.float64)
    return right(np.where(np.isfinite(x), kept, x), fmt, rounding, overflow)


def rounded_twice(x: Array, fmt: FloatFormat, rounding: Rounding, overflow: Overflow) -> Array:
    return right(convert(x, np.float32), fmt, rounding, overflow)


def saturates(x: Array, fmt: FloatFormat, rounding: Rounding, overflow: Overflow) -> Array:
    return right(x, fmt, rounding, SATURATE)


def never_saturates(x: Array, fmt: FloatFormat, rounding: Rounding, overflow: Overflow) -> Array:
    return right(x, fmt, rounding, INF)


def clamps_infinity(x: Array, fmt: FloatFormat, rounding: Rounding, overflow: Overflow) -> Array:
    clamped = np.where(np.isinf(x), np.copysign(fmt.max, x), x)
    return right(clamped if overflow is SATURATE else x, fmt, rounding, overflow)


def overflow_before_rounding(
    x: Array, fmt: FloatFormat, rounding: Rounding, overflow: Overflow
) -> Array:
    return right(np.where(np.abs(x) > fmt.max, np.copysign(np.inf, x), x), fmt, rounding, overflow)


def directed_without_sign(
    x: Array, fmt: FloatFormat, rounding: Rounding, overflow: Overflow
) -> Array:
    code = right(np.abs(x), fmt, rounding, overflow)
    negative = (x < 0) | ((x == 0) & np.signbit(x))
    return np.where(negative, code + (1 << (fmt.bits - 1)), code)


def subnormals_flushed(x: Array, fmt: FloatFormat, rounding: Rounding, overflow: Overflow) -> Array:
    return right(np.where(np.abs(x) < fmt.tiny, np.copysign(0, x), x), fmt, rounding, overflow)


def subnormals_rounded_twice(
    x: Array, fmt: FloatFormat, rounding: Rounding, overflow: Overflow
) -> Array:
    wider = FloatFormat(
        min(fmt.exponent_bits + 1, 8), fmt.mantissa_bits, bias=fmt.bias + 2, specials=fmt.specials
    )
    once = values_of(encode_by_spacing(x, wider, rounding, INF), wider)
    return right(np.where(np.abs(x) < fmt.tiny, once, x), fmt, rounding, overflow)


def carry_lost(x: Array, fmt: FloatFormat, rounding: Rounding, overflow: Overflow) -> Array:
    low = right(x, fmt, Rounding.TOWARD_ZERO, overflow).astype(np.int64)
    code = right(x, fmt, rounding, overflow).astype(np.int64)
    carried = np.isfinite(x) & (low >> fmt.mantissa_bits != code >> fmt.mantissa_bits)
    return np.where(carried, code - (1 << fmt.mantissa_bits), code)


def minus_zero_lost(x: Array, fmt: FloatFormat, rounding: Rounding, overflow: Overflow) -> Array:
    code = right(x, fmt, rounding, overflow)
    return np.where(code == 1 << (fmt.bits - 1), 0, code)


def nan_keeps_its_sign(x: Array, fmt: FloatFormat, rounding: Rounding, overflow: Overflow) -> Array:
    code = right(x, fmt, rounding, overflow)
    return np.where(np.isnan(x) & np.signbit(x), code | (1 << (fmt.bits - 1)), code)


def nan_is_infinity(x: Array, fmt: FloatFormat, rounding: Rounding, overflow: Overflow) -> Array:
    code = right(x, fmt, rounding, overflow)
    return np.where(np.isnan(x), fmt.max_code + 2, code)


FAULTS: dict[Encoder, tuple[Rounding, Overflow]] = {
    ties_away: (EVEN, INF),
    ties_toward_zero: (EVEN, INF),
    sticky_dropped: (EVEN, INF),
    rounded_twice: (EVEN, INF),
    saturates: (EVEN, INF),
    never_saturates: (EVEN, SATURATE),
    clamps_infinity: (EVEN, SATURATE),
    overflow_before_rounding: (EVEN, INF),
    directed_without_sign: (Rounding.TOWARD_POSITIVE, INF),
    subnormals_flushed: (EVEN, INF),
    subnormals_rounded_twice: (EVEN, INF),
    carry_lost: (EVEN, SATURATE),
    minus_zero_lost: (EVEN, INF),
    nan_keeps_its_sign: (EVEN, INF),
    nan_is_infinity: (EVEN, INF),
}


@pytest.mark.parametrize("fmt", SMALLER.values(), ids=str)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: str(fault.__name__))
def test_a_planted_fault_is_found(fault: Encoder, fmt: FloatFormat) -> None:
    mode = FAULTS[fault]
    assert not differences(right, boundaries(fmt), fmt, *mode)
    found = differences(fault, boundaries(fmt), fmt, *mode)
    assert found and all(line.startswith(f"{fmt} {mode[0]}") for line in found)


def _wide_boundaries(fmt: FloatFormat) -> None:
    """A format that only the kernels for any format serve, as wide as `fmt`."""
    test_cast.test_encode_is_exact_at_every_boundary(dataclasses.replace(fmt, subnormals=False))


def _wide_decoded(fmt: FloatFormat) -> None:
    test_cast.test_decode_gives_the_value_of_every_code(dataclasses.replace(fmt, subnormals=False))


Swap = Callable[..., Any]


def _other_mode(**changed: Any) -> Callable[[Swap], Swap]:
    """The kernel with another choice than the one it is asked for."""

    def swap(original: Swap) -> Swap:
        def wrong(x: Array, out: Array, made: Conversion) -> None:
            original(x, out, dataclasses.replace(made, **changed))

        return wrong

    return swap


def _last_left_out(original: Swap) -> Swap:
    def wrong(x: Array, out: Array, *given: Any) -> None:
        original(x.reshape(-1)[:-1], out.reshape(-1)[:-1], *given)
        out.reshape(-1)[-1:] = 0

    return wrong


def _parameter(name: str, change: Callable[[int], int]) -> Callable[[Swap], Swap]:
    """parameters32 or parameters64 with one number changed."""

    def swap(original: Swap) -> Swap:
        def wrong(*given: Any) -> Array:
            values = original(*given).copy()
            names = NAMES32 if len(values) == len(NAMES32) else NAMES64
            values[names.index(name)] = change(int(values[names.index(name)]))
            return values

        return wrong

    return swap


AWAY, SATURATED = _other_mode(rounding=Rounding.NEAREST_AWAY), _other_mode(overflow=SATURATE)
_at_boundaries = test_cast.test_encode_is_exact_at_every_boundary
_on_bf16 = test_cast.test_encode_is_exact_on_every_bfloat16
_rounded = test_cast.test_round_to_gives_the_value_of_the_code
_decoded = test_cast.test_decode_gives_the_value_of_every_code
_again = test_cast.test_every_code_survives_the_round_trip


@pytest.mark.parametrize(
    ("kernel", "swap", "check"),
    [
        ("encode", AWAY, _at_boundaries),
        ("encode", AWAY, _on_bf16),
        ("encode", SATURATED, _at_boundaries),
        ("encode", _last_left_out, _at_boundaries),
        ("round_values", AWAY, _rounded),
        ("round_values", SATURATED, _rounded),
        ("round_values", _last_left_out, _rounded),
        ("decode", _last_left_out, _decoded),
        ("parameters32", _parameter("half", lambda half: half + 1), _at_boundaries),
        ("parameters32", _parameter("half", lambda half: half - 1), _at_boundaries),
        ("parameters32", _parameter("odd", lambda odd: 0), _at_boundaries),
        ("parameters32", _parameter("min_normal", lambda least: least - (1 << 23)), _on_bf16),
        ("parameters32", _parameter("max", lambda most: most - 1), _rounded),
        ("parameters32", _parameter("magic", lambda magic: magic + 1), _at_boundaries),
        ("parameters32", _parameter("added", lambda added: added + 1), _at_boundaries),
        ("parameters32", _parameter("added_minus", lambda added: 0), _at_boundaries),
        ("parameters32", _parameter("odd_bit", lambda bit: 0), _at_boundaries),
        ("parameters32", _parameter("direction", lambda direction: 0), _at_boundaries),
        ("parameters32", _parameter("direction", lambda direction: 3), _rounded),
        ("parameters32", _parameter("half_unit", lambda half: 0), _at_boundaries),
        ("parameters32", _parameter("overflow_code_minus", lambda code: 0), _at_boundaries),
        ("parameters32", _parameter("overflow_minus", lambda over: 0), _rounded),
        ("parameters32", _parameter("nan_code", lambda code: code - 1), _on_bf16),
        ("parameters32", _parameter("subnormal_scale", lambda scale: scale + 1), _decoded),
        ("parameters32", _parameter("normal_code", lambda code: 4 * code), _decoded),
        ("parameters32", _parameter("max_code", lambda code: code + 1), _decoded),
        ("parameters32", _parameter("most_signed", lambda most: 2 * most), _on_bf16),
        ("parameters64", _parameter("table", lambda table: table ^ 64), _wide_boundaries),
        ("parameters64", _parameter("emin", lambda emin: emin + 1), _wide_boundaries),
        ("parameters64", _parameter("max_code", lambda code: code - 1), _wide_boundaries),
        ("parameters64", _parameter("implicit", lambda bit: 0), _wide_boundaries),
        ("parameters64", _parameter("bottom_low", lambda low: low + 1), _wide_boundaries),
        ("parameters64", _parameter("middle_low", lambda low: low + 1), _wide_boundaries),
        ("parameters64", _parameter("least_field", lambda field: 1), _wide_decoded),
    ],
)
@pytest.mark.parametrize("name", ["e4m3", "e5m2"])
def test_a_wrong_kernel_behind_the_public_door_is_found(
    kernel: str,
    swap: Callable[[Swap], Swap],
    check: Callable[[FloatFormat], None],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check(FLOATS[name])
    monkeypatch.setattr(kernels, kernel, swap(getattr(kernels, kernel)))
    kernels._kept_plan.cache_clear()  # what was derived from the right one
    with pytest.raises(AssertionError):
        check(FLOATS[name])
    kernels._kept_plan.cache_clear()


def test_a_cast_that_writes_into_its_input_is_found() -> None:
    x = float32_boundaries(FLOATS["e4m3"])
    with pytest.raises(ValueError, match="read-only"):
        x[0] = 1
