"""Sums, normalizations and statistics over the rows of a matrix, in a specified order of addition.

A sum along a row is a chain, so sixteen rows are turned into the lanes of a vector: then each step
of the chain serves them all. The order is a `Reduction`; LayerNorm's is that of bn_stats, even and
odd elements of chunks of 512 (assumed: docs/numerics.md, "Vector, Scalar and DMA engines").
"""

from halfulp.dtypes.jit import device, kernel
from halfulp.dtypes.natives import begin_exact, end_exact, unpack
from halfulp.engines.casts import cast_float
from halfulp.engines.grid import clear, move, transpose
from halfulp.engines.row_grids import normal_grid, power_grid, scaled_grid, share_grid
from halfulp.engines.row_lanes import (
    CHUNK,
    add_lanes,
    aggregate_lanes,
    chains_lanes,
    chunk_lanes,
    inverses,
    moments_lanes,
    row_maxima,
    spread_lanes,
    squares_lanes,
    statistics_lanes,
    sum_lanes,
    turn_adding,
    turn_summing,
)

_ONE = 0x3F800000  # 1.0
_GROUP = 32  # bytes from one group of counts to the next
_COLUMN = 64  # bytes of sixteen rows' elements
# the layout of a thread's scratch memory: a block that is turned, then what the natives leave
STATE, TURNED = 1024, 2048
_TOTALS, _GATHERED = 8 * _COLUMN, 10 * _COLUMN  # in the state: sums, and what chunks come to


@device
def _pad(x: int, stride: int, rows: int, columns: int, c: int, spare: int) -> tuple[int, int]:
    """A 16 x 16 block that begins at column c, and its stride: with zeros where x has no more."""
    width = min(16, columns - c)
    if rows == 16 and width == 16:
        return x + c * 4, stride
    clear((spare, 256))
    move((x + c * 4, stride, spare, 64, rows, width))
    return spare, 64


@device
def _turn_in(x: int, stride: int, rows: int, columns: int, turned: int, spare: int) -> None:
    """turned[c, r] = x[r, c]; whole 16 x 16 blocks are written."""
    for c in range(0, columns, 16):
        block, step = _pad(x, stride, rows, columns, c, spare)
        transpose((block, step, turned + c * _COLUMN, _COLUMN))


@device
def _turn_adding(x: int, stride: int, rows: int, columns: int, turned: int, totals: int,
                 spare: int) -> None:  # fmt: skip
    """Likewise, and the sums of the even and of the odd elements: +0 more changes none of them."""
    clear((totals, 32))
    for c in range(0, columns, 16):
        block, step = _pad(x, stride, rows, columns, c, spare)
        turn_adding((block, step, turned + c * _COLUMN, totals))


@device
def _turn_out(turned: int, out: int, stride: int, rows: int, columns: int, spare: int) -> None:
    for c in range(0, columns, 16):
        width = min(16, columns - c)
        if rows == 16 and width == 16:
            transpose((turned + c * 64, 64, out + c * 4, stride))
        else:
            transpose((turned + c * 64, 64, spare, 64))
            move((spare, 64, out + c * 4, stride, rows, width))


@device
def _total(turned: int, columns: int, chains: int, partials: int, out: int) -> None:
    """Sums along the rows in `chains` chains, joined by a tree, to the column at `out`."""
    if chains == 1:
        sum_lanes((turned, columns, out))
    else:
        chains_lanes((turned, columns, chains, partials))
        step = 1
        while step < chains:
            first = 0
            while first + step < chains:
                add_lanes((partials + first * _COLUMN, partials + (first + step) * _COLUMN))
                first += 2 * step
            step *= 2
        move((partials, _COLUMN, out, _COLUMN, 1, 16))


