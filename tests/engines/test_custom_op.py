"""Custom operators: casts before and after a function, its shape, its record, its refusals."""

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from halfulp.dtypes import BF16, FP16, FP32, FloatFormat, Format, UnknownFormat, parse_format
from halfulp.engines import (
    NEURONCORE_V1,
    NEURONCORE_V2,
    CustomOp,
    Ledger,
    Record,
    UnsupportedEngine,
    UnsupportedFormat,
    custom_op,
    recording,
)
from tests.engines import opinion
from tests.engines.inputs import mixed
from tests.engines.opinion import Array, same
from tests.engines.test_ledger import counted, of_cast, plus

FLOATS = [*map(parse_format, ("fp32", "tf32", "bf16", "fp16", "e5m2", "e4m3", "e3m4"))]
FLOATS.append(parse_format("cfp8(2,5,bias=3)"))
INTEGERS = [*map(parse_format, ("int8", "uint8", "int16", "uint16", "int32", "uint32"))]


@custom_op(inputs=["bf16"], output="e4m3", shape=lambda x: x, cost=lambda x: 150 + x[-1])
def clip(x: Array) -> Array:
    """x between 0 and 6."""
    return np.clip(x, np.float32(0), np.float32(6))


@custom_op(inputs=[FP32, "int32"], output=FP32, shape=lambda x, where: where)
def pick(x: Array, where: Array) -> Array:
    return x[where]


def same_shape(x: tuple[int, ...], *_: Any, **__: Any) -> tuple[int, ...]:
    return x


def passing(inputs: list[Any], output: Any, **fields: Any) -> CustomOp:
    """An operator that gives its first array."""
    make = custom_op(inputs=inputs, output=output, shape=same_shape, name="passing", **fields)
    return make(lambda x, *_, **__: x)


def run(op: CustomOp, *given: Any) -> tuple[Any, Record]:
    with recording(Ledger()) as ledger:
        found = op(*given)
    (record,) = ledger.records
    return found, record


@pytest.mark.parametrize("output", FLOATS, ids=str)
@pytest.mark.parametrize("into", FLOATS, ids=str)
def test_floats_are_rounded_once_before_and_once_after(
    into: FloatFormat, output: FloatFormat
) -> None:
    x = mixed((20, 31), 1)
    seen = []

    @custom_op(inputs=[into], output=output, shape=lambda x: x)
    def doubled(x: Array) -> Array:
        seen.append(x.copy())
        with np.errstate(all="ignore"):
            return x + x

    got, record = run(doubled, x)
    assert same(seen[0], opinion.cast(x, into))
    with np.errstate(all="ignore"):
        raw = seen[0] + seen[0]
    assert same(got, opinion.cast(raw, output))
    assert counted(record) == plus(of_cast(x, into), of_cast(raw, output))


@pytest.mark.parametrize("fmt", INTEGERS, ids=str)
def test_floats_saturate_to_integers(fmt: Format) -> None:
    x = np.concatenate([mixed((200,), 2), np.array([0.5, 1.5, -0.5, np.nan, np.inf], np.float32)])
    x = np.append(x, [fmt.max, fmt.min, fmt.max // 2]).astype(np.float32)
    seen = []

    @custom_op(inputs=[fmt], output="fp32", shape=lambda x: x)
    def counts(x: Array) -> Array:
        seen.append(x)
        return np.zeros(x.shape, np.float32)

    _, record = run(counts, x)
    with np.errstate(all="ignore"):
        wide = x.astype(np.float64)
    wanted = np.where(np.isnan(wide), 0, np.clip(np.rint(wide), fmt.min, fmt.max)).astype(np.int64)
    assert seen[0].dtype == parse_format(str(fmt)).numpy  # type: ignore[union-attr]
    assert seen[0].tolist() == wanted.tolist()
    assert counted(record) == plus(of_cast(x, fmt), of_cast(np.zeros(1, np.float32), FP32))


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5), st.sampled_from(INTEGERS))
def test_integers_saturate_and_come_back_in_the_functions_own_type(
    values: list[int], fmt: Format
) -> None:
    x = np.array(values, np.int64)
    wide = custom_op(inputs=["fp32"], output=fmt, shape=lambda zeros: x.shape)(lambda zeros: x)
    got, record = run(wide, np.float32(0))
    assert got.dtype == np.int64
    assert got.tolist() == [min(max(n, int(fmt.min)), int(fmt.max)) for n in values]
    assert record.overflow == sum(not fmt.min <= n <= fmt.max for n in values)


def test_masks_go_in_and_come_out() -> None:
    positive = custom_op(inputs=["fp16"], output="uint8", shape=same_shape)(lambda x: x > 0)
    got, record = run(positive, np.array([-1, 0, 1e-9, 2, np.nan], np.float32))
    assert got.dtype == np.bool_ and got.tolist() == [False, False, False, True, False]
    # 1e-9 is lost in fp16
    assert (record.underflow, record.nan) == (1, 1)
    kept, _ = run(passing(["uint8"], "int8"), got)
    assert kept.dtype == np.uint8 and kept.tolist() == [0, 0, 0, 1, 0]
    assert passing(["int32"], FP32)(np.array([2**24 + 1])).tolist() == [2.0**24]


