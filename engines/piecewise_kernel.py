"""Piecewise cubics on float32 lanes: the segment by comparisons, the cubic by fused steps."""

from llvmlite import ir

from halfulp.dtypes.jit import kernel
from halfulp.dtypes.lanes import F32, I64, Lanes, load, splat, store
from halfulp.dtypes.loops import copy_lanes
from halfulp.dtypes.natives import native, unpack
from halfulp.engines.grid import LANES, Counter, offset

SEGMENT_WORDS = 6  # start, anchor, c0, c1, c2, c3


def _row(builder: ir.IRBuilder, table: ir.Value, index: ir.Value) -> list[Lanes]:
    """A segment's numbers, each in every lane."""
    place = offset(builder, table, index, 4 * SEGMENT_WORDS)
    pointer = builder.inttoptr(place, F32.as_pointer())
    words = [builder.load(builder.gep(pointer, [I64(i)])) for i in range(SEGMENT_WORDS)]
    return [Lanes(builder, splat(builder, word, LANES)) for word in words]


def _cubic(builder: ir.IRBuilder, x: Lanes, table: ir.Value, rows: ir.Value) -> Lanes:
    first = _row(builder, table, I64(0))
    loop = Counter(builder, builder.sub(rows, I64(1)), 1, first[1:])
    start, *segment = _row(builder, table, builder.add(loop.index, I64(1)))
    # not before this segment
    reached = x >= start
    chosen = [reached.where(new, old) for new, old in zip(segment, loop.sums, strict=True)]
    anchor, c0, c1, c2, c3 = loop.close(chosen)
    d = x - anchor
    return c3.fma(d, c2).fma(d, c1).fma(d, c0)


def _build(function: ir.Function) -> None:
    source, target, count, table, rows = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    buffer = builder.alloca(ir.VectorType(F32, LANES))
    place = builder.ptrtoint(buffer, I64)
    loop = Counter(builder, builder.sub(count, builder.srem(count, I64(LANES))), LANES)
    x = load(builder, offset(builder, source, loop.index, 4), F32, LANES)
    y = _cubic(builder, x, table, rows)
    store(builder, y, offset(builder, target, loop.index, 4))
    loop.close()
    done = builder.sub(count, builder.srem(count, I64(LANES)))
    left = builder.sub(count, done)
    builder.store(ir.Constant(ir.VectorType(F32, LANES), [F32(0.0)] * LANES), buffer)
    copy_lanes(builder, offset(builder, source, done, 4), place, left, F32)
    y = _cubic(builder, Lanes(builder, builder.load(buffer)), table, rows)
    builder.store(y.value, buffer)
    copy_lanes(builder, place, offset(builder, target, done, 4), left, F32)
    builder.ret_void()


_piecewise = native("halfulp_piecewise", 5, _build)


@kernel
def piecewise(arguments: int) -> None:
    """out[i] = the cubic of x[i], for `count` numbers; `table` holds `rows` segments."""
    x, out, count, table, rows = unpack(arguments, 5)
    _piecewise((x, out, count, table, rows))
