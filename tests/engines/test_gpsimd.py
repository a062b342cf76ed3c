"""Integer arithmetic of the GPSIMD engine is that of Python's integers, wrapped."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from halfulp.dtypes import IntFormat, parse_format
from halfulp.engines import NEURONCORE_V2, IntegerOp
from halfulp.engines.gpsimd import INTEGERS
from tests.engines.integers import FORMATS, boundaries, wrapped
from tests.strategies import layouts

gpsimd, vector = NEURONCORE_V2.gpsimd, NEURONCORE_V2.vector
EIGHT_BITS = [fmt for fmt in FORMATS if fmt.bits == 8]


def exact(a: int, b: int, op: IntegerOp, fmt: IntFormat) -> int:
    """a op b in Python's integers, wrapped."""
    steps, code = b % 2**fmt.bits, a % 2**fmt.bits
    found = {
        IntegerOp.ADD: a + b,
        IntegerOp.SUBTRACT: a - b,
        IntegerOp.MULTIPLY: a * b,
        IntegerOp.MAX: max(a, b),
        IntegerOp.MIN: min(a, b),
        IntegerOp.BITWISE_AND: a & b,
        IntegerOp.BITWISE_OR: a | b,
        IntegerOp.BITWISE_XOR: a ^ b,
        IntegerOp.LEFT_SHIFT: code << min(steps, fmt.bits),
        IntegerOp.RIGHT_SHIFT: code >> steps,
        IntegerOp.ARITHMETIC_RIGHT_SHIFT: a >> steps,
    }
    return wrapped(found[op], fmt)


def pairs(fmt: IntFormat) -> st.SearchStrategy[list[tuple[int, int]]]:
    number = st.sampled_from(boundaries(fmt)) | st.integers(fmt.min, fmt.max)
    return st.lists(st.tuples(number, number), max_size=8)


def squared(values: Iterable[int]) -> list[tuple[int, int]]:
    """Each with each."""
    given_once = list(values)
    return [(a, b) for a in given_once for b in given_once]


def check(fmt: IntFormat, op: IntegerOp, given_pairs: list[tuple[int, int]]) -> None:
    a, b = (np.array([pair[i] for pair in given_pairs], fmt.numpy) for i in (0, 1))
    got = gpsimd.tensor_tensor(a, b, op)
    assert got.dtype == fmt.numpy
    assert got.tolist() == [exact(x, y, op, fmt) for x, y in given_pairs]


@pytest.mark.parametrize("op", IntegerOp)
@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_boundaries_with_boundaries_are_those_of_python(fmt: IntFormat, op: IntegerOp) -> None:
    check(fmt, op, squared(boundaries(fmt)))


@pytest.mark.parametrize("op", IntegerOp)
@pytest.mark.parametrize("fmt", EIGHT_BITS, ids=str)
def test_all_pairs_of_8_bits_are_those_of_python(fmt: IntFormat, op: IntegerOp) -> None:
    check(fmt, op, squared(range(fmt.min, fmt.max + 1)))


@given(st.data(), st.sampled_from(FORMATS), st.sampled_from(IntegerOp))
def test_any_numbers_are_those_of_python(data: Any, fmt: IntFormat, op: IntegerOp) -> None:
    check(fmt, op, data.draw(pairs(fmt)))


@given(st.data(), st.sampled_from(FORMATS), st.sampled_from(IntegerOp))
def test_an_array_with_a_number_is_an_array_with_an_array(
    data: Any, fmt: IntFormat, op: IntegerOp
) -> None:
    found = data.draw(pairs(fmt))
    x, scalar = np.array([a for a, _ in found], fmt.numpy), found[0][1] if found else fmt.max
    got = gpsimd.tensor_scalar(x, scalar, op)
    assert got.dtype == fmt.numpy
    assert got.tolist() == [exact(a, scalar, op, fmt) for a, _ in found]


