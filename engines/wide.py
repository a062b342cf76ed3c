"""Sums of any accumulator, in lanes of float64: exact products, one rounding, wherever it is.

A float64 holds every product of two float32 (48 bits), and of a sum cut toward zero it says by one
comparison whether something is left: that becomes the last bit, set (round to odd), after which one
rounding to any format of at most 24 bits is the rounding of the exact sum.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from llvmlite import ir

from halfulp.dtypes.codec64 import Parts, power_of_two
from halfulp.dtypes.guards import unless_all
from halfulp.dtypes.lanes import F64, I32, I64, Lanes, load, splat
from halfulp.dtypes.parameters import MAGNITUDE64
from halfulp.engines.grid import Counter, offset

LANES = 8
ROWS, COLUMNS = 8, 16  # of the outputs that go through the kernels together
UNIT_ROWS = 4  # of those whose running sums are in registers
VECTORS = COLUMNS // LANES
BLOCK_BYTES = ROWS * COLUMNS * 8  # of such a block of numbers
UNIT_BYTES = UNIT_ROWS * COLUMNS * 8
NOISE_BYTES = ROWS * COLUMNS * 4  # of a random number for each output of a block
A_BYTES, B_BYTES = 2 * ROWS * 8, 2 * COLUMNS * 8  # of one k: values, then their powers

#: Parameters of a rounding, int64. Quickly a number x becomes (x + more + add) & keep, where more
#: takes the bits `more` of (x >> shift) ^ flip: the last place for ties, the sign for directions.
#: `least` and `span` say which numbers that is right for. `one` is 1: of a known one LLVM would
#: make a comparison, and three operations. At random x becomes (x + (noise << noise_shift)) & keep,
#: within `noisy_span`.
ROUNDING = (
    "shift", "add", "flip", "more", "keep", "least", "span", "one", "noise_shift", "noisy_span",
    "table", "mantissa", "emin", "max", "over_plus", "over_minus", "flush", "random", "random_bits",
)  # fmt: skip
#: Then those of an aligned sum.
SUM = (*ROUNDING, "tiny_power", "floor_power", "grid")
_QUICK = ROUNDING[:10]
INF64 = 0x7FF0000000000000
_SIGN = 1 << 63

#: Powers that stand for zeros and for what is not finite: a product with a zero is smaller, one
#: with an infinity or NaN, times a zero too, larger than any product of two float32 numbers.
ZERO_POWER, WILD_POWER, WILD = 2.0**-600, 2.0**900, 2.0**258


def load_wide(
    builder: ir.IRBuilder, address: ir.Value, names: Sequence[str], wanted: Sequence[str]
) -> dict[str, Lanes]:
    """Vectors of the int64 values at an address that stand there under `names`."""
    result = {}
    for index, name in enumerate(names):
        if name in wanted:
            pointer = builder.inttoptr(builder.add(address, I64(8 * index)), I64.as_pointer())
            result[name] = Lanes(builder, splat(builder, builder.load(pointer), LANES))
    return result


def _units(parts: Parts, given: dict[str, Lanes], noise: Lanes) -> Lanes:
    """The magnitude rounded, as float64 bits."""
    random = given["random"].differs(0)
    up = random.where(parts.up_by_noise(noise), parts.up_by_table())
    units = (parts.below + up).convert("sitofp", F64)
    return (units * power_of_two(parts.effective - given["mantissa"])).bits(I64)


def _round_slowly(x: Lanes, given: dict[str, Lanes], noise: Lanes) -> Lanes:
    """float64 bits, rounded to odd, to the accumulator's format; for every number."""
    parts = Parts(x, given)
    result = _units(parts, given, noise)
    over = parts.negative.differs(0).where(given["over_minus"], given["over_plus"])
    result = (result > given["max"]).where(over, result)
    free = Parts(x, given | {"emin": x.like(-1022)})
    smallest = power_of_two(given["emin"]).bits(I64)
    tiny = (_units(free, given, noise) < smallest) & given["flush"].differs(0)
    result = tiny.where(x.like(0), result)
    result = (parts.magnitude >= INF64).where(parts.magnitude, result)
    return result | (x & _SIGN)