@device
def _row_totals(x: int, stride: int, rows: int, columns: int, chains: int, turned: int, out: int,
                spare: int) -> None:  # fmt: skip
    """Sums along the rows in `chains` chains, from +0, to the column at `out`."""
    if chains > 1:
        _turn_in(x, stride, rows, columns, turned, spare)
        _total(turned, columns, chains, turned + (columns + 15) // 16 * 16 * _COLUMN, out)
        return
    clear((out, 16))
    for c in range(0, columns, 16):
        block, step = _pad(x, stride, rows, columns, c, spare)
        turn_summing((block, step, out))


@device
def _finish(turned: int, place: int, stride: int, rows: int, columns: int, given: int, counts: int,
            spare: int) -> None:  # fmt: skip
    """Turned results back to rows, and cast."""
    _turn_out(turned, place, stride, rows, columns, spare)
    cast_float((place, stride, place, stride, rows, columns, given, _ONE, counts))


@kernel
def softmax(arguments: int) -> None:
    """Rows first..last; `space` holds TURNED bytes, then what `arrays.by_rows` says."""
    (x, x_stride, out, out_stride, first, last, columns, chains, given, counts, space,
     environment) = unpack(arguments, 12)  # fmt: skip
    turned, state = space + TURNED, space + STATE
    begin_exact((environment,))
    for row in range(first, last, 16):
        rows = min(16, last - row)
        source, place = x + row * x_stride, out + row * out_stride
        row_maxima((source, x_stride, rows, columns, state + _COLUMN, turned))
        power_grid((source, x_stride, place, out_stride, rows, columns, 0, 0, 0,
                    state + _COLUMN))  # fmt: skip
        _row_totals(place, out_stride, rows, columns, chains, turned, state, space)
        inverses((state, rows, counts + _GROUP))
        share_grid((place, out_stride, place, out_stride, rows, columns, given, _ONE, counts,
                    state, state + _COLUMN))  # fmt: skip
    end_exact((environment,))


@kernel
def layernorm(arguments: int) -> None:
    """Rows first..last, as `softmax`."""
    (x, x_stride, out, out_stride, first, last, columns, eps, gamma, beta, given, counts, space,
     environment) = unpack(arguments, 14)  # fmt: skip
    turned, state = space + TURNED, space + STATE
    begin_exact((environment,))
    for row in range(first, last, 16):
        rows = min(16, last - row)
        source, place = x + row * x_stride, out + row * out_stride
        clear((state + _GATHERED, 48))
        for c in range(0, columns, CHUNK):
            size = min(CHUNK, columns - c)
            _turn_adding(source + c * 4, x_stride, rows, size, turned, state + _TOTALS, space)
            chunk_lanes((turned, size, state + _TOTALS, state + _GATHERED))
        moments_lanes((state + _GATHERED, eps, state))
        normal_grid((source, x_stride, gamma, 0, beta, 0, place, out_stride, rows, columns, given,
                     _ONE, counts, state, state + _COLUMN))  # fmt: skip
    end_exact((environment,))


@kernel
def rmsnorm(arguments: int) -> None:
    """Rows first..last, as `softmax`; the squares stand behind the turned block."""
    (x, x_stride, out, out_stride, first, last, columns, chains, eps, gamma, given, counts, space,
     environment) = unpack(arguments, 14)  # fmt: skip
    turned, state = space + TURNED, space + STATE
    squares = turned + (columns + 15) // 16 * 16 * _COLUMN
    begin_exact((environment,))
    for row in range(first, last, 16):
        rows = min(16, last - row)
        source = x + row * x_stride
        _turn_in(source, x_stride, rows, columns, turned, space)
        squares_lanes((turned, columns, squares))
        _total(squares, columns, chains, squares + columns * _COLUMN, state)
        spread_lanes((state, columns, eps))
        scaled_grid((source, x_stride, gamma, 0, out + row * out_stride, out_stride, rows, columns,
                     given, _ONE, counts, state))  # fmt: skip
    end_exact((environment,))


@kernel
def sums(arguments: int) -> None:
    """out[r] = round(sum of row r); `out` is contiguous."""
    (x, x_stride, out, _, first, last, columns, chains, given, counts, space,
     environment) = unpack(arguments, 12)  # fmt: skip
    turned, state = space + TURNED, space + STATE
    begin_exact((environment,))
    for row in range(first, last, 16):
        rows = min(16, last - row)
        _row_totals(x + row * x_stride, x_stride, rows, columns, chains, turned, state, space)
        move((state, _COLUMN, out + row * 4, _COLUMN, 1, rows))
        cast_float((out + row * 4, 64, out + row * 4, 64, 1, rows, given, _ONE, counts))
    end_exact((environment,))


@kernel
def statistics(arguments: int) -> None:
    """out[r] = bn_stats of row r, six numbers; of a row with `groups` not 0 bn_aggr, two."""
    (x, x_stride, out, out_stride, first, last, columns, groups, given, counts, space,
     environment) = unpack(arguments, 12)  # fmt: skip
    turned, state = space + TURNED, space + STATE
    begin_exact((environment,))
    for row in range(first, last, 16):
        rows = min(16, last - row)
        totals = state + _TOTALS
        _turn_adding(x + row * x_stride, x_stride, rows, columns, turned, totals, space)
        if groups:
            aggregate_lanes((turned, groups, state))
        else:
            statistics_lanes((turned, columns, totals, state))
        width = 2 if groups else 6
        _finish(state, out + row * out_stride, out_stride, rows, width, given, counts, space)
    end_exact((environment,))
