"""Chains in lanes of float32, for accumulators that fit: the quick way of `steps.sequential`.

A fused multiply-add that cuts toward zero, then the bits below the accumulator's last place are
rounded away as an integer. To nearest even a tie needs to know whether the cut lost something: a
second multiply-add, of what is missing, is then not zero.
"""

from collections.abc import Callable

from llvmlite import ir

from halfulp.dtypes.direction import Direction
from halfulp.dtypes.lanes import F32, F64, I32, I64, Lanes, load, splat, store
from halfulp.dtypes.loops import unless_all
from halfulp.dtypes.natives import native
from halfulp.dtypes.parameters import MAGNITUDE32
from halfulp.engines.grid import Counter
from halfulp.engines.wide import COLUMNS, LANES, ROWS, Rounder, Units, load_unit

#: Parameters, int64. A sum becomes (sum + add) & keep; to nearest even one more is added where the
#: bit `place`, the last that is kept, is set or something was lost. `least` and `span` say for
#: which magnitudes that is right; the others go through float64.
NARROW = ("add", "keep", "place", "least", "span")
A_BYTES, B_BYTES = 4 * ROWS, 4 * COLUMNS  # of one k
Given = dict[str, Lanes]


def _load_given(builder: ir.IRBuilder, base: ir.Value) -> Given:
    result = {}
    for index, name in enumerate(NARROW):
        pointer = builder.inttoptr(builder.add(base, I64(8 * index)), I32.as_pointer())
        result[name] = Lanes(builder, splat(builder, builder.load(pointer), COLUMNS))
    return result


def _half(x: Lanes, half: int) -> Lanes:
    mask = ir.Constant(ir.VectorType(I32, LANES), [I32(half * LANES + i) for i in range(LANES)])
    undefined = ir.Constant(x.value.type, ir.Undefined)
    return Lanes(x.builder, x.builder.shuffle_vector(x.value, undefined, mask))


def _slow_function(module: ir.Module) -> ir.Function:
    """(a, b, accumulators, float64 parameters, zeros): the step in float64, for every number."""
    name = "halfulp_narrow_slowly"
    if name in module.globals:
        return module.globals[name]
    vector = ir.VectorType(F32, COLUMNS)
    function = ir.Function(module, ir.FunctionType(vector, [vector] * 3 + [I64] * 2), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    *given, base, zeros = function.args
    rounder = Rounder(builder, base, zeros)
    halves = []
    for half in (0, 1):
        a, b, acc = (_half(Lanes(builder, x), half).convert("fpext", F64) for x in given)
        halves.append(rounder.sum(a * b, acc, 0).convert("fptrunc", F32).value)
    mask = ir.Constant(ir.VectorType(I32, COLUMNS), [I32(i) for i in range(COLUMNS)])
    builder.ret(builder.shuffle_vector(*halves, mask))
    return function


def _quick(a: Lanes, b: Lanes, acc: Lanes, given: Given, even: bool) -> tuple[Lanes, Lanes]:
    """The sum cut to float32 and the sum rounded, both as bits."""
    total = a.fma(b, acc)
    bits = total.bits(I32)
    raised = bits + given["add"]
    if even:
        # what acc - total loses has the sign of what total has lost, so that nothing cancels
        lost = a.fma(b, acc - total).bits(I32)
        up = ((bits & given["place"]) | lost).differs(0)
        raised = up.where(raised + 1, raised)
    return bits, raised & given["keep"]


def _narrow(even: bool, ranged: bool) -> Callable[[ir.Function], None]:
    """(a, b, accumulators, steps, parameters, those of float64, zeros)"""

    def build(function: ir.Function) -> None:
        a, b, acc, steps, base, base64, zeros = function.args
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        given = _load_given(builder, base)

        def step(x: Lanes, y: Lanes, total: Lanes) -> Lanes:
            bits, result = _quick(x, y, total, given, even)
            if not ranged:
                return result.bits(F32)

            def slow() -> list[Lanes]:
                terms = [lanes.value for lanes in (x, y, total)]
                found = builder.call(_slow_function(builder.module), [*terms, base64, zeros])
                return [Lanes(builder, found).bits(I32)]

            ordinary = ((bits & MAGNITUDE32) - given["least"]) < given["span"]
            return unless_all(builder, ordinary, [result], slow)[0].bits(F32)

        _loop(builder, (a, b, acc, steps), step)

    return build


def _loop(
    builder: ir.IRBuilder, places_: tuple[ir.Value, ...],
    step: Callable[[Lanes, Lanes, Lanes], Lanes],
) -> None:  # fmt: skip
    """Take every k of a chain, and return."""
    a, b, acc, steps = places_
    rows = [builder.add(acc, I64(B_BYTES * row)) for row in range(ROWS)]
    loop = Counter(builder, steps, 1, [load(builder, row, F32, COLUMNS) for row in rows])
    right = load(builder, builder.add(b, builder.mul(loop.index, I64(B_BYTES))), F32, COLUMNS)
    left = builder.add(a, builder.mul(loop.index, I64(A_BYTES)))
    totals = []
    for row in range(ROWS):
        pointer = builder.inttoptr(builder.add(left, I64(4 * row)), F32.as_pointer())
        x = Lanes(builder, splat(builder, builder.load(pointer), COLUMNS))
        totals.append(step(x, right, loop.sums[row]))
    for lanes, row in zip(loop.close(totals), rows, strict=True):
        store(builder, lanes, row)
    builder.ret_void()


def _build_chain(function: ir.Function) -> None:
    """(a, b, accumulators, steps): float32's own sums."""
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    _loop(builder, tuple(function.args), lambda x, y, total: x.fma(y, total))


def _build_shrink(function: ir.Function) -> None:
    """(source, target): a block of float64 as float32, exact."""
    units = Units(function, "xf")
    builder, (source, target) = units.builder, units.arguments
    for i, x in enumerate(load_unit(builder, source)):
        store(builder, x.convert("fptrunc", F32), builder.add(target, I64(4 * LANES * i)))
    units.close()


chain = native("halfulp_chain", 4, _build_chain)
narrow_even = native("halfulp_narrow_even", 7, _narrow(True, False), direction=Direction.CUT)
narrow_even_ranged = native(
    "halfulp_narrow_even_ranged", 7, _narrow(True, True), direction=Direction.CUT
)
narrow_ranged = native("halfulp_narrow_ranged", 7, _narrow(False, True), direction=Direction.CUT)
shrink = native("halfulp_shrink", 2, _build_shrink)
