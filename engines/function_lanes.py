"""The functions on float32 lanes: the float32 nearest to the true value, for every input.

float64 arithmetic of a fixed order, a rounding test, and a table of the inputs that fail it
(`nearest`). No libm: its bits change with the machine. That the hardware's functions are the
nearest is assumed: its tables are not public.
"""

from collections.abc import Callable
from math import inf

from llvmlite import ir

from halfulp.dtypes.guards import unless_all
from halfulp.dtypes.lanes import F32, F64, I32, Lanes
from halfulp.dtypes.parameters import MAGNITUDE32, SIGN32, bits32
from halfulp.engines import error_functions, exponentials, logarithms, trigonometry
from halfulp.engines.activations import EXACT, Activation
from halfulp.engines.hard_inputs import HARD_INPUTS
from halfulp.engines.nearest import constant_table, doubtful, near_tie, nearest

#: Units of 2^-53 that bound the error of a function's float64 value: wide, since a lane in doubt
#: costs a search, and one in a million is.
_ERROR = 64
_QUICK_ERROR = 1 << 15  # of the quick ways
_ONE = 0x3F800000

_WIDE: dict[Activation, Callable[[Lanes], Lanes]] = {
    Activation.EXP: exponentials.exp,
    Activation.EXP2: exponentials.exp2,
    Activation.EXPM1: exponentials.expm1,
    Activation.TANH: exponentials.tanh,
    Activation.SIGMOID: exponentials.sigmoid,
    Activation.SILU: exponentials.silu,
    Activation.GELU_TANH: exponentials.gelu_tanh,
    Activation.MISH: exponentials.mish,
    Activation.LOG: logarithms.log,
    Activation.LOG2: logarithms.log2,
    Activation.LOG1P: logarithms.log1p,
    Activation.SOFTPLUS: logarithms.softplus,
    Activation.ERF: error_functions.erf,
    Activation.GELU: error_functions.gelu,
    Activation.ARCTAN: trigonometry.arctan,
    Activation.RSQRT: lambda x: x.like(1.0) / x.call("sqrt"),
}


def _within(limit: float) -> Callable[[Lanes], Lanes]:
    return lambda x: (x.bits(I32) & MAGNITUDE32) < bits32(limit)


#: A shorter way to less precision, and the lanes that it serves.
_QUICK: dict[Activation, tuple[Callable[[Lanes], Lanes], Callable[[Lanes], Lanes]]] = {
    Activation.EXP: (exponentials.quick_exp, _within(exponentials.QUICK)),
    Activation.SIGMOID: (exponentials.quick_sigmoid, _within(exponentials.QUICK)),
    Activation.SILU: (exponentials.quick_silu, _within(exponentials.QUICK)),
    Activation.TANH: (exponentials.quick_tanh, _within(exponentials.QUICK_TANH)),
    Activation.ERF: (error_functions.quick_erf, _within(inf)),
    Activation.GELU: (error_functions.quick_gelu, lambda x: x > error_functions.QUICK_GELU_FROM),
}
_OF_ANGLE = {Activation.SIN: trigonometry.sin, Activation.COS: trigonometry.cos}


def apply(
    function: Activation, x: Lanes, slope: Lanes | None = None, *, inline: bool = False
) -> Lanes:
    """The function on float32 lanes, rounded once to float32; `slope` is leaky_relu's.

    It is a call of a function of the module, `inline` a copy of its code: a fourth faster.
    """
    if function in EXACT:
        return _exact(function, x, slope)
    if inline:
        return _rounded(function, x)
    return Lanes(x.builder, x.builder.call(_shared(function, x), [x.value]))


def _rounded(function: Activation, x: Lanes) -> Lanes:
    if function in _OF_ANGLE:
        return _trigonometric(function, x)
    return _quickly(function, x) if function in _QUICK else _nearest(function, x)


def _shared(function: Activation, x: Lanes) -> ir.Function:
    """The function as one of the module's, so that every loop has the same code."""
    module, name = x.builder.module, f"halfulp_nearest_{function.value}_{x.count}"
    if name in module.globals:
        return module.globals[name]
    kind = x.value.type
    shared = ir.Function(module, ir.FunctionType(kind, [kind]), name)
    shared.linkage = "internal"
    shared.attributes.add("noinline")
    lanes = Lanes(ir.IRBuilder(shared.append_basic_block("entry")), shared.args[0])
    lanes.builder.ret(_rounded(function, lanes).value)
    return shared


def _nearest(function: Activation, x: Lanes) -> Lanes:
    y = _WIDE[function](x.convert("fpext", F64))
    return nearest(function.value, x, y, _ERROR, HARD_INPUTS.get(function, {}))


def _quickly(function: Activation, x: Lanes) -> Lanes:
    """A shorter way, unless a lane of it is in doubt: of one vector in some hundreds."""
    quick, fits = _QUICK[function]
    y = quick(x.convert("fpext", F64))
    result = y.convert("fptrunc", F32)
    normal = function in (Activation.EXP, Activation.SIGMOID)  # within what is served
    doubt = near_tie(y, _QUICK_ERROR) if normal else doubtful(y, result, _QUICK_ERROR)
    if function is Activation.TANH:
        result = ((result.bits(I32) & MAGNITUDE32) | (x.bits(I32) & SIGN32)).bits(F32)
    sure = (doubt ^ doubt.like(1)) & fits(x)

    def careful() -> list[Lanes]:
        return [_nearest(function, x)]

    return unless_all(x.builder, sure, [result], careful)[0]


def _trigonometric(function: Activation, x: Lanes) -> Lanes:
    rule = _OF_ANGLE[function]
    wide = x.convert("fpext", F64)

    def is_far(lanes: Lanes) -> Lanes:
        size = (lanes.bits(I32) & MAGNITUDE32).bits(F32)
        return (size >= trigonometry.FAR) & (size < inf)

    def one(single: Lanes, before: Lanes) -> Lanes:
        """Of a single lane: anew, where it is far."""
        parts = trigonometry.far_parts()
        table = constant_table(single.builder.module, "halfulp_far_parts", F64, parts)
        lane = single.convert("fpext", F64)
        again = rule(trigonometry.far_angle(lane, table), lane).convert("fptrunc", F32)
        return is_far(single).where(again, before)

    y = rule(trigonometry.near_angle(wide), wide)
    hard = HARD_INPUTS.get(function, {})
    return nearest(function.value, x, y, _ERROR, hard, far=is_far(x), one=one)


def _exact(function: Activation, x: Lanes, slope: Lanes | None) -> Lanes:
    bits = x.bits(I32)
    match function:
        case Activation.RELU:
            return (x > 0.0).where(x, (x < 0.0).where(x.like(0.0), x))
        case Activation.LEAKY_RELU:
            assert slope is not None
            return (x < 0.0).where(x * slope, x)
        case Activation.SQUARE:
            return x * x
        case Activation.ABS:
            return (bits & MAGNITUDE32).bits(F32)
        case Activation.SIGN:
            one = ((bits & SIGN32) | _ONE).bits(F32)
            return x.differs_from_number(x.like(0.0)).where(one, x * x)
        case Activation.SQRT:
            return x.call("sqrt")
        case Activation.RECIPROCAL:
            return x.like(1.0) / x
        case _:
            return x
