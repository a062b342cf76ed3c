"""Each operation of the table against the engines or exact arithmetic; the others are refused."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from halfulp.dtypes import BF16, FP32, round_to
from halfulp.engines import NEURONCORE_V2
from halfulp.quant import Policy, Rule, UnsupportedOp, emulate, named_policy
from tests.quant.tiny import same

VECTOR, SCALAR = NEURONCORE_V2.vector, NEURONCORE_V2.scalar
Function = Callable[..., Any]


class Calls(nn.Module):
    """A module that calls a function."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, *given: Any) -> Any:
        return self.function(*given)


def run(function: Function, *given: Any, policy: str | Policy = "bf16-matmult") -> Any:
    chosen = named_policy(policy) if isinstance(policy, str) else policy
    model = Calls(function).eval()
    with emulate(model, NEURONCORE_V2, chosen):
        return model(*given)


def torch_function(name: str) -> Function:
    found: Function = getattr(torch, name, None) or getattr(F, name)
    return found


def of_squares(function: Function, a: Any) -> Any:
    return function(a * a)


def values(*shape: int) -> Tensor:
    rng = np.random.default_rng(3)
    return torch.from_numpy(rng.integers(-4000, 4000, shape).astype(np.float32) / 1024)


X, Y, ROW = values(3, 4, 5), values(3, 4, 5).flip(0), values(5)
COUNT = torch.tensor([3, 0, 2])

