"""Containers: any memory layout, numbers, sequences, out=; inputs are never written."""

import subprocess
import sys
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
from numpy.lib.stride_tricks import as_strided

from halfulp.dtypes import BF16, E4M3, INT8, TF32, FloatFormat, Format, decode, encode, round_to
from tests.dtypes.opinion import bits
from tests.strategies import layouts

X = np.linspace(-300, 300, 35).reshape(5, 7)
CODES = encode(X, E4M3)
SOURCES = [np.float32, np.float64, np.float16, np.int16, np.int64, np.uint8, bool]
FORMATS: list[Format] = [BF16, E4M3, INT8, FloatFormat(8, 7, bias=140)]


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
@pytest.mark.parametrize("dtype", SOURCES)
def test_every_layout_gives_what_a_plain_copy_gives(dtype: npt.DTypeLike, fmt: Any) -> None:
    x = X.clip(0, 255).astype(dtype)
    for name, array in layouts(x):
        before = array.tobytes()
        plain = np.array(array.tolist(), dtype).reshape(array.shape)
        for convert in (round_to, encode):
            got, wanted = convert(array, fmt), convert(plain, fmt)
            assert type(got) is np.ndarray
            assert (got.shape, got.dtype) == (array.shape, wanted.dtype), name
            assert got.dtype.isnative
            assert np.array_equal(bits(got), bits(wanted)), name
        assert array.tobytes() == before, f"{name}: the input was written"


def test_every_layout_of_codes_is_decoded() -> None:
    for name, array in layouts(CODES):
        got = decode(array, E4M3)
        assert np.array_equal(got, decode(array.copy(), E4M3)), name
        assert got.shape == array.shape


def test_a_transposed_array_is_not_copied_and_keeps_its_order() -> None:
    x = np.asfortranarray(X)
    got = round_to(x, BF16)
    assert got.flags.f_contiguous and not got.flags.c_contiguous
    assert np.array_equal(got, round_to(X, BF16))


@pytest.mark.parametrize("target", [name for name, _ in layouts(X)][:4])
@pytest.mark.parametrize("source", [name for name, _ in layouts(X)][:4])
def test_out_is_written_whatever_its_strides(source: str, target: str) -> None:
    wanted = round_to(X, E4M3)
    x = dict(layouts(X))[source].view()
    out = dict(layouts(np.zeros_like(X)))[target]
    assert round_to(x, E4M3, out=out) is out
    assert np.array_equal(bits(out), bits(wanted))
    codes = dict(layouts(np.zeros_like(CODES)))[target]
    assert encode(x, E4M3, out=codes) is codes and np.array_equal(codes, CODES)
    back = dict(layouts(np.zeros(X.shape, np.float32)))[target]
    assert decode(codes, E4M3, out=back) is back and np.array_equal(back, wanted)


def test_out_writes_nothing_between_its_strides() -> None:
    memory = np.full((10, 21), 7.0)
    round_to(X, E4M3, out=memory[::2, ::3])
    memory[::2, ::3] = 7.0
    assert (memory == 7.0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rounding", ["nearest_even", "toward_zero"])
def test_out_may_be_the_source(dtype: npt.DTypeLike, rounding: str) -> None:
    for fmt in FORMATS:
        for x in (
            X.astype(dtype),
            X.astype(dtype).T,
            np.repeat(X.astype(dtype), 2, axis=1)[:, ::2],
        ):
            wanted = round_to(x.copy(), fmt, rounding=rounding)
            assert round_to(x, fmt, rounding=rounding, out=x) is x
            assert np.array_equal(bits(x), bits(wanted))


def test_out_that_overlaps_the_source_without_being_it_is_refused() -> None:
    memory = np.arange(-50.0, 50.0)
    square = np.linspace(-9, 9, 64).reshape(8, 8)
    single = memory.astype(np.float32)
    for x, out in ((memory[1:], memory[:-1]), (memory[:-1], memory[1:]), (square, square.T)):
        with pytest.raises(ValueError, match="out overlaps x without being x; give x itself, or"):
            round_to(x, BF16, out=out)
    with pytest.raises(ValueError, match="out overlaps x"):
        encode(single, TF32, out=single.view(np.uint32))
    assert memory.tolist() == list(range(-50, 50)), "nothing was written"
    apart = memory.copy()
    round_to(apart[::2], BF16, out=apart[1::2])  # side by side, but no element is shared
    assert np.array_equal(apart[1::2], round_to(memory[::2], BF16))


def test_numbers_give_numpy_scalars() -> None:
    for x, kind in (
        (1.1, np.float64),
        (3, np.float32),
        (True, np.float32),
        (np.float32(1.1), np.float32),
    ):
        assert type(round_to(x, BF16)) is kind
    assert type(round_to(np.float16(1.1), BF16)) is np.float32
    assert type(round_to(ml_dtypes.bfloat16(1.1), E4M3)) is np.float32
    assert type(round_to(2**70, BF16)) is type(round_to(-(2**2000), BF16)) is np.float32
    assert type(encode(1.0, E4M3)) is np.uint8 and type(decode(3, E4M3)) is np.float32
    assert round_to(1.1, BF16) == 1.1015625
    assert encode(0.1, BF16, out=np.zeros((), np.uint16)) == 0x3DCD


def test_sequences_and_arrays_of_no_dimension_give_arrays() -> None:
    assert round_to([1.1, 2.0], BF16).tolist() == [1.1015625, 2.0]
    assert round_to([[1, 2], [3, 4]], BF16).dtype == np.float32
    assert round_to([], BF16).shape == (0,)
    got = round_to(np.array(1.1), BF16)
    assert type(got) is np.ndarray and got.shape == ()
    assert round_to(np.zeros((0, 3), np.float32), BF16).shape == (0, 3)


def test_dtypes_imports_torch_never_and_numba_with_the_first_cast() -> None:
    code = (
        "import sys, halfulp.dtypes as d; early = 'numba' in sys.modules;"
        "d.round_to([1.5, 2.0], 'bf16'); "
        "sys.exit('torch' in sys.modules or early)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_overlap_that_takes_too_long_to_rule_out_is_refused() -> None:
    # whether such strides meet is a hard question: numpy gives up within the work that it is given
    memory, shape = np.zeros(1 << 22), (3, 7, 4, 7, 8)
    x = as_strided(memory, shape, (367472, 294464, 49880, 365736, 513064))
    out = as_strided(memory[26010:], shape, (616056, 682104, 171880, 474352, 643552))
    with pytest.raises(np.exceptions.TooHardError):
        np.shares_memory(x, out, max_work=100_000)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="out overlaps x without being x"):
        round_to(x, BF16, out=out)
