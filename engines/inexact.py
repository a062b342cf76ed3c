"""Whether arithmetic was exact: the processor's own flag, which every rounding that loses sets.

Between `watch((environment,))` and `end_watch((environment, found))` run natives that are not
guarded; then `found`, an int64, is not 0 where one of their operations was not exact. The
environment that stood before is kept at the address `environment`, two int64.
"""

from llvmlite import ir

from halfulp.dtypes.lanes import I8, I32, I64, declare
from halfulp.dtypes.natives import X86_DEFAULT, is_x86, native

_X86_INEXACT, _ARM_INEXACT = 1 << 5, 1 << 4  # of mxcsr, of fpsr


def _at(builder: ir.IRBuilder, address: ir.Value, kind: ir.Type, number: int = 0) -> ir.Value:
    return builder.inttoptr(builder.add(address, I64(8 * number)), kind.as_pointer())


def _mxcsr(builder: ir.IRBuilder, name: str, place: ir.Value) -> None:
    kind = ir.FunctionType(ir.VoidType(), [I8.as_pointer()])
    function = declare(builder.module, name, kind)
    builder.call(function, [builder.bitcast(place, I8.as_pointer())])


def _get(builder: ir.IRBuilder, register: str) -> ir.Value:
    kind = ir.FunctionType(I64, [])
    return builder.call(declare(builder.module, f"llvm.aarch64.get.{register}", kind), [])


def _set(builder: ir.IRBuilder, register: str, value: ir.Value) -> None:
    kind = ir.FunctionType(ir.VoidType(), [I64])
    builder.call(declare(builder.module, f"llvm.aarch64.set.{register}", kind), [value])


def _build_watch(function: ir.Function) -> None:
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    kept = function.args[0]
    if is_x86():
        _mxcsr(builder, "llvm.x86.sse.stmxcsr", _at(builder, kept, I32))
        fresh = _at(builder, kept, I32, 1)
        builder.store(I32(X86_DEFAULT), fresh)
        _mxcsr(builder, "llvm.x86.sse.ldmxcsr", fresh)
    else:
        for number, register in enumerate(("fpcr", "fpsr")):
            builder.store(_get(builder, register), _at(builder, kept, I64, number))
            _set(builder, register, I64(0))
    builder.ret_void()


def _build_end(function: ir.Function) -> None:
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    kept, found = function.args
    if is_x86():
        now = _at(builder, kept, I32, 1)
        _mxcsr(builder, "llvm.x86.sse.stmxcsr", now)
        flags = builder.and_(builder.zext(builder.load(now), I64), I64(_X86_INEXACT))
        _mxcsr(builder, "llvm.x86.sse.ldmxcsr", _at(builder, kept, I32))
    else:
        flags = builder.and_(_get(builder, "fpsr"), I64(_ARM_INEXACT))
        for number, register in enumerate(("fpcr", "fpsr")):
            _set(builder, register, builder.load(_at(builder, kept, I64, number)))
    builder.store(flags, _at(builder, found, I64))
    builder.ret_void()


watch = native("halfulp_watch", 1, _build_watch, guarded=False)
end_watch = native("halfulp_end_watch", 2, _build_end, guarded=False)
