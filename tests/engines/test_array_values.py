"""Arrays for the prompt: each operator is the engine's call, bit for bit, or is refused by name."""

import doctest
import operator
import platform
from collections.abc import Callable
from functools import partial
from math import inf, nan
from typing import Any

import ml_dtypes
import numpy
import pytest
import torch

from halfulp.dtypes import (
    BF16,
    E4M3,
    E4M3FN,
    FP16,
    FP32,
    INT8,
    INT16,
    INT32,
    TF32,
    UINT16,
    FloatFormat,
    Format,
    IntFormat,
    UnknownFormat,
    decode,
    encode,
    parse_format,
)
from halfulp.engines import (
    NEURONCORE_V1,
    NEURONCORE_V2,
    Activation,
    AluOp,
    EngineArray,
    Ledger,
    UnsupportedFormat,
    array,
    array_values,
    recording,
)
from halfulp.engines.array_tables import (
    ACTIVATIONS,
    ALU_OPS,
    COMPARISONS,
    INTEGER_OPS,
    REDUCTIONS,
)
from tests.engines.inputs import CORNERS, mixed

np: Any = numpy  # its types know no arrays but its own
CORE = NEURONCORE_V2
FORMATS = [FP32, TF32, BF16, FP16, E4M3, parse_format("cfp8(2,5,bias=3)")]
INTEGERS = [INT8, INT16, INT32, IntFormat(8, signed=False), UINT16, IntFormat(32, signed=False)]
Bits = list[int]


def bits(x: EngineArray) -> Bits:
    found: Bits = x.codes().ravel().tolist()
    return found


def given_by(values: Any, fmt: Format, x: EngineArray) -> bool:
    """Whether x has the format, the shape and the bits of what an engine gave."""
    wanted = np.asarray(encode(values, fmt))
    return x.format == fmt and x.shape == wanted.shape and bits(x) == wanted.ravel().tolist()


def two(fmt: Format, shape: tuple[int, ...] = (7, 9)) -> tuple[EngineArray, EngineArray]:
    """Two arrays of every kind of number, NaN, infinities, zeros of both signs, subnormals."""
    if isinstance(fmt, IntFormat):
        random = np.random.default_rng(1)
        drawn = random.integers(fmt.min, fmt.max, (2, *shape), endpoint=True)
        drawn[:, 0, :2] = fmt.min, fmt.max
        return array(drawn[0], fmt), array(drawn[1], fmt)
    return array(mixed(shape, 1), fmt), array(mixed(shape, 2), fmt)


def records(call: Callable[..., Any], *given: Any) -> list[tuple[str, str]]:
    """Engines and instructions of a call."""
    with recording(Ledger()) as ledger:
        call(*given)
    return [(record.engine, record.instruction) for record in ledger.records]


def test_the_example_of_the_module_runs() -> None:
    done = doctest.testmod(array_values)
    assert done.attempted >= 6 and done.failed == 0


# operators


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
@pytest.mark.parametrize("name", ALU_OPS)
def test_an_operator_is_one_instruction_of_vector(name: str, fmt: FloatFormat) -> None:
    (a, b), ufunc, op, vector = two(fmt), getattr(np, name), ALU_OPS[name], CORE.vector
    wanted = vector.tensor_tensor(a.numpy(), b.numpy(), op, out_format=fmt)
    assert given_by(wanted, fmt, ufunc(a, b))
    assert records(ufunc, a, b) == [("vector", "tensor_tensor")]
    number = float(np.float32(decode(encode(0.3, fmt), fmt)))
    for left in (False, True):
        wanted = vector.tensor_scalar(a.numpy(), number, op, reverse0=left, out_format=fmt)
        assert given_by(wanted, fmt, ufunc(0.3, a) if left else ufunc(a, 0.3))
    assert records(ufunc, a, 0.3) == [("vector", "tensor_scalar")]


