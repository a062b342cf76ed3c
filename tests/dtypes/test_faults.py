"""The checks can fail: wrong casts, planted on purpose, are all found."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from halfulp.dtypes import FloatFormat, Overflow, Rounding, encode, kernels
from tests.dtypes import test_cast
from tests.dtypes.opinion import Array, Encoder, convert, differences, encode_by_spacing, values_of
from tests.strategies import FLOATS, boundaries, float32_boundaries

SMALLER = {name: fmt for name, fmt in FLOATS.items() if name != "fp32"}
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


Swap = Callable[..., Any]


def _swapped_rounding(original: Swap) -> Swap:
    def wrong(x: Array, out: Array, fmt: FloatFormat, overflow: Overflow) -> None:
        wide = convert(x, np.float64)
        if out.dtype == np.float32:
            codes = np.empty(x.shape, fmt.code_dtype)
            kernels.encode64(wide, codes, fmt, Rounding.NEAREST_AWAY, overflow)
            kernels.decode32(codes, out, fmt)
        else:
            kernels.encode64(wide, out, fmt, Rounding.NEAREST_AWAY, overflow)

    return wrong


def _swapped_overflow(original: Swap) -> Swap:
    def wrong(x: Array, out: Array, fmt: FloatFormat, *modes: Any) -> None:
        original(x, out, fmt, *modes[:-1], SATURATE if modes[-1] is INF else INF)

    return wrong


def _last_left_out(original: Swap) -> Swap:
    def wrong(x: Array, out: Array, *given: Any) -> None:
        original(x.reshape(-1)[:-1], out.reshape(-1)[:-1], *given)
        out.reshape(-1)[-1:] = 0

    return wrong


@pytest.mark.parametrize(
    ("kernel", "swap", "check"),
    [
        ("encode32", _swapped_rounding, test_cast.test_encode_is_exact_at_every_boundary),
        ("encode32", _swapped_rounding, test_cast.test_encode_is_exact_on_every_bfloat16),
        ("encode32", _swapped_overflow, test_cast.test_encode_is_exact_at_every_boundary),
        ("encode32", _last_left_out, test_cast.test_encode_is_exact_at_every_boundary),
        ("encode64", _swapped_overflow, test_cast.test_encode_is_exact_at_every_boundary),
        ("encode64", _last_left_out, test_cast.test_encode_is_exact_at_every_boundary),
        ("round32", _swapped_rounding, test_cast.test_round_to_gives_the_value_of_the_code),
        ("round32", _swapped_overflow, test_cast.test_round_to_gives_the_value_of_the_code),
        ("round32", _last_left_out, test_cast.test_round_to_gives_the_value_of_the_code),
        ("decode32", _last_left_out, test_cast.test_decode_gives_the_value_of_every_code),
        ("decode64", _last_left_out, test_cast.test_round_to_gives_the_value_of_the_code),
    ],
)
@pytest.mark.parametrize("name", ["fp16", "e4m3", "e4m3fn"])
def test_a_wrong_kernel_behind_the_public_door_is_found(
    kernel: str,
    swap: Callable[[Swap], Swap],
    check: Callable[[FloatFormat], None],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check(FLOATS[name])
    monkeypatch.setattr(kernels, kernel, swap(getattr(kernels, kernel)))
    with pytest.raises(AssertionError):
        check(FLOATS[name])


def test_a_cast_that_writes_into_its_input_is_found() -> None:
    x = float32_boundaries(FLOATS["e4m3"])
    with pytest.raises(ValueError, match="read-only"):
        x[0] = 1
