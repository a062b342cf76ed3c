"""Sums and normalizations over the rows of a matrix, in a specified order of addition.

A sum along a row is one chain, so sixteen rows are turned into the lanes of a vector: then each
step of the chain serves them all. The order is sequential; LayerNorm's is that of bn_stats, even
and odd elements of chunks of 512 (assumed: docs/numerics.md, "Vector, Scalar and DMA engines").
"""

from llvmlite import ir

from halfulp.dtypes.jit import device, kernel
from halfulp.dtypes.lanes import F32, I32, I64, Lanes, constant, load, splat, store
from halfulp.dtypes.natives import begin_exact, end_exact, native, unpack
from halfulp.engines.activations import Activation
from halfulp.engines.casts import cast_float
from halfulp.engines.function_lanes import apply
from halfulp.engines.grid import LANES, Counter, clear, move, offset, transpose

_COLUMN = LANES * 4  # bytes from one column of turned rows to the next
CHUNK = 512  # elements that one bn_stats instruction takes (documented)
_ONE = 0x3F800000  # 1.0


def _at(builder: ir.IRBuilder, base: ir.Value, index: ir.Value) -> Lanes:
    return load(builder, offset(builder, base, index, _COLUMN), F32, LANES)


def _zero(builder: ir.IRBuilder, value: float = 0.0) -> Lanes:
    return Lanes(builder, constant(F32, LANES, value))


def _repeated(builder: ir.IRBuilder, base: ir.Value, index: ir.Value) -> Lanes:
    """The float32 at `index`, in every lane."""
    pointer = builder.inttoptr(offset(builder, base, index, 4), F32.as_pointer())
    return Lanes(builder, splat(builder, builder.load(pointer), LANES))


def _build_softmax(function: ir.Function) -> None:
    """x - max, exp, their sum in order, reciprocal, product; a row of -inf only gives zeros."""
    turned, columns = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    loop = Counter(builder, columns, 1, [_zero(builder, float("-inf")), _zero(builder)])
    x = _at(builder, turned, loop.index)
    # the maximum passes over a NaN, the witness does not: a row of NaN and -inf is no masked row
    largest, witness = loop.close([(x > loop.sums[0]).where(x, loop.sums[0]), loop.sums[1] + x])
    loop = Counter(builder, columns, 1, [_zero(builder)])
    power = apply(Activation.EXP, _at(builder, turned, loop.index) - largest)
    store(builder, power, offset(builder, turned, loop.index, _COLUMN))
    (total,) = loop.close([loop.sums[0] + power])
    inverse = total.like(1.0) / total
    nothing = largest.equals(float("-inf")) & witness.equals(float("-inf"))
    loop = Counter(builder, columns, 1)
    share = _at(builder, turned, loop.index) * inverse
    share = nothing.where(share.like(0.0), share)
    store(builder, share, offset(builder, turned, loop.index, _COLUMN))
    loop.close()
    builder.ret_void()


def _group(
    builder: ir.IRBuilder, turned: ir.Value, start: ir.Value, count: ir.Value
) -> tuple[Lanes, Lanes, Lanes]:
    """bn_stats of `count` elements from `start` in steps of 2: (count, mean, variance * count).

    Two passes: the mean first, then the squares of the distances from it.
    """
    number = Lanes(builder, splat(builder, builder.sitofp(count, F32), LANES))

    def element(index: ir.Value) -> Lanes:
        return _at(builder, turned, builder.add(start, builder.mul(index, I64(2))))

    loop = Counter(builder, count, 1, [_zero(builder)])
    (total,) = loop.close([loop.sums[0] + element(loop.index)])
    mean = total / number
    loop = Counter(builder, count, 1, [_zero(builder)])
    distance = element(loop.index) - mean
    (squares,) = loop.close([loop.sums[0] + distance * distance])
    return number, mean, squares


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
    even = _group(builder, turned, loop.index, builder.sdiv(builder.add(size, I64(1)), I64(2)))
    odd = _group(builder, turned, builder.add(loop.index, I64(1)), builder.sdiv(size, I64(2)))
    number, mean, squares = loop.close(_merge(tuple(_merge(tuple(loop.sums), even)), odd))
    spread = apply(Activation.RSQRT, squares / number + eps)
    loop = Counter(builder, columns, 1)
    factor, shift = (_repeated(builder, base, loop.index) for base in (gamma, beta))
    y = (_at(builder, turned, loop.index) - mean) * spread * factor + shift
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


