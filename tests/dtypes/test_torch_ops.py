"""Casts as operators of torch: registered, differentiable, the same bits in every kind of use."""

import shutil
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from halfulp.dtypes import (
    BF16,
    E2M1FN,
    E4M3,
    E4M3FN,
    INT8,
    INT32,
    TF32,
    FloatFormat,
    Format,
    GivenBits,
    Philox,
    decode,
    encode,
    round_to,
)
from halfulp.dtypes.torch_ops import Cast
from tests.dtypes.opinion import bits
from tests.strategies import FLOATS, float32_boundaries

OPERATORS: Any = torch.ops.halfulp
WORDS = "nearest_even inf keep zero"
X = torch.from_numpy(np.linspace(-300, 300, 35, dtype=np.float32).reshape(5, 7))


def equal(got: Tensor, wanted: Any) -> bool:
    wanted = wanted.numpy() if isinstance(wanted, Tensor) else wanted
    got = got.detach()
    same = got.shape == wanted.shape and got.numpy().dtype == wanted.dtype
    return same and np.array_equal(bits(got.numpy()), bits(wanted))


@pytest.mark.parametrize("fmt", [BF16, E4M3FN, INT8, INT32], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.int32])
def test_the_operators_are_registered_as_torch_asks(fmt: Format, dtype: torch.dtype) -> None:
    x = X.to(dtype)
    leaf = x.clone().requires_grad_() if dtype.is_floating_point else x
    for gradient in ("straight_through", "zero_outside"):
        given: tuple[Any, ...] = (leaf, fmt.name, WORDS, [], None, gradient)
        torch.library.opcheck(OPERATORS.round_to.default, given)
    codes = encode(x, fmt)
    torch.library.opcheck(OPERATORS.encode.default, (x.t(), fmt.name, WORDS, [], None))
    torch.library.opcheck(OPERATORS.decode.default, (codes, fmt.name, "flush_outputs"))


@pytest.mark.parametrize("fmt", FLOATS.values(), ids=str)
def test_the_bits_are_those_of_the_public_door(fmt: FloatFormat) -> None:
    x = torch.from_numpy(float32_boundaries(fmt).copy())
    several: list[dict[str, Any]] = [
        {"nan": "max"},
        {"nan": "zero", "rounding": "to_odd", "overflow": "saturate"},
        {"nan": "zero", "overflow": "torch", "subnormals": "flush_outputs"},
        {"nan": "zero", "rounding": "stochastic", "random": Philox(2**64 - 1, step=2**63, start=5)},
        {
            "nan": "zero",
            "rounding": "stochastic",
            "random": GivenBits(np.arange(len(x)) % 16, random_bits=4),
        },
    ]
    for options in several:
        made = Cast(fmt, **options)
        assert equal(made.round_to(x), round_to(x.numpy(), fmt, **options))
        codes = made.encode(x)
        assert equal(codes, encode(x.numpy(), fmt, **options))
        flush = options.get("subnormals", "keep")
        assert equal(made.decode(codes), decode(codes.numpy(), fmt, subnormals=flush))


class Layer(nn.Module):
    def __init__(self, made: Cast) -> None:
        super().__init__()
        self.made = made

    def forward(self, x: Tensor) -> Tensor:
        return self.made.round_to(x * 2) + 1


LAYERS = [Cast(E4M3), Cast(TF32, rounding="toward_negative"), Cast(E2M1FN, overflow="saturate")]


@pytest.mark.parametrize("made", LAYERS, ids=lambda made: str(made.fmt))
def test_compiled_and_exported_code_gives_the_same_bits(made: Cast) -> None:
    layer = Layer(made)
    wanted = layer(X)
    torch._dynamo.reset()
    assert equal(torch.compile(layer, fullgraph=True, backend="aot_eager")(X), wanted)
    assert equal(torch.export.export(layer, (X,)).module()(X), wanted)
    rows = torch.func.vmap(made.round_to, in_dims=1)(X)
    assert equal(rows, made.round_to(X).t().contiguous())


@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile's own backend needs a c++")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_default_backend_gives_the_same_bits() -> None:
    torch._dynamo.reset()
    layer = Layer(Cast(BF16, rounding="to_odd"))
    assert equal(torch.compile(layer, fullgraph=True)(X), layer(X))


def test_the_gradient_goes_straight_through_or_stops_outside() -> None:
    numbers = [1.1, 240.0, 247.0, 300.0, -1e9, float("inf"), float("nan"), -240.0]
    for name, wanted in (
        ("straight_through", [1.0] * 8),
        ("zero_outside", [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]),
    ):
        for dtype in (torch.float32, torch.float64, torch.bfloat16):
            x = torch.tensor(numbers, dtype=dtype, requires_grad=True)
            Cast(E4M3, gradient=name).round_to(x).sum().backward()
            assert x.grad is not None and x.grad.dtype == dtype
            assert x.grad.tolist() == wanted


def test_a_second_derivative_is_that_of_the_rest() -> None:
    x = torch.tensor([1.3, 2.6], requires_grad=True)
    y = (Cast(BF16).round_to(x * x)).sum()
    (first,) = torch.autograd.grad(y, x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    assert torch.equal(first.detach(), 2 * x.detach()) and second.tolist() == [2.0, 2.0]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Cast("bf17"), "no format is called 'bf17'"),
        (lambda: Cast(E4M3, gradient="none"), "gradient='none' is not known; allowed: 'straight"),
        (lambda: Cast(E4M3, rounding="stochastic"), "needs random bits; give random=Philox(seed)"),
        (lambda: Cast(E2M1FN).round_to(torch.tensor([float("nan")])), "x holds NaN and e2m1fn has"),
        (
            lambda: torch.func.vmap(Cast(E4M3, rounding="stochastic", random=Philox(1)).round_to)(
                X
            ),
            "stochastic rounding inside vmap has no number for an element",
        ),
    ],
)
def test_wrong_casts_are_refused(call: Any, words: str) -> None:
    with pytest.raises(ValueError) as caught:
        call()
    assert words in str(caught.value)
