"""Matrix products in any accumulation: the compiled driver.

A block of ROWS x COLUMNS outputs goes through the whole schedule before the next one.
"""

from halfulp.dtypes.jit import device, kernel
from halfulp.dtypes.natives import begin_exact, end_exact, unpack
from halfulp.engines.accumulate_chains import (
    ACC,
    CHAINS,
    ENVIRONMENT,
    NARROW,
    NUMBERS,
    PAIRED,
    PAIRS,
    PSUM,
    SEQUENTIAL_ROUNDED,
    WIDE,
    ZERO,
    How,
    Narrow,
    add_rounded,
    in_pairs,
    in_sequence,
    merge,
    merge_rest,
    narrowly,
    segment,
)
from halfulp.engines.grid import clear, move
from halfulp.engines.narrow import A_BYTES as A_NARROW
from halfulp.engines.schedule import CLOSES, FRESH, JOINS
from halfulp.engines.steps import add, round_block, zero_block
from halfulp.engines.wide import A_BYTES, BLOCK_BYTES, COLUMNS, ROWS
from halfulp.engines.wide_packing import close_block, number, open_block


@device
def _outputs(a: int, b: int, order: int, block: int, late: int, join: int,
             ends: int, given_psum: int, segments: int, count: int, has_input: int, how: How,
             narrow: Narrow) -> None:  # fmt: skip
    """The block's outputs, at ACC."""
    scratch = how[4]
    acc, psum, stack = scratch + ACC, scratch + PSUM, scratch + CHAINS
    t, held, leaves, first, pitch = 0, 0, 0, 1 - has_input, narrow[2]
    for index in range(count):
        start, stop, does = unpack(segments + 24 * index, 3)
        if does & FRESH:
            zero_block((acc,))
        steps = stop - start
        if narrow[0] == PAIRS:
            t = in_pairs(a + start * A_NARROW, b + start * pitch, pitch, steps, block, t, how)
        elif narrow[0] != WIDE:
            t = narrowly(a + start * A_NARROW, b + start * pitch, steps, t, how, narrow)
        elif order <= SEQUENTIAL_ROUNDED:
            t = in_sequence(a + start * A_BYTES, b + start * pitch, steps, order, t, how)
        else:
            t = segment(a + start * A_BYTES, b + start * pitch, steps, order, block, late, t,
                         how)  # fmt: skip
        if does & JOINS:
            place = stack + held * BLOCK_BYTES
            move((acc, BLOCK_BYTES, place, BLOCK_BYTES, 1, BLOCK_BYTES // 4))
            held, leaves = held + 1, leaves + 1
            if join == PAIRED:
                held, t = merge(stack, held, leaves, t, how)
            elif held == 2:
                held, t = 1, add_rounded(stack, place, stack, t, how)
        if does & CLOSES:
            total = acc
            if does & JOINS:
                t, total = merge_rest(stack, held, t, how), stack
                held, leaves = 0, 0
            if first:
                round_block((total, psum, given_psum, scratch + ZERO))
            else:
                add((psum, total, psum, given_psum, scratch + ZERO))
            first = 0
    if ends:
        move((psum, BLOCK_BYTES, acc, BLOCK_BYTES, 1, BLOCK_BYTES // 4))


@device
def _row(m: int, a: int, b: int, depth: int, c: int, c_stride: int, out: int,
         out_stride: int, height: int, width: int, output: int, order: int, block: int, late: int,
         join: int, ends: int, given_psum: int, segments: int, count: int, how: How,
         narrow: Narrow) -> None:  # fmt: skip
    """Block of rows number m of one product; `output` is the number of its first output."""
    scratch = how[4]
    single, start = scratch + NARROW, scratch + (PSUM if ends else ACC)
    rows = min(ROWS, height - m * ROWS)
    a_bytes = A_BYTES if narrow[0] == WIDE else A_NARROW
    pitch = narrow[2]
    # float64 numbers come with their powers, by COLUMNS
    panel = COLUMNS if narrow[0] == WIDE else pitch // 4
    for n in range(0, width, COLUMNS):
        columns = min(COLUMNS, width - n)
        at_b = b + n // panel * depth * pitch + n % panel * 4
        zero_block((start,))
        if how[1]:
            number((scratch + NUMBERS, output + m * ROWS * width + n, width))
        if c:
            clear((single, ROWS * COLUMNS))
            place = c + m * ROWS * c_stride + n * 4
            move((place, c_stride, single, COLUMNS * 4, rows, columns))
            open_block((single, start))
        _outputs(a + m * depth * a_bytes, at_b, order, block, late, join, ends,
                 given_psum, segments, count, 1 if c else 0, how, narrow)  # fmt: skip
        close_block((scratch + ACC, single))
        place = out + m * ROWS * out_stride + n * 4
        move((single, COLUMNS * 4, place, out_stride, rows, columns))


@kernel
def accumulate(arguments: int) -> None:
    """Pieces first..last of a batch of products; a piece is one block of rows of one product.

    a_step, b_step, c_step, out_step are bytes from one product of the batch to the next, 0 where an
    operand repeats; c is 0 where there is no accumulator input. Operands are float32 unless the way
    of the chains is WIDE; `pitch` bytes are between two k of a panel of B.
    """
    (a, a_step, b, b_step, depth, c, c_step, c_stride, out, out_step, out_stride, height, width,
     first, last, order, block, late, join, ends, given, given_psum, segments, count, stochastic,
     seed, drop, way, given_narrow, pitch, scratch) = unpack(arguments, 31)  # fmt: skip
    begin_exact((scratch + ENVIRONMENT,))
    zero_block((scratch + ZERO,))
    how = (given, stochastic, seed, drop, scratch)
    narrow = (way, given_narrow, pitch)
    blocks = (height + ROWS - 1) // ROWS
    for piece in range(first, last):
        item = piece // blocks
        start = c + item * c_step if c else 0
        _row(piece % blocks, a + item * a_step, b + item * b_step, depth, start, c_stride,
             out + item * out_step, out_stride, height, width, item * height * width, order, block,
             late, join, ends, given_psum, segments, count, how, narrow)  # fmt: skip
    end_exact((scratch + ENVIRONMENT,))
