"""Operands cast and laid out for the systolic array: panels of B, and what both operands share.

All arguments are int64: addresses, strides in bytes, counts. An operand's KIND says how it is cast;
two-part kinds hold the high and the low halves of fp32 (`halfulp.engines.casts.high_part`).
"""

from halfulp.dtypes.jit import device, kernel
from halfulp.dtypes.natives import begin_exact, end_exact, unpack
from halfulp.dtypes.threads import SCRATCH_BYTES
from halfulp.engines.casts import (
    cast_float,
    cast_float_high,
    cast_float_low,
    cast_integer,
    cast_integer_high,
    cast_integer_low,
    cast_panel,
)
from halfulp.engines.grid import clear, move, transpose
from halfulp.engines.microkernel import PANEL, ROW_BLOCK, ROW_STRIDE, ROWS

FLOAT, FLOAT_PARTS, INTEGER, INTEGER_PARTS = 0, 1, 2, 3  # KIND: how an operand is cast
PANEL_BYTES = PANEL * 4  # of one row of a panel

# the layout of a thread's scratch memory, in bytes; first the packed rows of A
CORNER = (ROW_BLOCK + 8) * ROW_STRIDE * 4  # an edge of C, and behind it sums between two tiles
CORNER_BYTES = ROWS * PANEL_BYTES
_TURN = CORNER + 2 * CORNER_BYTES  # two 16 x 16 blocks
ENVIRONMENT = _TURN + 2 * 16 * 16 * 4
if ENVIRONMENT + 64 > SCRATCH_BYTES:
    raise AssertionError("the blocks do not fit into a thread's scratch memory")


@device
def cast(kind: int, source: int, stride: int, target: int, target_stride: int, low: int,
         rows: int, columns: int, given: int, scale: int, counts: int) -> None:  # fmt: skip
    """Cast a matrix; the target may be the source, but `low` may not.

    Two-part kinds write their high parts to the target and their low parts, first, to `low`.
    """
    whole = (source, stride, target, target_stride, rows, columns, given, scale, counts)
    second = (source, stride, low, target_stride, rows, columns, given, scale, counts)
    if kind == FLOAT:
        cast_float(whole)
    elif kind == FLOAT_PARTS:
        cast_float_low(second)
        cast_float_high(whole)
    elif kind == INTEGER:
        cast_integer(whole)
    else:
        cast_integer_low(second)
        cast_integer_high(whole)


@device
def _turn(source: int, stride: int, panel: int, rows: int, depth: int, scratch: int) -> None:
    """panel[k, n] = source[n, k] for n < rows <= PANEL, k < depth.

    The panel's other columns are zero before, and stay so.
    """
    inside, outside = scratch + _TURN, scratch + _TURN + 16 * 16 * 4
    for n in range(0, rows, 16):
        height = min(16, rows - n)
        for k in range(0, depth, 16):
            width = min(16, depth - k)
            origin = source + n * stride + k * 4
            target = panel + k * PANEL_BYTES + n * 4
            if height == 16 and width == 16:
                transpose((origin, stride, target, PANEL_BYTES))
            else:
                clear((inside, 16 * 16))
                move((origin, stride, inside, 64, height, width))
                transpose((inside, 64, outside, 64))
                move((outside, 64, target, PANEL_BYTES, width, 16))


@device
def pack_panel(source: int, stride: int, turned: int, panel: int, low: int, columns: int,
               depth: int, kind: int, given: int, scale: int, counts: int,
               scratch: int) -> None:  # fmt: skip
    """One panel [depth][PANEL] of B: from rows of B, or (`turned`) from rows of its transpose."""
    if columns < PANEL:
        clear((panel, depth * PANEL))
        if kind == FLOAT_PARTS or kind == INTEGER_PARTS:
            clear((low, depth * PANEL))
    if turned:
        _turn(source, stride, panel, columns, depth, scratch)
        cast(kind, panel, PANEL_BYTES, panel, PANEL_BYTES, low, 1, depth * PANEL,
             given, scale, counts)  # fmt: skip
    elif kind == FLOAT and columns == PANEL:
        cast_panel((source, stride, panel, PANEL_BYTES, depth, columns, given, scale, counts))
    else:
        cast(kind, source, stride, panel, PANEL_BYTES, low, depth, columns, given, scale, counts)


@kernel
def pack_panels(arguments: int) -> None:
    """Panels first..last of B (depth x width) into [panel][depth][PANEL]."""
    (source, stride, turned, packed, low, depth, width, kind, given, scale, counts, first, last,
     scratch) = unpack(arguments, 14)  # fmt: skip
    begin_exact((scratch + ENVIRONMENT,))
    size = depth * PANEL_BYTES
    for p in range(first, last):
        start = p * PANEL
        origin = source + (start * stride if turned else start * 4)
        pack_panel(origin, stride, turned, packed + p * size, low + p * size,
                   min(PANEL, width - start), depth, kind, given, scale, counts,
                   scratch)  # fmt: skip
    end_exact((scratch + ENVIRONMENT,))
