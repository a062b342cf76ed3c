"""Sums, normalizations and statistics of sixteen rows, each in a lane: the natives of `rows`.

`turned` is where element c of all sixteen rows begins a column of 64 bytes, c after c.
"""

from collections.abc import Callable

from llvmlite import ir

from halfulp.dtypes.guards import add_masks
from halfulp.dtypes.lanes import F32, I32, I64, Lanes, constant, load, splat, store
from halfulp.dtypes.loops import add_counts, first_lanes
from halfulp.dtypes.natives import native
from halfulp.engines.activations import Activation
from halfulp.engines.function_lanes import apply
from halfulp.engines.grid import LANES, Counter, offset

_COLUMN = LANES * 4  # bytes from one column of turned rows to the next
CHUNK = 512  # elements that one bn_stats instruction takes (documented)


def _at(builder: ir.IRBuilder, base: ir.Value, index: ir.Value) -> Lanes:
    return load(builder, offset(builder, base, index, _COLUMN), F32, LANES)


def _zero(builder: ir.IRBuilder, value: float = 0.0) -> Lanes:
    return Lanes(builder, constant(F32, LANES, value))


def _repeated(builder: ir.IRBuilder, base: ir.Value, index: ir.Value) -> Lanes:
    """The float32 at `index`, in every lane."""
    pointer = builder.inttoptr(offset(builder, base, index, 4), F32.as_pointer())
    return Lanes(builder, splat(builder, builder.load(pointer), LANES))


def _put(builder: ir.IRBuilder, values: list[Lanes], base: ir.Value) -> None:
    """Values one column after the other."""
    for index, value in enumerate(values):
        store(builder, value, builder.add(base, I64(index * _COLUMN)))


def _build_powers(function: ir.Function) -> None:
    """x to exp(x - max); to `state` their sum in index order, the maximum, and the sum of the x."""
    turned, columns, state = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    loop = Counter(builder, columns, 1, [_zero(builder, float("-inf")), _zero(builder)])
    x = _at(builder, turned, loop.index)
    # the maximum passes over a NaN, the witness does not: a row of NaN and -inf is no masked row
    largest, witness = loop.close([(x > loop.sums[0]).where(x, loop.sums[0]), loop.sums[1] + x])
    loop = Counter(builder, columns, 1, [_zero(builder)])
    power = apply(Activation.EXP, _at(builder, turned, loop.index) - largest, inline=True)
    store(builder, power, offset(builder, turned, loop.index, _COLUMN))
    (total,) = loop.close([loop.sums[0] + power])
    _put(builder, [total, largest, witness], state)
    builder.ret_void()


def _build_shares(function: ir.Function) -> None:
    """Powers times the reciprocal of their sum; a row of -inf only gives zeros."""
    turned, columns, state = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    total, largest, witness = (_at(builder, state, I64(index)) for index in range(3))
    inverse = total.like(1.0) / total
    nothing = _nothing(largest, witness)
    loop = Counter(builder, columns, 1)
    share = _at(builder, turned, loop.index) * inverse
    share = nothing.where(share.like(0.0), share)
    store(builder, share, offset(builder, turned, loop.index, _COLUMN))
    loop.close()
    builder.ret_void()


def _nothing(largest: Lanes, witness: Lanes) -> Lanes:
    """Rows of -inf only."""
    return largest.equals(float("-inf")) & witness.equals(float("-inf"))


def _build_masked(function: ir.Function) -> None:
    """Add the number of rows of -inf only, of the first `rows`, to the int64 at `count`."""
    state, rows, count = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    nothing = _nothing(*(_at(builder, state, I64(index)) for index in (1, 2)))
    masks = add_masks(
        [nothing & first_lanes(builder, rows, LANES)], [Lanes(builder, constant(I32, LANES, 0))]
    )
    add_counts(builder, masks, count)
    builder.ret_void()


