"""An emulated model is the composition of engine operations that its policy says, bit for bit."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from halfulp.dtypes import FP32, FloatFormat, parse_format, round_to
from halfulp.engines import NEURONCORE_V1, NEURONCORE_V2
from halfulp.quant import Policy, Rule, emulate, named_policy
from tests.quant.tiny import ARCHITECTURES, emulated, inputs, same, tiny
from tests.quant.written_out import Bert

Array = NDArray[np.float32]
TENSOR = NEURONCORE_V2.tensor


def parameters(model: nn.Module) -> dict[str, Array]:
    return {name: value.detach().numpy() for name, value in model.named_parameters()}


@pytest.mark.parametrize("scope", ["matmult", "all"])
@pytest.mark.parametrize("name", "tf32 fp16 bf16 e5m2 e4m3 e3m4 cfp8(2,5,bias=0)".split())
def test_a_model_is_the_composition_of_its_roundings(name: str, scope: str) -> None:
    model, given = tiny("BertModel"), inputs()
    fmt = parse_format(name)
    assert isinstance(fmt, FloatFormat)
    written_out = Bert(parameters(model), fmt, fmt if scope == "all" else FP32)
    expected = written_out(given["input_ids"].numpy(), given["attention_mask"].numpy())
    assert same(emulated(model, f"{name}-{scope}", given)[0], torch.from_numpy(expected))


def test_fp32_is_the_composition_without_a_rounding() -> None:
    model, given = tiny("BertModel"), inputs()
    expected = Bert(parameters(model), FP32, FP32)(
        given["input_ids"].numpy(), given["attention_mask"].numpy()
    )
    assert same(emulated(model, "fp32", given)[0], torch.from_numpy(expected))


def _integers(rng: np.random.Generator, shape: tuple[int, ...], limit: int) -> Array:
    return rng.integers(-limit, limit + 1, shape).astype(np.float32)


@pytest.mark.parametrize("name", ["fp32", "tf32", "fp16", "bf16", "e5m2", "e4m3"])
def test_a_linear_layer_on_small_integers_is_exact(name: str) -> None:
    rng = np.random.default_rng(0)
    limit = 4 if name == "e5m2" else 15
    layer = nn.Linear(300, 70).eval()
    w, b, x = (_integers(rng, shape, limit) for shape in ((70, 300), (70,), (5, 300)))
    layer.weight.data, layer.bias.data = torch.from_numpy(w), torch.from_numpy(b)
    policy = "fp32" if name == "fp32" else f"{name}-matmult"
    with emulate(layer, NEURONCORE_V2, named_policy(policy)):
        y = layer(torch.from_numpy(x))
    exact = x.astype(np.float64) @ w.T.astype(np.float64) + b
    assert (y.numpy() == exact).all()


def _quantized(x: Array, scale: NDArray[Any] | np.float32, fmt_max: int) -> NDArray[np.int64]:
    return np.rint(np.clip(x * np.float32(scale), -fmt_max, fmt_max)).astype(np.int64)


def test_an_int8_layer_is_its_formula() -> None:
    rng = np.random.default_rng(1)
    layer = nn.Linear(200, 33).eval()
    x = torch.from_numpy(rng.standard_normal((4, 7, 200)).astype(np.float32))
    w = layer.weight.detach().numpy()
    a_scale = np.float32(127 / float(x.abs().max()))
    b_scale = (127 / np.abs(w).max(axis=1).astype(np.float64)).astype(np.float32)
    a, b = _quantized(x.numpy(), a_scale, 127), _quantized(w, b_scale[:, None], 127)
    rescale = (1 / (float(a_scale) * b_scale.astype(np.float64))).astype(np.float32)
    sums = (a.reshape(-1, 200) @ b.T).astype(np.float32)
    expected = sums * rescale + layer.bias.detach().numpy()
    with emulate(layer, NEURONCORE_V2, named_policy("int8-matmult")):
        y = layer(x)
    assert (y.numpy().reshape(-1, 33) == expected).all()


@pytest.mark.parametrize("name", ["e5m2", "e4m3", "e3m4", "fp16"])
def test_a_scaled_layer_is_its_formula(name: str) -> None:
    fmt = parse_format(name)
    assert isinstance(fmt, FloatFormat)
    rng = np.random.default_rng(2)
    layer = nn.Linear(200, 33).eval()
    x = torch.from_numpy((rng.standard_normal((9, 200)) * 40).astype(np.float32))
    w = layer.weight.detach().numpy()
    a_scale, b_scale = (
        2.0 ** np.floor(np.log2(fmt.max / float(np.abs(v).max()))) for v in (x.numpy(), w)
    )
    a, b = round_to(x.numpy() * np.float32(a_scale), fmt), round_to(w * np.float32(b_scale), fmt)
    product = TENSOR.matmul(a, np.ascontiguousarray(b.T), a_format=FP32, b_format=FP32)
    with emulate(layer, NEURONCORE_V2, named_policy(f"{name}-matmult-scaled")):
        y = layer(x)
    # fp32 operands of few bits: the low halves are zero and the four passes are the one
    bias = layer.bias.detach().numpy()
    assert (y.numpy() == product * np.float32(1 / (a_scale * b_scale)) + bias).all()
    assert np.isfinite(y.numpy()).all()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("policy", ["bf16-matmult", "bf16-all", "int8-matmult", "e4m3-all-scaled"])
def test_eager_and_sdpa_attention_give_the_same_bits(architecture: str, policy: str) -> None:
    results = [
        emulated(tiny(architecture, attention), policy, inputs())[0]
        for attention in ("eager", "sdpa")
    ]
    assert same(*results)


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("policy", ["fp32", "e4m3-matmult", "e4m3-all", "int16-matmult"])
def test_eager_and_sdpa_agree_with_and_without_padding(policy: str, padded: bool) -> None:
    results = [
        emulated(tiny("BertModel", attention), policy, inputs(padded=padded))[0]
        for attention in ("eager", "sdpa")
    ]
    assert same(*results)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_gradient_modes_give_the_same_bits(architecture: str, attention: str) -> None:
    model, results = tiny(architecture, attention), []
    for mode in (torch.no_grad, torch.inference_mode, torch.enable_grad):
        with mode(), emulate(model, NEURONCORE_V2, named_policy("bf16-all")):
            results.append(model(**inputs())[0])
    assert same(results[0], results[1])
    assert same(results[0], results[2])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_fp32_is_close_to_torch_and_bf16_is_near(architecture: str) -> None:
    model, given = tiny(architecture), inputs()
    with torch.no_grad():
        plain = model(**given)[0]
    for policy, most in (("fp32", 2e-5), ("bf16-matmult", 0.1)):
        result = emulated(model, policy, given)[0]
        assert not same(result, plain)
        assert float((result - plain).norm() / plain.norm()) < most


@pytest.mark.parametrize("policy", "bf16-matmult e4m3-all int8-matmult e3m4-all-scaled".split())
def test_the_order_of_a_batch_does_not_matter(policy: str) -> None:
    model, given = tiny("BertForSequenceClassification"), inputs()
    order = torch.tensor([2, 0, 1])
    straight = emulated(model, policy, given)[0]
    turned = emulated(model, policy, {name: value[order] for name, value in given.items()})[0]
    assert same(straight[order], turned)


def test_rows_of_a_batch_do_not_see_each_other_without_scales() -> None:
    model, given = tiny("BertForSequenceClassification"), inputs()
    together = emulated(model, "e4m3-all", given)[0]
    for row in range(3):
        alone = {name: value[row : row + 1] for name, value in given.items()}
        assert same(together[row : row + 1], emulated(model, "e4m3-all", alone)[0])


def test_an_exception_by_layer_name_changes_that_layer_only() -> None:
    model, given = tiny("BertForSequenceClassification"), inputs()
    rules = (Rule(pattern="classifier"), *named_policy("bf16-matmult").rules)
    result, emulation = emulated(model, Policy("mixed", rules), given)
    formats = {record.layer: record.formats for record in emulation.ledger.records}
    assert formats["classifier"] == ("fp32", "fp32", "fp32")
    assert formats["bert.pooler.dense"] == ("bf16", "bf16", "fp32")
    everything = emulated(model, "bf16-matmult", given)[0]
    assert not same(result, everything)


def test_all_on_the_first_core_is_all_on_the_second() -> None:
    model, given = tiny("BertModel"), inputs()
    first = emulated(model, "bf16-all", given, NEURONCORE_V1)[0]
    assert same(first, emulated(model, "bf16-all", given, NEURONCORE_V2)[0])
