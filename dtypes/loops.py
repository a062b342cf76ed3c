"""Functions and loops made of lanes, callable from numba; each runs in the default floating-point environment."""

from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from halfulp.dtypes.lanes import (
    BYTES,
    I8,
    I32,
    I64,
    Lanes,
    constant,
    declare,
    load,
    load_parameters,
    splat,
    store,
)

_X86_DEFAULT_MXCSR = 0x1F80  # nearest even, subnormals kept, no exception raised

def _control_access(builder: ir.IRBuilder) -> tuple[Callable[[], ir.Value], Callable[[ir.Value], None], int]:
    """Read and write the floating-point environment as an int64, and its default.

    A process may have flush-to-zero on (torch.set_flush_denormal), which would change bits.
    """
    triple = llvmlite.binding.get_process_triple()
    module = builder.module
    if triple.startswith(("x86_64", "i386", "i686", "amd64")):
        kind = ir.FunctionType(ir.VoidType(), [I8.as_pointer()])
        slot = builder.alloca(I32)
        pointer = builder.bitcast(slot, I8.as_pointer())

        def read() -> ir.Value:
            builder.call(declare(module, "llvm.x86.sse.stmxcsr", kind), [pointer])
            return builder.zext(builder.load(slot), I64)

        def write(value: ir.Value) -> None:
            builder.store(builder.trunc(value, I32), slot)
            builder.call(declare(module, "llvm.x86.sse.ldmxcsr", kind), [pointer])

        return read, write, _X86_DEFAULT_MXCSR
    if triple.startswith(("aarch64", "arm64")):
        get = declare(module, "llvm.aarch64.get.fpcr", ir.FunctionType(I64, []))
        put = declare(module, "llvm.aarch64.set.fpcr", ir.FunctionType(ir.VoidType(), [I64]))
        return lambda: builder.call(get, []), lambda value: builder.call(put, [value]) and None, 0
    raise NotImplementedError(f"{triple}: the floating-point environment of this processor is not handled")


def _call_guarded(outer: ir.Function, body: ir.Function) -> None:
    builder = ir.IRBuilder(outer.append_basic_block("entry"))
    read, write, default = _control_access(builder)
    before = read()
    write(I64(default))
    builder.call(body, outer.args)
    write(before)
    builder.ret_void()


def native(name: str, arguments: int, build: Callable[[ir.Function], None], *, guarded: bool = True) -> Any:
    """A numba intrinsic name((int64, ...)) around an LLVM function that `build` fills.

    `guarded` switches to the default floating-point environment and back. The body is a function of its own that is never
    inlined: LLVM may not move its arithmetic across the switch. What is not guarded is called between `begin_exact` and
    `end_exact`.
    """

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, given: Any) -> Any:
        module = builder.module
        if name not in module.globals:
            kind = ir.FunctionType(ir.VoidType(), [I64] * arguments)
            body = ir.Function(module, kind, name + "_body" if guarded else name)
            functions = [body]
            if guarded:
                functions.append(outer := ir.Function(module, kind, name))
                _call_guarded(outer, body)
            for function in functions:
                function.linkage = "internal"
                function.attributes.add("noinline")
            build(body)
        builder.call(module.globals[name], cgutils.unpack_tuple(builder, given[0]))
        return context.get_dummy_value()

    signature = types.void(types.UniTuple(types.int64, arguments))

    def typed(context: Any, given: Any) -> Any:
        return signature, codegen

    return intrinsic(typed)


def copy_lanes(builder: ir.IRBuilder, source: ir.Value, target: ir.Value, count: ir.Value, kind: Any) -> None:
    """Copy `count` scalars between addresses; leaves the builder behind the loop."""
    head, loop, rest = (builder.append_basic_block(name) for name in ("copy", "copy_next", "copied"))
    before = builder.block
    builder.branch(head)
    builder.position_at_end(head)
    index = builder.phi(I64)
    index.add_incoming(I64(0), before)
    builder.cbranch(builder.icmp_signed("<", index, count), loop, rest)
    builder.position_at_end(loop)
    offset = builder.mul(index, I64(BYTES[kind]))
    value = builder.load(builder.inttoptr(builder.add(source, offset), kind.as_pointer()))
    builder.store(value, builder.inttoptr(builder.add(target, offset), kind.as_pointer()))
    index.add_incoming(builder.add(index, I64(1)), loop)
    builder.branch(head)
    builder.position_at_end(rest)