def test_an_operator_has_a_record_with_the_cycles_of_its_cost() -> None:
    x = np.array([[0.3, 7.0, -1.0, np.nan]], np.float32)
    with recording(Ledger()) as ledger:
        ledger.layer = "head"
        assert clip(x).tolist()[0][:3] == [0.3125, 6.0, 0.0]
        pick(x[0], np.array([1, 1]))
    first, second = ledger.records
    assert (first.layer, first.engine, first.instruction) == ("head", "gpsimd", "clip")
    assert (first.shapes, first.formats) == (((1, 4), (1, 4)), ("bf16", "e4m3"))
    assert (first.bytes, first.macs, first.cycles) == (2 * 4 + 4, 0, 154)
    assert counted(first) == {"overflow": 0, "underflow": 0, "nan": 2, "infinity": 0}
    assert (second.shapes, second.formats) == (((4,), (2,), (2,)), ("fp32", "int32", "fp32"))
    assert (second.bytes, second.cycles, second.issued) == (16 + 8 + 8, 0, ())
    assert ledger.cycles() == {"gpsimd": 154} and ledger.issued() == {"CustomCall": 1}


def test_what_else_a_function_takes_its_shape_and_cost_take_too() -> None:
    @custom_op(
        inputs=["fp32"],
        output="fp32",
        shape=lambda x, k, *, largest=True: (*x[:-1], k),
        cost=lambda x, k, *, largest=True: k * 10 + largest,
    )
    def best(x: Array, k: int, *, largest: bool = True) -> Array:
        ordered = np.sort(x, axis=-1)
        return ordered[..., -k:] if largest else ordered[..., :k]

    x = np.array([[3, 1, 2], [9, 8, 7]], np.float32)
    got, record = run(best, x, 2)
    assert got.tolist() == [[2, 3], [8, 9]] and record.cycles == 21
    assert best(x, 1, largest=False).tolist() == [[1], [7]]


def test_a_function_of_tensors() -> None:
    op = custom_op(inputs=["bf16", "int16"], output="bf16", shape=lambda x, y: x, tensors=True)(
        lambda x, y: torch.where(y > 0, x, x.clamp(max=0.5))
    )
    x, y = torch.tensor([0.7, 0.7], requires_grad=True), torch.tensor([0, 1])
    got = op(x, y)
    assert isinstance(got, torch.Tensor) and not got.requires_grad
    assert torch.equal(got, torch.tensor([0.5, 0.69921875]))
    assert isinstance(op(x.detach().numpy(), y.numpy()), np.ndarray)


def test_an_operator_of_torch() -> None:
    op = CustomOp.of_torch(
        torch.ops.aten.sort.stable, inputs=["fp32"], output=FP32, shape=same_shape
    )
    with pytest.raises(TypeError, match="gives a tuple; needed: one array"):
        op(torch.ones(3), stable=True)
    op = CustomOp.of_torch(torch.ops.aten.cummax, inputs=[], output=FP32, shape=tuple)
    assert op.name == "aten.cummax" and op.operator is torch.ops.aten.cummax
    op = CustomOp.of_torch(
        torch.ops.aten.relu, inputs=["bf16"], output="bf16", shape=same_shape, name="relu"
    )
    got, record = run(op, torch.tensor([-1.0, 0.3]))
    assert torch.equal(got, torch.tensor([0.0, 0.30078125])) and record.instruction == "relu"


def test_a_function_may_write_into_what_it_gets() -> None:
    @custom_op(inputs=["fp32", "int32"], output="fp32", shape=same_shape)
    def zeroed(x: Array, y: Array) -> Array:
        x[...] = 0
        y[...] = 0
        return x

    x, y = np.ones(3, np.float32), np.ones(3, np.int32)
    assert zeroed(x, y).tolist() == [0, 0, 0]
    assert x.all() and y.all()


def test_numbers_empty_arrays_and_no_arrays() -> None:
    op = passing(["bf16"], "fp16")
    assert op(0.3) == np.float32(0.30078125) and np.ndim(op(0.3)) == 0
    assert op(np.zeros((0, 3), np.float32)).shape == (0, 3)
    assert passing(["int8"], "int8")(np.zeros((2, 0), np.int64)).shape == (2, 0)
    half = np.array([1.5, np.inf], ml_dtypes.bfloat16)
    assert op(half).tolist() == [1.5, np.inf]
    seven = custom_op(inputs=[], output="int8", shape=lambda: (2,))(lambda: np.full(2, 700))
    assert run(seven)[0].tolist() == [127, 127]
    number = custom_op(inputs=["fp32"], output="bf16", shape=lambda x: ())(lambda x: 0.3)
    assert number(np.ones(3, np.float32)) == np.float32(0.30078125)


