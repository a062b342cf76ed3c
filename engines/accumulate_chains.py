"""Chains and blocks of products of one block of outputs, compiled: the callers of `steps`.

Running sums are blocks of float64 in a thread's scratch memory. What rounds takes the number of
its first rounding and returns that of the next, for random bits.
"""

from halfulp.dtypes.jit import device
from halfulp.dtypes.natives import unpack
from halfulp.engines.exact_sums import exact_sum
from halfulp.engines.inexact import end_watch, watch
from halfulp.engines.narrow import A_BYTES as A_NARROW
from halfulp.engines.narrow import (
    add_single,
    chain,
    chain_rounded,
    narrow_even,
    narrow_even_ranged,
    narrow_noisy_ranged,
    narrow_odd_ranged,
    narrow_ranged,
    product_single,
    shrink,
)
from halfulp.engines.steps import (
    add,
    fused_down,
    fused_to_nearest,
    fused_to_zero,
    plain_sums,
    product,
    round_block,
    sequential,
    sequential_noisy,
    sequential_rounded,
    sums,
    zero_block,
)
from halfulp.engines.twice import STEPS, narrow_twice
from halfulp.engines.wide import A_BYTES, B_BYTES, BLOCK_BYTES, COLUMNS, NOISE_BYTES, ROWS
from halfulp.engines.wide_packing import draw_halves, draw_words, open_block, put

# how a block of products becomes part of the accumulator
SEQUENTIAL, SEQUENTIAL_ROUNDED, PAIRWISE, TO_ZERO, DOWN, TO_NEAREST, EXACT = range(7)
# the way of a chain: in float64, or one of `narrow`'s or `twice`'s
WIDE, CHAIN, CHAIN_ROUNDED, EVEN, EVEN_RANGED, RANGED, ODD_RANGED, NOISY_RANGED, PAIRS, TWICE = (
    range(10)
)
_PATIENCE = 3  # with steps that may not be rounded twice: they are taken one way and then the other
APART, PAIRED = 1, 2  # how the chains of a tile meet that start from +0

# the layout of a thread's scratch memory: blocks of float64
ACC, PSUM, _TEMP, ZERO, NUMBERS, _WORDS, NARROW = (BLOCK_BYTES * i for i in range(7))
_LOST = 12 * BLOCK_BYTES  # and behind it whether anything was
_DONE = _LOST  # steps that were rounded twice
_NOISE = 8 * BLOCK_BYTES  # a random number of each output, up to eight times
_STACK = 16 * BLOCK_BYTES  # sums of neighbours that wait for theirs
CHAINS = 56 * BLOCK_BYTES  # the same of chains
ENVIRONMENT = 96 * BLOCK_BYTES
_SINGLE = BLOCK_BYTES // 2  # a block of float32

#: (way, its parameters, bytes from one k of a panel of B to the next: also of what is WIDE)
Narrow = tuple[int, int, int]
#: (parameters of the rounding, whether it is stochastic, seed, bits to drop of 32, scratch memory)
How = tuple[int, int, int, int, int]


@device
def _drawn(drop: int) -> int:
    """Roundings that one counter serves: by halves of its four words, if these are enough."""
    return 8 if drop >= 16 else 4


