"""Chains in lanes of float32, for accumulators that fit: the quick way of `steps.sequential`.

A fused multiply-add that cuts toward zero, then the bits below the accumulator's last place are
rounded away as an integer. To nearest even a tie needs to know whether the cut lost something: a
second multiply-add, of what is missing, is then not zero.
"""

import functools
from collections.abc import Callable
from typing import Any

from llvmlite import ir

from halfulp.dtypes.direction import Direction
from halfulp.dtypes.guards import unless_all
from halfulp.dtypes.lanes import F32, F64, I32, I64, Lanes, load, splat, store
from halfulp.dtypes.natives import native
from halfulp.dtypes.parameters import MAGNITUDE32
from halfulp.engines.grid import Counter
from halfulp.engines.wide import COLUMNS, LANES, NOISE_BYTES, ROWS, Rounder, Units, load_unit

#: Parameters, int64. A sum becomes (sum + add) & keep; to nearest even one more is added where the
#: bit `place`, the last that is kept, is set or something was lost; to odd that bit, number
#: `shift`, is set where something was lost, or stands in the bits `below`; at random, noise is
#: added, `shift` places up. `least` and `span` say
#: for which magnitudes that is right; the others go through float64. `one` is 1: of a known one
#: LLVM would make a comparison, and three operations. `spacer` is `twice`'s.
NARROW = ("add", "keep", "place", "below", "shift", "least", "span", "one", "spacer")
A_BYTES, ROW_BYTES = 4 * ROWS, 4 * COLUMNS  # of one k of A, of a row of sums
Given = dict[str, Lanes]
#: step(k, a number of each row of A, a row of B, sums) -> sums
Step = Callable[[ir.Value, list[Lanes], Lanes, list[Lanes]], list[Lanes]]


