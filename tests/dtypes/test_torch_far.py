"""What the operators run on devices beyond the CPU: called here on the CPU, and on a GPU.

The judge is the public door, whose bits the other tests hold.
"""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from halfulp.dtypes import (
    BF16,
    E2M1FN,
    E4M3,
    E8M0FNU,
    FP16,
    INT8,
    INT32,
    TF32,
    UINT32,
    Format,
    GivenBits,
    IntFormat,
    Philox,
    Subnormals,
    decode,
    encode,
    round_to,
)
from halfulp.dtypes.rounding import DETERMINISTIC, Rounding
from halfulp.dtypes.torch_ops import (
    Cast,
    _by_integers,
    _codes_by_integers,
    _values_by_integers,
)
from tests.dtypes.opinion import bits, convert
from tests.strategies import INTEGERS, integer_formats

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
FLOATS = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
OTHERS = [torch.int8, torch.int64, torch.bool, torch.float8_e4m3fn, torch.float8_e5m2]


def same(got: Tensor, wanted: Any) -> bool:
    """The same type, shape and bits."""
    ours, theirs = got.cpu().numpy(), np.asarray(wanted)
    kinds = ours.dtype == theirs.dtype and ours.shape == theirs.shape
    return kinds and np.array_equal(bits(ours), bits(theirs))


def check(x: Tensor, fmt: Format, device: str = "cpu", **options: Any) -> None:
    """Values and codes are those of the public door."""
    made = Cast(fmt, **options)
    given = (x.to(device), made.fmt, made.words, made.philox, made.noise)
    assert same(_by_integers(*given, "straight_through"), round_to(x, fmt, **options)), options
    assert same(_codes_by_integers(*given), encode(x, fmt, **options)), options


def near_integers(fmt: IntFormat) -> np.ndarray[Any, Any]:
    """Integers of a format, its bounds, ties, quarters, and the neighbours of each; specials."""
    ends = [fmt.min, fmt.max, fmt.max // 2, 2**24, 2**23]
    whole = np.array([one + step for one in [0, 5, *ends] for step in (-2, -1, 0, 1, 2)], float)
    places = np.concatenate([whole + part for part in (-0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75)])
    beside = [np.nextafter(places, side) for side in (-np.inf, np.inf)]
    single = places.astype(np.float32)
    beside += [np.nextafter(single, np.float32(side)) for side in (-np.inf, np.inf)]
    odd = [np.inf, np.nan, 5e-324, 2.0**-149, 2.0**-126, 1e300, 2.0**63, 2.0**40, 2.0**52, 65504.0]
    every = np.unique(np.abs(np.concatenate([places, *beside, odd])))
    return np.concatenate([every, -every])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("fmt", [*INTEGERS.values(), IntFormat(25), IntFormat(2)], ids=str)
def test_integer_formats_have_the_bits_of_the_door(
    fmt: IntFormat, dtype: torch.dtype, device: str
) -> None:
    x = torch.from_numpy(near_integers(fmt)).to(dtype)
    for rounding in DETERMINISTIC:
        for subnormals in Subnormals:
            check(x, fmt, device, rounding=rounding, subnormals=subnormals)
    draws = np.random.default_rng(5).integers(0, 2**9, len(x))
    for random in (Philox(7, step=2**63, start=33), GivenBits(draws, 9)):
        check(x, fmt, device, rounding="stochastic", random=random)


@given(st.data(), integer_formats)
def test_any_number_to_any_integer_format(data: st.DataObject, fmt: IntFormat) -> None:
    numbers = st.floats() | st.integers(-(2**33), 2**33).map(lambda n: n / 4)
    xs = np.array(data.draw(st.lists(numbers, min_size=1, max_size=30)))
    rounding = data.draw(st.sampled_from(Rounding))
    options: dict[str, Any] = {"rounding": rounding}
    if rounding is Rounding.STOCHASTIC:
        options["random"] = Philox(data.draw(st.integers(0, 2**64 - 1)))
    check(torch.from_numpy(xs), fmt, **options)
    check(torch.from_numpy(convert(xs, np.float32)), fmt, **options)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [*FLOATS, *OTHERS], ids=str)
@pytest.mark.parametrize("fmt", [FP16, BF16, TF32, E4M3, E2M1FN, E8M0FNU, INT8, INT32], ids=str)
def test_every_type_of_element_is_served(fmt: Format, dtype: torch.dtype, device: str) -> None:
    x = torch.linspace(-100, 100, 35).reshape(5, 7).to(dtype)
    for part in (x, x.t(), x[::2, 1::3], x[1, 1], x[:0], x[:1].expand(4, 7)):
        for subnormals in Subnormals:
            check(part, fmt, device, subnormals=subnormals)


def test_a_negated_view_is_read_as_what_it_means() -> None:
    x = torch.linspace(-3, 3, 12)
    negated = torch.complex(x, x).conj().imag
    assert negated.is_neg()
    check(negated, BF16)
    check(torch._neg_view(x), BF16)
    check(torch._neg_view(x), INT8)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("subnormals", Subnormals)
@pytest.mark.parametrize(
    "fmt", [BF16, TF32, E4M3, E2M1FN, E8M0FNU, INT8, IntFormat(5), UINT32], ids=str
)
def test_codes_have_the_values_of_the_door(fmt: Format, subnormals: str, device: str) -> None:
    least = fmt.min if isinstance(fmt, IntFormat) else 0
    step = 1 + (1 << fmt.bits) // 3001
    codes = torch.arange(int(least), int(least) + (1 << fmt.bits), step)
    narrow = encode(torch.zeros(1), fmt, nan="zero").dtype
    for some in (codes, codes.to(narrow), codes[::3].to(narrow)):
        got = _values_by_integers(some.to(device), fmt.name, subnormals)
        assert same(got, decode(some, fmt, subnormals=subnormals))


def test_what_is_no_code_is_refused_in_the_words_of_the_door() -> None:
    with pytest.raises(ValueError, match="16 is no code of e2m1fn; allowed: 0 to 15"):
        _values_by_integers(torch.tensor([3, 16], dtype=torch.uint8), "e2m1fn", "keep")
    with pytest.raises(ValueError, match="16 is no code of int5; allowed: -16 to 15"):
        _values_by_integers(torch.tensor([3, 16], dtype=torch.int8), "int5", "keep")
    with pytest.raises(TypeError, match="codes of e4m3 are integers, not float32"):
        _values_by_integers(torch.zeros(3), "e4m3", "keep")
    with pytest.raises(TypeError, match="complex64 are not taken; allowed: floats of up to 64"):
        check(torch.zeros(3, dtype=torch.complex64), BF16)


@pytest.mark.parametrize("operator", ["round_to", "encode", "decode"])
@pytest.mark.parametrize("device", ["CPU", "CUDA", "MPS", "XPU", "Meta"])
def test_every_operator_has_a_kernel_for_every_device(operator: str, device: str) -> None:
    assert torch._C._dispatch_has_kernel_for_dispatch_key(f"halfulp::{operator}", device)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_tensor_on_a_gpu_stays_there() -> None:
    x = torch.linspace(-300, 300, 35)
    for fmt in (BF16, E4M3, INT8):
        made = Cast(fmt)
        far = made.round_to(x.cuda())
        assert far.is_cuda and same(far, round_to(x, fmt))
        codes = made.encode(x.cuda())
        assert codes.is_cuda and same(codes, encode(x, fmt))
        assert made.decode(codes).is_cuda and same(made.decode(codes), decode(codes.cpu(), fmt))
