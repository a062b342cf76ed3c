"""What a ledger asks of a core: the tally of an encoder layer, what is fetched, what spills."""

from dataclasses import replace
from datetime import date

import pytest
import torch
from torch import nn

from halfulp.engines import INFERENTIA2, Ledger, Record
from halfulp.engines.costs import Step
from halfulp.engines.facts import Fact
from halfulp.engines.ledger import Parameter
from halfulp.engines.specs import SPEC_V1, SPEC_V2
from halfulp.quant import emulate, named_policy
from halfulp.study.architectures import survey
from halfulp.study.work import work

BF16 = named_policy("bf16-matmult")


def of(model: nn.Module, *shape: int, policy: str = "bf16-matmult") -> Ledger:
    with emulate(model.eval(), INFERENTIA2.core, named_policy(policy)) as emulation:
        model(torch.empty(shape, device="meta"))
    return emulation.ledger


def meta(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers).to("meta")


def test_an_encoder_layer_has_the_passes_that_were_written_down() -> None:
    hidden, heads, tokens, between = 1024, 16, 128, 4096
    found = work(survey("bert-large", 1, tokens, INFERENTIA2, BF16).ledger, SPEC_V2)
    layer = [one for one in found.operations if "encoder.layer.5." in one.record.layer]
    took = {"vector": 0, "scalar": 0, "tensor": 0}
    for operation in layer:
        for step in operation.steps:
            took[step.engine] += step.cycles
    # per token: q, k, v with their biases and the context 4; two residuals with biases 2 x 2; two
    # normalizations 2 x 6, each transposed 1; per score: scale and mask, maximum, product, and 1
    statistics = 2 * 64 - 64  # bn_aggr of 12 numbers takes 64 cycles at least
    per_score = heads * tokens * tokens // 128
    assert took["vector"] == hidden * (4 + 4 + 12 + 2) + 2 * statistics + 4 * per_score + 16 * 64
    # gelu, exp with its sum, and the root of each normalization
    assert took["scalar"] == between + per_score + 16 * 64 + 2 * 64
    products = sum(one.record.cycles for one in layer)
    assert took["tensor"] == products + 2 * (8 * 128) + heads * 128


def test_a_product_leaves_psum_once() -> None:
    plain = work(of(meta(nn.Linear(256, 128, bias=False)), 128, 256), SPEC_V2).operations
    biased = work(of(meta(nn.Linear(256, 128)), 128, 256), SPEC_V2).operations
    assert plain[0].after == biased[0].after == (Step("vector", 128),)
    # the activation takes it from PSUM and adds the bias for nothing
    first, gelu = work(of(meta(nn.Linear(256, 128), nn.GELU()), 128, 256), SPEC_V2).operations
    assert first.after == () and gelu.own == (Step("scalar", 128),)


def test_what_works_along_rows_is_transposed_on_its_way_to_a_product() -> None:
    norm, _ = work(of(meta(nn.LayerNorm(256), nn.Linear(256, 8)), 200, 256), SPEC_V2).operations
    assert norm.after == (Step("tensor", 2 * (128 + 72)), Step("vector", 200 * 256 // 128))
    wide = of(meta(nn.LayerNorm(256), nn.Linear(256, 8)), 200, 256, policy="fp32")
    assert work(wide, SPEC_V2).operations[0].after[0] == Step("tensor", 4 * 2 * (128 + 72))
    (alone,) = work(of(meta(nn.LayerNorm(256)), 200, 256), SPEC_V2).operations
    assert alone.after == ()


def test_a_parameter_in_use_stays_in_sbuf_if_it_fits() -> None:
    layer = nn.Linear(512, 512)
    twice = of(meta(layer, nn.ReLU(), layer), 4, 512)
    size = 512 * 512 * 2 + 512 * 4
    assert work(twice, SPEC_V2).fetched == size
    small = replace(SPEC_V2, sbuf=Fact(size - 1, "bytes", "a test", date(2026, 1, 1)))
    # the weight goes first, the bias stays
    assert work(twice, small).fetched == size + 512 * 512 * 2
    # where nobody says how large it is, everything fits
    assert work(twice, SPEC_V1).fetched == size


def test_albert_fetches_its_layer_once() -> None:
    shared = work(survey("albert-base", 1, 128, INFERENTIA2, BF16).ledger, SPEC_V2).fetched
    apart = work(survey("bert-base", 1, 128, INFERENTIA2, BF16).ledger, SPEC_V2).fetched
    assert 11 * shared > apart > 10 * shared


def product(needs: tuple[int, ...], rows: int, parameters: tuple[Parameter, ...] = ()) -> Record:
    return Record(
        "", "vector", "tensor_copy", ((rows, 1), (rows, 1)), ("fp32", "fp32"), 0, 0, 0, 0, 0, 0,
        needs=needs, parameters=parameters,
    )  # fmt: skip


def test_what_does_not_fit_goes_out_and_comes_back_once() -> None:
    ledger = Ledger()
    # 40, 60 and 80 bytes; the first is needed to the end
    ledger.records = [product((), 10), product((0,), 15), product((1,), 20), product((0, 2), 1)]
    spec = replace(SPEC_V2, sbuf=Fact(100, "bytes", "a test", date(2026, 1, 1)))
    spilled = [operation.spilled for operation in work(ledger, spec).operations]
    # 40, 100, 180 and 124 bytes are alive: 80 too many, once
    assert spilled == [0, 0, 2 * 80, 0]
    assert work(ledger, SPEC_V1).spilled == 0


def test_a_ledger_with_data_is_refused() -> None:
    ledger = Ledger()
    ledger.records = [product((), 1), product((), 1)]
    with pytest.raises(ValueError, match="run the model on the meta device"):
        work(ledger, SPEC_V2)


def test_products_count_by_the_format_of_their_operands() -> None:
    found = work(of(meta(nn.Linear(16, 4)), 8, 16, policy="e4m3-matmult"), SPEC_V2)
    assert found.macs == {"e4m3": 8 * 16 * 4} and found.fetched == 16 * 4 + 4 * 4


def test_traffic_of_the_memories() -> None:
    first, gelu = work(of(meta(nn.Linear(256, 128), nn.GELU()), 600, 256), SPEC_V2).operations
    # two tiles of 128 rows of K, and 600 columns that move: 512 and 88
    assert [one.number for one in first.record.issued] == [2, 2, 2]
    sbuf = sum(
        2 * number * one.rows * (one.columns if hasattr(one, "background_cycles") else one.moving)
        for one, number in first.record.issued
    )
    assert first.traffic.sbuf == sbuf
    # every partial sum of 128 rows of K
    assert first.traffic.psum == 2 * 600 * 128 * 4
    assert gelu.psum and gelu.traffic == (600 * 128 * 4, 600 * 128 * 4)
    assert gelu.record.elements == 600 * 128
