"""The block of an emulation: what it asks for, what it leaves behind, threads, errors."""

import copy
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from halfulp.dtypes import BF16, E4M3
from halfulp.engines import NEURONCORE_V1, NEURONCORE_V2, UnsupportedFormat
from halfulp.quant import Policy, Rule, UnsupportedOp, UnusedRule, emulate, named_policy
from tests.quant.tiny import emulated, inputs, same, tiny

BF16_MATMULT = named_policy("bf16-matmult")


class Fails(nn.Module):
    def __init__(self, error: type[BaseException]) -> None:
        super().__init__()
        self.layer, self.error = nn.Linear(4, 4), error

    def forward(self, x: Tensor) -> Tensor:
        self.layer(x)
        raise self.error("on purpose")


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def untouched() -> bool:
    """Whether torch computes as it does without an emulation."""
    x = torch.full((1, 1), 1.0 + 2.0**-20)
    return bool((x * 1.0 == x).all()) and torch.is_grad_enabled() and torch.rand(1).numel() == 1


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nothing_stays_active_after_an_error(error: type[BaseException]) -> None:
    model, x, before = Fails(error).eval(), torch.rand(2, 4), torch.get_num_threads()
    with pytest.raises(error, match="on purpose"), emulate(model, NEURONCORE_V2, BF16_MATMULT):
        model(x)
    assert hooks(model) == 0
    assert torch.get_num_threads() == before
    assert untouched()
    # and the model can be emulated again
    with pytest.raises(error), emulate(model, NEURONCORE_V2, BF16_MATMULT):
        model(x)


def test_nothing_stays_active_after_an_error_in_a_worker() -> None:
    model, x, states = Fails(ValueError).eval(), torch.rand(2, 4), []

    def work() -> None:
        with pytest.raises(ValueError, match="on purpose"):
            model(x)
        states.append((untouched(), torch.get_num_threads()))

    before = torch.get_num_threads()
    with emulate(model, NEURONCORE_V2, BF16_MATMULT) as emulation:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(60)
    assert states == [(True, before)]
    assert [record.layer for record in emulation.ledger.records] == ["layer"]


def test_nothing_stays_active_after_an_error_at_the_start() -> None:
    model = nn.Linear(4, 4).eval()
    model.register_parameter("bad", nn.Parameter(torch.zeros(1, dtype=torch.float64)))
    with pytest.raises(TypeError, match=r"bad is torch.float64.*model.float\(\)"):
        emulate(model, NEURONCORE_V2, BF16_MATMULT).__enter__()
    assert hooks(model) == 0
    assert untouched()
    del model.bad
    emulated(model, BF16_MATMULT, {"input": torch.rand(1, 4)})


def test_torch_has_one_thread_in_the_block_and_its_own_afterwards() -> None:
    before = torch.get_num_threads()
    first, second = nn.Linear(4, 4).eval(), nn.Linear(4, 4).eval()
    torch.set_num_threads(3)
    try:
        with emulate(first, NEURONCORE_V2, BF16_MATMULT):
            assert torch.get_num_threads() == 1
            with emulate(second, NEURONCORE_V2, BF16_MATMULT):
                assert torch.get_num_threads() == 1
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
        torch.set_num_threads(2)
        with emulate(first, NEURONCORE_V2, BF16_MATMULT):
            pass
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_overlapping_blocks_of_two_threads_restore_the_threads_of_both() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    first, second = nn.Linear(4, 4).eval(), nn.Linear(4, 4).eval()
    entered, leave, counts = threading.Event(), threading.Event(), []

    def other() -> None:
        with emulate(second, NEURONCORE_V2, BF16_MATMULT):
            entered.set()
            leave.wait(60)
            counts.append(torch.get_num_threads())
        counts.append(torch.get_num_threads())

    thread = threading.Thread(target=other)
    try:
        with emulate(first, NEURONCORE_V2, BF16_MATMULT):
            thread.start()
            assert entered.wait(60)
        # the other block is still open: only this thread has its count back
        assert torch.get_num_threads() == 3
        leave.set()
        thread.join(60)
        assert counts == [1, 3]
        assert torch.get_num_threads() == 3
    finally:
        leave.set()
        torch.set_num_threads(before)


