"""Chains in lanes of float32, for accumulators that fit: the quick way of `steps.sequential`.

The fused multiply-add cuts toward zero (or goes in the rounding's own direction), then the bits
below the accumulator's last place are rounded away as an integer: exact, but for a tie, where what
was cut off decides. Numbers are scaled so that the format's subnormals are float32's.
"""

from collections.abc import Callable

from llvmlite import ir

from halfulp.dtypes.lanes import F32, F64, I32, I64, Lanes, constant, declare, load, splat, store
from halfulp.dtypes.loops import unless_all
from halfulp.dtypes.natives import native
from halfulp.dtypes.parameters import MAGNITUDE32
from halfulp.engines.grid import Counter
from halfulp.engines.wide import COLUMNS, LANES, ROWS, load_block, places

#: Parameters, int64. A sum s becomes (s + add + (((s >> 31) ^ flip) & more)) & keep; `place` is
#: the last bit that is kept; the results' magnitudes stay below `limit` or the chain is taken again
#: in float64.
NARROW = ("direction", "add", "flip", "more", "keep", "place", "limit")
A_BYTES, B_BYTES = 4 * ROWS, 4 * COLUMNS  # of one k
Given = dict[str, Lanes]


def _load_given(builder: ir.IRBuilder, base: ir.Value) -> Given:
    result = {}
    for index, name in enumerate(NARROW):
        pointer = builder.inttoptr(builder.add(base, I64(8 * index)), I32.as_pointer())
        result[name] = Lanes(builder, splat(builder, builder.load(pointer), COLUMNS))
    return result


def _narrow(ties: bool, tracked: bool) -> Callable[[ir.Function], None]:
    """(a, b, accumulators, steps, parameters, whether a result reached the limit)"""

    def build(function: ir.Function) -> None:
        a, b, acc, steps, base, reached = function.args
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        given = _load_given(builder, base)
        rows = [builder.add(acc, I64(B_BYTES * row)) for row in range(ROWS)]
        start = [load(builder, row, F32, COLUMNS) for row in rows]
        nothing = Lanes(builder, constant(I32, COLUMNS, 0))
        loop = Counter(builder, steps, 1, start + [nothing] * (ROWS if tracked else 0))
        right = load(builder, builder.add(b, builder.mul(loop.index, I64(B_BYTES))), F32, COLUMNS)
        left = builder.add(a, builder.mul(loop.index, I64(A_BYTES)))
        results, largest = [], []
        for row in range(ROWS):
            pointer = builder.inttoptr(builder.add(left, I64(4 * row)), F32.as_pointer())
            x = Lanes(builder, splat(builder, builder.load(pointer), COLUMNS))
            result = _step(x, right, loop.sums[row], given, ties)
            results.append(result.bits(F32))
            if tracked:
                largest.append(loop.sums[ROWS + row].call("umax", result & MAGNITUDE32))
        closed = loop.close(results + largest)
        for lanes, row in zip(closed, rows, strict=False):
            store(builder, lanes, row)
        most = nothing
        for lanes in closed[ROWS:]:
            most = most.call("umax", lanes)
        over = (most >= given["limit"]).value
        reduce = declare(
            builder.module,
            f"llvm.vector.reduce.or.v{COLUMNS}i1",
            ir.FunctionType(ir.IntType(1), [over.type]),
        )
        found = builder.zext(builder.call(reduce, [over]), I64) if tracked else I64(0)
        builder.store(found, builder.inttoptr(reached, I64.as_pointer()))
        builder.ret_void()

    return build


def _step(a: Lanes, b: Lanes, acc: Lanes, given: Given, ties: bool) -> Lanes:
    """Bits of a * b + acc in the accumulator's format."""
    builder, total = a.builder, a.fma(b, acc).bits(I32)
    if not ties:
        more = (total.arithmetic_shift(31) ^ given["flip"]) & given["more"]
        return (total + given["add"] + more) & given["keep"]
    raised = total + given["add"]
    result = raised & given["keep"]
    # a tie and what lies just above it, both with nothing left below the kept bits
    other = (raised ^ result).differs(0)

    def slow() -> list[Lanes]:
        x, y, z = (lanes.convert("fpext", F64) for lanes in (a, b, acc))
        product = x * y
        whole = product + z
        rest = (product + (z - whole)).bits(I64)
        cut = rest | (whole.bits(I64) ^ total.bits(F32).convert("fpext", F64).bits(I64))
        even = (raised ^ result).equals(0) & cut.equals(0)
        return [even.where(result & (given["place"] ^ -1), result)]

    return unless_all(builder, other, [result], slow)[0]


def _build_chain(function: ir.Function) -> None:
    """(a, b, accumulators, steps, parameters): float32's own sums, in a direction."""
    a, b, acc, steps, _ = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    rows = [builder.add(acc, I64(B_BYTES * row)) for row in range(ROWS)]
    loop = Counter(builder, steps, 1, [load(builder, row, F32, COLUMNS) for row in rows])
    right = load(builder, builder.add(b, builder.mul(loop.index, I64(B_BYTES))), F32, COLUMNS)
    left = builder.add(a, builder.mul(loop.index, I64(A_BYTES)))
    totals = []
    for row in range(ROWS):
        pointer = builder.inttoptr(builder.add(left, I64(4 * row)), F32.as_pointer())
        x = Lanes(builder, splat(builder, builder.load(pointer), COLUMNS))
        totals.append(x.fma(right, loop.sums[row]))
    for lanes, row in zip(loop.close(totals), rows, strict=True):
        store(builder, lanes, row)
    builder.ret_void()


def _build_shrink(function: ir.Function) -> None:
    """(source, target, scale): a block of float64 times a power of two, as float32."""
    source, target, scale = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    factor = Lanes(builder, splat(builder, scale, LANES)).bits(F64)
    for i, x in enumerate(load_block(builder, source)):
        place = builder.add(target, I64(4 * LANES * i))
        store(builder, (x * factor).convert("fptrunc", F32), place)
    builder.ret_void()


def _build_grow(function: ir.Function) -> None:
    """(source, target, scale): back."""
    source, target, scale = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    factor = Lanes(builder, splat(builder, scale, LANES)).bits(F64)
    for i, place in enumerate(places(builder, target)):
        x = load(builder, builder.add(source, I64(4 * LANES * i)), F32, LANES)
        store(builder, x.convert("fpext", F64) * factor, place)
    builder.ret_void()


narrow_free = native("halfulp_narrow_free", 6, _narrow(False, False), directed_by=4)
narrow_free_ties = native("halfulp_narrow_free_ties", 6, _narrow(True, False), directed_by=4)
narrow_limited = native("halfulp_narrow_limited", 6, _narrow(False, True), directed_by=4)
narrow_limited_ties = native("halfulp_narrow_limited_ties", 6, _narrow(True, True), directed_by=4)
chain = native("halfulp_chain", 5, _build_chain, directed_by=4)
shrink = native("halfulp_shrink", 3, _build_shrink)
grow = native("halfulp_grow", 3, _build_grow)