def load_given(builder: ir.IRBuilder, base: ir.Value) -> Given:
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
    """(a, b, accumulators, float64 parameters, noise): the step in float64, for every number."""
    name = "halfulp_narrow_slowly"
    if name in module.globals:
        return module.globals[name]
    vector = ir.VectorType(F32, COLUMNS)
    function = ir.Function(module, ir.FunctionType(vector, [vector] * 3 + [I64] * 2), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    *given, base, noise = function.args
    rounder = Rounder(builder, base, noise)
    halves = []
    for half in (0, 1):
        a, b, acc = (_half(Lanes(builder, x), half).convert("fpext", F64) for x in given)
        halves.append(rounder.added(a * b, acc, half).convert("fptrunc", F32).value)
    mask = ir.Constant(ir.VectorType(I32, COLUMNS), [I32(i) for i in range(COLUMNS)])
    builder.ret(builder.shuffle_vector(*halves, mask))
    return function


def _lost(a: Lanes, b: Lanes, acc: Lanes, total: Lanes) -> Lanes:
    """Bits that are not all zero where the sum, cut toward zero, lost something."""
    # what acc - total loses has the sign of what total has lost, so that nothing cancels
    return a.fma(b, acc - total).bits(I32)


def _quick(a: Lanes, b: Lanes, acc: Lanes, given: Given, kind: str) -> tuple[Lanes, Lanes]:
    """The sum cut to float32 and the sum rounded, both as bits."""
    total = a.fma(b, acc)
    bits = total.bits(I32)
    if kind == "odd":
        left = (bits & given["below"]) | _lost(a, b, acc, total)
        up = (left.call("umin", given["one"]) << given["shift"]) | bits
        return bits, up & given["keep"]
    raised = bits + given["add"]
    if kind == "even":
        odd = (bits & given["place"]) | _lost(a, b, acc, total)
        raised = raised + odd.call("umin", given["one"])
    return bits, raised & given["keep"]


def _noisy(a: Lanes, b: Lanes, acc: Lanes, noise: Lanes, given: Given) -> tuple[Lanes, Lanes]:
    """The same with random bits below the last place."""
    bits = a.fma(b, acc).bits(I32)
    return bits, (bits + (noise << given["shift"])) & given["keep"]


def _narrow(kind: str, ranged: bool) -> Callable[[ir.Function], None]:
    """(a, b, pitch, accumulators, steps, parameters, those of float64, noise of the first step)"""

    def build(function: ir.Function) -> None:
        a, b, pitch, acc, steps, base, base64, noise = function.args
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        given, noisy = load_given(builder, base), kind == "noisy"

        def step(k: ir.Value, rows: list[Lanes], y: Lanes, totals: list[Lanes]) -> list[Lanes]:
            pairs = list(zip(rows, totals, strict=True))
            own = builder.add(noise, builder.mul(k, I64(NOISE_BYTES))) if noisy else noise
            drawn = [builder.add(own, I64(4 * COLUMNS * row)) for row in range(ROWS)]
            found = [
                _noisy(x, y, total, load(builder, place, I32, COLUMNS), given)
                if noisy
                else _quick(x, y, total, given, kind)
                for (x, total), place in zip(pairs, drawn, strict=True)
            ]
            results = [result.bits(F32) for _, result in found]
            if not ranged:
                return results

            def slow() -> list[Lanes]:
                function = _slow_function(builder.module)
                terms = [(x.value, y.value, total.value) for x, total in pairs]
                calls = [
                    builder.call(function, [*each, base64, place])
                    for each, place in zip(terms, drawn, strict=True)
                ]
                return [Lanes(builder, call) for call in calls]

            # the one of all rows that is farthest above `least`; what is below wraps
            above = [(bits & MAGNITUDE32) - given["least"] for bits, _ in found]
            farthest = functools.reduce(lambda x, y: x.call("umax", y), above)
            return unless_all(builder, farthest < given["span"], results, slow)

        _in_place(builder, (a, b, pitch, acc, steps), step)

    return build


def load_sums(builder: ir.IRBuilder, acc: ir.Value) -> list[Lanes]:
    """A block of float32, row by row."""
    rows = [builder.add(acc, I64(ROW_BYTES * row)) for row in range(ROWS)]
    return [load(builder, row, F32, COLUMNS) for row in rows]


def store_sums(builder: ir.IRBuilder, sums: list[Lanes], acc: ir.Value) -> None:
    for row, lanes in enumerate(sums):
        store(builder, lanes, builder.add(acc, I64(ROW_BYTES * row)))


def every_k(
    builder: ir.IRBuilder, operands: tuple[ir.Value, ...], sums: list[Lanes], step: Step
) -> list[Lanes]:
    """The sums after every k of a chain; from one k of B to the next are `pitch` bytes."""
    a, b, pitch, steps = operands
    loop = Counter(builder, steps, 1, sums)
    right = load(builder, builder.add(b, builder.mul(loop.index, pitch)), F32, COLUMNS)
    left = builder.add(a, builder.mul(loop.index, I64(A_BYTES)))
    factors = []
    for row in range(ROWS):
        pointer = builder.inttoptr(builder.add(left, I64(4 * row)), F32.as_pointer())
        factors.append(Lanes(builder, splat(builder, builder.load(pointer), COLUMNS)))
    return loop.close(step(loop.index, factors, right, loop.sums))


def _in_place(builder: ir.IRBuilder, places_: tuple[ir.Value, ...], step: Step) -> None:
    """Take every k of a chain onto the sums at an address, and return."""
    a, b, pitch, acc, steps = places_
    sums = every_k(builder, (a, b, pitch, steps), load_sums(builder, acc), step)
    store_sums(builder, sums, acc)
    builder.ret_void()


def _chained(k: ir.Value, rows: list[Lanes], y: Lanes, totals: list[Lanes]) -> list[Lanes]:
    return [x.fma(y, total) for x, total in zip(rows, totals, strict=True)]


def _chained_apart(k: ir.Value, rows: list[Lanes], y: Lanes, totals: list[Lanes]) -> list[Lanes]:
    return [x * y + total for x, total in zip(rows, totals, strict=True)]


def _chain(step: Step) -> Any:
    """(a, b, pitch, accumulators, steps): float32's own sums."""

    def build(function: ir.Function) -> None:
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        _in_place(builder, tuple(function.args), step)

    return build


def _build_product(function: ir.Function) -> None:
    """(a, b, target): of one k, float32's own."""
    a, b, target = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    right = load(builder, b, F32, COLUMNS)
    for row in range(ROWS):
        pointer = builder.inttoptr(builder.add(a, I64(4 * row)), F32.as_pointer())
        left = Lanes(builder, splat(builder, builder.load(pointer), COLUMNS))
        store(builder, left * right, builder.add(target, I64(ROW_BYTES * row)))
    builder.ret_void()


def _build_add(function: ir.Function) -> None:
    """(x, y, target): float32's own sums of blocks."""
    x, y, target = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    for row in range(ROWS):
        left, right, place = (builder.add(base, I64(ROW_BYTES * row)) for base in (x, y, target))
        total = load(builder, left, F32, COLUMNS) + load(builder, right, F32, COLUMNS)
        store(builder, total, place)
    builder.ret_void()


def _build_shrink(function: ir.Function) -> None:
    """(source, target): a block of float64 as float32, exact."""
    units = Units(function, "xf")
    builder, (source, target) = units.builder, units.arguments
    for i, x in enumerate(load_unit(builder, source)):
        store(builder, x.convert("fptrunc", F32), builder.add(target, I64(4 * LANES * i)))
    units.close()


def _cutting(name: str, kind: str, ranged: bool) -> Any:
    return native(name, 8, _narrow(kind, ranged), direction=Direction.CUT)


chain = native("halfulp_chain", 5, _chain(_chained))
chain_rounded = native("halfulp_chain_rounded", 5, _chain(_chained_apart))
narrow_even = _cutting("halfulp_narrow_even", "even", False)
narrow_even_ranged = _cutting("halfulp_narrow_even_ranged", "even", True)
narrow_ranged = _cutting("halfulp_narrow_ranged", "plain", True)
narrow_noisy_ranged = _cutting("halfulp_narrow_noisy_ranged", "noisy", True)
narrow_odd_ranged = _cutting("halfulp_narrow_odd_ranged", "odd", True)
product_single = native("halfulp_product_single", 3, _build_product, guarded=False)
add_single = native("halfulp_add_single", 3, _build_add, guarded=False)
shrink = native("halfulp_shrink", 2, _build_shrink)
