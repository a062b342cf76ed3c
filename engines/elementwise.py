"""Elementwise operations of the Vector Engine over matrices.

float32 inside, one cast on output. Addresses, strides (in bytes) and counts are int64.
"""

from enum import StrEnum, unique
from typing import Any

from halfulp.dtypes.jit import device, kernel
from halfulp.dtypes.lanes import F32, I32, Lanes
from halfulp.dtypes.natives import begin_exact, end_exact, unpack
from halfulp.dtypes.parameters import NAMES32
from halfulp.engines.casts import COUNTS, float_cast
from halfulp.engines.grid import lane_grid


@unique
class AluOp(StrEnum):
    """Operators of the Vector Engine's instructions; names as in nki.language."""

    ADD = "add"
    SUBTRACT = "subtract"
    MULTIPLY = "multiply"
    DIVIDE = "divide"
    MAX = "max"
    MIN = "min"
    # 1.0 where it holds, else 0.0; only `not_equal` holds of NaN
    EQUAL = "equal"
    NOT_EQUAL = "not_equal"
    LESS = "less"
    LESS_EQUAL = "less_equal"
    GREATER = "greater"
    GREATER_EQUAL = "greater_equal"
    # 1.0 or 0.0 of numbers that are true unless they are zero
    LOGICAL_AND = "logical_and"
    LOGICAL_OR = "logical_or"
    LOGICAL_XOR = "logical_xor"


#: Relations that an operator holds of: less, equal, greater, and unordered, a bit each.
_LESS, _EQUAL, _GREATER, _UNORDERED = 1, 2, 4, 8
_RELATIONS = {
    AluOp.EQUAL: _EQUAL,
    AluOp.NOT_EQUAL: _LESS | _GREATER | _UNORDERED,
    AluOp.LESS: _LESS,
    AluOp.LESS_EQUAL: _LESS | _EQUAL,
    AluOp.GREATER: _GREATER,
    AluOp.GREATER_EQUAL: _GREATER | _EQUAL,
}
#: Bit a + 2 b is the operator's result of the truths a and b.
_TRUTHS = {AluOp.LOGICAL_AND: 0b1000, AluOp.LOGICAL_OR: 0b1110, AluOp.LOGICAL_XOR: 0b0110}


Given = dict[str, Lanes]
Result = tuple[Lanes, list[Lanes]]
#: Numbers by which the drivers know the operations: the order of the enums.
ARITHMETIC = tuple(op for op in AluOp if op not in _RELATIONS and op not in _TRUTHS)
#: From here on a code is that of a mask's own operation; of a relation, or of a table of truths,
#: its bits are added to the code.
SELECT, _RELATION, _TRUTH = 8, 16, 32
ALU_CODES = {op: code for code, op in enumerate(ARITHMETIC)}
ALU_CODES |= {op: _RELATION + bits for op, bits in _RELATIONS.items()}
ALU_CODES |= {op: _TRUTH + bits for op, bits in _TRUTHS.items()}


def _combine(op: AluOp, a: Lanes, b: Lanes) -> Lanes:
    match op:
        case AluOp.ADD:
            return a + b
        case AluOp.SUBTRACT:
            return a - b
        case AluOp.MULTIPLY:
            return a * b
        case AluOp.DIVIDE:
            return a / b
        case AluOp.MAX:
            return a.is_nan().where(a, (b > a).where(b, b.is_nan().where(b, a)))
        case AluOp.MIN:
            return a.is_nan().where(a, (b < a).where(b, b.is_nan().where(b, a)))
    raise AssertionError(op)


_ONE = 0x3F800000


def _judged(holds: Lanes, given: Given) -> Result:
    """1.0 and 0.0; a small format may hold no 1.0."""
    return float_cast(holds.convert("sext", I32) & _ONE, given)


def _relation(inputs: list[Lanes], given: Given, code: Lanes) -> Result:
    a, b = (lanes.bits(F32) for lanes in inputs)
    asked = code.bits(I32)
    unordered = a.is_nan() | b.is_nan()
    holds = unordered & (asked & _UNORDERED).differs(0)
    for found, bit in ((a < b, _LESS), (a.equals(b), _EQUAL), (a > b, _GREATER)):
        holds = holds | (found & (asked & bit).differs(0))
    return _judged(holds, given)