SYMBOLS = {
    **{"add": operator.add, "subtract": operator.sub, "multiply": operator.mul},
    **{"divide": operator.truediv, "matmul": operator.matmul},
    **{"less": operator.lt, "less_equal": operator.le, "equal": operator.eq},
    **{"greater": operator.gt, "greater_equal": operator.ge, "not_equal": operator.ne},
}
BIT_SYMBOLS = {
    **{"bitwise_and": operator.and_, "bitwise_or": operator.or_, "bitwise_xor": operator.xor},
    **{"left_shift": operator.lshift, "right_shift": operator.rshift},
}


@pytest.mark.parametrize("name", [*SYMBOLS, *BIT_SYMBOLS])
def test_a_symbol_is_its_function(name: str) -> None:
    a, b = two(BF16 if name in SYMBOLS else INT16, (5, 5))
    symbol, function = (SYMBOLS | BIT_SYMBOLS)[name], getattr(np, name)
    pairs: list[tuple[Any, Any]] = [(a, b)] if name == "matmul" else [(a, b), (a, 3), (3, a)]
    for x, y in pairs:
        got, wanted = symbol(x, y), function(x, y)
        if isinstance(wanted, EngineArray):
            got, wanted = got.codes(), wanted.codes()
        assert type(got) is type(wanted) and got.tolist() == wanted.tolist()


def test_signs() -> None:
    a = array(CORNERS, BF16)
    wanted = CORE.vector.tensor_scalar(a.numpy(), -1.0, "multiply", out_format=BF16)
    assert given_by(wanted, BF16, -a)
    assert bits(-array([0.0, -0.0, inf], FP16)) == [0x8000, 0, 0xFC00]
    assert bits(abs(array([-0.0, -2, nan], FP16))) == [0, 0x4000, 0x7E00]
    assert +a is a
    assert records(lambda: -a) == [("vector", "tensor_scalar")]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_function_is_one_activation_of_scalar(name: str) -> None:
    function = ACTIVATIONS[name]
    for fmt in FORMATS:
        a = two(fmt)[0]
        wanted = CORE.scalar.activation(a.numpy(), function, out_format=fmt)
        assert given_by(wanted, fmt, getattr(np, name)(a))
    ran = records(lambda: getattr(np, name)(array([0.5], BF16)))
    assert ran == [("scalar", f"activation({function.value})")]


def test_the_functions_that_numpy_has_not() -> None:
    a = array(mixed((6, 6)), BF16)
    for function in (Activation.GELU, "silu"):
        wanted = CORE.scalar.activation(a.numpy(), function, scale=0.5, bias=1, out_format=BF16)
        assert given_by(wanted, BF16, a.activation(function, scale=0.5, bias=1))


@pytest.mark.parametrize("name", sorted(COMPARISONS))
def test_comparisons_are_those_of_the_values(name: str) -> None:
    ufunc = getattr(np, name)
    formats: list[Format] = [FP32, BF16, E4M3, E4M3FN, *INTEGERS]
    for fmt in formats:
        a, b = two(fmt)
        b = np.where(np.arange(9) % 2 == 0, a, b)
        for got, wanted in (
            (ufunc(a, b), ufunc(a.numpy(), b.numpy())),
            (ufunc(a, 1), ufunc(a.numpy(), 1)),
            (ufunc(1, a), ufunc(1, a.numpy())),
        ):
            assert got.dtype == np.bool_ and np.array_equal(got, wanted), fmt
        engine = "vector" if isinstance(fmt, FloatFormat) else "gpsimd"
        assert records(ufunc, a, b) == [(engine, "tensor_tensor")]
        assert records(ufunc, a, 1) == [(engine, "tensor_scalar")]


def test_a_number_is_rounded_to_the_format_once() -> None:
    a = array([1.0], BF16)
    assert bool(a * 0.1 == 0.1) and (a * 0.1).item() == 0.10009765625
    # through float32 it would fall onto the tie, and to even
    assert (array([0.0], BF16) + (1 + 2.0**-8 + 2.0**-40)).item() == 1 + 2.0**-7
    assert (a * np.float64(0.1)).item() == (np.float64(0.1) * a).item() == 0.10009765625
    assert (np.float64(2) > a).tolist() == (a < np.float64(2)).tolist() == [True]
    assert (a * 10**400).item() == inf


