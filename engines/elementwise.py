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


Given = dict[str, Lanes]
Result = tuple[Lanes, list[Lanes]]
#: Numbers by which the drivers know the operations: the order of the enums.
ALU_CODES = {op: code for code, op in enumerate(AluOp)}
SELECT = len(AluOp)  # a mask's own operation


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
add_grid, subtract_grid, multiply_grid, divide_grid, max_grid, min_grid = map(_alu_grid, AluOp)


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
    elif op == SELECT:
        select_grid(operands)
    else:
        min_grid(operands)


@kernel
def tensor_tensor(arguments: int) -> None:
    """out[r, c] = round(a[r, c] op b[r, c]); a stride of 0 repeats a row; `op` is an ALU code."""
    (op, a, a_stride, b, b_stride, out, out_stride, rows, columns, given, counts,
     environment) = unpack(arguments, 12)  # fmt: skip
    begin_exact((environment,))
    _alu(op, a, a_stride, b, b_stride, out, out_stride, rows, columns, given, counts)
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
