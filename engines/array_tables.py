"""What numpy's names mean to the engines, for arrays at the prompt."""

from halfulp.engines.activations import Activation
from halfulp.engines.elementwise import AluOp
from halfulp.engines.integer_lanes import IntegerOp

#: Ufuncs of numpy, by name, and what computes them: of floats, of integers, of one float.
ALU_OPS = {
    **{name: AluOp(name) for name in ("add", "subtract", "multiply", "divide")},
    "maximum": AluOp.MAX,
    "minimum": AluOp.MIN,
}
_OF_INTEGERS = "add subtract multiply bitwise_and bitwise_or bitwise_xor left_shift"
INTEGER_OPS = {
    **{name: IntegerOp(name) for name in _OF_INTEGERS.split()},
    "maximum": IntegerOp.MAX,
    "minimum": IntegerOp.MIN,
    "right_shift": IntegerOp.ARITHMETIC_RIGHT_SHIFT,
}
_OF_ONE = "exp exp2 expm1 log log2 log1p tanh sin cos arctan sqrt reciprocal square sign"
ACTIVATIONS = {
    **{name: Activation(name) for name in _OF_ONE.split()},
    "absolute": Activation.ABS,
    "fabs": Activation.ABS,
}
COMPARISONS = frozenset("equal not_equal less less_equal greater greater_equal".split())
REDUCTIONS = {
    **{"sum": AluOp.ADD, "prod": AluOp.MULTIPLY, "max": AluOp.MAX, "min": AluOp.MIN},
    **{"amax": AluOp.MAX, "amin": AluOp.MIN},
}
#: Ufuncs that look at values and compute none.
LOOKS = frozenset("isnan isinf isfinite signbit".split())
#: Functions of numpy that move the elements of an array, that join arrays, that read a shape.
MOVES = frozenset(
    """
    reshape ravel transpose swapaxes moveaxis squeeze expand_dims broadcast_to flip roll repeat
    tile copy split
    """.split()
)
JOINS = frozenset("concatenate stack vstack hstack".split())
READS = frozenset("shape ndim size".split())
