"""Vector code as Python expressions: `Lanes` are n equal numbers.

numba compiles scalar loops well and integer vector loops badly, so the kernels are written lane by
lane on LLVM's own vectors. Nothing here is fast-math: the bits are fixed by the expression,
however wide the processor's vectors are.
"""

from collections.abc import Sequence
from typing import Any

from llvmlite import ir

F32, F64 = ir.FloatType(), ir.DoubleType()
I1, I8, I16, I32, I64 = (ir.IntType(width) for width in (1, 8, 16, 32, 64))
BYTES: dict[Any, int] = {F32: 4, F64: 8, I8: 1, I16: 2, I32: 4, I64: 8}
_SUFFIX = {I1: "i1", F32: "f32", F64: "f64", I8: "i8", I16: "i16", I32: "i32", I64: "i64"}

Number = int | float


def declare(module: ir.Module, name: str, kind: ir.FunctionType) -> ir.Function:
    """The function `name` of the module, declared when it is new."""
    return module.globals[name] if name in module.globals else ir.Function(module, kind, name)


def constant(kind: Any, count: int, value: Number) -> ir.Constant:
    """A vector of `count` equal constants; integers are taken modulo their width."""
    scalar = int(value) & ((1 << kind.width) - 1) if isinstance(kind, ir.IntType) else float(value)
    return ir.Constant(ir.VectorType(kind, count), [ir.Constant(kind, scalar)] * count)


def splat(builder: ir.IRBuilder, scalar: ir.Value, count: int) -> ir.Value:
    """`count` copies of a scalar."""
    undefined = ir.Constant(ir.VectorType(scalar.type, count), ir.Undefined)
    first = builder.insert_element(undefined, scalar, I32(0))
    zeros = ir.Constant(ir.VectorType(I32, count), [0] * count)
    return builder.shuffle_vector(first, undefined, zeros)