@device
def noise_of(t: int, how: How) -> int:
    """Where the random bits of rounding number t stand; without any, zeros."""
    _, stochastic, seed, drop, scratch = how
    if stochastic == 0:
        return scratch + ZERO
    drawn = _drawn(drop)
    if t % drawn == 0 and drawn == 8:
        draw_halves((scratch + NUMBERS, t // drawn, seed, drop, scratch + _NOISE))
    elif t % drawn == 0:
        draw_words((scratch + NUMBERS, t // drawn, seed, drop, scratch + _NOISE))
    return scratch + _NOISE + t % drawn * NOISE_BYTES


@device
def _left(t: int, steps: int, how: How) -> int:
    """How many of the next steps have their random bits already, once the first has."""
    drawn = _drawn(how[3])
    return min(drawn - t % drawn, steps)


@device
def add_rounded(x: int, y: int, target: int, t: int, how: How) -> int:
    add((x, y, target, how[0], noise_of(t, how)))
    return t + 1


@device
def _twice(a: int, b: int, steps: int, how: How, narrow: Narrow) -> None:
    """A chain that is rounded twice where that is once."""
    _, given, pitch = narrow
    acc, place = how[4] + NARROW, how[4] + _DONE
    k, patience = 0, _PATIENCE
    while k < steps:
        narrow_twice((a + k * A_NARROW, b + k * pitch, pitch, acc, steps - k, given, place))
        k += unpack(place, 1)[0]
        if k == steps:
            return
        count = min(STEPS, steps - k) if patience else steps - k
        narrow_even((a + k * A_NARROW, b + k * pitch, pitch, acc, count, given, how[0],
                     how[4] + ZERO))  # fmt: skip
        k, patience = k + count, patience - 1


@device
def narrowly(a: int, b: int, steps: int, t: int, how: How, narrow: Narrow) -> int:
    """A chain of products in float32; returns the number of the next rounding."""
    way, given, pitch = narrow
    wide, scratch = how[0], how[4]
    acc, zeros = scratch + NARROW, scratch + ZERO
    shrink((scratch + ACC, acc))
    if way == CHAIN:
        chain((a, b, pitch, acc, steps))
    elif way == CHAIN_ROUNDED:
        chain_rounded((a, b, pitch, acc, steps))
    elif way == TWICE:
        _twice(a, b, steps, how, narrow)
    elif way == EVEN:
        narrow_even((a, b, pitch, acc, steps, given, wide, zeros))
    elif way == EVEN_RANGED:
        narrow_even_ranged((a, b, pitch, acc, steps, given, wide, zeros))
    elif way == ODD_RANGED:
        narrow_odd_ranged((a, b, pitch, acc, steps, given, wide, zeros))
    elif way == NOISY_RANGED:
        k = 0
        while k < steps:
            count = _left(t, steps - k, how)
            narrow_noisy_ranged((a + k * A_NARROW, b + k * pitch, pitch, acc, count, given, wide,
                                 noise_of(t, how)))  # fmt: skip
            k, t = k + count, t + count
    else:
        narrow_ranged((a, b, pitch, acc, steps, given, wide, zeros))
    open_block((acc, scratch + ACC))
    return t


@device
def in_sequence(a: int, b: int, steps: int, order: int, t: int, how: How) -> int:
    """A chain of products; returns the number of the next rounding."""
    given, stochastic, _, _, scratch = how
    acc, zero = scratch + ACC, scratch + ZERO
    if stochastic == 0 and order == SEQUENTIAL:
        sequential((a, b, acc, steps, given, zero))
    elif stochastic == 0:
        sequential_rounded((a, b, acc, steps, given, zero))
    elif order == SEQUENTIAL:
        k = 0
        while k < steps:
            count = _left(t, steps - k, how)
            sequential_noisy((a + k * A_BYTES, b + k * B_BYTES, acc, count, given,
                              noise_of(t, how)))  # fmt: skip
            k, t = k + count, t + count
    else:
        for k in range(steps):
            at, over = a + k * A_BYTES, b + k * B_BYTES
            product((at, over, scratch + _TEMP, given, noise_of(t, how)))
            t = add_rounded(acc, scratch + _TEMP, acc, t + 1, how)
    return t


@device
def merge(stack: int, held: int, leaves: int, t: int, how: How) -> tuple[int, int]:
    """After the last of `leaves`: add neighbours that have as many leaves; (held, t) after that."""
    while leaves % 2 == 0:
        left = stack + (held - 2) * BLOCK_BYTES
        t = add_rounded(left, left + BLOCK_BYTES, left, t, how)
        held, leaves = held - 1, leaves // 2
    return held, t


@device
def merge_rest(stack: int, held: int, t: int, how: How) -> int:
    """Add what is held, from the right; the sum is at the stack's bottom."""
    while held > 1:
        left = stack + (held - 2) * BLOCK_BYTES
        t = add_rounded(left, left + BLOCK_BYTES, left, t, how)
        held -= 1
    return t


@device
def _pairwise(a: int, b: int, steps: int, t: int, how: How) -> int:
    """The sum of a block at the bottom of the stack."""
    stack, held = how[4] + _STACK, 0
    for k in range(steps):
        place = stack + held * BLOCK_BYTES
        product((a + k * A_BYTES, b + k * B_BYTES, place, how[0], noise_of(t, how)))
        held, t = merge(stack, held + 1, k + 1, t + 1, how)
    return merge_rest(stack, held, t, how)


@device
def in_pairs(a: int, b: int, pitch: int, steps: int, block: int, t: int, how: How) -> int:
    """Blocks of products in pairs of neighbours, in float32, each added to the accumulator."""
    scratch = how[4]
    acc, stack, own = scratch + ACC, scratch + _STACK, scratch + _TEMP
    for start in range(0, steps, block):
        length, held = min(block, steps - start), 0
        for k in range(length):
            place = stack + held * _SINGLE
            product_single((a + (start + k) * A_NARROW, b + (start + k) * pitch, place))
            held, leaves = held + 1, k + 1
            while leaves % 2 == 0:
                left = stack + (held - 2) * _SINGLE
                add_single((left, left + _SINGLE, left))
                held, leaves = held - 1, leaves // 2
        while held > 1:
            left = stack + (held - 2) * _SINGLE
            add_single((left, left + _SINGLE, left))
            held -= 1
        open_block((stack, own))
        t = add_rounded(acc, own, acc, t, how)
    return t


@device
def _exact(a: int, b: int, acc: int, steps: int, t: int, how: How) -> int:
    """acc + the products, rounded once, at acc."""
    scratch = how[4]
    total, lost = scratch + _TEMP, scratch + _LOST
    found, environment = lost + BLOCK_BYTES, lost + BLOCK_BYTES + 64
    # float64 holds most sums: its own flag says which it does not
    watch((environment,))
    plain_sums((a, b, acc, steps, total))
    end_watch((environment, found))
    if unpack(found, 1)[0] == 0:
        round_block((total, acc, how[0], noise_of(t, how)))
        return t + 1
    put((found, 0))
    sums((a, b, acc, steps, how[0], total, lost, found))
    for row in range(ROWS if unpack(found, 1)[0] else 0):
        for column in range(COLUMNS):
            place = (row * COLUMNS + column) * 8
            if unpack(lost + place, 1)[0] != 0:
                whole = exact_sum(a + row * 8, b + column * 8, acc + place, steps, scratch + _WORDS)
                put((total + place, whole))
    round_block((total, acc, how[0], noise_of(t, how)))
    return t + 1


@device
def _block(a: int, b: int, acc: int, steps: int, block: int, order: int, t: int, how: How) -> int:
    """Blocks of products with the accumulator among the terms."""
    given = how[0]
    if order == EXACT:
        return _exact(a, b, acc, steps, t, how)
    if order == TO_ZERO:
        fused_to_zero((a, b, acc, steps, block, given, noise_of(t, how)))
    elif order == DOWN:
        fused_down((a, b, acc, steps, block, given, noise_of(t, how)))
    else:
        fused_to_nearest((a, b, acc, steps, block, given, noise_of(t, how)))
    return t + 1


@device
def segment(a: int, b: int, steps: int, order: int, block: int, late: int, t: int,
             how: How) -> int:  # fmt: skip
    """A part of a chain that is not sequential, block by block, into the accumulator."""
    scratch = how[4]
    acc, own = scratch + ACC, scratch + _STACK
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
            t = add_rounded(acc, own, acc, t, how)
    return t