@pytest.mark.parametrize("fmt", INTEGERS, ids=str)
@pytest.mark.parametrize("name", INTEGER_OPS)
def test_integers_run_on_gpsimd(name: str, fmt: IntFormat) -> None:
    (a, b), ufunc, op, gpsimd = two(fmt), getattr(np, name), INTEGER_OPS[name], CORE.gpsimd
    assert given_by(gpsimd.tensor_tensor(a.numpy(), b.numpy(), op), fmt, ufunc(a, b))
    assert given_by(gpsimd.tensor_scalar(a.numpy(), 3, op), fmt, ufunc(a, 3))
    three = np.array(3, fmt.numpy)
    assert given_by(gpsimd.tensor_tensor(three, a.numpy(), op), fmt, ufunc(3, a))
    assert records(ufunc, a, b) == [("gpsimd", "tensor_tensor")]


def test_integers_wrap_around() -> None:
    a = array([127, -128], INT8)
    assert (a + 1).numpy().tolist() == [-128, -127]
    assert (-a).numpy().tolist() == [-127, -128]
    assert (5 - a).numpy().tolist() == [-122, -123]


SHAPES = [((5, 7), (7, 3)), ((2, 5, 7), (7, 3)), ((7,), (7, 3)), ((5, 7), (7,)), ((7,), (7,))]


@pytest.mark.parametrize("left, right", [*SHAPES, ((2, 0), (0, 3)), ((2, 3, 4), (2, 4, 5))])
def test_a_product_is_one_of_the_tensor_engine(
    left: tuple[int, ...], right: tuple[int, ...]
) -> None:
    for fmt in (FP32, BF16, E4M3):
        a, b = array(mixed(left, 1), fmt), array(mixed(right, 2), fmt)
        x = a.numpy() if a.ndim > 1 else a.numpy()[None]
        y = b.numpy() if b.ndim > 1 else b.numpy()[:, None]
        for result in (fmt, FP32):
            raw = CORE.tensor.matmul(x, y, a_format=fmt, out_format=result)
            wanted = raw.reshape(np.matmul(np.zeros(left), np.zeros(right)).shape)
            got = a @ b if result == fmt else a.matmul(b, out_format="fp32")
            assert given_by(wanted, result, got)
        assert records(operator.matmul, a, b) == [("tensor", "nc_matmul")]


def test_products_of_integers() -> None:
    a, b = two(INT8, (6, 6))
    assert given_by(CORE.tensor.matmul(a.numpy(), b.numpy(), a_format=INT8), INT32, a @ b)
    assert (a.matmul(b, out_format=FP32)).format == FP32
    assert np.array_equal(a.matmul(b, out_format=FP32).numpy(), (a @ b).numpy())
    a, b = two(INT16, (6, 6))
    assert given_by(CORE.tensor.matmul(a.numpy(), b.numpy(), a_format=INT16), FP32, a @ b)


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions_are_those_of_vector(name: str) -> None:
    function, op = getattr(np, name), REDUCTIONS[name]
    for fmt in FORMATS:
        a = two(fmt, (3, 4, 5))[0]
        for axis in (0, 1, -1):
            wanted = CORE.vector.tensor_reduce(a.numpy(), op, axis=axis, out_format=fmt)
            assert given_by(wanted, fmt, function(a, axis=axis))
            kept = np.expand_dims(wanted, axis)
            assert given_by(kept, fmt, function(a, axis, keepdims=True))
        whole = CORE.vector.tensor_reduce(a.numpy().reshape(-1), op, out_format=fmt)
        assert given_by(whole, fmt, function(a))
        assert given_by(whole.reshape(1, 1, 1), fmt, function(a, keepdims=True))
    assert records(function, a) == [("vector", "tensor_reduce")]
    if name in ("sum", "max", "min"):
        assert bits(getattr(a, name)(1, keepdims=True)) == bits(function(a, 1))


