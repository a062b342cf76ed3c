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
#: torch's own rules for tangents are scripted, and warn of it.
scripted = pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")


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
    # vmap refuses these, so that only the bits and the shapes are left to check
    words = "stochastic inf keep zero"
    for philox, noise in (([-1, 3, 5, 32], None), ([0, 0, 0, 4], torch.arange(35).view(5, 7) % 16)):
        drawn = (x, fmt.name, words, philox, noise, "straight_through")
        torch.library.opcheck(OPERATORS.round_to.default, drawn)


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


@pytest.mark.deep
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


@pytest.mark.parametrize(
    ("fmt", "dtype", "numbers", "wanted"),
    [
        # 65504 is no bfloat16: the nearest one is 65536
        ("fp16", torch.bfloat16, [65536.0, 65280.0, -65536.0], [0.0, 1.0, 0.0]),
        ("bf16", torch.float16, [float("inf"), 65504.0, -float("inf")], [0.0, 1.0, 0.0]),
        # nor is 2^31 - 1 a float32
        ("int32", torch.float32, [2.0**31, 2.0**31 - 128, -(2.0**31)], [0.0, 1.0, 1.0]),
        ("int32", torch.float64, [2.0**31 - 0.5, 2.0**31 - 1, -(2.0**31)], [0.0, 1.0, 1.0]),
        ("uint32", torch.float32, [2.0**32, 2.0**32 - 256, -1.0], [0.0, 1.0, 0.0]),
        ("uint8", torch.float16, [255.0, 256.0, -0.5], [1.0, 0.0, 0.0]),
        ("e8m0fnu", torch.float32, [1.0, 2.0**-120, 0.0, -1.0], [1.0, 1.0, 0.0, 0.0]),
    ],
)
def test_the_outside_begins_exactly_at_the_largest_value(
    fmt: str, dtype: torch.dtype, numbers: list[float], wanted: list[float]
) -> None:
    x = torch.tensor(numbers, dtype=dtype, requires_grad=True)
    Cast(fmt, gradient="zero_outside").round_to(x).sum().backward()
    assert x.grad is not None and x.grad.tolist() == wanted


@scripted
@pytest.mark.parametrize("gradient", ["straight_through", "zero_outside"])
def test_torch_func_differentiates_through_it(gradient: str) -> None:
    made = Cast(E4M3, gradient=gradient)
    x = torch.tensor([[1.1, -2.3, 15.0], [0.7, 20.0, 3.0]])  # 400 is beyond 240
    inside = torch.ones_like(x) if gradient == "straight_through" else (x.abs() < 16).float()
    slope = 2 * x * inside

    def total(row: Tensor) -> Tensor:
        return made.round_to(row * row).sum()

    def squares(row: Tensor) -> Tensor:
        return made.round_to(row * row)

    rows = torch.func.vmap(torch.func.grad(total))(x)
    assert torch.equal(rows, slope)
    for jacobian in (torch.func.jacrev, torch.func.jacfwd):
        assert torch.equal(torch.func.vmap(jacobian(squares))(x), torch.diag_embed(slope))
    hessians = torch.func.vmap(torch.func.hessian(total))(x)
    assert torch.equal(hessians, torch.diag_embed(2 * inside))
    values, tangents, *_ = torch.func.jvp(squares, (x,), (torch.ones_like(x),))
    assert torch.equal(tangents, slope) and equal(values, round_to(x * x, E4M3))


@scripted
def test_a_tangent_has_the_type_of_the_result() -> None:
    x = torch.tensor([1.1, 300.0], dtype=torch.bfloat16)
    one = torch.ones_like(x)
    made = Cast(E4M3, gradient="zero_outside")
    values, tangent, *_ = torch.func.jvp(made.round_to, (x,), (one,))
    assert values.dtype == tangent.dtype == torch.float32 and tangent.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("gradient", ["straight_through", "zero_outside"])
def test_compiled_and_exported_code_has_the_same_gradient(gradient: str) -> None:
    layer = Layer(Cast(E4M3, gradient=gradient))
    exported = torch.export.export(layer, (X,)).module()
    torch._dynamo.reset()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    found = []
    for module in (layer, exported, compiled):
        x = X.clone().requires_grad_()
        module(x).sum().backward()
        assert x.grad is not None
        found.append(x.grad)
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])
    assert (0.0 in found[0]) == (gradient == "zero_outside")


def test_stochastic_casts_are_compiled_and_exported_with_their_draws() -> None:
    given = GivenBits(np.arange(35).reshape(5, 7) * 7 % 256, random_bits=8)
    for random in (Philox(2**64 - 3, step=1, start=11), given):
        layer = Layer(Cast(E4M3, rounding="stochastic", random=random))
        torch._dynamo.reset()
        compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
        assert equal(compiled(X), layer(X))
        assert equal(torch.export.export(layer, (X,)).module()(X), layer(X))


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


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Cast(BF16).round_to(X.to(torch.complex64)), "type torch.complex64 are not taken"),
        (lambda: Cast(BF16).encode(X.to_sparse()), "layout torch.sparse_coo is not taken; give"),
        (lambda: Cast(BF16).encode(X.numpy()), "x is an ndarray; give a torch tensor"),  # type: ignore[arg-type]
        (lambda: Cast(BF16).decode(X), "codes of bf16 are integers, not float32; view them as"),
        (lambda: Cast(BF16, random=3), "random is an int; give Philox(seed) or GivenBits"),
    ],
)
def test_what_is_no_tensor_of_numbers_is_refused(call: Any, words: str) -> None:
    with pytest.raises(TypeError) as caught:
        call()
    assert words in str(caught.value)