#: Operations whose fp32 result is the rounded exact one, in torch as on the engines.
EXACT: dict[str, tuple[Function, tuple[Any, ...]]] = {
    "add": (lambda a, b: a + b, (X, Y)),
    "add a row": (lambda a, b: a + b, (X, ROW)),
    "add a number": (lambda a: a + 0.1, (X,)),
    "add alpha": (lambda a, b: torch.add(a, b, alpha=0.5), (X, Y)),
    "add an integer tensor": (lambda a, b: a + b[:, None, None], (X, COUNT)),
    "subtract": (lambda a, b: a - b, (X, Y)),
    "subtract from a number": (lambda a: 1.0 - a, (X,)),
    "multiply": (lambda a, b: a * b, (X, Y)),
    "multiply by a number": (lambda a: a * 0.3, (X,)),
    "multiply a number": (lambda a: 0.3 * a, (X,)),
    "multiply by a bool tensor": (lambda a, b: a * b, (X, Y > 0)),
    "divide": (lambda a, b: a / b, (X, Y + 5)),
    "divide by a number": (lambda a: a / 3, (X,)),
    "divide integers": (lambda a, b: a / b, (COUNT, torch.tensor([7, 3, 9]))),
    "maximum": (torch.maximum, (X, Y)),
    "minimum": (torch.minimum, (X, Y)),
    "negate": (lambda a: -a, (X,)),
    "clamp": (lambda a: a.clamp(-1.0, 1.5), (X,)),
    "clamp low": (lambda a: a.clamp(min=0.25), (X,)),
    "clamp high": (lambda a: torch.clamp_max(a, 0.25), (X,)),
    "clamp integers low": (lambda a: torch.clamp(a, min=1e-9), (COUNT,)),
    "square": (lambda a: a**2, (X,)),
    "cube": (lambda a: a**3, (X,)),
    "square root": (lambda a: torch.sqrt(a * a), (X,)),
    "relu": (torch.relu, (X,)),
    "reciprocal": (torch.reciprocal, (X + 9,)),
    "largest": (lambda a: a.amax(1), (X,)),
    "largest, kept": (lambda a: a.amax((0, 2), keepdim=True), (X,)),
    "largest of all": (torch.max, (X,)),
    "sum of ones": (lambda a: (a > 0).float().sum(-1), (X,)),
    "where": (lambda a, b: torch.where(a > 0, a, b), (X, Y)),
    "masked_fill": (lambda a: a.masked_fill(a > 0, -1.0), (X,)),
    "cat, slice, flip": (lambda a, b: torch.cat([a, b])[1:, ::2].flip(0), (X, Y)),
    "integers": (lambda a: (a * 2 + 1 - a // 2).cumsum(0), (COUNT,)),
    "sum of integers": (lambda a: a.sum(), (COUNT,)),
    "to float": (lambda a: a.float(), (COUNT,)),
    "argmax": (lambda a: a.argmax(-1), (X,)),
    "topk": (lambda a: a.topk(2).values, (X,)),
    "embedding": (lambda a, t: F.embedding(a, t), (COUNT, X[0])),
}


@pytest.mark.parametrize("name", EXACT)
def test_exact_operations_give_the_bits_of_torch(name: str) -> None:
    function, given = EXACT[name]
    plain, result = function(*given), run(function, *given)
    assert result.dtype == plain.dtype
    assert torch.equal(result, plain)


#: Those of several operations, or of several roundings.
SEVERAL = {"add alpha", "square root", "reciprocal", "divide", "cube", "add an integer tensor"}


@pytest.mark.parametrize("name", [n for n, (f, g) in EXACT.items() if f(*g).dtype == torch.float32])
def test_all_rounds_their_results_once(name: str) -> None:
    function, given = EXACT[name]
    rounded = [round_to(x, BF16) if x.is_floating_point() else x for x in given]
    result = run(function, *given, policy="bf16-all")
    assert same(result, round_to(result, BF16))
    if name not in SEVERAL:
        # one operation: its exact result on rounded inputs, rounded
        expected: Tensor = function(*rounded)
        assert torch.equal(result, torch.as_tensor(round_to(expected, BF16)))


#: Operations whose order or function is the engines' own.
ENGINE: dict[str, tuple[Function, Callable[[Any], Any]]] = {
    "sum of a row": (lambda a: a.sum(-1), lambda a: VECTOR.tensor_reduce(a, "add")),
    "sum of a column": (lambda a: a.sum(1), lambda a: VECTOR.tensor_reduce(a, "add", axis=1)),
    "sum of all": (torch.sum, lambda a: VECTOR.tensor_reduce(a.reshape(-1), "add")),
    "sum, kept": (
        lambda a: a.sum(0, keepdim=True),
        lambda a: VECTOR.tensor_reduce(a, "add", axis=0, keepdims=True),
    ),
    "mean of a row": (
        lambda a: a.mean(-1),
        lambda a: VECTOR.tensor_scalar(VECTOR.tensor_reduce(a, "add"), 5.0, "divide"),
    ),
    "gelu": (F.gelu, lambda a: SCALAR.activation(a, "gelu")),
    "tanh": (torch.tanh, lambda a: SCALAR.activation(a, "tanh")),
    "exp": (torch.exp, lambda a: SCALAR.activation(a, "exp")),
    "gelu by tanh": (
        lambda a: F.gelu(a, approximate="tanh"),
        lambda a: SCALAR.activation(a, "gelu_tanh"),
    ),
    "leaky relu": (
        lambda a: F.leaky_relu(a, 0.3),
        lambda a: SCALAR.activation(a, "leaky_relu", slope=0.3),
    ),
    "leaky relu as it is": (F.leaky_relu, lambda a: SCALAR.activation(a, "leaky_relu")),
    "softplus": (F.softplus, lambda a: SCALAR.activation(a, "softplus")),
    "arctan": (torch.atan, lambda a: SCALAR.activation(a, "arctan")),
    "absolute": (torch.abs, lambda a: SCALAR.activation(a, "abs")),
    "sign": (torch.sign, lambda a: SCALAR.activation(a, "sign")),
    **{
        name: (
            torch_function(name),
            partial(SCALAR.activation, function=name),
        )
        for name in "exp2 expm1 sigmoid silu erf mish sin cos relu".split()
    },
    **{
        f"{name} of squares": (
            partial(of_squares, torch_function(name)),
            partial(of_squares, partial(SCALAR.activation, function=name)),
        )
        for name in ("log", "log2", "log1p")
    },
    "minimum of a row": (lambda a: a.amin(-1), lambda a: VECTOR.tensor_reduce(a, "min")),
    "rsqrt": (lambda a: torch.rsqrt(a * a), lambda a: SCALAR.activation(a * a, "rsqrt")),
    "softmax": (lambda a: a.softmax(-1), VECTOR.softmax),
    "softmax of columns": (
        lambda a: a.softmax(1),
        lambda a: np.ascontiguousarray(VECTOR.softmax(a.swapaxes(1, 2)).swapaxes(1, 2)),
    ),
    "layer norm": (
        lambda a: F.layer_norm(a, (5,)),
        lambda a: VECTOR.layernorm(a, np.ones(5, "f4"), np.zeros(5, "f4"), 1e-5),
    ),
    "layer norm of two axes": (
        lambda a: F.layer_norm(a, (4, 5)),
        lambda a: VECTOR.layernorm(
            a.reshape(3, 20), np.ones(20, "f4"), np.zeros(20, "f4"), 1e-5
        ).reshape(3, 4, 5),
    ),
    "normalize": (
        lambda a: F.normalize(a, dim=-1),
        lambda a: a / SCALAR.activation(VECTOR.tensor_reduce(a * a, "add", keepdims=True), "sqrt"),
    ),
}


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("name", ENGINE)
def test_other_operations_are_those_of_the_engines(name: str, mode: Any) -> None:
    function, engine = ENGINE[name]
    with mode():
        result = run(function, X).clone()
    assert same(result, torch.from_numpy(np.asarray(engine(X.numpy()))))
    assert torch.allclose(result, function(X), rtol=1e-5, atol=1e-6)


def test_mean_pooling_is_its_parts() -> None:
    hidden, mask = values(2, 6, 8), torch.tensor([[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1]])

    def pool(hidden: Tensor, mask: Tensor) -> Tensor:
        weights = mask.unsqueeze(-1).expand(hidden.size()).float()
        return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1e-9)

    total = VECTOR.tensor_reduce(hidden.numpy() * mask[..., None].numpy(), "add", axis=1)
    expected = total / np.array([[3], [6]], np.float32)
    assert same(run(pool, hidden, mask), torch.from_numpy(expected.astype(np.float32)))


def test_a_product_with_a_vector_is_a_linear_layer_of_one_output() -> None:
    x, w = values(7, 40), values(40)
    product = NEURONCORE_V2.tensor.matmul(
        x.numpy(), w.numpy().reshape(40, 1), a_format=BF16, b_format=BF16
    )
    assert same(run(lambda a, b: a @ b, x, w), torch.from_numpy(product.reshape(7)))


def test_a_scaled_result_is_scaled_by_the_tensor_it_belongs_to() -> None:
    x = torch.tensor([1000.0, 3.0, 0.01])
    result = run(lambda a: a * 1.0, x, policy="e4m3-all-scaled")
    # 1000 * 2^-3 is below 240, 1000 * 2^-2 is not
    assert same(result, round_to(x / 8, named_policy("e4m3-all").rules[0].results or FP32) * 8)
    assert torch.isinf(run(lambda a: a * 1.0, x, policy="e4m3-all")[0])


def test_unfused_softmax_casts_after_each_instruction() -> None:
    policy = Policy("p", (Rule(operands=BF16, results=BF16, fused=False),))
    x = round_to(X, BF16)
    powers = SCALAR.activation(x.numpy() - x.numpy().max(-1, keepdims=True), "exp")
    total = round_to(VECTOR.tensor_reduce(powers, "add", keepdims=True), BF16)
    factor = round_to(VECTOR.reciprocal(total), BF16)
    expected = round_to(round_to(powers, BF16) * factor, BF16)
    result = run(lambda a: a.softmax(-1), x, policy=policy)
    assert same(result, torch.from_numpy(expected))
    assert not same(result, run(lambda a: a.softmax(-1), x, policy="bf16-all"))


def test_unfused_layer_norm_casts_after_each_instruction() -> None:
    policy = Policy("p", (Rule(operands=BF16, results=BF16, fused=False),))
    x = round_to(values(300, 5), BF16)
    rows = x.numpy()
    exact = VECTOR.tensor_reduce(rows, "add", keepdims=True) / np.float32(5)
    spread = VECTOR.tensor_reduce((rows - exact) ** 2, "add", keepdims=True) / np.float32(5)
    mean, variance = round_to(exact, BF16), round_to(spread, BF16)
    factor = round_to(SCALAR.activation(variance, "rsqrt", bias=1e-5), BF16)
    expected = round_to((rows - mean) * factor, BF16)
    result = run(lambda a: F.layer_norm(a, (5,)), x, policy=policy)
    assert same(result, torch.from_numpy(expected + np.float32(0.0)))
    assert not same(result, run(lambda a: F.layer_norm(a, (5,)), x, policy="bf16-all"))


REFUSED: dict[str, tuple[Function, tuple[Any, ...], str]] = {
    "tangent": (torch.tan, (X,), "aten.tan.default"),
    "softplus of a steeper one": (lambda a: F.softplus(a, beta=2), (X,), "beta=2"),
    "fourth power": (lambda a: a**4, (X,), "exponent 4"),
    "convolution": (lambda a: F.conv1d(a, values(2, 4, 3)), (X,), "conv"),
    "random numbers": (lambda a: a + torch.rand(5), (X,), "draw them outside"),
    "rounded division": (lambda a: torch.div(a, 2, rounding_mode="floor"), (X,), "rounding mode"),
    "double": (lambda a: a.double(), (X,), "float64"),
    "half": (lambda a: a.half(), (X,), "float16"),
    "double in": (lambda a: a + 1, (X.double(),), "float64"),
    "bfloat16 in": (lambda a: a.softmax(-1), (X.bfloat16(),), "bfloat16"),
    "half in a product": (lambda a: a @ a.t(), (X[0].half(),), "float16"),
    "half summed": (lambda a: a.sum(), (X.half(),), "float16"),
    "truncation": (lambda a: a.long(), (X,), "int64"),
    "floor division": (lambda a: a // 2, (X,), "floor_divide"),
    "mean of squares in double": (lambda a: a.sum(dtype=torch.float64), (X,), "float64"),
    "loss": (lambda a: F.cross_entropy(a[0], torch.tensor([1, 2, 0, 1])), (X,), "without labels"),
    "arange of floats": (lambda a: a + torch.arange(5, dtype=torch.float32), (X,), "arange"),
    "norm of order 1": (lambda a: torch.linalg.vector_norm(a, 1), (X,), "order 1"),
    "scaled bias": (lambda a: torch.addmm(ROW, a[0], values(5, 5), beta=2), (X,), "beta"),
    "alpha": (lambda a: torch.rsub(a, 1.0, alpha=2), (X,), "alpha"),
    "quantile": (lambda a: a.median(), (X,), "median"),
    "matrix of biases": (lambda a: torch.addmm(a[0, :, :4], a[0], a[0].t()), (X,), "bias of shape"),
}


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("name", REFUSED)
def test_what_the_engines_do_not_know_is_refused(name: str, mode: Any) -> None:
    function, given, message = REFUSED[name]
    model = nn.Sequential(nn.Identity(), Calls(function)).eval()
    with (
        mode(),
        pytest.raises(UnsupportedOp, match=message) as caught,
        emulate(model, NEURONCORE_V2, named_policy("bf16-all"), allow_unused_rules=True),
    ):
        model[1](*given)
    assert caught.value.layer == "1"
    assert caught.value.operation.startswith("aten.")
    assert "in layer '1'" in str(caught.value)


def test_an_operation_of_another_library_is_refused() -> None:
    with torch.library._scoped_library("halfulp_test", "DEF") as library:
        library.define("twice(Tensor x) -> Tensor")
        library.impl("twice", lambda x: x * 2, "CPU")
        function = torch.ops.halfulp_test.twice
        with pytest.raises(UnsupportedOp, match="halfulp_test.twice"):
            run(lambda a: function(a), X)
        assert torch.equal(run(lambda a: function(a), COUNT), COUNT * 2)


def test_integers_in_place_stay_integers() -> None:
    def function(a: Tensor) -> Tensor:
        b = a.clone()
        b += 2
        b.mul_(3)
        return b

    assert torch.equal(run(function, COUNT), (COUNT + 2) * 3)


def test_an_index_outside_the_table_is_an_error() -> None:
    with pytest.raises((ValueError, IndexError), match="rows"):
        run(lambda a, t: F.embedding(a, t), COUNT + 9, X[0])


def test_integers_keep_their_sign_and_size_as_torch_has_them() -> None:
    whole = torch.tensor([3, -2, 0])
    for function in (torch.abs, torch.sign):
        result = run(function, whole)
        assert result.dtype == torch.int64 and torch.equal(result, function(whole))
