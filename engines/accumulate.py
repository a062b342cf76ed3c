"""Matrix products in any accumulation: the compiled driver of `steps`.

A block of ROWS x COLUMNS outputs goes through the whole schedule before the next one: its running
sums are blocks of float64 in a thread's scratch memory.
"""

from halfulp.dtypes.jit import device, kernel
from halfulp.dtypes.natives import begin_exact, end_exact, unpack
from halfulp.engines.exact_sums import exact_sum
from halfulp.engines.grid import clear, move
from halfulp.engines.narrow import A_BYTES as A_NARROW
from halfulp.engines.narrow import B_BYTES as B_NARROW
from halfulp.engines.narrow import (
    chain,
    chain_rounded,
    narrow_even,
    narrow_even_ranged,
    narrow_odd_ranged,
    narrow_ranged,
    shrink,
)
from halfulp.engines.schedule import CLOSES, FRESH, JOINS
from halfulp.engines.steps import (
    add,
    fused_down,
    fused_to_nearest,
    fused_to_zero,
    product,
    round_block,
    sequential,
    sequential_rounded,
    sums,
    zero_block,
)
from halfulp.engines.wide import A_BYTES, B_BYTES, BLOCK_BYTES, COLUMNS, ROWS
from halfulp.engines.wide_packing import close_block, draw, number, open_block, put

# how a block of products becomes part of the accumulator
SEQUENTIAL, SEQUENTIAL_ROUNDED, PAIRWISE, TO_ZERO, DOWN, TO_NEAREST, EXACT = range(7)
# the way of a chain: in float64, or one of `narrow`'s
WIDE, CHAIN, CHAIN_ROUNDED, EVEN, EVEN_RANGED, RANGED, ODD_RANGED = range(7)
APART, PAIRED = 1, 2  # how the chains of a tile meet that start from +0

# the layout of a thread's scratch memory: blocks of float64
_ACC, _PSUM, _TEMP, _ZERO, _LOST, _NUMBERS, _WORDS, _NARROW = (BLOCK_BYTES * i for i in range(8))
_NOISE = 8 * BLOCK_BYTES  # four blocks
_STACK = 16 * BLOCK_BYTES  # sums of neighbours that wait for theirs
_CHAINS = 56 * BLOCK_BYTES  # the same of chains
_ENVIRONMENT = 96 * BLOCK_BYTES

#: (way, its parameters)
Narrow = tuple[int, int]
#: (parameters of the rounding, whether it is stochastic, seed, bits to drop of 32, scratch memory)
How = tuple[int, int, int, int, int]