def test_integers_above_2_to_the_24_are_exact_here_and_lossy_on_vector() -> None:
    a = np.array([2**24 + 1, 2**31 - 1, -(2**31), 123_456_789], np.int32)
    b = np.array([2, -1, 1, 3], np.int32)
    here = gpsimd.tensor_tensor(a, b, "add")
    assert here.tolist() == [2**24 + 3, 2**31 - 2, -(2**31) + 1, 123_456_792]
    there = vector.tensor_tensor(a, b, "add")
    assert there.dtype == np.float32
    assert there.tolist() == [2**24 + 2, 2**31, -(2**31), 123_456_792]
    large = np.array([40_000_003], np.uint32)
    assert gpsimd.tensor_scalar(large, 7, "multiply").tolist() == [280_000_021]
    assert vector.tensor_scalar(large, 7, "multiply").tolist() == [280_000_032]


def test_what_overflows_wraps_around() -> None:
    assert gpsimd.tensor_scalar(np.array([2**31 - 1], np.int32), 1, "add").tolist() == [-(2**31)]
    assert gpsimd.tensor_scalar(np.array([0], np.uint8), 1, "subtract").tolist() == [255]
    # -2^31 times -1 has no number of its own
    assert gpsimd.tensor_scalar(np.array([-(2**31)], np.int32), -1, "multiply")[0] == -(2**31)


@pytest.mark.parametrize(("op", "wanted"), [("left_shift", 0), ("right_shift", 0),
                                            ("arithmetic_right_shift", -1)])  # fmt: skip
@pytest.mark.parametrize("steps", [8, 9, 127, -1, -128])
def test_a_shift_by_the_width_or_a_negative_number_is_defined(
    op: str, wanted: int, steps: int
) -> None:
    assert gpsimd.tensor_scalar(np.array([-3], np.int8), steps, op).tolist() == [wanted]


def test_the_sign_comes_in_where_there_is_one() -> None:
    signed, unsigned = np.array([-128], np.int8), np.array([128], np.uint8)
    assert gpsimd.tensor_scalar(signed, 1, "arithmetic_right_shift").tolist() == [-64]
    assert gpsimd.tensor_scalar(signed, 1, "right_shift").tolist() == [64]
    assert gpsimd.tensor_scalar(unsigned, 1, "arithmetic_right_shift").tolist() == [64]
    assert gpsimd.tensor_scalar(unsigned, 9, "arithmetic_right_shift").tolist() == [0]


def test_the_other_type_of_the_same_width_shows_the_same_bits() -> None:
    x = np.array([-1, 5], np.int32)
    assert gpsimd.tensor_scalar(x, 0, "add", out_format="uint32").tolist() == [2**32 - 1, 5]
    got = gpsimd.tensor_tensor(x, x, "multiply", out_format=parse_format("uint32"))
    assert got.dtype == np.uint32 and got.tolist() == [1, 25]


@pytest.mark.parametrize(
    ("a", "b"),
    [((), ()), ((3,), ()), ((2, 3), (3,)), ((2, 1), (1, 3)), ((0, 3), (3,)), ((2, 0), (1, 1))],
    ids=str,
)
def test_shapes_broadcast_as_numpy_does(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    x, y = np.full(a, 100, np.int8), np.full(b, 100, np.int8)
    got = gpsimd.tensor_tensor(x, y, "add")
    assert np.shape(got) == np.broadcast_shapes(a, b) and np.all(got == -56)


def test_operands_in_any_memory_stay_as_they_are() -> None:
    x = np.arange(28, dtype=np.int16).reshape(4, 7) * np.int16(3001)
    for name, a in layouts(x):
        before = a.copy()
        got = gpsimd.tensor_tensor(a, a, "multiply")
        wanted = [wrapped(n * n, INTEGERS["int16"]) for n in before.ravel().tolist()]
        assert got.ravel().tolist() == wanted, name
        assert np.array_equal(a, before)


def test_tensors_and_numbers_come_back_in_kind() -> None:
    x = torch.tensor([[2**24 + 1]], dtype=torch.int32)
    got = gpsimd.tensor_tensor(x, x.numpy(), "add")
    assert isinstance(got, torch.Tensor) and got.dtype == torch.int32
    assert got.tolist() == [[2**25 + 2]]
    number = gpsimd.tensor_tensor(np.int8(127), np.int8(1), "add")
    assert isinstance(number, np.int8) and number == -128
    assert gpsimd.tensor_scalar(torch.tensor(3, dtype=torch.uint8), 4, "subtract").item() == 255
