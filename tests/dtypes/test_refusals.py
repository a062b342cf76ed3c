"""Wrong arguments are refused at the door, in words that say what is allowed."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from halfulp.dtypes import (
    BF16,
    E2M1FN,
    E4M3,
    INT8,
    TF32,
    FloatFormat,
    GivenBits,
    Overflow,
    Philox,
    decode,
    encode,
    round_to,
)
from halfulp.dtypes.parameters import infinity_code

X = np.linspace(-300, 300, 35).reshape(5, 7)
CODES = encode(X, E4M3)
#: Its smallest value but zero is past 2^60.
LARGE = FloatFormat(4, 3, bias=-60, subnormals=False)
#: For calls that a type checker refuses too.
untyped_round_to: Any = round_to
untyped_encode: Any = encode


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: round_to(X, BF16, out=np.zeros(35)),
            ValueError,
            "out has shape (35,) and type flo",
        ),
        (
            lambda: round_to(X, BF16, out=X.astype(np.float32)),
            ValueError,
            "needed: shape (5, 7), typ",
        ),
        (
            lambda: round_to(X, BF16, out=X.astype(">f8")),
            ValueError,
            "type >f8; needed: shape (5, 7)",
        ),
        (
            lambda: encode(X, BF16, out=CODES),
            ValueError,
            "type uint8; needed: shape (5, 7), type uint16",
        ),
        (
            lambda: decode(CODES, E4M3, out=X),
            ValueError,
            "type float64; needed: shape (5, 7), type flo",
        ),
        (lambda: round_to(X, BF16, out=[0.0]), TypeError, "out is a list; give a numpy array"),
        (
            lambda: round_to(X, BF16, out=torch.zeros(5, 7)),
            TypeError,
            "out is a Tensor; give a numpy",
        ),
        (
            lambda: round_to(X, BF16, out=np.broadcast_to(0.0, (5, 7))),
            ValueError,
            "out is read-only",
        ),
        (lambda: round_to(X, "bf17"), ValueError, "no format is called 'bf17'; did you mean bf16"),
        (lambda: untyped_round_to(X, None), TypeError, "a format name is a string, not NoneType"),
        (lambda: untyped_round_to(X, float), TypeError, "a format name is a string, not type"),
        (lambda: untyped_round_to(X, np.complex64), ValueError, "complex64'> has no format here"),
        (
            lambda: round_to(X, BF16, rounding="up"),
            ValueError,
            "rounding='up' is not known; allowed: 'n",
        ),
        (
            lambda: untyped_encode(X, BF16, overflow=1),
            ValueError,
            "overflow=1 is not known; allowed: 'inf'",
        ),
        (
            lambda: round_to(X * 1j, BF16),
            TypeError,
            "elements of type complex128 are not taken; allo",
        ),
        (
            lambda: round_to(X.astype(np.longdouble), BF16),
            TypeError,
            "are not taken; allowed: floats of",
        ),
        (lambda: round_to("1.5", BF16), TypeError, "elements of type <U3 are not taken"),
        (lambda: round_to(None, BF16), TypeError, "elements of type object are not taken"),
        (lambda: round_to([1, 2**70], BF16), TypeError, "elements of type object are not taken"),
        (
            lambda: round_to(np.ma.masked_array(X), BF16),
            TypeError,
            "a masked array would lose its mask",
        ),
        (
            lambda: decode(X, E4M3),
            TypeError,
            "codes of e4m3 are integers, not float64; view them as uint8",
        ),
        (
            lambda: decode(X.astype(np.float16), E4M3),
            TypeError,
            "codes of e4m3 are integers, not fp16",
        ),
        (lambda: decode(True, E4M3), TypeError, "codes of e4m3 are integers, not bool"),
        (lambda: decode([0, 256], E4M3), ValueError, "256 is no code of e4m3; allowed: 0 to 255"),
        (
            lambda: decode(np.array([3, -1], np.int8), E4M3),
            ValueError,
            "-1 is no code of e4m3; allowed: 0 to",
        ),
        (
            lambda: decode(np.array([64], np.uint8), "float(2,3)"),
            ValueError,
            "64 is no code of float(2,3)",
        ),
        (
            lambda: decode(np.array([1 << 19], np.uint32), TF32),
            ValueError,
            "524288 is no code of tf32; allowed: 0",
        ),
        (lambda: decode([-129], INT8), ValueError, "-129 is no code of int8; allowed: -128 to 127"),
    ],
)
def test_wrong_arguments_are_refused_with_what_is_allowed(
    call: Callable[[], object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error) as caught:
        call()
    assert words in str(caught.value)


def test_out_with_a_stride_of_0_is_refused() -> None:
    out = np.lib.stride_tricks.as_strided(np.zeros(1), (5, 7), (0, 0))
    with pytest.raises(ValueError, match="out repeats elements"):
        round_to(X, BF16, out=out)
    with pytest.raises(ValueError, match="out repeats elements"):
        round_to(torch.zeros(3), BF16, out=torch.zeros(1).expand(3))


@pytest.mark.parametrize(
    ("x", "out", "error", "words"),
    [
        (
            torch.zeros(3),
            np.zeros(3, np.float32),
            TypeError,
            "out is an ndarray; give a torch tensor",
        ),
        (
            torch.zeros(3),
            torch.zeros(4),
            ValueError,
            r"out has shape \(4,\) and type float32; needed",
        ),
        (
            torch.zeros(3),
            torch.zeros(3, dtype=torch.bfloat16),
            ValueError,
            "out has type torch.bfloa",
        ),
        (torch.zeros(3), torch.zeros(3, requires_grad=True), ValueError, "out requires grad; give"),
        (
            torch.zeros(3),
            torch.zeros(3, device="meta"),
            ValueError,
            "on meta; give a dense tensor on",
        ),
        (
            torch.zeros(3).to_sparse(),
            None,
            TypeError,
            "layout torch.sparse_coo is not taken; give x.to",
        ),
        (torch.zeros(3, device="meta"), None, ValueError, "on the meta device holds no numbers"),
        (
            torch.zeros(3, dtype=torch.complex64),
            None,
            TypeError,
            "type torch.complex64 are not taken",
        ),
    ],
)
def test_wrong_tensors_are_refused(x: Any, out: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        round_to(x, BF16, out=out)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: GivenBits(np.array([0.5]), 8),
            TypeError,
            "values have type float64; random bits are",
        ),
        (
            lambda: GivenBits(np.array([3, 256]), 8),
            ValueError,
            "values go from 3 to 256; random_bits=8 allows 0 to 255",
        ),
        (lambda: GivenBits(np.array([-1]), 8), ValueError, "values go from -1 to -1; random_bits"),
        (
            lambda: encode(X, BF16, rounding="stochastic", random=GivenBits(np.arange(34), 8)),
            ValueError,
            "the random bits have shape (34,), the numbers (5, 7); give one for each",
        ),
        (
            lambda: untyped_encode(X, BF16, rounding="stochastic", random=7),
            TypeError,
            "random is an int; give Philox(seed) or GivenBits(values, random_bits)",
        ),
        (
            lambda: encode(X, BF16, rounding="to_odd", random=Philox(0)),
            ValueError,
            "rounding='to_odd' draws no random bits; leave random= away",
        ),
        (
            lambda: encode(np.array([1 << 53]), LARGE, rounding="stochastic", random=Philox(0)),
            ValueError,
            "whose smallest value is 1.2970366926827028e+18; give float64",
        ),
        (
            lambda: infinity_code(E2M1FN, Overflow.NAN),
            ValueError,
            "e2m1fn has no NaN, so overflow='nan' cannot be",
        ),
    ],
)
def test_wrong_random_bits_and_overflows_are_refused(
    call: Callable[[], Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=re.escape(words)):
        call()
