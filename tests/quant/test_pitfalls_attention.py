"""Pitfalls of intercepting attention, 1, 3, 4 and 5 of fourteen: rounding points and masks."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from halfulp.dtypes import BF16, E4M3, round_to
from halfulp.engines import NEURONCORE_V2
from halfulp.quant import Policy, Rule, emulate, named_policy
from tests.quant.tiny import Attention, emulated, heads, inputs, run, same, tiny

aten = torch.ops.aten


@pytest.mark.parametrize("policy", ["e4m3-all", "e4m3-all-scaled", "bf16-all", "e4m3-matmult"])
def test_1_the_scale_of_scores_comes_before_their_rounding(policy: str) -> None:
    q, k, v = heads(9.0)
    # unscaled they pass 240, the largest e4m3; scaled by 1/4 they do not
    assert 240 < (q @ k.transpose(2, 3)).abs().max() < 960
    unit = run(Attention(eager=False), policy, q, k, v)
    assert same(unit, run(Attention(eager=True), policy, q, k, v))
    assert torch.isfinite(unit).all()


def test_1_a_product_without_a_scale_is_rounded_where_it_is_read() -> None:
    class Plain(nn.Module):
        def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
            product = torch.bmm(a, b)
            return product, product.transpose(1, 2).contiguous()

    a, b = (torch.rand(2, 5, 5) for _ in range(2))
    product, turned = run(Plain(), "e4m3-all", a, b)
    assert same(product, round_to(product, E4M3))
    assert same(turned, product.transpose(1, 2).contiguous())


def test_1_a_product_times_a_tensor_is_rounded_before() -> None:
    class Gated(nn.Module):
        def forward(self, a: Tensor, b: Tensor, gate: Tensor) -> Tensor:
            return torch.bmm(a, b) * gate

    a, b = (round_to(torch.rand(2, 5, 5), BF16) for _ in range(2))
    product = run(Gated(), "bf16-all", a, b, torch.tensor(1.0))
    gate = round_to(torch.rand(2, 5, 5), BF16)
    assert same(run(Gated(), "bf16-all", a, b, gate), round_to(product * gate, BF16))


def test_1_a_product_that_leaves_its_layer_is_rounded() -> None:
    class Product(nn.Module):
        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return torch.bmm(a, b)

    class Reads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Product()

        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            # no operation that the emulation could see
            return torch.from_numpy(self.inner(a, b).numpy().copy())

    product = run(Reads(), "e4m3-all", *(torch.rand(2, 5, 5) for _ in range(2)))
    assert same(product, round_to(product, E4M3))


def test_1_a_product_that_ends_the_block_is_rounded() -> None:
    a, b = (torch.rand(2, 5, 5) for _ in range(2))
    with emulate(nn.Identity().eval(), NEURONCORE_V2, named_policy("e4m3-all")):
        product = torch.bmm(a, b)
    assert same(product, round_to(product, E4M3))
    assert not same(product, torch.zeros_like(product))


def _masked_row() -> dict[str, Tensor]:
    given = inputs(padded=False)
    given["attention_mask"][1] = 0
    given["attention_mask"][2, 3:] = 0
    return given


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("policy", ["fp32", "bf16-matmult", "bf16-all", "fp16-all", "e4m3-all"])
def test_3_a_row_of_padding_only_stays_finite(attention: str, policy: str) -> None:
    result = emulated(tiny("BertModel", attention), policy, _masked_row())[0]
    assert torch.isfinite(result).all()


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_3_a_row_of_padding_only_is_what_torch_makes_of_it(attention: str) -> None:
    model, given = tiny("BertModel", attention), _masked_row()
    with torch.no_grad():
        plain = model(**given)[0]
    result = emulated(model, "fp32", given)[0]
    assert float((result - plain)[1].abs().max()) < 1e-4


#: How models have made an additive mask of a mask of ones and zeros.
LOWEST = torch.finfo(torch.float32).min
ADDITIVE: dict[str, Callable[[Tensor], Tensor]] = {
    "where": lambda mask: torch.where(mask.bool(), torch.tensor(0.0), LOWEST),
    "product": lambda mask: (1.0 - mask) * LOWEST,
    "fill": lambda mask: (1.0 - mask).masked_fill((1.0 - mask).bool(), LOWEST),
    "expanded": lambda mask: ((1.0 - mask) * LOWEST).expand(2, 3, 6, 6).contiguous(),
}


@pytest.mark.parametrize("make", ADDITIVE)
@pytest.mark.parametrize("policy", ["bf16-all", "e3m4-all", "e4m3-all-scaled"])
def test_3_an_additive_mask_is_not_cast(make: str, policy: str) -> None:
    class Masked(nn.Module):
        def forward(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
            scores = torch.matmul(q, k.transpose(2, 3)) * 0.25 + ADDITIVE[make](mask)
            return torch.matmul(scores.softmax(-1), v)

    q, k, v = heads(1.0)
    mask = torch.ones(2, 1, 1, 6)
    mask[1, ..., 4:] = 0
    unit = run(Attention(eager=False), policy, q, k, v, mask.bool().expand(2, 1, 6, 6))
    assert same(unit, run(Masked(), policy, q, k, v, mask))
    # a row without a key is the mean of all, as with torch; a cast would let nothing through
    mask[0] = 0
    result = run(Masked(), policy, q, k, v, mask)
    assert torch.isfinite(result).all()
    assert (result[0] != 0).any()


def test_3_an_additive_mask_given_to_the_model_is_not_cast() -> None:
    class Masked(nn.Module):
        def forward(self, scores: Tensor, *, mask: Tensor) -> Tensor:
            return (scores * 1.0 + mask).softmax(-1)

    scores, mask = torch.rand(2, 6), torch.zeros(2, 6)
    mask[0] = mask[1, 3:] = LOWEST
    model = Masked().eval()
    with emulate(model, NEURONCORE_V2, named_policy("bf16-all")):
        weights = model(scores, mask=mask)
    assert (weights[0] == round_to(torch.tensor(1 / 6), BF16)).all()
    assert (weights[1, 3:] == 0).all()


def test_3_a_query_without_a_key_gives_zero() -> None:
    mask = torch.ones(2, 1, 6, 6, dtype=torch.bool)
    mask[1, :, 2] = False
    additive = torch.zeros(mask.shape).masked_fill(~mask, float("-inf"))
    unfused = Policy("p", (Rule(operands=BF16, results=BF16, fused=False),))
    for policy in ("fp32", "e4m3-all", "e4m3-all-scaled", "int8-matmult", unfused):
        by_bool, by_sum, by_bias = (
            run(Attention(eager=False), policy, *heads(1.0), given)
            for given in (mask, additive, additive + 0.25)
        )
        assert same(by_bool, by_sum)
        assert (by_bool[1, :, 2] == 0).all()
        assert (by_bool[1, :, 1] != 0).any()
        assert (by_bias[1, :, 2] == 0).all()
        assert torch.isfinite(by_bias).all()


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("policy", ["e3m4-all", "e4m3-all", "e3m4-all-scaled"])
def test_3_masked_tokens_do_not_leak(attention: str, policy: str) -> None:
    model, given = tiny("BertModel", attention, layers=1), inputs()
    live = given["attention_mask"].bool()
    first = emulated(model, policy, given)[0]
    given["input_ids"] = torch.where(live, given["input_ids"], given["input_ids"] % 30 + 5)
    second = emulated(model, policy, given)[0]
    if policy.endswith("scaled"):
        assert torch.isfinite(second).all()
    else:
        assert same(first[live], second[live])


def test_4_an_infinite_mask_does_not_set_the_scale() -> None:
    mask = torch.zeros(2, 1, 6, 6)
    mask[..., 3:] = float("-inf")
    bias = torch.where(mask == 0, torch.tensor(0.25), mask)
    for policy in ("e4m3-matmult-scaled", "e4m3-all-scaled", "int8-matmult"):
        result = run(Attention(eager=False), policy, *heads(1.0), bias)
        assert torch.isfinite(result).all()
        short = [x[:, :, :3] if i else x for i, x in enumerate(heads(1.0))]
        if policy == "e4m3-matmult-scaled":
            assert same(result, run(Attention(eager=False), policy, *short))


def test_5_the_result_lies_in_memory_as_torch_lays_it() -> None:
    attention: Any = nn.functional.scaled_dot_product_attention
    q, k, v = heads(1.0)
    turned = [x.transpose(1, 2).contiguous().transpose(1, 2) for x in (q, k, v)]
    with emulate(nn.Identity().eval(), NEURONCORE_V2, named_policy("bf16-matmult")):
        results = attention(q, k, v), attention(*turned)
    for result, given in zip(results, ((q, k, v), turned), strict=True):
        assert result.stride() == attention(*given).stride()
    assert same(*(result.contiguous() for result in results))


def test_5_attention_gives_two_results_and_takes_every_form_of_its_arguments() -> None:
    q, k, v = heads(1.0)
    flash = aten._scaled_dot_product_flash_attention_for_cpu
    mask = torch.ones(6, 6).tril().log()
    with emulate(nn.Identity().eval(), NEURONCORE_V2, named_policy("bf16-matmult")):
        by_position = flash(q, k, v, 0.0, True)
        by_keyword = flash(q, k, v, is_causal=True, scale=0.25)
        masked = flash(q, k, v, attn_mask=mask)[0]
        public = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        other = flash(q, k, v, is_causal=True, scale=0.5)[0]
    assert len(by_position) == 2
    for result in (by_keyword[0], masked, public):
        assert same(result, by_position[0])
    assert not same(other, by_position[0])