def test_an_operator_is_a_frozen_value() -> None:
    assert clip.name == "clip" and clip.inputs == (BF16,)
    twin = CustomOp(clip.function, inputs=(BF16,), output=clip.output, shape=clip.shape,
                    cost=clip.cost)  # fmt: skip
    assert twin == clip and hash(twin) == hash(clip)
    with pytest.raises(AttributeError):
        clip.name = "other"  # type: ignore[misc]


def gives(result: Any, shape: Any = (3,), output: Any = "fp32", **fields: Any) -> Callable[[], Any]:
    make = custom_op(inputs=["fp32"], output=output, shape=lambda x: shape, name="own", **fields)
    return lambda: make(lambda x: result)(np.ones(3, np.float32))


F3 = np.ones(3, np.float32)
Call = Callable[[], Any]
TYPES: list[tuple[Call, str]] = [
    (lambda: pick(F3), "pick: inputs 2, arrays given 1; they come first"),
    (lambda: clip(F3, F3), "clip: inputs 1, arrays given 2"),
    (lambda: clip(F3, torch.ones(3)), "arrays given 2"),
    (lambda: clip(np.ones(3, complex)), "complex128 are not taken"),
    (gives((F3, F3)), "own gives a tuple; needed: one array"),
    (gives(None), "own gives a NoneType"),
    (gives([1.0]), "own gives a list"),
    (gives(np.ones(3)), "own gives float64, .* rounded twice.*Compute in float32"),
    (gives(np.float64(1), ()), "own gives float64"),
    (gives(torch.ones(3).double()), "own gives float64"),
    (gives(F3, 3), "own: shape gives 3, no shape"),
    (gives(F3, (3.0,)), r"own: shape gives \(3.0,\), no shape: length=3.0 is not an integer"),
    (gives(F3, cost=lambda x: 1.5), "own: cost=1.5 is not an integer"),
    (lambda: CustomOp(abs, inputs=(), output=FP32, shape=3), "abs: shape=3 cannot be called"),  # type: ignore[arg-type]
    (gives(F3, cost=3), "own: cost=3 is neither a function nor None"),
    (lambda: CustomOp(3, inputs=(), output=FP32, shape=tuple, name="x"), "function=3 cannot be"),  # type: ignore[arg-type]
    (lambda: CustomOp(abs, inputs=(), output=FP32, shape=tuple, name=3), "name=3 is not a name"),  # type: ignore[arg-type]
]  # fmt: skip
VALUES: list[tuple[Call, str]] = [
    (gives(F3, (4,)), r"own gives shape \(3,\); its shape function says \(4,\) for \(3,\)"),
    (gives(F3, ()), r"own gives shape \(3,\); its shape function says \(\)"),
    (gives(F3, (-1,)), "own: shape gives .*length=-1 is out of range"),
    (gives(F3, cost=lambda x: -1), "own: cost=-1 is out of range"),
]  # fmt: skip
REFUSED: list[tuple[Call, str]] = [
    (lambda: passing(["int4"], "fp32"), "passing: GPSIMD has no int4 lanes; integers: int32,"),
    (lambda: passing(["fp32"], "uint4"), "passing: GPSIMD has no uint4 lanes"),
    (lambda: passing(["e4m3fn"], "fp32")(F3), "has no e4m3fn .*IEEE style"),
    (lambda: passing(["fp32"], "float(6,9)")(F3), "has no float"),
]


@pytest.mark.parametrize(("call", "words"), TYPES)
def test_types_that_are_refused(call: Call, words: str) -> None:
    with recording(Ledger()) as ledger, pytest.raises(TypeError, match=words):
        call()
    assert len(ledger) == 0


@pytest.mark.parametrize(("call", "words"), VALUES)
def test_values_that_are_refused(call: Call, words: str) -> None:
    with recording(Ledger()) as ledger, pytest.raises(ValueError, match=words):
        call()
    assert len(ledger) == 0


@pytest.mark.parametrize(("call", "words"), REFUSED)
def test_formats_that_are_refused(call: Call, words: str) -> None:
    with pytest.raises(UnsupportedFormat, match=words):
        call()


def test_names_and_cores_that_are_refused() -> None:
    with pytest.raises(UnknownFormat, match="no format is called 'bf17'"):
        passing(["bf17"], "fp32")
    with pytest.raises(UnsupportedEngine, match="NeuronCore-v1 has no GPSIMD"):
        clip(F3, core=NEURONCORE_V1)
    assert clip(F3, core=NEURONCORE_V2).tolist() == [1, 1, 1]


def test_an_error_of_the_function_is_its_own() -> None:
    @custom_op(inputs=["fp16"], output=FP16, shape=same_shape)
    def fails(x: Array) -> Array:
        raise KeyError("on purpose")

    with recording(Ledger()) as ledger, pytest.raises(KeyError, match="on purpose"):
        fails(F3)
    assert len(ledger) == 0