#: body(inputs, parameters) -> (output, masks whose set lanes are counted)
Body = Callable[[list[Lanes], dict[str, Lanes]], tuple[Lanes, list[Lanes]]]


class _Loop:
    """Emits one loop over whole vectors and one step for the rest."""

    def __init__(
        self, body: Body, inputs: Sequence[Any], output: Any, names: Sequence[str], lanes: int, counted: int
    ) -> None:
        self.body, self.inputs, self.output = body, inputs, output
        self.names, self.lanes, self.counted = names, lanes, counted

    def _addresses(self, builder: ir.IRBuilder, bases: Sequence[ir.Value], index: ir.Value) -> list[ir.Value]:
        kinds = [*self.inputs, self.output]
        return [
            builder.add(base, builder.mul(index, I64(BYTES[kind])))
            for base, kind in zip(bases, kinds, strict=True)
        ]

    def _count(self, masks: list[Lanes], sums: list[Lanes]) -> list[Lanes]:
        # a set mask is -1
        return [total - mask.convert("sext", I32) for total, mask in zip(sums, masks, strict=True)]

    def whole(
        self, builder: ir.IRBuilder, bases: Sequence[ir.Value], parameters: dict[str, Lanes],
        stop: ir.Value, streaming: bool,
    ) -> list[Lanes]:  # fmt: skip
        """Every full vector of [0, stop); returns the counts. Leaves the builder behind the loop."""
        before = builder.block
        head, loop, rest = (builder.append_basic_block(name) for name in ("head", "loop", "rest"))
        builder.branch(head)
        builder.position_at_end(head)
        index = builder.phi(I64)
        index.add_incoming(I64(0), before)
        vector = ir.VectorType(I32, self.lanes)
        sums = [builder.phi(vector) for _ in range(self.counted)]
        for total in sums:
            total.add_incoming(ir.Constant(vector, None), before)
        builder.cbranch(builder.icmp_signed("<", index, stop), loop, rest)
        builder.position_at_end(loop)
        places = self._addresses(builder, bases, index)
        given = [load(builder, at, kind, self.lanes) for at, kind in zip(places, self.inputs, strict=False)]
        result, masks = self.body(given, parameters)
        totals = self._count(masks, [Lanes(builder, total) for total in sums])
        # one vector a turn: two streaming stores in a row took half as long again
        store(builder, result, places[-1], streaming)
        index.add_incoming(builder.add(index, I64(self.lanes)), builder.block)
        for total, phi in zip(totals, sums, strict=True):
            phi.add_incoming(total.value, builder.block)
        builder.branch(head)
        builder.position_at_end(rest)
        return [Lanes(builder, total) for total in sums]

    def tail(
        self, builder: ir.IRBuilder, bases: list[ir.Value], parameters: dict[str, Lanes], start: ir.Value, rest: ir.Value
    ) -> list[Lanes]:  # fmt: skip
        """The last `rest` < lanes elements, through buffers on the stack."""
        places = self._addresses(builder, bases, start)
        given = []
        for place, kind in zip(places, self.inputs, strict=False):
            buffer = builder.alloca(ir.VectorType(kind, self.lanes))
            builder.store(constant(kind, self.lanes, 0), buffer)
            copy_lanes(builder, place, builder.ptrtoint(buffer, I64), rest, kind)
            given.append(Lanes(builder, builder.load(buffer)))
        result, masks = self.body(given, parameters)
        buffer = builder.alloca(ir.VectorType(self.output, self.lanes))
        builder.store(result.value, buffer)
        copy_lanes(builder, builder.ptrtoint(buffer, I64), places[-1], rest, self.output)
        numbers = ir.Constant(ir.VectorType(I32, self.lanes), [I32(lane) for lane in range(self.lanes)])
        used = Lanes(builder, numbers) < Lanes(builder, splat(builder, builder.trunc(rest, I32), self.lanes))
        return self._count([mask & used for mask in masks], [Lanes(builder, constant(I32, self.lanes, 0))] * self.counted)