def test_many_workers_give_the_bits_of_one() -> None:
    model = tiny("BertForSequenceClassification")
    batches = [inputs(rows=rows, tokens=tokens) for rows in (1, 2, 3) for tokens in (8, 9, 11)]
    alone = [emulated(model, "e4m3-all", batch)[0] for batch in batches]
    with (
        emulate(model, NEURONCORE_V2, named_policy("e4m3-all")) as emulation,
        ThreadPoolExecutor(4) as pool,
    ):
        together = list(pool.map(lambda batch: model(**batch)[0], batches * 3))
    assert all(same(a, b) for a, b in zip(alone * 3, together, strict=True))
    one = emulated(model, "e4m3-all", batches[0])[1]
    several, single = (
        sum(record.engine == "tensor" for record in ledger.records)
        for ledger in (emulation.ledger, one.ledger)
    )
    assert several == 27 * single


def test_a_call_that_outlives_the_block_is_emulated_to_its_end() -> None:
    started, finish, results = threading.Event(), threading.Event(), []

    class Waits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            y = self.first(x)
            started.set()
            assert finish.wait(60)
            return self.second(y)

    model, x = Waits().eval(), torch.rand(2, 4)
    thread = threading.Thread(target=lambda: results.append(model(x)))
    with emulate(model, NEURONCORE_V2, named_policy("bf16-all")):
        thread.start()
        assert started.wait(60)
    finish.set()
    thread.join(60)
    assert hooks(model) == 0
    plain = model(x)
    assert not torch.equal(results[0], plain)
    with emulate(model, NEURONCORE_V2, named_policy("bf16-all")):
        assert same(results[0], model(x))


def test_nested_blocks_of_two_models_keep_to_their_policies() -> None:
    outer, inner, x = nn.Linear(8, 8).eval(), nn.Linear(8, 8).eval(), torch.rand(2, 8)
    fine, coarse = named_policy("fp32"), named_policy("e4m3-all")
    alone = [emulated(m, p, {"input": x})[0] for m, p in ((outer, fine), (inner, coarse))]
    # emulated() takes the first row
    with emulate(outer, NEURONCORE_V2, fine), emulate(inner, NEURONCORE_V2, coarse):
        assert same(outer(x)[0], alone[0])
        assert same(inner(x)[0], alone[1])


def test_a_model_is_in_one_block_at_a_time() -> None:
    model, free = nn.Sequential(nn.Linear(4, 4)).eval(), nn.Linear(4, 4).eval()
    outer = nn.Sequential(model[0]).eval()
    with emulate(model, NEURONCORE_V2, BF16_MATMULT):
        for other in (model, model[0], outer):
            with pytest.raises(RuntimeError, match="emulated already"):
                emulate(other, NEURONCORE_V2, BF16_MATMULT).__enter__()
        with emulate(free, NEURONCORE_V2, BF16_MATMULT):
            pass
    with emulate(model, NEURONCORE_V2, BF16_MATMULT):
        pass


def test_blocks_are_left_in_order() -> None:
    outer, inner = (emulate(nn.Linear(4, 4).eval(), NEURONCORE_V2, BF16_MATMULT) for _ in range(2))
    outer.__enter__()
    inner.__enter__()
    with pytest.raises(RuntimeError, match="inner blocks first"):
        outer.__exit__(None, None, None)
    inner.__exit__(None, None, None)
    outer.__exit__(None, None, None)
    assert untouched()


def test_a_block_is_used_once() -> None:
    block = emulate(nn.Linear(4, 4).eval(), NEURONCORE_V2, BF16_MATMULT)
    with block:
        pass
    with pytest.raises(RuntimeError, match="call emulate"), block:
        pass


def test_a_copy_made_in_the_block_is_free_after_it() -> None:
    model, x = nn.Linear(8, 8).eval(), torch.rand(2, 8)
    plain = model(x)
    with emulate(model, NEURONCORE_V2, named_policy("e4m3-all")):
        twin = copy.deepcopy(model)
    assert torch.equal(twin(x), plain)


@pytest.mark.parametrize("name", ["fp32", "tf32-matmult", "e4m3-matmult", "cfp8(5,2)-all"])
def test_the_first_core_refuses_what_it_does_not_have(name: str) -> None:
    with pytest.raises(UnsupportedFormat, match="NeuronCore-v1"):
        emulate(nn.Linear(4, 4).eval(), NEURONCORE_V1, named_policy(name))


def test_a_result_format_is_checked_too() -> None:
    policy = Policy("mixed", (Rule(operands=BF16, results=E4M3),))
    with pytest.raises(UnsupportedFormat, match="results"):
        emulate(nn.Linear(4, 4).eval(), NEURONCORE_V1, policy)