@device
def _noise(t: int, how: How) -> int:
    """Where the random bits of rounding number t stand; without any, zeros."""
    _, stochastic, seed, drop, scratch = how
    if stochastic == 0:
        return scratch + _ZERO
    if t % 4 == 0:
        draw((scratch + _NUMBERS, t // 4, seed, drop, scratch + _NOISE))
    return scratch + _NOISE + t % 4 * BLOCK_BYTES


@device
def _add(x: int, y: int, target: int, t: int, how: How) -> int:
    add((x, y, target, how[0], _noise(t, how)))
    return t + 1


@device
def _narrowly(a: int, b: int, steps: int, narrow: Narrow, how: How) -> None:
    """A chain of products in float32."""
    way, given = narrow
    wide, scratch = how[0], how[4]
    acc, zeros = scratch + _NARROW, scratch + _ZERO
    shrink((scratch + _ACC, acc))
    if way == CHAIN:
        chain((a, b, acc, steps))
    elif way == CHAIN_ROUNDED:
        chain_rounded((a, b, acc, steps))
    elif way == EVEN:
        narrow_even((a, b, acc, steps, given, wide, zeros))
    elif way == EVEN_RANGED:
        narrow_even_ranged((a, b, acc, steps, given, wide, zeros))
    elif way == ODD_RANGED:
        narrow_odd_ranged((a, b, acc, steps, given, wide, zeros))
    else:
        narrow_ranged((a, b, acc, steps, given, wide, zeros))
    open_block((acc, scratch + _ACC))


@device
def _sequential(a: int, b: int, steps: int, order: int, t: int, how: How) -> int:
    """A chain of products; returns the number of the next rounding."""
    given, stochastic, _, _, scratch = how
    acc, zero = scratch + _ACC, scratch + _ZERO
    if stochastic == 0 and order == SEQUENTIAL:
        sequential((a, b, acc, steps, given, zero))
    elif stochastic == 0:
        sequential_rounded((a, b, acc, steps, given, zero))
    else:
        for k in range(steps):
            at, over = a + k * A_BYTES, b + k * B_BYTES
            if order == SEQUENTIAL:
                sequential((at, over, acc, 1, given, _noise(t, how)))
                t += 1
            else:
                product((at, over, scratch + _TEMP, given, _noise(t, how)))
                t = _add(acc, scratch + _TEMP, acc, t + 1, how)
    return t


@device
def _merge(stack: int, held: int, leaves: int, t: int, how: How) -> tuple[int, int]:
    """After the last of `leaves`: add neighbours that have as many leaves; (held, t) after that."""
    while leaves % 2 == 0:
        left = stack + (held - 2) * BLOCK_BYTES
        t = _add(left, left + BLOCK_BYTES, left, t, how)
        held, leaves = held - 1, leaves // 2
    return held, t


@device
def _merge_rest(stack: int, held: int, t: int, how: How) -> int:
    """Add what is held, from the right; the sum is at the stack's bottom."""
    while held > 1:
        left = stack + (held - 2) * BLOCK_BYTES
        t = _add(left, left + BLOCK_BYTES, left, t, how)
        held -= 1
    return t


@device
def _pairwise(a: int, b: int, steps: int, t: int, how: How) -> int:
    """The sum of a block at the bottom of the stack."""
    stack, held = how[4] + _STACK, 0
    for k in range(steps):
        place = stack + held * BLOCK_BYTES
        product((a + k * A_BYTES, b + k * B_BYTES, place, how[0], _noise(t, how)))
        held, t = _merge(stack, held + 1, k + 1, t + 1, how)
    return _merge_rest(stack, held, t, how)


@device
def _exact(a: int, b: int, acc: int, steps: int, t: int, how: How) -> int:
    """acc + the products, rounded once, at acc."""
    scratch = how[4]
    total, lost = scratch + _TEMP, scratch + _LOST
    sums((a, b, acc, steps, how[0], total, lost))
    for row in range(ROWS):
        for column in range(COLUMNS):
            place = (row * COLUMNS + column) * 8
            if unpack(lost + place, 1)[0] != 0:
                found = exact_sum(a + row * 8, b + column * 8, acc + place, steps, scratch + _WORDS)
                put((total + place, found))
    round_block((total, acc, how[0], _noise(t, how)))
    return t + 1


@device
def _block(a: int, b: int, acc: int, steps: int, block: int, order: int, t: int, how: How) -> int:
    """Blocks of products with the accumulator among the terms."""
    given = how[0]
    if order == EXACT:
        return _exact(a, b, acc, steps, t, how)
    if order == TO_ZERO:
        fused_to_zero((a, b, acc, steps, block, given, _noise(t, how)))
    elif order == DOWN:
        fused_down((a, b, acc, steps, block, given, _noise(t, how)))
    else:
        fused_to_nearest((a, b, acc, steps, block, given, _noise(t, how)))
    return t + 1


@device
def _segment(a: int, b: int, steps: int, order: int, block: int, late: int, t: int,
             how: How) -> int:  # fmt: skip
    """A part of a chain that is not sequential, block by block, into the accumulator."""
    scratch = how[4]
    acc, own = scratch + _ACC, scratch + _STACK
    if late == 0 and order != EXACT and how[1] == 0:
        return _block(a, b, acc, steps, block, order, t, how)
    for start in range(0, steps, block):
        length = min(block, steps - start)
        at, over = a + start * A_BYTES, b + start * B_BYTES
        if order == PAIRWISE:
            t = _pairwise(at, over, length, t, how)
        elif late:
            zero_block((own,))
            t = _block(at, over, own, length, length, order, t, how)
        else:
            t = _block(at, over, acc, length, length, order, t, how)
        if late:
            t = _add(acc, own, acc, t, how)
    return t


@device
def _outputs(a: int, b: int, order: int, block: int, late: int, join: int,
             ends: int, given_psum: int, segments: int, count: int, has_input: int, how: How,
             narrow: Narrow) -> None:  # fmt: skip
    """The block's outputs, at _ACC."""
    scratch = how[4]
    acc, psum, stack = scratch + _ACC, scratch + _PSUM, scratch + _CHAINS
    t, held, leaves, first = 0, 0, 0, 1 - has_input
    for index in range(count):
        start, stop, does = unpack(segments + 24 * index, 3)
        if does & FRESH:
            zero_block((acc,))
        steps = stop - start
        if narrow[0] != WIDE:
            _narrowly(a + start * A_NARROW, b + start * B_NARROW, steps, narrow, how)
        elif order <= SEQUENTIAL_ROUNDED:
            t = _sequential(a + start * A_BYTES, b + start * B_BYTES, steps, order, t, how)
        else:
            t = _segment(a + start * A_BYTES, b + start * B_BYTES, steps, order, block, late, t,
                         how)  # fmt: skip
        if does & JOINS:
            place = stack + held * BLOCK_BYTES
            move((acc, BLOCK_BYTES, place, BLOCK_BYTES, 1, BLOCK_BYTES // 4))
            held, leaves = held + 1, leaves + 1
            if join == PAIRED:
                held, t = _merge(stack, held, leaves, t, how)
            elif held == 2:
                held, t = 1, _add(stack, place, stack, t, how)
        if does & CLOSES:
            total = acc
            if does & JOINS:
                t, total = _merge_rest(stack, held, t, how), stack
                held, leaves = 0, 0
            if first:
                round_block((total, psum, given_psum, scratch + _ZERO))
            else:
                add((psum, total, psum, given_psum, scratch + _ZERO))
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
    single, start = scratch + _NARROW, scratch + (_PSUM if ends else _ACC)
    rows = min(ROWS, height - m * ROWS)
    a_bytes = A_BYTES if narrow[0] == WIDE else A_NARROW
    b_bytes = B_BYTES if narrow[0] == WIDE else B_NARROW
    for n in range(0, width, COLUMNS):
        columns, panel = min(COLUMNS, width - n), n // COLUMNS * depth
        zero_block((start,))
        if how[1]:
            number((scratch + _NUMBERS, output + m * ROWS * width + n, width))
        if c:
            clear((single, ROWS * COLUMNS))
            place = c + m * ROWS * c_stride + n * 4
            move((place, c_stride, single, COLUMNS * 4, rows, columns))
            open_block((single, start))
        _outputs(a + m * depth * a_bytes, b + panel * b_bytes, order, block, late, join, ends,
                 given_psum, segments, count, 1 if c else 0, how, narrow)  # fmt: skip
        close_block((scratch + _ACC, single))
        place = out + m * ROWS * out_stride + n * 4
        move((single, COLUMNS * 4, place, out_stride, rows, columns))


@kernel
def accumulate(arguments: int) -> None:
    """Pieces first..last of a batch of products; a piece is one block of rows of one product.

    a_step, b_step, c_step, out_step are bytes from one product of the batch to the next, 0 where an
    operand repeats; c is 0 where there is no accumulator input. Operands are float32 unless the way
    of the chains is WIDE.
    """
    (a, a_step, b, b_step, depth, c, c_step, c_stride, out, out_step, out_stride, height, width,
     first, last, order, block, late, join, ends, given, given_psum, segments, count, stochastic,
     seed, drop, way, given_narrow, scratch) = unpack(arguments, 30)  # fmt: skip
    begin_exact((scratch + _ENVIRONMENT,))
    zero_block((scratch + _ZERO,))
    how = (given, stochastic, seed, drop, scratch)
    narrow = (way, given_narrow)
    blocks = (height + ROWS - 1) // ROWS
    for piece in range(first, last):
        item = piece // blocks
        start = c + item * c_step if c else 0
        _row(piece % blocks, a + item * a_step, b + item * b_step, depth, start, c_stride,
             out + item * out_step, out_stride, height, width, item * height * width, order, block,
             late, join, ends, given_psum, segments, count, how, narrow)  # fmt: skip
    end_exact((scratch + _ENVIRONMENT,))