def add_counts(builder: ir.IRBuilder, totals: Sequence[Lanes], counts: ir.Value) -> None:
    """Add the sum of each vector to consecutive int64 values at the address `counts`."""
    for index, total in enumerate(totals):
        name = f"llvm.vector.reduce.add.v{total.count}i32"
        reduce = declare(builder.module, name, ir.FunctionType(I32, [total.value.type]))
        amount = builder.zext(builder.call(reduce, [total.value]), I64)
        place = builder.inttoptr(builder.add(counts, I64(8 * index)), I64.as_pointer())
        builder.store(builder.add(builder.load(place), amount), place)


def lane_loop(
    name: str, body: Body, inputs: Sequence[Any], output: Any, parameters: Sequence[str] = (), *,
    lanes: int = 16, counted: int = 0,
) -> Any:  # fmt: skip
    """A native that maps `body` over arrays: name((inputs..., output, parameters, counts, n, streaming)).

    All are int64: addresses, then the number of elements, then 1 for stores that bypass the
    caches (the output must then be aligned to 64 bytes). `counted` masks are summed into int64
    values at `counts`.
    """
    loop = _Loop(body, inputs, output, parameters, lanes, counted)

    def build(function: ir.Function) -> None:
        *bases, parameter_base, counts, n, streaming = function.args
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        given = load_parameters(builder, parameter_base, parameters, lanes)
        whole = builder.sub(n, builder.srem(n, I64(lanes)))
        left = builder.sub(n, whole)
        blocks = (builder.append_basic_block(name) for name in ("fast", "plain", "tail", "end"))
        fast, plain, tail, end = blocks
        builder.cbranch(builder.icmp_signed("!=", streaming, I64(0)), fast, plain)
        for block, bypass in ((fast, True), (plain, False)):
            builder.position_at_end(block)
            add_counts(builder, loop.whole(builder, bases, given, whole, bypass), counts)
            if bypass:
                builder.fence("seq_cst")
            builder.cbranch(builder.icmp_signed(">", left, I64(0)), tail, end)
        builder.position_at_end(tail)
        add_counts(builder, loop.tail(builder, bases, given, whole, left), counts)
        builder.branch(end)
        builder.position_at_end(end)
        builder.ret_void()

    return native(name, len(inputs) + 5, build)


def _switch(name: str, leave: bool) -> Any:
    """begin_exact or end_exact: an intrinsic of one address where the caller's environment is kept."""

    def build(function: ir.Function) -> None:
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        read, write, default = _control_access(builder)
        place = builder.inttoptr(function.args[0], I64.as_pointer())
        if leave:
            write(builder.load(place))
        else:
            builder.store(read(), place)
            write(I64(default))
        builder.ret_void()

    return native(name, 1, build, guarded=False)


#: Between begin_exact((address,)) and end_exact((address,)) a kernel may call natives that are not guarded.
begin_exact = _switch("halfulp_begin_exact", False)
end_exact = _switch("halfulp_end_exact", True)


@intrinsic(prefer_literal=True)
def unpack(context: Any, address: Any, count: Any) -> Any:
    """unpack(address, count): the int64 values that stand there, as a tuple; `count` is a literal."""
    size = count.literal_value
    result = types.UniTuple(types.int64, size)

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, given: Any) -> Any:
        pointer = builder.inttoptr(given[0], I64.as_pointer())
        values = [builder.load(builder.gep(pointer, [I64(index)], source_etype=I64)) for index in range(size)]
        return context.make_tuple(builder, result, values)

    return result(types.int64, count), codegen
