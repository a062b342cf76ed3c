"""Sums, normalizations and statistics of sixteen rows, each in a lane: the natives of `rows`.

`turned` is where element c of all sixteen rows begins a column of 64 bytes, c after c.
"""

import functools

from llvmlite import ir

from halfulp.dtypes.guards import add_masks
from halfulp.dtypes.lanes import F32, I32, I64, Lanes, constant, load, splat, store
from halfulp.dtypes.loops import add_counts, copy_lanes, first_lanes
from halfulp.dtypes.natives import native
from halfulp.engines.activations import Activation
from halfulp.engines.function_lanes import apply
from halfulp.engines.grid import LANES, Counter, load_block, offset, transposed

_COLUMN = LANES * 4  # bytes from one column of turned rows to the next
_NOTHING = 0xFF800000  # -inf
CHUNK = 512  # elements that one bn_stats instruction takes (documented)


def _at(builder: ir.IRBuilder, base: ir.Value, index: ir.Value) -> Lanes:
    return load(builder, offset(builder, base, index, _COLUMN), F32, LANES)


def _zero(builder: ir.IRBuilder, value: float = 0.0) -> Lanes:
    return Lanes(builder, constant(F32, LANES, value))


def _put(builder: ir.IRBuilder, values: list[Lanes], base: ir.Value) -> None:
    """Values one column after the other."""
    for index, value in enumerate(values):
        store(builder, value, builder.add(base, I64(index * _COLUMN)))


def _build_maxima(function: ir.Function) -> None:
    """Of at most sixteen rows the largest number, and bits that are 0 where all are -inf.

    To the columns at `state`; `spare` has room for 32. The maximum passes over a NaN.
    """
    x, stride, rows, columns, state, spare = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    buffer = builder.alloca(ir.VectorType(F32, LANES))
    lowest = constant(F32, LANES, float("-inf"))

    def step(largest: Lanes, other: Lanes, x: Lanes) -> list[Lanes]:
        return [(x > largest).where(x, largest), other | (x.bits(I32) ^ _NOTHING)]

    row = Counter(builder, rows, 1)
    place = offset(builder, x, row.index, stride)
    whole = builder.sub(columns, builder.srem(columns, I64(LANES)))
    start = [Lanes(builder, lowest), Lanes(builder, constant(I32, LANES, 0))]
    loop = Counter(builder, whole, LANES, start)
    given = load(builder, offset(builder, place, loop.index, 4), F32, LANES)
    largest, other = loop.close(step(loop.sums[0], loop.sums[1], given))
    builder.store(lowest, buffer)
    left, target = builder.sub(columns, whole), builder.ptrtoint(buffer, I64)
    copy_lanes(builder, offset(builder, place, whole, 4), target, left, F32)
    largest, other = step(largest, other, Lanes(builder, builder.load(buffer)))
    own = offset(builder, spare, row.index, _COLUMN)
    store(builder, largest, own)
    store(builder, other, builder.add(own, I64(LANES * _COLUMN)))
    row.close()
    # sixteen vectors of a row each become one of all rows
    turned = transposed(builder, load_block(builder, spare, I64(_COLUMN), F32))
    more = builder.add(spare, I64(LANES * _COLUMN))
    others = transposed(builder, load_block(builder, more, I64(_COLUMN), I32))
    largest = functools.reduce(lambda x, y: (y > x).where(y, x), turned)
    _put(builder, [largest, functools.reduce(Lanes.__or__, others)], state)
    builder.ret_void()


def _build_inverses(function: ir.Function) -> None:
    """The reciprocals of the totals at `state`, in their place.

    Behind them, at the second column, from what `maxima` left: bits that are all set but 0 of rows
    of -inf only. Of the first `rows` these are counted to the int64 at `count`.
    """
    state, rows, count = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    total = _at(builder, state, I64(0))
    nothing = _at(builder, state, I64(2)).bits(I32).equals(0)
    zero = Lanes(builder, constant(I32, LANES, 0))
    kept = nothing.where(zero, -1)
    _put(builder, [total.like(1.0) / total, kept], state)
    add_counts(builder, add_masks([nothing & first_lanes(builder, rows, LANES)], [zero]), count)
    builder.ret_void()


