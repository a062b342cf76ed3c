"""Operators of other libraries in an emulated model, run by custom operators in their place."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from halfulp.dtypes import BF16, E4M3, FP16, round_to
from halfulp.engines import (
    NEURONCORE_V1,
    NEURONCORE_V2,
    CustomOp,
    Ledger,
    UnsupportedEngine,
    UnsupportedFormat,
    custom_op,
)
from halfulp.quant import UnsupportedOp, emulate, named_policy
from tests.engines.opinion import Array
from tests.quant.tiny import same

X = torch.linspace(-9, 9, 24).reshape(4, 6)
OPS = torch.ops.halfulp_custom


@pytest.fixture(autouse=True, scope="module")
def library() -> Iterator[None]:
    with torch.library._scoped_library("halfulp_custom", "DEF") as made:
        made.define("clip(Tensor x, float low=0., float high=6.) -> Tensor")
        made.impl("clip", lambda x, low=0.0, high=6.0: x.clamp(low, high), "CPU")
        made.define("top(Tensor x, int k) -> Tensor")
        made.impl("top", lambda x, k: x.topk(k).indices, "CPU")
        made.define("blend(Tensor x, Tensor y, *, float share) -> Tensor")
        made.impl("blend", lambda x, y, *, share: x * share + y * (1 - share), "CPU")
        made.define("maybe(Tensor x, Tensor? y=None) -> Tensor")
        made.impl("maybe", lambda x, y=None: x + 0 if y is None else x + y, "CPU")
        made.define("named.one(Tensor x) -> Tensor")
        made.define("named.two(Tensor x, Tensor y) -> Tensor")
        made.impl("named.two", lambda x, y: x + y, "CPU")
        made.define("composite(Tensor x) -> Tensor")
        made.impl("composite", lambda x: x * 2, "CompositeImplicitAutograd")
        made.define("fill_(Tensor(a!) x) -> Tensor(a!)")
        made.impl("fill_", lambda x: x.fill_(1), "CPU")
        yield


class Net(nn.Module):
    """A linear layer, and a function of its result."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6, bias=False)
        self.layer.weight.data = torch.eye(6)
        self.head = Call(function)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x))


class Call(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def same_shape(x: tuple[int, ...], *_: Any, **__: Any) -> tuple[int, ...]:
    return x


def clip(inputs: str = "bf16", output: str = "bf16", **fields: Any) -> CustomOp:
    """numpy's clip in the place of the operator."""
    make = custom_op(
        inputs=[inputs], output=output, shape=same_shape, operator=OPS.clip, name="clip", **fields
    )
    return make(lambda x, low=0.0, high=6.0: np.clip(x, np.float32(low), np.float32(high)))


def run(
    function: Callable[[Tensor], Tensor], op: CustomOp, policy: str = "bf16-matmult", x: Tensor = X
) -> tuple[Tensor, Ledger]:
    model = Net(function).eval()
    with emulate(model, NEURONCORE_V2, named_policy(policy), custom_ops=[op]) as emulation:
        result = model(x)
    return result, emulation.ledger


@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad, torch.inference_mode])
def test_a_call_runs_the_custom_operator(mode: Any) -> None:
    with mode():
        result, ledger = run(OPS.clip, clip("bf16", "e4m3", cost=lambda x, *_: 150 + x[-1]))
        result = result.clone()
    assert same(result, round_to(round_to(X, BF16).clamp(0, 6), E4M3))
    record = ledger.records[-1]
    assert (record.engine, record.instruction, record.layer) == ("gpsimd", "clip", "head")
    assert (record.formats, record.shapes) == (("bf16", "e4m3"), ((4, 6), (4, 6)))
    assert record.cycles == 156 and ledger.cycles()["gpsimd"] == 156


def test_without_it_the_operator_is_refused() -> None:
    model = Net(OPS.clip).eval()
    policy = named_policy("bf16-matmult")
    with pytest.raises(UnsupportedOp, match="halfulp_custom.clip.* 'head'"):
        with emulate(model, NEURONCORE_V2, policy):
            model(X)
    # and it is nobody else's: what ran under one emulation is refused under the next
    run(OPS.clip, clip())
    with pytest.raises(UnsupportedOp, match="halfulp_custom.clip"):
        with emulate(model, NEURONCORE_V2, policy):
            model(X)