def _slow_function(module: ir.Module) -> ir.Function:
    """_round_slowly(bits, parameters, noise) as a function of its own, off the common way."""
    name = "halfulp_round_slowly"
    if name in module.globals:
        return module.globals[name]
    vector = ir.VectorType(I64, LANES)
    function = ir.Function(module, ir.FunctionType(vector, [vector, I64, I64]), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    x, base, noise = function.args
    given = load_wide(builder, base, ROUNDING, ROUNDING)
    drawn = load(builder, noise, I32, LANES).convert("zext", I64)
    builder.ret(_round_slowly(Lanes(builder, x), given, drawn).value)
    return function


@dataclass(frozen=True)
class Rounder:
    """Rounds sums in a builder.

    base    address of the parameters
    noise   address of random bits, int32, for each output of a unit
    noisy   whether the quick way takes them; the slow one asks the parameters
    """

    builder: ir.IRBuilder
    base: ir.Value
    noise: ir.Value
    noisy: bool = False

    @cached_property
    def quick(self) -> dict[str, Lanes]:
        return load_wide(self.builder, self.base, ROUNDING, _QUICK)

    def prepare(self) -> "Rounder":
        """Load the parameters here, in front of a loop."""
        assert self.quick
        return self

    def exact(self, total: Lanes, vector: int) -> Lanes:
        """Round a number that is what it seems to be; `vector` is its place in the unit."""
        return self._rounded(total.bits(I64), vector)

    def added(self, x: Lanes, y: Lanes, vector: int) -> Lanes:
        """x + y, rounded once; the environment must cut toward zero."""
        total = x + y
        if self.noisy:
            # what was cut off is less than a unit of the noise, and cannot carry
            return self._rounded(total.bits(I64), vector)
        # exact where y is the larger; where x is, what y - total loses has the sign of what total
        # has lost, so that nothing cancels
        left = (x + (y - total)).bits(I64).call("umin", self.quick["one"])
        bits = total.bits(I64)
        return self._rounded(bits | left, vector, bits)

    def _rounded(self, odd: Lanes, vector: int, bits: Lanes | None = None) -> Lanes:
        given, builder = self.quick, self.builder
        place = builder.add(self.noise, I64(4 * LANES * vector))
        if self.noisy:
            noise = load(builder, place, I32, LANES).convert("zext", I64)
            more = noise << given["noise_shift"]
        else:
            more = (odd.arithmetic_shift(given["shift"]) ^ given["flip"]) & given["more"]
        quick = (odd + more + given["add"]) & given["keep"]
        span = given["noisy_span" if self.noisy else "span"]
        ordinary = ((odd & MAGNITUDE64) - given["least"]) < span

        def slow() -> list[Lanes]:
            x = odd
            if bits is not None:  # an infinity has nothing below it
                x = ((bits & MAGNITUDE64) >= INF64).where(bits, odd)
            function = _slow_function(builder.module)
            return [Lanes(builder, builder.call(function, [x.value, self.base, place]))]

        return unless_all(builder, ordinary, [quick], slow)[0].bits(F64)


def broadcast(builder: ir.IRBuilder, address: ir.Value) -> Lanes:
    """One float64 in every lane."""
    pointer = builder.inttoptr(address, F64.as_pointer())
    return Lanes(builder, splat(builder, builder.load(pointer), LANES))


def places(builder: ir.IRBuilder, base: ir.Value) -> list[ir.Value]:
    """Addresses of the vectors of a unit of outputs, row by row."""
    return [builder.add(base, I64(8 * LANES * i)) for i in range(UNIT_ROWS * VECTORS)]


def load_unit(builder: ir.IRBuilder, base: ir.Value, kind: Any = F64) -> list[Lanes]:
    """The vectors of a unit."""
    return [load(builder, place, kind, LANES) for place in places(builder, base)]


class Units:
    """A loop over the units of a block: the builder stands in its body until `close`.

    `kinds` says of each argument how it moves on: "a" by the rows of a packed operand, "x" by a
    unit of outputs, "f" by one of float32, "-" not at all.
    """

    def __init__(self, function: ir.Function, kinds: str) -> None:
        self.builder = ir.IRBuilder(function.append_basic_block("entry"))
        self._loop = Counter(self.builder, I64(ROWS // UNIT_ROWS), 1)
        steps = {"a": 8 * UNIT_ROWS, "x": UNIT_BYTES, "f": UNIT_BYTES // 2, "-": 0}
        self.arguments = [
            offset(self.builder, given, self._loop.index, steps[kind])
            for given, kind in zip(function.args, kinds, strict=True)
        ]

    def close(self) -> None:
        """End the function."""
        self._loop.close()
        self.builder.ret_void()