def test_no_core_takes_the_format_of_a_later_one() -> None:
    with pytest.raises(UnsupportedFormat, match="e4m3fn"):
        emulate(nn.Linear(4, 4).eval(), NEURONCORE_V2, named_policy("e4m3fn-matmult"))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Linear(4, 4).half().eval(), "weight is torch.float16"),
        (nn.Linear(4, 4, dtype=torch.float64).eval(), "weight is torch.float64"),
        (nn.Linear(4, 4), "the model is in training mode"),
        (nn.Sequential(nn.Dropout()), "the model is in training mode"),
        (nn.BatchNorm1d(4, dtype=torch.float64).eval(), "torch.float64"),
        ("bert", "not a torch.nn.Module"),
    ],
)
def test_a_model_that_does_not_fit_says_so(model: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        emulate(model, NEURONCORE_V2, BF16_MATMULT).__enter__()


def test_a_layer_left_in_training_mode_is_named() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout()).eval()
    model[1].train()
    with pytest.raises(ValueError, match="layer '1' is in training mode"):
        emulate(model, NEURONCORE_V2, BF16_MATMULT).__enter__()


def test_training_mode_switched_on_in_the_block_is_refused_at_the_dropout() -> None:
    model, x = nn.Sequential(nn.Linear(4, 4), nn.Dropout()).eval(), torch.rand(2, 4)
    for mode in (torch.no_grad, torch.inference_mode):
        with (
            mode(),
            pytest.raises(UnsupportedOp, match=r"(?s)(bernoulli|dropout).*'1'.*model.eval\(\)"),
            emulate(model.eval(), NEURONCORE_V2, BF16_MATMULT),
        ):
            model.train()
            model(x)


def test_a_policy_name_is_no_policy() -> None:
    with pytest.raises(TypeError, match="named_policy"):
        emulate(nn.Linear(4, 4).eval(), NEURONCORE_V2, "bf16-matmult")  # type: ignore[arg-type]


def test_a_rule_for_no_layer_is_an_error_with_the_nearest() -> None:
    model = tiny("BertForSequenceClassification")
    rules = (Rule(pattern="clasifier", operands=BF16), Rule())
    with pytest.raises(UnusedRule, match="'clasifier' matches no layer.*nearest: classifier"):
        emulate(model, NEURONCORE_V2, Policy("p", rules)).__enter__()
    with emulate(model, NEURONCORE_V2, Policy("p", rules), allow_unused_rules=True):
        model(**inputs())


def test_a_rule_under_which_nothing_ran_is_an_error_at_the_end() -> None:
    model = tiny("BertForSequenceClassification")
    hidden = Policy("p", (Rule(pattern="bert"), Rule(pattern="bert.pooler", operands=BF16), Rule()))
    with (
        pytest.raises(UnusedRule, match="no operation ran under 'bert.pooler'"),
        emulate(model, NEURONCORE_V2, hidden),
    ):
        model(**inputs())
    # an error of the block itself is not hidden behind this one
    with pytest.raises(ZeroDivisionError), emulate(model, NEURONCORE_V2, hidden):
        model(**inputs())
        raise ZeroDivisionError


def test_gradients_are_off_in_the_block() -> None:
    model, x = nn.Linear(4, 4).eval(), torch.rand(2, 4)
    with emulate(model, NEURONCORE_V2, BF16_MATMULT):
        y = model(x)
        assert not y.requires_grad
    with pytest.raises(RuntimeError, match="grad"):
        y.sum().backward()
    assert model(x).requires_grad


def test_the_ledger_knows_layers_engines_and_formats() -> None:
    model = tiny("BertForSequenceClassification", layers=1)
    ledger = emulated(model, "e4m3-all", inputs())[1].ledger
    layers = {record.layer for record in ledger.records}
    assert {"bert.embeddings.LayerNorm", "bert.encoder.layer.0.attention.self.query"} <= layers
    assert {record.engine for record in ledger.records} == {"tensor", "vector", "scalar", "dma"}
    assert ledger.totals()["macs"] > 0
    products = [record for record in ledger.records if record.engine == "tensor"]
    assert all(record.formats[:2] == ("e4m3", "e4m3") for record in products)
    assert products[0].formats == ("e4m3", "e4m3", "e4m3")
