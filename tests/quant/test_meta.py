"""A model on the meta device leaves the ledger that the same model with data leaves."""

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from halfulp.engines import NEURONCORE_V2, Activation, Ledger, Record, custom_op
from halfulp.engines.outlines import index_outline, is_outline, outline
from halfulp.engines.piecewise_fit import fit
from halfulp.quant import UnsupportedOp, emulate, named_policy
from tests.quant.tiny import ARCHITECTURES, Attention, emulated, heads, inputs, tiny

POLICIES = ("fp32", "bf16-matmult", "bf16-all", "e4m3-all", "int8-matmult")
#: What depends on the data, and what only a ledger without data knows.
OPEN: dict[str, Any] = {
    **dict.fromkeys(("overflow", "underflow", "nan", "infinity", "departures", "masked_rows"), 0),
    **{"needs": (), "parameters": ()},
}


def shown(ledger: Ledger) -> list[Record]:
    return [record._replace(**OPEN) for record in ledger.records]


def on_meta(given: Any) -> Any:
    if isinstance(given, nn.Module):
        return copy.deepcopy(given).to("meta")
    if isinstance(given, dict):
        return {name: value.to("meta") for name, value in given.items()}
    return tuple(value.to("meta") for value in given)


def ledger_of(model: nn.Module, policy: str, given: dict[str, Tensor]) -> Ledger:
    # which shows linear layers whole, as on meta
    with torch.inference_mode():
        return emulated(model, policy, given)[1].ledger


def second_forward(model: nn.Module, policy: str, given: dict[str, Tensor]) -> list[Record]:
    """Its records: the first forward has the casts of constants too."""
    with torch.inference_mode(), emulate(model, NEURONCORE_V2, named_policy(policy)) as emulation:
        model(**given)
        first = len(emulation.ledger)
        model(**given)
    emulation.ledger.records = emulation.ledger.records[first:]
    return shown(emulation.ledger)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_ledger_is_that_of_the_model_with_data(architecture: str, policy: str) -> None:
    model, given = tiny(architecture), inputs()
    without = ledger_of(on_meta(model), policy, on_meta(given))
    assert shown(without) == second_forward(model, policy, given)
    counted = {name: without.totals()[name] for name in ("overflow", "underflow", "nan")}
    assert set(counted.values()) == {0}


@pytest.mark.parametrize("policy", ["bf16-matmult", "bf16-all", "e4m3-all-scaled"])
@pytest.mark.parametrize("eager", [True, False])
def test_attention_of_either_kind(eager: bool, policy: str) -> None:
    q, k, v = heads(1.0)
    with emulate(Attention(eager).eval(), NEURONCORE_V2, named_policy(policy)) as data:
        data.model(q, k, v)
    module = Attention(eager).eval()
    module.register_buffer("nothing", torch.empty(1, device="meta"))
    with emulate(module, NEURONCORE_V2, named_policy(policy)) as outlined:
        result = module(*on_meta((q, k, v)))
    assert result.shape == v.shape and result.is_meta
    assert shown(outlined.ledger) == shown(data.ledger)


def test_a_record_needs_those_that_made_its_operands() -> None:
    records = ledger_of(on_meta(tiny("BertModel")), "bf16-matmult", on_meta(inputs())).records
    for index, record in enumerate(records):
        assert all(0 <= one < index for one in record.needs)
        assert record.instruction == "gather" or record.needs
    place = {record.layer: index for index, record in enumerate(records)}
    first = "encoder.layer.0."
    query, dense = place[f"{first}attention.self.query"], place[f"{first}attention.output.dense"]
    residual, norm = place[f"{first}attention.output"], place[f"{first}attention.output.LayerNorm"]
    assert records[query].needs == (place["embeddings.LayerNorm"],)
    # the sum with what went around attention
    assert set(records[residual].needs) == {place["embeddings.LayerNorm"], dense}
    assert records[norm].needs == (residual,)
    (context,) = records[dense].needs
    assert records[context].layer == f"{first}attention.self"
    assert query in records[context].needs


def test_parameters_are_named_with_their_bytes() -> None:
    model = tiny("BertModel")
    ledger = ledger_of(on_meta(model), "bf16-matmult", on_meta(inputs()))
    sizes = {one.name: one.bytes for record in ledger.records for one in record.parameters}
    shapes = dict(model.named_parameters())
    for name, size in sizes.items():
        elements = shapes[name].numel()
        if "embeddings" in name and name.endswith("embeddings.weight"):
            width = shapes[name].shape[1]
            assert size in (4 * 3 * 9 * width, 4 * 9 * width)  # rows that were looked up
        else:
            matrix = shapes[name].dim() == 2
            assert size == elements * (2 if matrix else 4)
    weights = {name for name, value in shapes.items() if value.dim() == 2}
    assert weights <= {*sizes}