def test_results_have_the_core_of_the_operands() -> None:
    a = array([[1.5]], BF16, core=NEURONCORE_V1)
    for x in (a + a, 2 - a, np.exp(a), a @ a, np.sum(a), a.T, a[0], a.astype(FP16), a.reshape(1)):
        assert x.core is NEURONCORE_V1


def test_an_engine_takes_an_array() -> None:
    a = array([1, 2.5], BF16)
    assert CORE.vector.tensor_tensor(a, a, AluOp.ADD).tolist() == [2.0, 5.0]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="where torch can be told to flush")
def test_a_process_that_flushes_subnormals_changes_nothing() -> None:
    a = array([2.0**-133, -(2.0**-149)], FP32)
    before = torch.set_flush_denormal(True)
    try:
        assert before
        found = bits(a + a), bits(a * 1.5), (a > 0).tolist(), (a == 0).tolist(), bits(a + 2.0**-149)
    finally:
        torch.set_flush_denormal(False)
    assert found[2:4] == ([True, False], [False, False])
    assert found[0] == [1 << 17, 0x80000002] and found[4] == [(1 << 16) + 1, 0]
    assert found[1] == [3 << 15, 0x80000002]


# refusals


def refused(call: Callable[[], Any], kind: type[Exception], *words: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert all(word in str(caught.value) for word in words), caught.value


def test_formats_and_cores_are_not_mixed() -> None:
    a, h = array([1.0], BF16), array([1.0], FP16)
    old = array([1.0], BF16, core=NEURONCORE_V1)
    calls: list[Callable[[Any, Any], Any]] = [
        operator.add,
        operator.matmul,
        operator.lt,
        np.maximum,
    ]
    calls += [lambda x, y: np.concatenate([x, y]), lambda x, y: np.where([True], x, y)]
    for call in (*calls, np.array_equal):
        refused(partial(call, a, h), TypeError, "bf16 and fp16", "a.astype('fp16')")
        refused(partial(call, a, old), TypeError, "NeuronCore-v1", "core=b.core")
    assert (a.astype(FP16) + h).item() == 2.0


@pytest.mark.parametrize(
    "other", [np.ones(2), torch.ones(2), [1.0, 2.0], np.float32(1), np.int64(1), None, "1", 1j]
)
def test_what_has_no_format_of_its_own_here_is_refused(other: Any) -> None:
    a, needed = array([1.0, 2.0], BF16), "halfulp.engines.array(x, 'bf16')"
    for call in (operator.add, operator.truediv, operator.matmul, operator.eq, operator.le):
        refused(partial(call, a, other), TypeError, type(other).__name__, needed)
        refused(partial(call, other, a), TypeError, needed)


@pytest.mark.parametrize(
    "name", ["floor", "cbrt", "power", "modf", "mean", "cumsum", "argmax", "linalg.norm", "clip"]
)
def test_what_no_engine_computes_is_refused_by_name(name: str) -> None:
    function = operator.attrgetter(name)(np)
    more = {"power": (2,), "clip": (0, 1)}.get(name, ())
    a = array([1.0, 2.0], BF16)
    refused(lambda: function(a, *more), TypeError, f"{name.split('.')[-1]} of bf16", "a.numpy()")


def test_refusals_say_what_to_do() -> None:
    a, i, tiny = array([1.0, 2.0], BF16), array([1, 2], INT8), array([1], "int4")
    refused(lambda: a**2, TypeError, "power of bf16")
    refused(lambda: np.add.reduce(a), TypeError, "add.reduce")
    refused(lambda: np.add(a, a, out=a), TypeError, "no out=", "a.numpy()")
    refused(lambda: np.sum(a, dtype=np.float64), TypeError, "no dtype=")
    refused(lambda: np.sum(a, axis=(0,)), TypeError, "axis=(0,)")
    refused(lambda: np.where(a, a, 0), TypeError, "np.where(a > 0, a, 0)")
    refused(lambda: np.squeeze(a=a), TypeError, "first argument")
    refused(lambda: a & a, TypeError, "bitwise_and of bf16")
    refused(lambda: a @ array(1, BF16), ValueError, "shapes (2,) and ()")
    refused(lambda: np.max(array([], BF16)), ValueError, "length 0")
    for call in (lambda: i / i, lambda: np.exp(i), lambda: np.sum(i), lambda: abs(i)):
        refused(call, TypeError, "of int8", "a.astype('fp32')", "2^24")
    for call in (lambda: tiny + 1, lambda: tiny == tiny):
        refused(call, TypeError, "of int4")
    refused(lambda: i + 300, ValueError, "300", "-128 to 127")
    refused(lambda: i < 1.5, TypeError, "1.5", "-128 to 127")
    refused(lambda: array([1.0], E4M3FN) + 1, UnsupportedFormat, "e4m3fn")
    v1 = array([1], INT8, core=NEURONCORE_V1)
    refused(lambda: v1 + 1, ValueError, "NeuronCore-v1 has no GPSIMD")


def test_what_cannot_be_an_array() -> None:
    refused(lambda: array([1.0, 2.0]), ValueError, "float64", "array(x, 'bf16')")
    refused(lambda: array("1"), ValueError, "no format here")
    refused(lambda: array([1.0], "bf61"), UnknownFormat, "bf16")
    refused(lambda: array([1j], BF16), TypeError, "complex128")
    refused(lambda: array([1.0], BF16, core="v2"), TypeError, "NEURONCORE_V2")  # type: ignore[arg-type]


def test_an_array_does_not_change() -> None:
    a = array([1.0, 2.0], FP32)
    with pytest.raises(TypeError, match=r"np\.where\(mask, new, a\)"):
        a[0] = 1
    with pytest.raises(AttributeError):
        a.format = BF16  # type: ignore[misc]
    for view in (a.numpy(), a.codes(), a.ml_dtypes(), np.asarray(a), a.T.numpy()):
        with pytest.raises(ValueError, match="read-only"):
            view[0] = 0
    refused(lambda: hash(a), TypeError, "unhashable")
    before = a
    a += 1
    assert bits(before) != bits(a) == bits(before + 1)
    i = array([6], INT8)
    i &= 3
    assert i.item() == 2


# making and converting


def test_an_array_is_rounded_once() -> None:
    x = 1 + 2.0**-8 + 2.0**-40
    for given in (x, [x], np.array([x]), torch.tensor([x], dtype=torch.float64)):
        assert bits(array(given, "bf16")) == [0x3F81]
    assert bits(array(np.array([2**24 + 1]), FP32)) == bits(array([2.0**24], FP32))
    assert bits(array(np.array([1.5, 1e9]), INT8)) == [2, 127]
    assert array([1.0], torch.float16).format == FP16
    assert array([1.0], ml_dtypes.bfloat16).format == BF16
    a = array([0.1, nan], FP32)
    assert bits(a.astype(BF16)) == bits(array(a, BF16)) == encode(a.numpy(), BF16).tolist()
    assert array([2**31 - 1], INT32).astype(FP32).item() == 2.0**31


def test_the_format_is_that_of_the_type() -> None:
    codes = np.array([0x3F80, 0x7F81], np.uint16)
    for x in (codes.view(ml_dtypes.bfloat16), torch.from_numpy(codes.copy()).view(torch.bfloat16)):
        assert array(x).format == BF16 and bits(array(x)) == [0x3F80, 0x7FC0]
    for kind, fmt in ((np.float16, FP16), (np.float32, FP32), (np.int8, INT8), (np.uint16, UINT16)):
        assert array(np.ones(2, kind)).format == fmt
    assert array(array([1.0], BF16)).format == BF16
    needs = torch.ones(2, requires_grad=True)
    assert array(needs).numpy().tolist() == [1.0, 1.0]


def test_an_array_has_memory_of_its_own() -> None:
    for x in (np.ones(3, np.float32), np.ones(3, np.int8), np.ones(3, ml_dtypes.bfloat16)):
        a = array(x)
        x[:] = 0
        assert a.numpy().tolist() == [1, 1, 1]


@pytest.mark.parametrize("fmt", [*FORMATS, E4M3FN, parse_format("e2m1fn"), *INTEGERS], ids=str)
def test_codes_and_values_belong_together(fmt: Format) -> None:
    a = two(fmt)[0] if fmt.name != "e2m1fn" else array([[0.5, -0.0, 6.0]], fmt)
    assert bits(a) == encode(a.numpy(), fmt).ravel().tolist()
    assert np.shares_memory(a.codes(), a.codes())
    shares = fmt == FP32 or isinstance(fmt, IntFormat)
    assert np.shares_memory(a.numpy(), a.codes()) == shares
    assert np.shares_memory(np.asarray(a), a.codes()) == shares
    own = np.array(a)
    assert own.flags.writeable and not np.shares_memory(own, a.codes())
    assert np.asarray(a, np.float64).dtype == np.float64
    if not shares:
        refused(lambda: np.array(a, copy=False), ValueError, fmt.name)


@pytest.mark.parametrize(
    "fmt", [FP32, BF16, FP16, parse_format("e5m2"), E4M3FN, *INTEGERS], ids=str
)
def test_torch_and_ml_dtypes_have_the_codes_themselves(fmt: Format) -> None:
    a = two(fmt)[0]
    for x in (a, a.T, a[1:, ::2], a[0, 0], a[:0]):
        tensor, typed = x.torch(), x.ml_dtypes()
        assert str(tensor.dtype) == f"torch.{typed.dtype.name}" and not typed.flags.writeable
        assert bits(array(tensor)) == bits(array(typed)) == bits(x)
        assert x.size == 0 or tensor.data_ptr() == x.codes().ctypes.data
        assert x.size == 0 or np.shares_memory(typed, x.codes())
    turned = a[::-1]
    assert bits(array(turned.torch())) == bits(turned)
    wide = np.broadcast_to(array([1, 0], fmt), (2, 2)).torch()
    wide[0, 0] = 0
    assert wide.tolist() == [[0, 0], [1, 0]]


def test_what_torch_and_ml_dtypes_have_not() -> None:
    a = array([1.0], TF32)
    refused(a.torch, ValueError, "tf32", "a.numpy()")
    refused(a.ml_dtypes, ValueError, "tf32", "a.codes()")
    assert array([3, -4], "int4").torch().tolist() == [3, -4]
    assert array([3, -4], "int4").ml_dtypes().dtype == ml_dtypes.int4


def test_dlpack() -> None:
    for fmt in (FP32, FP16, INT8, INT32):
        a = array([1, 2], fmt)
        taken = np.from_dlpack(a)
        assert taken.tolist() == [1, 2] and np.shares_memory(taken, a.codes())
        assert torch.utils.dlpack.from_dlpack(a).tolist() == [1, 2]
    for fmt in (BF16, TF32):
        refused(partial(np.from_dlpack, array([1], fmt)), BufferError, fmt.name, "a.torch()")


# moving, looking, printing


def test_moving_keeps_the_codes() -> None:
    a, b = two(BF16, (3, 4))
    codes = a.codes()
    moved: list[tuple[EngineArray, Any]] = [
        (a.reshape(2, 6), codes.reshape(2, 6)),
        (a.reshape((4, -1)), codes.reshape(4, -1)),
        (np.reshape(a, (12,)), codes.ravel()),
        (a.T, codes.T),
        (np.transpose(a, (1, 0)), codes.T),
        (np.expand_dims(a, 1), codes[:, None]),
        (np.squeeze(a[:, :1]), codes[:, 0]),
        (np.broadcast_to(a[0], (2, 4)), codes[[0, 0]]),
        (np.concatenate([a, b], axis=1), np.concatenate([codes, b.codes()], axis=1)),
        (np.stack([a, b]), np.stack([codes, b.codes()])),
        (np.concatenate(a), codes.ravel()),
        (np.split(a, 3)[1], codes[1:2]),
        (a[1], codes[1]),
        (a[..., None, 1:], codes[..., None, 1:]),
        (a[[2, 0]], codes[[2, 0]]),
        (a[a > 0], codes[a.numpy() > 0]),
        (array([1, 2, 3], FP32)[array([2, 0], INT8)], array([3, 1], FP32).codes()),
        (np.where(a > 0, a, b), np.where(a.numpy() > 0, codes, b.codes())),
        (np.where(a > 0, a, -0.0), np.where(a.numpy() > 0, codes, 0x8000)),
        (array([1, 0], BF16)[0], np.array(0x3F80, np.uint16)),
    ]
    for got, wanted in moved:
        assert got.shape == wanted.shape and got.codes().tolist() == wanted.tolist()
    assert records(lambda: np.stack([a[0], np.where(a > 0, a, b)[1].reshape(4)])[0]) == [
        ("vector", "tensor_scalar")
    ]


def test_looking() -> None:
    a = array([[1.0, -0.0, nan, inf]], BF16)
    assert (a.shape, a.ndim, a.size, len(a)) == ((1, 4), 2, 4, 1)
    assert (np.shape(a), np.ndim(a), np.size(a)) == ((1, 4), 2, 4)
    assert [x.shape for x in a] == [(4,)]
    for name in ("isnan", "isinf", "isfinite", "signbit"):
        assert np.array_equal(getattr(np, name)(a), getattr(np, name)(a.numpy()))
    assert np.array_equal(a[:, :2], array([[1.0, 0.0]], BF16))
    assert not np.array_equal(a, a) and np.array_equal(a, a, equal_nan=True)
    assert not np.array_equal(a, a[0]) and np.array_equal(array([7], "int4"), array([7], "int4"))
    assert records(np.isnan, a) == []


def test_numbers_without_axes() -> None:
    a = array(0.1, BF16)
    assert a.shape == () and a.item() == float(a) == 0.10009765625 and int(a * 100) == 10
    assert (a + a).shape == np.exp(a).shape == np.sum(a).shape == (-a).shape == ()
    assert bool(a) and not bool(a - a) and bool(a < 1)
    assert array([[3]], INT8).item() == 3 and type(array(3, INT8).item()) is int
    refused(lambda: len(a), TypeError, "unsized")
    refused(lambda: iter(a), TypeError, "unsized")
    refused(lambda: bool(array([1, 2], BF16)), ValueError, "index it first")
    refused(array([], BF16).item, ValueError, "index it first")


def test_arrays_of_nothing() -> None:
    a = array(np.zeros((0, 3)), BF16)
    for x in (
        a + a,
        a * 2,
        np.exp(a),
        -a,
        a @ array(np.zeros((3, 3)), BF16),
        a.T.T,
        a.astype(BF16),
    ):
        assert x.shape == (0, 3) and x.format == BF16
    assert (a == a).shape == (0, 3) and list(a) == []
    assert bits(np.sum(a, axis=0)) == [0, 0, 0] and np.sum(a).item() == 0
    assert a.torch().shape == a.ml_dtypes().shape == (0, 3)
    assert np.array(array([], FP32), copy=False).shape == (0,)


PRINTED = [
    (array([1, 0.5], BF16), "array([1. , 0.5], bf16)"),
    (array([1, 0.25], BF16), "array([1.  , 0.25], bf16)"),
    (array(0.1, FP16), "array(0.09997559, fp16)"),
    (array([nan, -inf, -0.0], E4M3), "array([ nan, -inf,  -0.], e4m3)"),
    (array([[1, -2], [3, 100]], INT8), "array([[  1,  -2],\n       [  3, 100]], int8)"),
    (array([2.0**-133], BF16), "array([9.1835e-41], bf16)"),
    (array([0.3], "cfp8(2,5,bias=3)"), "array([0.296875], cfp8(2,5,bias=3))"),
    (array([], BF16), "array([], bf16)"),
    (array(np.zeros((0, 3)), TF32), "array([], shape=(0, 3), tf32)"),
    (array(np.zeros(1001), FP32), "array([0., 0., 0., ..., 0., 0., 0.], shape=(1001,), fp32)"),
]


@pytest.mark.parametrize("x, text", PRINTED, ids=[text for _, text in PRINTED])
def test_arrays_print_as_numpy_prints_them(x: EngineArray, text: str) -> None:
    assert repr(x) == text and str(x) == text
