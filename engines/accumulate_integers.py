"""Matrix products into integer accumulators: the compiled driver, and operands for every driver."""

from halfulp.dtypes.jit import device, kernel
from halfulp.dtypes.natives import unpack
from halfulp.engines.grid import clear, move
from halfulp.engines.integer_steps import (
    integer_check_saturate,
    integer_check_wrap,
    integer_steps_saturate,
    integer_steps_wrap,
)
from halfulp.engines.steps import zero_block
from halfulp.engines.wide import A_BYTES, B_BYTES, BLOCK_BYTES, COLUMNS, ROWS
from halfulp.engines.wide_packing import (
    spread_columns,
    spread_rows,
    widen_columns,
    widen_rows,
)

FLOAT_ROWS, FLOAT_COLUMNS, INTEGER_ROWS, INTEGER_COLUMNS = range(4)

_ACC, _SUM = 0, BLOCK_BYTES  # in a thread's scratch memory


@kernel
def pack(arguments: int) -> None:
    """Steps first..last of packed operands: float64 and their powers, or int64.

    `given` is the smallest normal number, as bits of a float64.
    """
    source, target, given, kind, first, last, _ = unpack(arguments, 7)
    count = last - first
    if kind == FLOAT_ROWS:
        widen_rows((source + first * ROWS * 4, target + first * A_BYTES, count, given))
    elif kind == FLOAT_COLUMNS:
        widen_columns((source + first * COLUMNS * 4, target + first * B_BYTES, count, given))
    elif kind == INTEGER_ROWS:
        spread_rows((source + first * ROWS * 4, target + first * A_BYTES, count))
    else:
        spread_columns((source + first * COLUMNS * 4, target + first * B_BYTES, count))


@device
def _outputs(a: int, b: int, segments: int, count: int, each: int, saturate: int, shift: int,
             low: int, high: int, scratch: int) -> None:  # fmt: skip
    """A block's sums at _ACC, limited after `each` product or else after each segment."""
    acc, own = scratch + _ACC, scratch + _SUM
    for index in range(count):
        start, stop, _ = unpack(segments + 24 * index, 3)
        at, over, steps = a + start * A_BYTES, b + start * B_BYTES, stop - start
        if each and saturate:
            integer_steps_saturate((at, over, acc, steps, shift, low, high))
        elif each:
            integer_steps_wrap((at, over, acc, steps, shift, low, high))
        else:
            zero_block((own,))
            integer_steps_wrap((at, over, own, steps, 0, low, high))
            if saturate:
                integer_check_saturate((acc, own, shift, low, high))
            else:
                integer_check_wrap((acc, own, shift, low, high))


@kernel
def accumulate_integers(arguments: int) -> None:
    """Pieces first..last of a batch of products; a piece is one block of rows of one product.

    Steps are bytes from one product of the batch to the next; c and out are int64.
    """
    (a, a_step, b, b_step, depth, c, c_step, c_stride, out, out_step, out_stride, height, width,
     first, last, each, saturate, shift, low, high, segments, count,
     scratch) = unpack(arguments, 23)  # fmt: skip
    blocks, acc, line = (height + ROWS - 1) // ROWS, scratch + _ACC, COLUMNS * 8
    for piece in range(first, last):
        item, m = piece // blocks, piece % blocks
        rows = min(ROWS, height - m * ROWS)
        for n in range(0, width, COLUMNS):
            columns = min(COLUMNS, width - n)
            clear((acc, BLOCK_BYTES // 4))
            if c:
                place = c + item * c_step + m * ROWS * c_stride + n * 8
                move((place, c_stride, acc, line, rows, 2 * columns))
                # the input itself meets the limits as an empty sum would
            _outputs(a + item * a_step + m * depth * A_BYTES,
                     b + item * b_step + n // COLUMNS * depth * B_BYTES, segments, count, each,
                     saturate, shift, low, high, scratch)  # fmt: skip
            place = out + item * out_step + m * ROWS * out_stride + n * 8
            move((acc, line, place, out_stride, rows, 2 * columns))
