"""The fourteen pitfalls of intercepting a model, each reproduced once and kept out since."""

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from halfulp.dtypes import BF16, E4M3, FP32, round_to
from halfulp.engines import NEURONCORE_V2
from halfulp.quant import UnsupportedOp, emulate, named_policy
from halfulp.quant.lower import is_composite
from tests.quant.tiny import emulated, inputs, same, tiny

aten = torch.ops.aten


class Attention(nn.Module):
    """Attention without projections, in the two ways that transformers has."""

    def __init__(self, eager: bool) -> None:
        super().__init__()
        self.eager = eager

    def forward(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        if not self.eager:
            return nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        scores = torch.matmul(q, k.transpose(2, 3)) * q.shape[-1] ** -0.5
        if mask is not None:
            scores = scores + torch.where(mask, torch.tensor(0.0), torch.finfo(torch.float32).min)
        return torch.matmul(nn.functional.softmax(scores, dim=-1), v)


def _heads(size: float, tokens: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (2, 3, tokens, 16)
    return tuple(torch.randint(-8, 9, shape, generator=generator) * size / 8 for _ in range(3))  # type: ignore[return-value]


def run(module: nn.Module, policy: str, *given: Any) -> Tensor:
    module.eval()
    with emulate(module, NEURONCORE_V2, named_policy(policy)):
        return module(*given)


@pytest.mark.parametrize("policy", ["e4m3-all", "e4m3-all-scaled", "bf16-all", "e4m3-matmult"])
def test_1_the_scale_of_scores_comes_before_their_rounding(policy: str) -> None:
    q, k, v = _heads(9.0)
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


def test_2_torch_still_takes_composites_apart() -> None:
    # what inference_mode needs, of an interface of torch that is not documented
    for func in (aten.linear.default, aten.matmul.default, aten.reshape.default):
        assert is_composite(func)
    assert not is_composite(aten.addmm.default)
    x, w = torch.rand(2, 3), torch.rand(4, 3)
    assert torch.equal(aten.linear.default.decompose(x, w), nn.functional.linear(x, w))
    assert aten.addmm.default.decompose(torch.rand(4), x, w.t()) is NotImplemented


def test_2_inference_mode_shows_composites_and_they_are_emulated() -> None:
    seen = []

    class Spy(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            seen.append(func)
            return func(*args, **(kwargs or {}))

    model = tiny("BertModel")
    with torch.inference_mode(), Spy():  # type: ignore[no-untyped-call]
        model(**inputs())
    assert {aten.linear.default, aten.scaled_dot_product_attention.default} <= set(seen)
    with torch.inference_mode(), emulate(model, NEURONCORE_V2, named_policy("bf16-all")):
        inside = model(**inputs())[0]
    assert same(inside.clone(), emulated(model, "bf16-all", inputs())[0])


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

    q, k, v = _heads(1.0)
    mask = torch.ones(2, 1, 1, 6)
    mask[1, ..., 4:] = 0
    unit = run(Attention(eager=False), policy, q, k, v, mask.bool().expand(2, 1, 6, 6))
    assert same(unit, run(Masked(), policy, q, k, v, mask))
    # a row without a key is the mean of all, as with torch; a cast would make it NaN
    mask[0] = 0
    assert torch.isfinite(run(Masked(), policy, q, k, v, mask)).all()


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
    for policy in ("fp32", "e4m3-all", "e4m3-all-scaled", "int8-matmult"):
        for given in (mask, torch.zeros(mask.shape).masked_fill(~mask, float("-inf"))):
            result = run(Attention(eager=False), policy, *_heads(1.0), given)
            assert (result[1, :, 2] == 0).all()
            assert (result[1, :, 1] != 0).any()


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
        result = run(Attention(eager=False), policy, *_heads(1.0), bias)
        assert torch.isfinite(result).all()
        short = [x[:, :, :3] if i else x for i, x in enumerate(_heads(1.0))]
        if policy == "e4m3-matmult-scaled":
            assert same(result, run(Attention(eager=False), policy, *short))


def test_5_attention_gives_two_results_and_takes_every_form_of_its_arguments() -> None:
    q, k, v = _heads(1.0)
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


def test_6_a_weight_changed_in_place_is_seen() -> None:
    layer = nn.Linear(8, 8, bias=False).eval()
    x = torch.rand(2, 8)
    with emulate(layer, NEURONCORE_V2, named_policy("bf16-matmult")):
        once = layer(x)
        layer.weight.mul_(2)
        assert same(layer(x), once * 2)


def test_6_a_new_block_sees_a_change_through_data() -> None:
    layer = nn.Linear(8, 8, bias=False).eval()
    x = torch.rand(2, 8)
    once = run(layer, "bf16-matmult", x)
    layer.weight.data.mul_(2)
    assert same(run(layer, "bf16-matmult", x), once * 2)


def test_6_temporaries_are_not_kept() -> None:
    class Fresh(nn.Module):
        def forward(self, x: Tensor, factor: float) -> Tensor:
            # the same address each time, another value
            return x @ torch.full((8, 8), factor)

    layer, x = Fresh().eval(), torch.ones(2, 8)
    with emulate(layer, NEURONCORE_V2, named_policy("bf16-matmult")):
        results = [float(layer(x, float(factor))[0, 0]) for factor in range(1, 9)]
    assert results == [8.0 * factor for factor in range(1, 9)]


def test_6_weights_made_in_inference_mode_have_no_version_and_work() -> None:
    with torch.inference_mode():
        layer = nn.Linear(8, 8).eval()
        x = torch.rand(2, 8)
        once = run(layer, "bf16-all", x).clone()
        assert same(run(layer, "bf16-all", x).clone(), once)


def test_7_rows_of_an_embedding_are_cast_and_never_its_table() -> None:
    table = nn.Embedding(1000, 16).eval()
    ids = torch.tensor([[3, 999, 3]])
    with emulate(table, NEURONCORE_V2, named_policy("bf16-all")) as emulation:
        rows = table(ids)
    assert same(rows, round_to(table.weight.detach(), BF16)[ids])
    assert [record.instruction for record in emulation.ledger.records] == ["gather"]


@contextmanager
def _in_thread(errors: list[BaseException]) -> Iterator[list[Any]]:
    tasks: list[Any] = []
    yield tasks

    def work() -> None:
        try:
            for task in tasks:
                task()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(timeout=60)
    assert not thread.is_alive()


def test_8_a_model_called_in_another_thread_is_emulated() -> None:
    model, given = tiny("BertModel"), inputs()
    results: dict[str, Any] = {}
    errors: list[BaseException] = []
    with emulate(model, NEURONCORE_V2, named_policy("bf16-all")) as emulation:
        model(**given)  # rounds the parameters, once for the block
        start = len(emulation.ledger)
        here = model(**given)[0]
        count = len(emulation.ledger) - start
        with _in_thread(errors) as tasks:
            tasks.append(lambda: results.update(there=model(**given)[0]))
            # a part of the model too
            tasks.append(lambda: results.update(part=model.encoder.layer[0](here)))
    assert not errors
    assert same(results["there"], here)
    records = [record[:4] for record in emulation.ledger.records]
    assert records[start : start + count] == records[start + count : start + 2 * count]
    assert all(layer.startswith("encoder.layer.0") for layer, *_ in records[start + 2 * count :])
    assert len(records) > start + 2 * count
    with emulate(model, NEURONCORE_V2, named_policy("bf16-all")):
        part = model.encoder.layer[0](here)
    first = part[0] if isinstance(part, tuple) else part
    other = results["part"][0] if isinstance(results["part"], tuple) else results["part"]
    assert same(first, other)


def test_9_a_fused_fast_path_is_refused() -> None:
    layer = nn.TransformerEncoderLayer(64, 2, 128, batch_first=True).eval()
    x = torch.rand(2, 5, 64)
    for mode in (torch.no_grad, torch.inference_mode):
        with (
            mode(),
            pytest.raises(UnsupportedOp, match=r"(?=.*(attention|encoder))(?=.*fastpath)"),
            emulate(layer, NEURONCORE_V2, named_policy("bf16-all")),
        ):
            layer(x)


def test_10_in_place_operations_round_what_their_views_see() -> None:
    class InPlace(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = x.view(-1, 4)
            y.add_(0.001)
            row = y[0]
            row.mul_(3.3)
            return x

    x = torch.full((2, 4), 1.0)
    result = run(InPlace(), "bf16-all", x)
    assert result.data_ptr() == x.data_ptr()
    once = round_to(torch.tensor(1.001), BF16)
    assert (result[1] == once).all()
    assert (result[0] == round_to(once * torch.tensor(3.3), BF16)).all()


def test_11_a_traced_model_is_emulated() -> None:
    model, given = tiny("BertForSequenceClassification"), inputs()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trace: Any = torch.jit.trace
        traced = trace(model, (*given.values(),), strict=False)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode(), emulate(traced, NEURONCORE_V2, named_policy("bf16-matmult")):
            result = traced(*given.values())["logits"]
        assert same(result.clone(), emulated(model, "bf16-matmult", given)[0])


def test_11_a_compiled_model_is_emulated() -> None:
    model, given = tiny("BertForSequenceClassification", layers=1), inputs()
    compiled: Any = torch.compile(model, backend="eager")
    with torch.no_grad(), emulate(model, NEURONCORE_V2, named_policy("bf16-matmult")):
        result = compiled(**given)[0]
    assert same(result, emulated(model, "bf16-matmult", given)[0])


def test_12_a_linear_layer_is_rounded_once() -> None:
    layer = nn.Linear(2, 1).eval()
    layer.weight.data = torch.tensor([[1.0, 2.0**-8]])
    layer.bias.data = torch.tensor([2.0**-9])
    x = torch.ones(1, 2)
    # 1 + 2^-8 is a tie of bf16 that falls to 1; the bias added before the rounding lifts it
    assert float(run(layer, "bf16-all", x)) == 1.0 + 2.0**-7
    assert float(run(layer, "bf16-matmult", x)) == 1.0 + 2.0**-8 + 2.0**-9
    with torch.no_grad():
        layer.bias.copy_(torch.tensor([2.0**-12 + 2.0**-20]))
    # the bias of `all` is in bf16, of matmult in fp32
    assert float(run(layer, "bf16-matmult", x)) == 1.0 + 2.0**-8 + 2.0**-12 + 2.0**-20
    layer.weight.data = torch.zeros(1, 2)
    assert float(run(layer, "bf16-all", x)) == 2.0**-12


def test_13_the_layer_is_right_after_an_error() -> None:
    class Fails(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("on purpose")

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.before = nn.Linear(4, 4)
            self.inner = nn.Sequential(nn.Linear(4, 4), Fails())

        def forward(self, x: Tensor) -> Tensor:
            try:
                self.inner(self.before(x))
            except RuntimeError:
                return self.before(x)
            raise AssertionError

    model, x = Model().eval(), torch.rand(2, 4)
    with emulate(model, NEURONCORE_V2, named_policy("bf16-matmult")) as emulation:
        hidden = model(x)
        hidden.mean(1)
    layers = [record.layer for record in emulation.ledger.records]
    assert layers[:3] == ["before", "inner.0", "before"]
    assert set(layers[3:]) == {""}


def test_14_an_exported_model_counts_the_same_products() -> None:
    model, given = tiny("BertModel"), inputs()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = torch.export.export(model, (), given).graph
    # not decomposed: run_decompositions would turn attention into other rounding points
    names = [str(node.target) for node in graph.nodes]
    linear = names.count("aten.linear.default")
    attention = names.count("aten.scaled_dot_product_attention.default")
    ledger = emulated(model, "bf16-matmult", given)[1].ledger
    products = [record for record in ledger.records if record.engine == "tensor"]
    assert len(products) == linear + 2 * attention
    assert FP32.name == products[0].formats[-1]
