"""The path of torch's own integers gives the kernels' bits: here on the CPU, and on a GPU."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from halfulp.dtypes import FP16, FloatFormat, GivenBits, Overflow, Philox, Subnormals, round_to
from halfulp.dtypes import decode as fast_decode
from halfulp.dtypes import encode as fast_encode
from halfulp.dtypes.conversion import conversion
from halfulp.dtypes.rounding import DETERMINISTIC, Rounding
from halfulp.dtypes.torch_integers import decode, encode
from halfulp.dtypes.torch_integers import round_to as round_by_integers
from tests.dtypes.opinion import bits, modes
from tests.strategies import (
    BF16_PATTERNS,
    CORNERS,
    EVERY_FLOAT,
    FLOATS,
    boundaries,
    float32_boundaries,
    float_formats,
    floats_near,
    overflows_of,
)

#: The named formats in every run, the corners in the long one.
MOST_OF_THEM = [
    *FLOATS.values(),
    *(pytest.param(fmt, marks=pytest.mark.deep) for fmt in CORNERS.values()),
]
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def check(x: np.ndarray[Any, Any], fmt: FloatFormat, device: str = "cpu", **options: Any) -> None:
    """Codes and values of both paths are the same."""
    made = conversion(fmt, nan="max", **options)
    tensor = torch.from_numpy(x.copy()).to(device)
    codes = encode(tensor, made).cpu().numpy()
    wanted = fast_encode(x, fmt, nan="max", **options)
    assert np.array_equal(codes, wanted), options
    values = round_by_integers(tensor, made).cpu().numpy()
    assert values.dtype == x.dtype
    assert np.array_equal(bits(values), bits(round_to(x, fmt, nan="max", **options))), options


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("fmt", MOST_OF_THEM, ids=str)
def test_every_mode_gives_the_kernels_bits_at_every_boundary(fmt: FloatFormat, device: str) -> None:
    wide, single = boundaries(fmt), float32_boundaries(fmt)
    wide, single = wide[:: 1 + len(wide) // 600], single[:: 1 + len(single) // 600]
    for rounding, overflow in modes(fmt):
        # what follows the rounding is the same for both sources
        for x in (wide, single) if overflow is Overflow.INF else (single,):
            check(x, fmt, device, rounding=rounding, overflow=overflow)
    for subnormals in Subnormals:
        check(wide, fmt, device, subnormals=subnormals)
        check(single, fmt, device, subnormals=subnormals)
    check(BF16_PATTERNS, fmt, device)


@pytest.mark.parametrize("fmt", EVERY_FLOAT.values(), ids=str)
def test_stochastic_gives_the_kernels_bits(fmt: FloatFormat) -> None:
    x = float32_boundaries(fmt)[:2001]
    for width in (1, 7, 32):
        random = Philox(2**63 + 5, step=2**40, start=77, random_bits=width)
        check(x, fmt, rounding="stochastic", random=random)
        check(x.astype(np.float64), fmt, rounding="stochastic", random=random)


@given(st.data(), float_formats())
def test_any_format_near_its_values(data: st.DataObject, fmt: FloatFormat) -> None:
    xs = np.array(data.draw(st.lists(floats_near(fmt), min_size=1, max_size=30)))
    options: dict[str, Any] = {
        "rounding": data.draw(st.sampled_from(Rounding)),
        "overflow": data.draw(st.sampled_from(overflows_of(fmt))),
        "subnormals": data.draw(st.sampled_from(Subnormals)),
    }
    if options["rounding"] is Rounding.STOCHASTIC:
        width = data.draw(st.integers(1, 32))
        draws = [data.draw(st.integers(0, (1 << width) - 1)) for _ in xs]
        options["random"] = GivenBits(np.array(draws), width)
    check(xs, fmt, **options)
    with np.errstate(all="ignore"):
        check(xs.astype(np.float32), fmt, **options)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("rounding", DETERMINISTIC)
def test_every_number_of_a_smaller_float(dtype: torch.dtype, rounding: Rounding) -> None:
    x = torch.arange(1 << 16, dtype=torch.int32).to(torch.uint16).view(dtype)
    for fmt in (FP16, EVERY_FLOAT["bf16"], EVERY_FLOAT["e4m3"], EVERY_FLOAT["fp32"]):
        made = conversion(fmt, rounding=rounding, subnormals="flush_inputs")
        wanted = fast_encode(x, fmt, rounding=rounding, subnormals="flush_inputs")
        assert torch.equal(encode(x, made), wanted.to(torch.int64))


@pytest.mark.parametrize("fmt", EVERY_FLOAT.values(), ids=str)
def test_every_code_is_decoded(fmt: FloatFormat) -> None:
    codes = np.arange(0, 1 << fmt.bits, 1 + (1 << fmt.bits) // 65521)
    for dtype in (torch.float32, torch.float64):
        got = decode(torch.from_numpy(codes), fmt, dtype=dtype).numpy()
        assert np.array_equal(bits(got), bits(fast_decode(codes, fmt).astype(got.dtype)))
    for subnormals in Subnormals:
        flushed = decode(torch.from_numpy(codes), fmt, subnormals).numpy()
        assert np.array_equal(bits(flushed), bits(fast_decode(codes, fmt, subnormals=subnormals)))


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="x holds NaN and e2m1fn has none"):
        encode(torch.tensor([float("nan")]), conversion("e2m1fn"))
    with pytest.raises(TypeError, match="complex64 are not taken here; allowed: float64, float32"):
        encode(torch.zeros(2, dtype=torch.complex64), conversion("bf16"))
