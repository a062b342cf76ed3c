"""Functions of LLVM that numba calls, and the floating-point environment in which they run.

A process may have flush-to-zero on (torch.set_flush_denormal), which would change bits: a native
runs in the default environment.
"""

from collections.abc import Callable
from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from halfulp.dtypes.direction import Direction
from halfulp.dtypes.lanes import I8, I32, I64, declare

X86_DEFAULT = 0x1F80  # of mxcsr: nearest even, subnormals kept, no exception raised or found yet
#: Vectors that registers have no room for lie on the stack: at starts of cache lines, whatever the
#: thread's stack begins with. Across two lines they take half as long again.
_STACK_ALIGNMENT = 64

#: How to read the environment as an int64, how to write it, and the environment for a direction.
_Access = tuple[Callable[[], ir.Value], Callable[[ir.Value], None], Callable[[ir.Value], ir.Value]]


def is_x86() -> bool:
    """Whether numba compiles for x86."""
    return llvmlite.binding.get_process_triple().startswith(("x86_64", "i386", "i686", "amd64"))


def _control_access(builder: ir.IRBuilder) -> _Access:
    """The floating-point environment of the processor that numba compiles for.

    Raises NotImplementedError where neither x86's nor ARM's 64-bit way is known.
    """
    if is_x86():
        return _x86_access(builder)
    triple = llvmlite.binding.get_process_triple()
    if triple.startswith(("aarch64", "arm64")):
        return _arm_access(builder)
    raise NotImplementedError(
        f"{triple}: only the floating-point environments of x86 and 64-bit ARM are handled"
    )


def _x86_access(builder: ir.IRBuilder) -> _Access:
    kind = ir.FunctionType(ir.VoidType(), [I8.as_pointer()])
    slot = builder.alloca(I32)
    pointer = builder.bitcast(slot, I8.as_pointer())

    def read() -> ir.Value:
        builder.call(declare(builder.module, "llvm.x86.sse.stmxcsr", kind), [pointer])
        return builder.zext(builder.load(slot), I64)

    def write(value: ir.Value) -> None:
        builder.store(builder.trunc(value, I32), slot)
        builder.call(declare(builder.module, "llvm.x86.sse.ldmxcsr", kind), [pointer])

    def environment(direction: ir.Value) -> ir.Value:
        return builder.or_(builder.shl(direction, I64(13)), I64(X86_DEFAULT))

    return read, write, environment


def _arm_access(builder: ir.IRBuilder) -> _Access:
    module = builder.module
    get = declare(module, "llvm.aarch64.get.fpcr", ir.FunctionType(I64, []))
    put = declare(module, "llvm.aarch64.set.fpcr", ir.FunctionType(ir.VoidType(), [I64]))

    def write(value: ir.Value) -> None:
        builder.call(put, [value])

    def environment(direction: ir.Value) -> ir.Value:
        # up and down have each other's numbers here
        low, high = builder.and_(direction, I64(1)), builder.lshr(direction, I64(1))
        return builder.shl(builder.or_(builder.shl(low, I64(1)), high), I64(22))

    return lambda: builder.call(get, []), write, environment


def _call_guarded(
    outer: ir.Function, body: ir.Function, direction: Direction, directed_by: int | None
) -> None:
    builder = ir.IRBuilder(outer.append_basic_block("entry"))
    read, write, environment = _control_access(builder)
    chosen: ir.Value = I64(int(direction))
    if directed_by is not None:
        place = builder.inttoptr(outer.args[directed_by], I64.as_pointer())
        chosen = builder.load(place)
    before = read()
    write(environment(chosen))
    builder.call(body, outer.args)
    write(before)
    builder.ret_void()


def native(
    name: str,
    arguments: int,
    build: Callable[[ir.Function], None],
    *,
    guarded: bool = True,
    direction: Direction = Direction.NEAREST,
    directed_by: int | None = None,
) -> Any:
    """A numba intrinsic name((int64, ...)) around an LLVM function that `build` fills.

    `guarded` switches to the default floating-point environment and back. The body is a function of
    its own that is never inlined: LLVM may not move its arithmetic across the switch. What is not
    guarded is called between `begin_exact` and `end_exact`. Its operations
    round in `direction`, or in the one that stands, an int64, at the address in argument number
    `directed_by`; it must not have operations on constants, which LLVM rounds to nearest.
    """

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, given: Any) -> Any:
        module = builder.module
        if name not in module.globals:
            kind = ir.FunctionType(ir.VoidType(), [I64] * arguments)
            body = ir.Function(module, kind, name + "_body" if guarded else name)
            functions = [body]
            if guarded:
                functions.append(outer := ir.Function(module, kind, name))
                _call_guarded(outer, body, direction, directed_by)
            for function in functions:
                function.linkage = "internal"
                function.attributes.add("noinline")
            body.attributes.alignstack = _STACK_ALIGNMENT
            build(body)
        builder.call(module.globals[name], cgutils.unpack_tuple(builder, given[0]))
        return context.get_dummy_value()

    signature = types.void(types.UniTuple(types.int64, arguments))

    def typed(context: Any, given: Any) -> Any:
        return signature, codegen

    return intrinsic(typed)


def _switch(name: str, leave: bool) -> Any:
    """begin_exact or end_exact; the caller's environment is kept at the address that they take."""

    def build(function: ir.Function) -> None:
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        read, write, environment = _control_access(builder)
        place = builder.inttoptr(function.args[0], I64.as_pointer())
        if leave:
            write(builder.load(place))
        else:
            builder.store(read(), place)
            write(environment(I64(int(Direction.NEAREST))))
        builder.ret_void()

    return native(name, 1, build, guarded=False)


# Between begin_exact((address,)) and end_exact((address,)) natives that are not guarded are called.
begin_exact = _switch("halfulp_begin_exact", False)
end_exact = _switch("halfulp_end_exact", True)


@intrinsic(prefer_literal=True)
def unpack(context: Any, address: Any, count: Any) -> Any:
    """unpack(address, count): the int64 values that stand there; `count` is a literal."""
    size = count.literal_value
    result = types.UniTuple(types.int64, size)

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, given: Any) -> Any:
        pointer = builder.inttoptr(given[0], I64.as_pointer())
        places = [builder.gep(pointer, [I64(index)], source_etype=I64) for index in range(size)]
        values = [builder.load(place) for place in places]
        return context.make_tuple(builder, result, values)

    return result(types.int64, count), codegen