def test_the_operator_itself_between_the_casts() -> None:
    op = CustomOp.of_torch(OPS.clip, inputs=["fp16"], output="fp16", shape=same_shape)
    result, ledger = run(OPS.clip, op)
    wanted = round_to(round_to(round_to(X, BF16), FP16).clamp(0, 6), FP16)
    assert same(result, wanted)
    assert ledger.records[-1].instruction == "halfulp_custom.clip"


def test_what_else_the_operator_takes_is_handed_on() -> None:
    for call, low, high in (
        (lambda x: OPS.clip(x, -1.0), -1.0, 6.0),
        (lambda x: OPS.clip(x, high=0.5), 0.0, 0.5),
        (lambda x: OPS.clip.default(x, -2.0, 2.0), -2.0, 2.0),
    ):
        result, _ = run(call, clip())
        assert same(result, round_to(X, BF16).clamp(low, high))


def test_two_tensors_and_a_choice_by_name() -> None:
    op = CustomOp.of_torch(OPS.blend, inputs=["fp32", "bf16"], output="fp32", shape=same_shape)
    result, ledger = run(lambda x: OPS.blend(x, x * 1.001, share=0.25), op)
    x = round_to(X, BF16)
    assert same(result, x * 0.25 + round_to(x * 1.001, BF16) * 0.75)
    assert ledger.records[-1].formats == ("fp32", "bf16", "fp32")


def test_integer_results_stay_of_their_type() -> None:
    @custom_op(inputs=["fp32"], output="int32", shape=lambda x, k: (*x[:-1], k), operator=OPS.top)
    def top(x: Array, k: int) -> Array:
        return np.argsort(-x, axis=-1, kind="stable")[..., :k]

    result, ledger = run(lambda x: x.gather(-1, OPS.top(x, 2)), top)
    assert same(result, round_to(X, BF16).topk(2).values)
    assert [one.formats for one in ledger.records if one.engine == "gpsimd"] == [("fp32", "int32")]
    # and integers go in as they are
    given = CustomOp.of_torch(OPS.top, inputs=["int16"], output="uint8", shape=top.shape)
    ids = torch.tensor([[7, 3, 9]])
    assert run(lambda x: OPS.top(ids, 2), given)[0].tolist() == [[2, 0]]


def test_results_stay_in_their_own_format_under_every_policy() -> None:
    for policy in ("fp32", "bf16-all", "e4m3-all-scaled"):
        result, _ = run(OPS.clip, clip("fp16", "fp16"), policy)
        assert same(result, round_to(result, FP16))
    # a constant is read as other operations read it: in the policy's format of results
    third = torch.full((4, 6), 1 / 3)
    op = CustomOp.of_torch(OPS.clip, inputs=["fp32"], output="fp32", shape=same_shape)
    model = Call(OPS.clip).eval()
    with emulate(model, NEURONCORE_V2, named_policy("bf16-all"), custom_ops=(op,)):
        assert same(model(third), round_to(third, BF16))


def test_a_score_that_waits_for_its_scale_is_rounded_before() -> None:
    def scores(x: Tensor) -> Tensor:
        q = x.reshape(1, 1, 4, 6)
        return OPS.clip(q @ q.transpose(2, 3), -1000.0, 1000.0)

    result, _ = run(scores, clip("fp32", "fp32"), "bf16-all")
    assert same(result, round_to(result, BF16))


def test_it_runs_in_other_threads_too() -> None:
    model, found = Net(OPS.clip).eval(), []
    policy = named_policy("bf16-matmult")
    with emulate(model, NEURONCORE_V2, policy, custom_ops=[clip()]) as emulation:
        thread = threading.Thread(target=lambda: found.append(model(X)))
        thread.start()
        thread.join(60)
    assert same(found[0], round_to(X, BF16).clamp(0, 6))
    assert [one.instruction for one in emulation.ledger.records][-1] == "clip"