class Lanes:
    """A vector in a builder; operators act on every lane, numbers are constants of its type."""

    def __init__(self, builder: ir.IRBuilder, value: ir.Value) -> None:
        self.builder, self.value = builder, value
        self.kind, self.count = value.type.element, value.type.count

    def _other(self, other: "Lanes | Number") -> ir.Value:
        return other.value if isinstance(other, Lanes) else constant(self.kind, self.count, other)

    def _of(self, value: ir.Value) -> "Lanes":
        return Lanes(self.builder, value)

    def _binary(self, other: "Lanes | Number", floating: str, integer: str) -> "Lanes":
        name = floating if self.kind in (F32, F64) else integer
        return self._of(getattr(self.builder, name)(self.value, self._other(other)))

    def __add__(self, other: "Lanes | Number") -> "Lanes":
        return self._binary(other, "fadd", "add")

    def __sub__(self, other: "Lanes | Number") -> "Lanes":
        return self._binary(other, "fsub", "sub")

    def __mul__(self, other: "Lanes | Number") -> "Lanes":
        return self._binary(other, "fmul", "mul")

    def __truediv__(self, other: "Lanes | Number") -> "Lanes":
        return self._of(self.builder.fdiv(self.value, self._other(other)))

    def divide_unsigned(self, other: "Lanes | Number") -> "Lanes":
        """Integer division; no lane of `other` may be 0."""
        return self._of(self.builder.udiv(self.value, self._other(other)))

    def __and__(self, other: "Lanes | Number") -> "Lanes":
        return self._of(self.builder.and_(self.value, self._other(other)))

    def __or__(self, other: "Lanes | Number") -> "Lanes":
        return self._of(self.builder.or_(self.value, self._other(other)))

    def __xor__(self, other: "Lanes | Number") -> "Lanes":
        return self._of(self.builder.xor(self.value, self._other(other)))

    def __lshift__(self, other: "Lanes | Number") -> "Lanes":
        return self._of(self.builder.shl(self.value, self._other(other)))

    def __rshift__(self, other: "Lanes | Number") -> "Lanes":
        """Logical shift."""
        return self._of(self.builder.lshr(self.value, self._other(other)))

    def arithmetic_shift(self, other: "Lanes | Number") -> "Lanes":
        """Right shift that keeps the sign."""
        return self._of(self.builder.ashr(self.value, self._other(other)))

    def like(self, value: Number) -> "Lanes":
        """A constant of the same type and count."""
        return self._of(constant(self.kind, self.count, value))

    def _compare(self, operator: str, other: "Lanes | Number", signed: bool = False) -> "Lanes":
        if self.kind in (F32, F64):
            return self._of(self.builder.fcmp_ordered(operator, self.value, self._other(other)))
        compare = self.builder.icmp_signed if signed else self.builder.icmp_unsigned
        return self._of(compare(operator, self.value, self._other(other)))

    def __lt__(self, other: "Lanes | Number") -> "Lanes":
        return self._compare("<", other)

    def __gt__(self, other: "Lanes | Number") -> "Lanes":
        return self._compare(">", other)

    def __ge__(self, other: "Lanes | Number") -> "Lanes":
        return self._compare(">=", other)

    def equals(self, other: "Lanes | Number") -> "Lanes":
        return self._compare("==", other)

    def differs(self, other: "Lanes | Number") -> "Lanes":
        """Not equal; integers only."""
        return self._of(self.builder.icmp_unsigned("!=", self.value, self._other(other)))

    def differs_from_number(self, other: "Lanes") -> "Lanes":
        """Not equal, and neither is NaN; floats only."""
        return self._of(self.builder.fcmp_ordered("!=", self.value, other.value))

    def is_nan(self) -> "Lanes":
        return self._of(self.builder.fcmp_unordered("uno", self.value, self.value))

    def where(self, yes: "Lanes", no: "Lanes | Number") -> "Lanes":
        """Lane by lane: `yes` where this mask is set."""
        return self._of(self.builder.select(self.value, yes.value, yes._other(no)))

    def bits(self, kind: Any) -> "Lanes":
        """The same bits as another type of the same width."""
        return self._of(self.builder.bitcast(self.value, ir.VectorType(kind, self.count)))

    def convert(self, operation: str, kind: Any) -> "Lanes":
        """LLVM's conversions: zext, sext, trunc, fpext, fptrunc, sitofp, uitofp, fptosi."""
        target = ir.VectorType(kind, self.count)
        return self._of(getattr(self.builder, operation)(self.value, target))

    def call(self, name: str, *arguments: "Lanes | Number") -> "Lanes":
        """An LLVM intrinsic on this type: fma, sqrt, copysign, umin, umax, smin, smax."""
        kind = ir.FunctionType(self.value.type, [self.value.type] * (1 + len(arguments)))
        full_name = f"llvm.{name}.v{self.count}{_SUFFIX[self.kind]}"
        function = declare(self.builder.module, full_name, kind)
        return self._of(self.builder.call(function, [self.value, *map(self._other, arguments)]))

    def reduce(self, operation: str) -> ir.Value:
        """One number of all lanes of integers: LLVM's and, add, umax."""
        name = f"llvm.vector.reduce.{operation}.v{self.count}{_SUFFIX[self.kind]}"
        kind = ir.FunctionType(self.kind, [self.value.type])
        return self.builder.call(declare(self.builder.module, name, kind), [self.value])

    def fma(self, factor: "Lanes | Number", addend: "Lanes | Number") -> "Lanes":
        """self * factor + addend, rounded once."""
        return self.call("fma", factor, addend)


def load(builder: ir.IRBuilder, address: ir.Value, kind: Any, count: int) -> Lanes:
    pointer = builder.inttoptr(address, ir.VectorType(kind, count).as_pointer())
    value = builder.load(pointer)
    value.align = BYTES[kind]
    return Lanes(builder, value)


def store(builder: ir.IRBuilder, lanes: Lanes, address: ir.Value, streaming: bool = False) -> None:
    """Write lanes; `streaming` bypasses the caches and needs an address aligned to the vector."""
    pointer = builder.inttoptr(address, lanes.value.type.as_pointer())
    instruction = builder.store(lanes.value, pointer)
    instruction.align = lanes.count * BYTES[lanes.kind] if streaming else BYTES[lanes.kind]
    if streaming:
        instruction.set_metadata("nontemporal", builder.module.add_metadata([I32(1)]))


def load_parameters(
    builder: ir.IRBuilder, address: ir.Value, names: Sequence[str], count: int
) -> "dict[str, Lanes]":
    """Vectors of the low 32 bits of consecutive int64 values, by name."""
    result = {}
    for index, name in enumerate(names):
        pointer = builder.inttoptr(builder.add(address, I64(8 * index)), I32.as_pointer())
        result[name] = Lanes(builder, splat(builder, builder.load(pointer), count))
    return result
