"""The same bits whatever the process does: flushed subnormals, threads, errors set to raise."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from halfulp.dtypes import (
    FP16,
    INT8,
    INT32,
    FloatFormat,
    Format,
    GivenBits,
    Philox,
    Rounding,
    Subnormals,
    decode,
    encode,
    round_to,
)
from halfulp.dtypes.conversion import Options
from halfulp.dtypes.rounding import DETERMINISTIC
from halfulp.dtypes.threads import get_num_threads, set_num_threads
from tests.dtypes.opinion import bits, modes
from tests.strategies import (
    BF16_PATTERNS,
    EVERY_FLOAT,
    boundaries,
    chosen_codes,
    float32_boundaries,
)


@contextmanager
def flushing() -> Iterator[None]:
    """Within, this thread takes subnormals for zero, as after torch.set_flush_denormal(True)."""
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush subnormals")
    try:
        # float64 of a subnormal float32 is lost: the switch is on
        assert np.array([1e-40], np.float32).astype(np.float64)[0] == 0
        yield
    finally:
        torch.set_flush_denormal(False)


@pytest.mark.parametrize("fmt", EVERY_FLOAT.values(), ids=str)
def test_flushing_changes_no_float(fmt: FloatFormat) -> None:
    for x in (boundaries(fmt)[::5], float32_boundaries(fmt)[::3]):
        x = x if fmt.has_nan else x[~np.isnan(x)]
        for rounding, overflow in modes(fmt):
            wanted = round_to(x, fmt, rounding=rounding, overflow=overflow)
            codes = encode(x, fmt, rounding=rounding, overflow=overflow)
            with flushing():
                got = round_to(x, fmt, rounding=rounding, overflow=overflow)
                got_codes = encode(x, fmt, rounding=rounding, overflow=overflow)
            assert np.array_equal(bits(got), bits(wanted)), rounding
            assert np.array_equal(got_codes, codes), rounding


@pytest.mark.parametrize("fmt", EVERY_FLOAT.values(), ids=str)
@pytest.mark.parametrize("subnormals", Subnormals)
def test_flushing_changes_no_other_choice(fmt: FloatFormat, subnormals: Subnormals) -> None:
    random = GivenBits(np.array(77), 8)
    for x in (boundaries(fmt)[::7], float32_boundaries(fmt)[::5]):
        options: Options = {"subnormals": subnormals, "nan": "max"}
        noisy: Options = {**options, "rounding": "stochastic", "random": random}
        wanted = [bits(round_to(x, fmt, **given)) for given in (options, noisy)]
        with flushing():
            got = [bits(round_to(x, fmt, **given)) for given in (options, noisy)]
        assert all(map(np.array_equal, got, wanted))


@pytest.mark.parametrize("fmt", EVERY_FLOAT.values(), ids=str)
def test_flushing_changes_no_decoded_value(fmt: FloatFormat) -> None:
    codes = chosen_codes(fmt).astype(fmt.code_dtype)
    wanted = decode(codes, fmt)
    with flushing():
        got = decode(codes, fmt)
    assert np.array_equal(bits(got), bits(wanted))


@pytest.mark.parametrize("fmt", [INT8, INT32], ids=str)
@pytest.mark.parametrize("rounding", DETERMINISTIC)
def test_flushing_changes_no_integer(fmt: Format, rounding: Rounding) -> None:
    tiny = [5e-324, 1e-310, 2.0**-1022, 2.0**-149, 1e-40, 2.0**-126, 0.2, 0.0, 1.5]
    double = np.array(tiny + [-x for x in tiny])
    for x in (double, double.astype(np.float32)):
        wanted, codes = round_to(x, fmt, rounding=rounding), encode(x, fmt, rounding=rounding)
        with flushing():
            got, got_codes = round_to(x, fmt, rounding=rounding), encode(x, fmt, rounding=rounding)
        assert np.array_equal(bits(got), bits(wanted))
        assert np.array_equal(got_codes, codes)


@pytest.mark.parametrize("rounding", DETERMINISTIC)
def test_a_cast_leaves_the_arithmetic_of_the_process_as_it_was(rounding: Rounding) -> None:
    one, more, less = 1.0, 2.0**-53 * 1.5, 2.0**-54  # read at run time: not folded
    for x in (np.array([1.1, 1e-40], np.float32), np.array([1.1, 1e-310])):
        for fmt in ("e4m3", "fp32"):
            encode(x, fmt, rounding=rounding)
            round_to(x, fmt, rounding=rounding)
            assert one + more == 1 + 2.0**-52 and one + less == -(-one - less) == 1, "to nearest"
    with flushing():
        encode(np.array([1.1], np.float32), "e4m3", rounding=rounding)
        assert np.array([1e-40], np.float32).astype(np.float64)[0] == 0, "still flushing"


def test_threads_change_no_bit() -> None:
    x = np.resize(float32_boundaries(FP16), (1 << 20) + 37)
    before = get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3, 7):
            set_num_threads(threads)
            results.append(
                [
                    encode(x, "e4m3").tobytes(),
                    round_to(x, "bf16").tobytes(),
                    round_to(x, "fp16", rounding="toward_negative").tobytes(),
                    encode(x, "int8").tobytes(),
                    round_to(x, "e4m3", rounding="stochastic", random=Philox(5)).tobytes(),
                    encode(x.astype(np.float64), "e5m2", rounding="to_odd").tobytes(),
                ]
            )
    finally:
        set_num_threads(before)
    assert all(result == results[0] for result in results)


def test_numpy_errors_set_to_raise_change_nothing() -> None:
    for fmt in ("e4m3", "bf16", "int8"):
        wanted = encode(BF16_PATTERNS, fmt)
        with np.errstate(all="raise"):
            assert np.array_equal(encode(BF16_PATTERNS, fmt), wanted)
            round_to(BF16_PATTERNS, fmt)
            round_to(BF16_PATTERNS, fmt, rounding="to_odd")