def test_a_model_of_nothing_else_uses_its_rule() -> None:
    model = Call(OPS.clip).eval()
    with emulate(model, NEURONCORE_V2, named_policy("bf16-matmult"), custom_ops=[clip()]):
        model(X)


def test_an_aten_operation_without_instructions_may_have_one() -> None:
    op = custom_op(inputs=["fp32"], output="bf16", shape=same_shape, operator=torch.ops.aten.trunc)(
        np.trunc
    )
    assert same(run(torch.trunc, op)[0], torch.trunc(round_to(X, BF16)))


def standing_for(operator: Any, inputs: Any = ("fp32",), output: str = "fp32") -> CustomOp:
    return CustomOp(abs, inputs=inputs, output=output, shape=same_shape, name="own",  # type: ignore[arg-type]
                    operator=operator)  # fmt: skip


UNFIT: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: np.clip, TypeError, "is no CustomOp; custom_op makes one"),
    (lambda: standing_for(None), TypeError, "own: operator=None is no operator of torch; give"),
    (lambda: standing_for(torch.clamp), TypeError, "is no operator of torch; give torch.ops.name"),
    (lambda: standing_for(OPS.composite), ValueError, "takes halfulp_custom.composite.* apart"),
    (lambda: standing_for(OPS.fill_), ValueError, "own: .*fill_.default writes into its argum"),
    (lambda: standing_for(OPS.named), ValueError, "has the overloads one, two; give .*named.one"),
    (lambda: standing_for(torch.ops.aten.relu), ValueError, "aten.relu.default runs on the engin"),
    (lambda: standing_for(torch.ops.aten.view), ValueError, "aten.view.default runs on the engin"),
    (lambda: standing_for(OPS.clip, ["e4m3fn"]), UnsupportedFormat, "has no e4m3fn"),
]


@pytest.mark.parametrize(("make", "error", "words"), UNFIT)
def test_what_cannot_stand_for_an_operator_is_refused_at_once(
    make: Callable[[], Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        emulate(Net(OPS.clip).eval(), NEURONCORE_V2, named_policy("fp32"), custom_ops=[make()])


def test_one_overload_of_several_may_be_given() -> None:
    op = CustomOp.of_torch(OPS.named.two, inputs=["fp32", "fp32"], output="fp32", shape=same_shape)
    x = round_to(X, BF16)
    assert same(run(lambda x: OPS.named.two(x, x), op)[0], x + x)


def test_two_for_one_operator_and_a_core_without_the_engine_are_refused() -> None:
    model, policy = Net(OPS.clip).eval(), named_policy("bf16-matmult")
    with pytest.raises(ValueError, match="two stand for halfulp_custom.clip.default; give one"):
        emulate(model, NEURONCORE_V2, policy, custom_ops=[clip(), clip("fp16")])
    with pytest.raises(UnsupportedEngine, match="NeuronCore-v1 has no GPSIMD"):
        emulate(model, NEURONCORE_V1, policy, custom_ops=[clip()])


def test_arguments_that_are_no_tensors_are_refused_with_the_layer() -> None:
    op = CustomOp.of_torch(OPS.maybe, inputs=["fp32", "fp32"], output="fp32", shape=same_shape)
    with pytest.raises(UnsupportedOp, match="maybe.default in layer 'head': .* takes 2 tensors"):
        run(OPS.maybe, op)
    with pytest.raises(UnsupportedOp, match="clip.default in layer 'head': torch.float64 is not"):
        run(lambda x: OPS.clip(torch.ones(2, dtype=torch.float64)), clip())
    with pytest.raises(TypeError, match="own: inputs 1, arrays given 2"):
        run(lambda x: OPS.named.two(x, x), standing_for(OPS.named.two))


def test_a_wrong_shape_is_found_in_the_model() -> None:
    op = CustomOp.of_torch(OPS.top, inputs=["fp32"], output="int32", shape=same_shape)
    with pytest.raises(ValueError, match=r"top gives shape \(4, 2\); .* \(4, 6\) for \(4, 6\)"):
        run(lambda x: OPS.top(x, 2), op)