def _build_turn_adding(function: ir.Function) -> None:
    """A 16 x 16 block is turned, and the even and the odd of its columns added to two sums."""
    source, stride, target, sums = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    columns = transposed(builder, load_block(builder, source, stride, F32))
    _put(builder, columns, target)
    totals = [_at(builder, sums, I64(which)) for which in (0, 1)]
    _put(builder, [sum(columns[which::2], totals[which]) for which in (0, 1)], sums)
    builder.ret_void()


def _build_turn_summing(function: ir.Function) -> None:
    """The columns of a turned 16 x 16 block are added, one after the other, to a sum."""
    source, stride, total = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    columns = transposed(builder, load_block(builder, source, stride, F32))
    _put(builder, [sum(columns, _at(builder, total, I64(0)))], total)
    builder.ret_void()


def _groups(
    builder: ir.IRBuilder, turned: ir.Value, size: ir.Value, totals: ir.Value
) -> list[tuple[Lanes, Lanes, Lanes]]:
    """bn_stats of the even and of the odd of `size` elements: (count, mean, variance * count) each.

    Their sums stand at `totals`: the means come first, then, in a second pass, the squares of the
    distances from them. The two chains run side by side.
    """
    counts = builder.sdiv(builder.add(size, I64(1)), I64(2)), builder.sdiv(size, I64(2))
    numbers = [Lanes(builder, splat(builder, builder.sitofp(n, F32), LANES)) for n in counts]
    means = [_at(builder, totals, I64(which)) / numbers[which] for which in (0, 1)]

    def square(pair: ir.Value, which: int) -> Lanes:
        place = builder.add(builder.mul(pair, I64(2)), I64(which))
        distance = _at(builder, turned, place) - means[which]
        return distance * distance

    loop = Counter(builder, counts[1], 1, [_zero(builder)] * 2)
    even, odd = loop.close([loop.sums[which] + square(loop.index, which) for which in (0, 1)])
    # the even elements may be one more
    loop = Counter(builder, builder.sub(counts[0], counts[1]), 1, [even])
    (even,) = loop.close([loop.sums[0] + square(counts[1], 0)])
    return list(zip(numbers, means, (even, odd), strict=True))


def _merge(a: tuple[Lanes, ...], b: tuple[Lanes, ...]) -> list[Lanes]:
    """bn_aggr: two groups as one; an empty group changes nothing."""
    total = a[0] + b[0]
    distance = b[1] - a[1]
    mean = a[1] + distance * (b[0] / total)
    squares = (a[2] + b[2]) + (distance * distance) * ((a[0] * b[0]) / total)
    merged = [total, mean, squares]
    merged = [a[0].equals(0.0).where(new, old) for new, old in zip(b, merged, strict=True)]
    return [b[0].equals(0.0).where(new, old) for new, old in zip(a, merged, strict=True)]


def _build_chunk(function: ir.Function) -> None:
    """bn_stats of a chunk, whose sums stand at `totals`, merged into the group at `state`."""
    turned, size, totals, state = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    group = tuple(_at(builder, state, I64(index)) for index in range(3))
    even, odd = _groups(builder, turned, size, totals)
    _put(builder, _merge(tuple(_merge(group, even)), odd), state)
    builder.ret_void()


def _build_moments(function: ir.Function) -> None:
    """Of the groups at `state` the means and rsqrt(variance + eps), to `out`."""
    state, eps_bits, out = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    eps = Lanes(builder, splat(builder, builder.trunc(eps_bits, I32), LANES)).bits(F32)
    number, mean, squares = (_at(builder, state, I64(index)) for index in range(3))
    _put(builder, [mean, apply(Activation.RSQRT, squares / number + eps)], out)
    builder.ret_void()


