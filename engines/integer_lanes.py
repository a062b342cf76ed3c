"""Integers of the GPSIMD engine: what overflows wraps around, every shift is defined."""

from collections.abc import Sequence
from enum import StrEnum, unique
from typing import Any

import numpy as np
import numpy.typing as npt

from halfulp.dtypes import INT32
from halfulp.dtypes.checks import integer
from halfulp.engines.operands import broadcast_shape

Array = npt.NDArray[Any]


@unique
class IntegerOp(StrEnum):
    """Operators of the GPSIMD engine on integers; names as in nki.language where that has them."""

    ADD = "add"
    SUBTRACT = "subtract"
    MULTIPLY = "multiply"
    MAX = "max"
    MIN = "min"
    BITWISE_AND = "bitwise_and"
    BITWISE_OR = "bitwise_or"
    BITWISE_XOR = "bitwise_xor"
    LEFT_SHIFT = "left_shift"
    RIGHT_SHIFT = "right_shift"  #: logical: zeros come in, whatever the type
    ARITHMETIC_RIGHT_SHIFT = "arithmetic_right_shift"  #: the sign comes in; NKI has no name for it


@unique
class Comparison(StrEnum):
    """How an index compares with 0; names as in nki.language."""

    EQUAL = "equal"
    NOT_EQUAL = "not_equal"
    GREATER_EQUAL = "greater_equal"
    GREATER = "greater"
    LESS_EQUAL = "less_equal"
    LESS = "less"


def combine(a: Array, b: Array, op: IntegerOp) -> Array:
    """a op b of two arrays of one integer type, broadcast as numpy does.

    A shift by the width or more, or by a negative number, leaves 0, an arithmetic one the sign.
    """
    shape = broadcast_shape(a=a.shape, b=b.shape)
    # without an axis numpy takes them for numbers, and warns of what overflows
    left, right = np.atleast_1d(a), np.atleast_1d(b)
    # the low bits of a sum, a difference and a product are the same with and without a sign
    unsigned = np.dtype(f"u{a.itemsize}")
    x, y = left.view(unsigned), right.view(unsigned)
    match op:
        case IntegerOp.ADD:
            found = x + y
        case IntegerOp.SUBTRACT:
            found = x - y
        case IntegerOp.MULTIPLY:
            found = x * y
        case IntegerOp.MAX:
            found = np.maximum(left, right)
        case IntegerOp.MIN:
            found = np.minimum(left, right)
        case IntegerOp.BITWISE_AND:
            found = x & y
        case IntegerOp.BITWISE_OR:
            found = x | y
        case IntegerOp.BITWISE_XOR:
            found = x ^ y
        case IntegerOp.ARITHMETIC_RIGHT_SHIFT if a.dtype.kind == "i":
            # y is unsigned: a negative number of steps is a large one
            found = left >> np.minimum(y, 8 * a.itemsize - 1).astype(a.dtype)
        case _:
            found = _shift(x, y, op)
    return found.view(a.dtype).reshape(shape)


def _shift(x: Array, steps: Array, op: IntegerOp) -> Array:
    """Unsigned integers moved to the left or to the right, zeros come in."""
    # C and its processors leave open what a shift by the width gives
    inside, zero = steps < 8 * x.itemsize, np.zeros((), x.dtype)
    possible = np.where(inside, steps, zero)
    moved = x << possible if op is IntegerOp.LEFT_SHIFT else x >> possible
    return np.where(inside, moved, zero)


def affine(shape: tuple[int, ...], base: int, steps: Sequence[int]) -> npt.NDArray[np.uint32]:
    """base + sum of steps[i] * index[i], modulo 2^32.

    Raises TypeError, ValueError for what are no int32, ValueError for not one step an axis.
    """
    if len(steps) != len(shape):
        raise ValueError(f"steps={tuple(steps)} for the shape {shape}; needed: one step an axis")
    low, high = INT32.min, INT32.max
    found = np.full(shape, integer(base, "base", low, high) % 2**32, np.uint32)
    for axis, (length, step) in enumerate(zip(shape, steps, strict=True)):
        index = np.arange(length, dtype=np.uint32)
        moved = index * np.uint32(integer(step, "step", low, high) % 2**32)
        found += moved.reshape([length if i == axis else 1 for i in range(len(shape))])
    return found


def holds(index: npt.NDArray[np.int32], relation: Comparison) -> npt.NDArray[np.bool_]:
    """Where an index compares so with 0."""
    match relation:
        case Comparison.EQUAL:
            return index == 0
        case Comparison.NOT_EQUAL:
            return index != 0
        case Comparison.GREATER_EQUAL:
            return index >= 0
        case Comparison.GREATER:
            return index > 0
        case Comparison.LESS_EQUAL:
            return index <= 0
        case Comparison.LESS:
            return index < 0