def _truth(inputs: list[Lanes], given: Given, code: Lanes) -> Result:
    # NaN is no zero
    truths = [(lanes << 1).differs(0).convert("zext", I32) for lanes in inputs]
    place = truths[0] + (truths[1] << 1)
    return _judged(((code.bits(I32) >> place) & 1).differs(0), given)


def _alu_grid(op: AluOp) -> Any:
    def body(inputs: list[Lanes], given: Given, scale: Lanes) -> Result:
        a, b = (lanes.bits(F32) for lanes in inputs)
        return float_cast(_combine(op, a, b).bits(I32), given)

    return lane_grid(f"halfulp_alu_{op.value}", body, [I32, I32], I32, NAMES32, len(COUNTS))


def _select(inputs: list[Lanes], given: Given, scale: Lanes) -> Result:
    """The score where the mask is 0, the mask where it is -inf."""
    score, mask = inputs
    never = score.differs(score)
    return mask.equals(0).where(score, mask), [never] * len(COUNTS)


select_grid = lane_grid("halfulp_select", _select, [I32, I32], I32, NAMES32, len(COUNTS))
relation_grid = lane_grid("halfulp_relation", _relation, [I32, I32], I32, NAMES32, len(COUNTS))
truth_grid = lane_grid("halfulp_truth", _truth, [I32, I32], I32, NAMES32, len(COUNTS))
add_grid, subtract_grid, multiply_grid, divide_grid, max_grid, min_grid = map(_alu_grid, ARITHMETIC)


@device
def _alu(op: int, a: int, a_stride: int, b: int, b_stride: int, out: int, out_stride: int,
         rows: int, columns: int, given: int, counts: int) -> None:  # fmt: skip
    operands = (a, a_stride, b, b_stride, out, out_stride, rows, columns, given, 0, counts)
    # numba knows a native by its global name only
    if op == 0:
        add_grid(operands)
    elif op == 1:
        subtract_grid(operands)
    elif op == 2:
        multiply_grid(operands)
    elif op == 3:
        divide_grid(operands)
    elif op == 4:
        max_grid(operands)
    else:
        min_grid(operands)


@kernel
def tensor_tensor(arguments: int) -> None:
    """out[r, c] = round(a[r, c] op b[r, c]); a stride of 0 repeats a row; `op` is an ALU code."""
    (op, a, a_stride, b, b_stride, out, out_stride, rows, columns, given, counts,
     environment) = unpack(arguments, 12)  # fmt: skip
    begin_exact((environment,))
    if op < SELECT:
        _alu(op, a, a_stride, b, b_stride, out, out_stride, rows, columns, given, counts)
    else:
        operands = (a, a_stride, b, b_stride, out, out_stride, rows, columns, given, op, counts)
        if op == SELECT:
            select_grid(operands)
        elif op < _TRUTH:
            relation_grid(operands)
        else:
            truth_grid(operands)
    end_exact((environment,))


@kernel
def reduce_columns(arguments: int) -> None:
    """out[c] = out[c] op x[0, c] op x[1, c] ... in that order, for items first..last.

    Each step is rounded to float32. An item has `rows` rows of x and one of out.
    """
    (op, x, x_stride, out, first, last, rows, columns, given, counts,
     environment) = unpack(arguments, 11)  # fmt: skip
    begin_exact((environment,))
    for item in range(first, last):
        place = out + item * columns * 4
        for row in range(rows):
            added = x + (item * rows + row) * x_stride
            _alu(op, place, 0, added, 0, place, 0, 1, columns, given, counts)
    end_exact((environment,))


@kernel
def scan(arguments: int) -> None:
    """out[s] = (a[s] op0 out[s - 1]) op1 b[s], rows of `columns` numbers; before the first: first.

    Each step is rounded to float32; the operators are arithmetic ones.
    """
    (op0, op1, a, b, first, out, steps, columns, given, counts,
     environment) = unpack(arguments, 11)  # fmt: skip
    begin_exact((environment,))
    before = first
    for step in range(steps):
        at = step * columns * 4
        _alu(op0, a + at, 0, before, 0, out + at, 0, 1, columns, given, counts)
        _alu(op1, out + at, 0, b + at, 0, out + at, 0, 1, columns, given, counts)
        before = out + at
    end_exact((environment,))