def _build_statistics(function: ir.Function) -> None:
    """bn_stats of the even and of the odd elements, to six columns at `out`."""
    turned, columns, totals, out = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    even, odd = _groups(builder, turned, columns, totals)
    nothing = odd[0].equals(0.0)
    # of no elements there is no mean: zero
    _put(builder, [*even, odd[0], *(nothing.where(x.like(0.0), x) for x in odd[1:])], out)
    builder.ret_void()


def _build_aggregate(function: ir.Function) -> None:
    """bn_aggr of groups of three columns: to `out` their mean and their variance."""
    turned, groups, out = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    loop = Counter(builder, groups, 1, [_zero(builder)] * 3)
    first = builder.mul(loop.index, I64(3))
    group = [_at(builder, turned, builder.add(first, I64(i))) for i in range(3)]
    number, mean, squares = loop.close(_merge(tuple(loop.sums), tuple(group)))
    _put(builder, [mean, squares / number], out)
    builder.ret_void()


def _build_squares(function: ir.Function) -> None:
    """x times x, to `target`."""
    turned, columns, target = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    loop = Counter(builder, columns, 1)
    x = _at(builder, turned, loop.index)
    store(builder, x * x, offset(builder, target, loop.index, _COLUMN))
    loop.close()
    builder.ret_void()


def _build_spreads(function: ir.Function) -> None:
    """rsqrt(total / columns + eps) of the sums of squares at `total`, in their place."""
    total, columns, eps_bits = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    eps = Lanes(builder, splat(builder, builder.trunc(eps_bits, I32), LANES)).bits(F32)
    number = Lanes(builder, splat(builder, builder.sitofp(columns, F32), LANES))
    mean = _at(builder, total, I64(0)) / number
    _put(builder, [apply(Activation.RSQRT, mean + eps)], total)
    builder.ret_void()


def _build_sum(function: ir.Function) -> None:
    """Sixteen sums from +0 in index order, to `out`."""
    turned, columns, out = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    loop = Counter(builder, columns, 1, [_zero(builder)])
    (total,) = loop.close([loop.sums[0] + _at(builder, turned, loop.index)])
    store(builder, total, out)
    builder.ret_void()


def _build_chains(function: ir.Function) -> None:
    """Element c onto the chain c mod chains, from +0; the chains' sums to `partials`."""
    turned, columns, chains, partials = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    loop = Counter(builder, chains, 1)
    store(builder, _zero(builder), offset(builder, partials, loop.index, _COLUMN))
    loop.close()
    loop = Counter(builder, columns, 1)
    chain = builder.urem(loop.index, chains)
    total = _at(builder, partials, chain) + _at(builder, turned, loop.index)
    store(builder, total, offset(builder, partials, chain, _COLUMN))
    loop.close()
    builder.ret_void()


def _build_add(function: ir.Function) -> None:
    """One column more onto another."""
    target, more = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    store(builder, _at(builder, target, I64(0)) + _at(builder, more, I64(0)), target)
    builder.ret_void()


row_maxima = native("halfulp_row_maxima", 6, _build_maxima, guarded=False)
inverses = native("halfulp_inverses", 3, _build_inverses, guarded=False)
turn_adding = native("halfulp_turn_adding", 4, _build_turn_adding, guarded=False)
turn_summing = native("halfulp_turn_summing", 3, _build_turn_summing, guarded=False)
chunk_lanes = native("halfulp_chunk", 4, _build_chunk, guarded=False)
moments_lanes = native("halfulp_moments", 3, _build_moments, guarded=False)
statistics_lanes = native("halfulp_statistics", 4, _build_statistics, guarded=False)
aggregate_lanes = native("halfulp_aggregate", 3, _build_aggregate, guarded=False)
squares_lanes = native("halfulp_squares", 3, _build_squares, guarded=False)
spread_lanes = native("halfulp_spreads", 3, _build_spreads, guarded=False)
sum_lanes = native("halfulp_sum", 3, _build_sum, guarded=False)
chains_lanes = native("halfulp_chains", 4, _build_chains, guarded=False)
add_lanes = native("halfulp_add_column", 2, _build_add, guarded=False)
