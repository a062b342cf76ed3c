"""From float64 lanes to the float32 nearest to the true value: the rounding test, and who fails it.

Where a float64 result lies within its error of a tie between two float32 numbers, or is subnormal
there, its lane is looked up in the table of hard inputs. All of them were found by trying every
float32 input (`halfulp verify --function`), so what the table lacks is right.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llvmlite import ir

from halfulp.dtypes.guards import unless_all
from halfulp.dtypes.lanes import F32, I1, I32, I64, Lanes
from halfulp.engines.grid import Counter

_HALF, _SPARE = 1 << 28, (1 << 29) - 1  # of the 29 bits that float64 has more
_LEAST_NORMAL = 0x00800000  # bits of 2^-126
#: one(x, y) -> y: of a single lane, float32, whose first result stands in doubt
One = Callable[[Lanes, Lanes], Lanes]
Hard = Mapping[int, int]


def near_tie(y: Lanes, error: int) -> Lanes:
    """Lanes of the float64 `y` within `error` units of its last place of a tie in float32."""
    return ((y.bits(I64) + (_HALF + error)) & _SPARE) < 2 * error


def doubtful(y: Lanes, result: Lanes, error: int) -> Lanes:
    """Those lanes, and those whose float32 `result` is subnormal."""
    # of a zero the difference wraps
    subnormal = ((result.bits(I32) << 1) - 1) < 2 * _LEAST_NORMAL - 1
    return near_tie(y, error) | subnormal


def nearest(
    name: str, x: Lanes, y: Lanes, error: int, hard: Hard, *, far: Lanes | None = None,
    one: One | None = None,
) -> Lanes:  # fmt: skip
    """float32 lanes of y, a function of the float32 x with an error of `error` units of 2^-53.

    far   more lanes that are in doubt
    one   computes the result of such a lane anew, before it is looked up
    """
    result = y.convert("fptrunc", F32)
    doubt = doubtful(y, result, error)
    if far is not None:
        doubt = doubt | far
    rescue = _rescue(x.builder.module, f"halfulp_rescue_{name}", x.count, hard, one)
    sure = doubt ^ doubt.like(1)

    def slow() -> Sequence[Lanes]:
        arguments = [x.value, result.value, doubt.value]
        return [Lanes(x.builder, x.builder.call(rescue, arguments))]

    return unless_all(x.builder, sure, [result], slow)[0]


def _rescue(module: Any, name: str, count: int, hard: Hard, one: One | None) -> ir.Function:
    """(x, result, doubt) -> result: lane after lane of those in doubt."""
    name = f"{name}_{count}"
    if name in module.globals:
        return module.globals[name]
    floats = ir.VectorType(F32, count)
    kind = ir.FunctionType(floats, [floats, floats, ir.VectorType(I1, count)])
    function = ir.Function(module, kind, name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    x, result, doubt = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    loop = Counter(builder, I64(count), 1, [Lanes(builder, result)])
    lane = builder.trunc(loop.index, I32)
    found = loop.sums[0].value
    given, first = builder.extract_element(x, lane), builder.extract_element(found, lane)
    with builder.if_then(builder.extract_element(doubt, lane)):
        again = first if one is None else _single(builder, given, first, one)
        better = _look_up(builder, given, again, hard, name)
        changed = builder.insert_element(found, better, lane)
        inside = builder.block
    after = builder.phi(floats)
    after.add_incoming(changed, inside)
    after.add_incoming(found, loop.loop)
    (total,) = loop.close([Lanes(builder, after)])
    builder.ret(total.value)
    return function


def _single(builder: ir.IRBuilder, x: ir.Value, y: ir.Value, one: One) -> ir.Value:
    empty = ir.Constant(ir.VectorType(F32, 1), ir.Undefined)
    lanes = [Lanes(builder, builder.insert_element(empty, value, I32(0))) for value in (x, y)]
    return builder.extract_element(one(*lanes).value, I32(0))


def constant_table(module: Any, name: str, kind: Any, values: Sequence[int | float]) -> ir.Value:
    """A pointer to constants of the module."""
    if name not in module.globals:
        array = ir.ArrayType(kind, len(values))
        table = ir.GlobalVariable(module, array, name)
        table.linkage, table.global_constant = "internal", True
        table.initializer = ir.Constant(array, [ir.Constant(kind, value) for value in values])
    return module.globals[name].gep([I64(0), I64(0)])


def _look_up(builder: ir.IRBuilder, x: ir.Value, y: ir.Value, hard: Hard, name: str) -> ir.Value:
    """The hard input's result, or y where x is none: a search by halves."""
    if not hard:
        return y
    inputs = sorted(hard)
    # as many as a power of two, the last again and again
    size = 1 << (len(inputs) - 1).bit_length()
    padded = inputs + [inputs[-1]] * (size - len(inputs))
    keys = constant_table(builder.module, f"{name}_inputs", I32, padded)
    values = constant_table(builder.module, f"{name}_results", I32, [hard[key] for key in padded])
    key = builder.bitcast(x, I32)
    place: ir.Value = I64(0)
    while size > 1:
        size //= 2
        middle = builder.add(place, I64(size))
        reached = builder.icmp_unsigned("<=", builder.load(builder.gep(keys, [middle])), key)
        place = builder.select(reached, middle, place)
    same = builder.icmp_unsigned("==", builder.load(builder.gep(keys, [place])), key)
    value = builder.bitcast(builder.load(builder.gep(values, [place])), F32)
    return builder.select(same, value, y)