def _groups(
    builder: ir.IRBuilder, turned: ir.Value, start: ir.Value, size: ir.Value
) -> list[tuple[Lanes, Lanes, Lanes]]:
    """bn_stats of the even and of the odd of `size` elements: (count, mean, variance * count) each.

    Two passes: the means first, then the squares of the distances from them. The two chains of a
    pass run side by side.
    """
    counts = builder.sdiv(builder.add(size, I64(1)), I64(2)), builder.sdiv(size, I64(2))
    numbers = [Lanes(builder, splat(builder, builder.sitofp(n, F32), LANES)) for n in counts]

    def sums(term: Callable[[int, Lanes], Lanes]) -> list[Lanes]:
        """Of the even and of the odd elements, whose first may be one more."""

        def element(index: ir.Value, which: int) -> Lanes:
            place = builder.add(builder.mul(index, I64(2)), builder.add(start, I64(which)))
            return term(which, _at(builder, turned, place))

        loop = Counter(builder, counts[1], 1, [_zero(builder)] * 2)
        pairs = loop.close([loop.sums[which] + element(loop.index, which) for which in (0, 1)])
        loop = Counter(builder, builder.sub(counts[0], counts[1]), 1, pairs[:1])
        (even,) = loop.close([loop.sums[0] + element(counts[1], 0)])
        return [even, pairs[1]]

    totals = sums(lambda _, x: x)
    means = [total / number for total, number in zip(totals, numbers, strict=True)]

    def square(which: int, x: Lanes) -> Lanes:
        distance = x - means[which]
        return distance * distance

    return list(zip(numbers, means, sums(square), strict=True))


def _merge(a: tuple[Lanes, ...], b: tuple[Lanes, ...]) -> list[Lanes]:
    """bn_aggr: two groups as one; an empty group changes nothing."""
    total = a[0] + b[0]
    distance = b[1] - a[1]
    mean = a[1] + distance * (b[0] / total)
    squares = (a[2] + b[2]) + (distance * distance) * ((a[0] * b[0]) / total)
    merged = [total, mean, squares]
    merged = [a[0].equals(0.0).where(new, old) for new, old in zip(b, merged, strict=True)]
    return [b[0].equals(0.0).where(new, old) for new, old in zip(a, merged, strict=True)]


def _build_normalize(function: ir.Function) -> None:
    """((x - mean) * rsqrt(variance + eps)) * gamma + beta, every operation rounded to float32."""
    turned, columns, eps_bits, gamma, beta = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    eps = Lanes(builder, splat(builder, builder.trunc(eps_bits, I32), LANES)).bits(F32)
    loop = Counter(builder, columns, CHUNK, [_zero(builder)] * 3)
    left = builder.sub(columns, loop.index)
    size = builder.select(builder.icmp_signed("<", left, I64(CHUNK)), left, I64(CHUNK))
    even, odd = _groups(builder, turned, loop.index, size)
    number, mean, squares = loop.close(_merge(tuple(_merge(tuple(loop.sums), even)), odd))
    spread = apply(Activation.RSQRT, squares / number + eps)
    loop = Counter(builder, columns, 1)
    factor, shift = (_repeated(builder, base, loop.index) for base in (gamma, beta))
    y = (_at(builder, turned, loop.index) - mean) * spread * factor + shift
    store(builder, y, offset(builder, turned, loop.index, _COLUMN))
    loop.close()
    builder.ret_void()


def _build_statistics(function: ir.Function) -> None:
    """bn_stats of the even and of the odd elements, to six columns at `out`."""
    turned, columns, out = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    even, odd = _groups(builder, turned, I64(0), columns)
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


def _build_rms(function: ir.Function) -> None:
    """(x * rsqrt(total / columns + eps)) * gamma; the sum of squares stands at `total`."""
    turned, columns, eps_bits, gamma, total = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    eps = Lanes(builder, splat(builder, builder.trunc(eps_bits, I32), LANES)).bits(F32)
    number = Lanes(builder, splat(builder, builder.sitofp(columns, F32), LANES))
    spread = apply(Activation.RSQRT, _at(builder, total, I64(0)) / number + eps)
    loop = Counter(builder, columns, 1)
    y = _at(builder, turned, loop.index) * spread * _repeated(builder, gamma, loop.index)
    store(builder, y, offset(builder, turned, loop.index, _COLUMN))
    loop.close()
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


softmax_powers = native("halfulp_softmax_powers", 3, _build_powers, guarded=False)
masked_lanes = native("halfulp_masked_rows", 3, _build_masked, guarded=False)
softmax_shares = native("halfulp_softmax_shares", 3, _build_shares, guarded=False)
normalize_lanes = native("halfulp_normalize", 5, _build_normalize, guarded=False)
statistics_lanes = native("halfulp_statistics", 3, _build_statistics, guarded=False)
aggregate_lanes = native("halfulp_aggregate", 3, _build_aggregate, guarded=False)
squares_lanes = native("halfulp_squares", 3, _build_squares, guarded=False)
rms_lanes = native("halfulp_rms", 5, _build_rms, guarded=False)
sum_lanes = native("halfulp_sum", 3, _build_sum, guarded=False)
chains_lanes = native("halfulp_chains", 4, _build_chains, guarded=False)
add_lanes = native("halfulp_add_column", 2, _build_add, guarded=False)