softmax_lanes = native("halfulp_softmax", 2, _build_softmax, guarded=False)
normalize_lanes = native("halfulp_normalize", 5, _build_normalize, guarded=False)
sum_lanes = native("halfulp_sum", 3, _build_sum, guarded=False)


@device
def _turn(
    source: int, stride: int, target: int, target_stride: int, rows: int, columns: int, spare: int
) -> None:
    """target[c, r] = source[r, c] for rows, columns <= 16; whole 16 x 16 blocks are written."""
    if rows == 16 and columns == 16:
        transpose((source, stride, target, target_stride))
    else:
        clear((spare, 256))
        move((source, stride, spare, 64, rows, columns))
        transpose((spare, 64, target, target_stride))


@device
def _turn_in(x: int, stride: int, rows: int, columns: int, turned: int, spare: int) -> None:
    for c in range(0, columns, 16):
        _turn(x + c * 4, stride, turned + c * 64, 64, rows, min(16, columns - c), spare)


@device
def _turn_out(turned: int, out: int, stride: int, rows: int, columns: int, spare: int) -> None:
    for c in range(0, columns, 16):
        width = min(16, columns - c)
        if rows == 16 and width == 16:
            transpose((turned + c * 64, 64, out + c * 4, stride))
        else:
            transpose((turned + c * 64, 64, spare, 64))
            move((spare, 64, out + c * 4, stride, rows, width))


@kernel
def softmax(arguments: int) -> None:
    """Rows first..last; `turned` holds columns (rounded up to 16) times 16 floats, `spare` 256."""
    (x, x_stride, out, out_stride, first, last, columns, given, counts, turned, spare,
     environment) = unpack(arguments, 12)  # fmt: skip
    begin_exact((environment,))
    for row in range(first, last, 16):
        rows = min(16, last - row)
        _turn_in(x + row * x_stride, x_stride, rows, columns, turned, spare)
        softmax_lanes((turned, columns))
        place = out + row * out_stride
        _turn_out(turned, place, out_stride, rows, columns, spare)
        cast_float((place, out_stride, place, out_stride, rows, columns, given, _ONE, counts))
    end_exact((environment,))


@kernel
def layernorm(arguments: int) -> None:
    """Rows first..last, as `softmax`."""
    (x, x_stride, out, out_stride, first, last, columns, eps, gamma, beta, given, counts, turned,
     spare, environment) = unpack(arguments, 15)  # fmt: skip
    begin_exact((environment,))
    for row in range(first, last, 16):
        rows = min(16, last - row)
        _turn_in(x + row * x_stride, x_stride, rows, columns, turned, spare)
        normalize_lanes((turned, columns, eps, gamma, beta))
        place = out + row * out_stride
        _turn_out(turned, place, out_stride, rows, columns, spare)
        cast_float((place, out_stride, place, out_stride, rows, columns, given, _ONE, counts))
    end_exact((environment,))


@kernel
def sums(arguments: int) -> None:
    """out[r] = round(sum of row r, in index order from +0); `out` is contiguous."""
    (x, x_stride, out, first, last, columns, given, counts, turned, spare,
     environment) = unpack(arguments, 11)  # fmt: skip
    begin_exact((environment,))
    for row in range(first, last, 16):
        rows = min(16, last - row)
        _turn_in(x + row * x_stride, x_stride, rows, columns, turned, spare)
        sum_lanes((turned, columns, spare))
        move((spare, 64, out + row * 4, 64, 1, rows))
        cast_float((out + row * 4, 64, out + row * 4, 64, 1, rows, given, _ONE, counts))
    end_exact((environment,))