def test_a_shared_parameter_is_read_by_every_layer_that_has_it() -> None:
    layer = nn.Linear(8, 8, device="meta")
    twice = nn.Sequential(layer, nn.ReLU(), layer).eval()
    with emulate(twice, NEURONCORE_V2, named_policy("fp32")) as emulation:
        twice(torch.empty(4, 8, device="meta"))
    names = [one.name for record in emulation.ledger.records for one in record.parameters]
    assert names == ["0.weight", "0.bias"] * 2


class Token(nn.Module):
    """A learned token before the others, and a part of learned places."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.ones(1, 1, 8))
        self.places = nn.Parameter(torch.ones(1, 50, 8))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.token, x], 1) + self.places[:, : x.shape[1] + 1]


def test_what_only_moves_a_parameter_reads_it_still() -> None:
    x = torch.zeros(1, 5, 8)
    for policy in ("fp32", "bf16-all"):
        with emulate(Token().eval(), NEURONCORE_V2, named_policy(policy)) as data:
            data.model(x)
        with emulate(on_meta(Token().eval()), NEURONCORE_V2, named_policy(policy)) as outlined:
            outlined.model(x.to("meta"))
        names = {
            one.name: one.bytes for record in outlined.ledger.records for one in record.parameters
        }
        # 6 of 50 places
        assert names["places"] == 6 * 8 * 4 and "token" in names


def test_a_core_with_a_table_runs_without_data() -> None:
    table = fit("gelu", 24, (-4, 4)).table
    core = replace(NEURONCORE_V2, tables=((Activation.GELU, table), (Activation.EXP, table)))
    model = nn.Sequential(nn.Linear(4, 4, device="meta"), nn.GELU(), nn.Softmax(-1)).eval()
    with emulate(model, core, named_policy("bf16-all")) as emulation:
        result = model(torch.empty(3, 4, device="meta"))
    assert result.is_meta and result.shape == (3, 4)
    assert len(emulation.ledger) == 3


def test_questions_about_the_data() -> None:
    class Asks(nn.Module):
        def forward(self, x: Tensor, number: bool) -> Tensor:
            if number:
                return x * float(x.sum().item())
            return x + 1 if (x > 0).any() else x

    model = Asks().eval()
    model.register_buffer("nothing", torch.empty(1, device="meta"))
    x = torch.empty(3, device="meta")
    with emulate(model, NEURONCORE_V2, named_policy("fp32")) as emulation:
        model(x, False)
    assert not emulation.ledger.records
    with emulate(model, NEURONCORE_V2, named_policy("fp32")):
        with pytest.raises(UnsupportedOp, match="asks for a number; on the meta device"):
            model(x, True)


def test_a_model_half_on_meta_is_refused() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2, device="meta")).eval()
    with pytest.raises(ValueError, match="wholly on the meta device"):
        emulate(model, NEURONCORE_V2, named_policy("fp32")).__enter__()


def test_data_that_meets_no_data_leaves_none() -> None:
    model = nn.Sequential(nn.Linear(6, 5, device="meta"), nn.LayerNorm(5, device="meta")).eval()
    with emulate(model, NEURONCORE_V2, named_policy("bf16-all")) as emulation:
        result = model(torch.ones(4, 6))
    assert result.is_meta and result.shape == (4, 5)
    assert [record.instruction for record in emulation.ledger.records][-1] == "layernorm"


def test_an_operand_without_data_is_not_read_whatever_the_others_are() -> None:
    a, b, out = np.ones((3, 4), np.float32), outline((4, 2)), np.full((3, 2), 7, np.float32)
    tensor = NEURONCORE_V2.tensor
    assert is_outline(tensor.matmul(a, b, a_format="bf16"))
    # memory that is given stays as it was
    for right in (b, tensor.pack(b, "bf16")):
        tensor.matmul(a, right, a_format="bf16", out=out)
    assert (out == 7).all()
    q, k, v = heads(1.0)
    module = Attention(False).eval()
    module.register_buffer("nothing", torch.empty(1, device="meta"))
    with emulate(module, NEURONCORE_V2, named_policy("fp32")):
        assert module(q, k, v.to("meta")).is_meta


def test_a_custom_operator_is_not_called() -> None:
    called = []

    @custom_op(inputs=["bf16"], output="bf16", shape=lambda x: (*x, 2), cost=lambda x: 7)
    def pair(x: Any) -> Any:
        called.append(x)
        return np.stack([x, x], -1)

    result = pair(outline((3, 4)), core=NEURONCORE_V2)
    assert is_outline(result) and result.shape == (3, 4, 2) and not called


def test_outlines_have_any_shape_and_no_memory() -> None:
    large = outline((1 << 20, 1 << 20))
    assert (
        is_outline(large)
        and is_outline(large[5:, ::2].T.reshape(-1))
        and is_outline(large, 0 * large[:1, :1])
    )
    assert not is_outline(np.zeros(3, np.float32)) and not is_outline()
    assert index_outline((2, 3)).dtype == np.int64
    assert is_outline(outline(())) and is_outline(outline((0, 3)))
    with pytest.raises(ValueError, match="read-only"):
        large[0, 0] = 1
