"""How workers and caller meet in compiled code: a slot for each, atomic states, no interpreter.

A slot is a cache line of int64: the state, the address of a kernel, the address of its arguments.
"""

import llvmlite.binding
from llvmlite import ir

from halfulp.dtypes.jit import direct
from halfulp.dtypes.lanes import I32, I64, declare
from halfulp.dtypes.natives import native

SLOT = 64  # bytes
ASLEEP, IDLE, JOB = 0, 1, 2  # states
FUNCTION, ARGUMENTS = 1, 2  # fields, counted in int64
_SPINS = 4000  # pauses before a worker goes to sleep: some 100 microseconds
_YIELD = 1 << 12  # pauses before the caller lets other threads run


def _pause(builder: ir.IRBuilder) -> None:
    if llvmlite.binding.get_process_triple().startswith(("aarch64", "arm64")):
        hint = declare(builder.module, "llvm.aarch64.hint", ir.FunctionType(ir.VoidType(), [I32]))
        builder.call(hint, [I32(1)])  # yield
    else:
        kind = ir.FunctionType(ir.VoidType(), [])
        builder.call(declare(builder.module, "llvm.x86.sse2.pause", kind), [])


def _field(builder: ir.IRBuilder, slot: ir.Value, index: int) -> ir.Value:
    return builder.inttoptr(builder.add(slot, I64(8 * index)), I64.as_pointer())


def _call(builder: ir.IRBuilder, slot: ir.Value) -> None:
    kind = ir.FunctionType(ir.VoidType(), [I64])
    function = builder.inttoptr(builder.load(_field(builder, slot, FUNCTION)), kind.as_pointer())
    builder.call(function, [builder.load(_field(builder, slot, ARGUMENTS))])


def _build_call(function: ir.Function) -> None:
    kernel, arguments = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    kind = ir.FunctionType(ir.VoidType(), [I64])
    builder.call(builder.inttoptr(kernel, kind.as_pointer()), [arguments])
    builder.ret_void()


def _build_serve(function: ir.Function) -> None:
    """Run the jobs that arrive in a slot; asleep when none has come for a while."""
    (slot,) = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    entry = builder.block
    names = ("poll", "work", "idle", "wait", "tired", "end")
    poll, work, idle, wait, tired, end = (builder.append_basic_block(name) for name in names)
    builder.branch(poll)
    builder.position_at_end(poll)
    spins = builder.phi(I64)
    spins.add_incoming(I64(0), entry)
    state = builder.load_atomic(_field(builder, slot, 0), "acquire", 8)
    builder.cbranch(builder.icmp_signed("==", state, I64(JOB)), work, idle)
    builder.position_at_end(work)
    _call(builder, slot)
    builder.store_atomic(I64(IDLE), _field(builder, slot, 0), "release", 8)
    spins.add_incoming(I64(0), work)
    builder.branch(poll)
    builder.position_at_end(idle)
    builder.cbranch(builder.icmp_signed("<", spins, I64(_SPINS)), wait, tired)
    builder.position_at_end(wait)
    _pause(builder)
    spins.add_incoming(builder.add(spins, I64(1)), wait)
    builder.branch(poll)
    builder.position_at_end(tired)
    # a job may arrive between the last look and this exchange: then it fails, and the job is served
    result = builder.cmpxchg(_field(builder, slot, 0), I64(IDLE), I64(ASLEEP), "acq_rel", "acquire")
    spins.add_incoming(I64(0), tired)
    builder.cbranch(builder.extract_value(result, 1), end, poll)
    builder.position_at_end(end)
    builder.ret_void()


def _build_post(function: ir.Function) -> None:
    """Hand jobs to workers 1..count-1; `sleeping` receives a bit for each that must be woken."""
    slots, count, sleeping = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    before = builder.block
    head, body, end = (builder.append_basic_block(name) for name in ("head", "body", "end"))
    builder.branch(head)
    builder.position_at_end(head)
    index, mask = builder.phi(I64), builder.phi(I64)
    index.add_incoming(I64(1), before)
    mask.add_incoming(I64(0), before)
    builder.cbranch(builder.icmp_signed("<", index, count), body, end)
    builder.position_at_end(body)
    slot = builder.add(slots, builder.mul(index, I64(SLOT)))
    old = builder.atomic_rmw("xchg", _field(builder, slot, 0), I64(JOB), "acq_rel")
    bit = builder.shl(builder.zext(builder.icmp_signed("==", old, I64(ASLEEP)), I64), index)
    mask.add_incoming(builder.or_(mask, bit), body)
    index.add_incoming(builder.add(index, I64(1)), body)
    builder.branch(head)
    builder.position_at_end(end)
    builder.store(mask, builder.inttoptr(sleeping, I64.as_pointer()))
    builder.ret_void()


def _build_finish(function: ir.Function) -> None:
    """Run the caller's own job, then wait for the workers 1..count-1."""
    slots, count = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    _call(builder, slots)
    before = builder.block
    names = ("head", "look", "busy", "rest", "after", "end")
    head, look, busy, rest, after, end = (builder.append_basic_block(name) for name in names)
    builder.branch(head)
    builder.position_at_end(head)
    index = builder.phi(I64)
    index.add_incoming(I64(1), before)
    slot = builder.add(slots, builder.mul(index, I64(SLOT)))
    builder.cbranch(builder.icmp_signed("<", index, count), look, end)
    builder.position_at_end(look)
    spins = builder.phi(I64)
    spins.add_incoming(I64(0), head)
    state = builder.load_atomic(_field(builder, slot, 0), "acquire", 8)
    builder.cbranch(builder.icmp_signed("==", state, I64(JOB)), busy, after)
    builder.position_at_end(busy)
    _pause(builder)
    following = builder.add(spins, I64(1))
    spins.add_incoming(following, busy)
    builder.cbranch(builder.icmp_signed("<", spins, I64(_YIELD)), look, rest)
    builder.position_at_end(rest)
    builder.call(declare(builder.module, "sched_yield", ir.FunctionType(ir.IntType(32), [])), [])
    spins.add_incoming(following, rest)
    builder.branch(look)
    builder.position_at_end(after)
    index.add_incoming(builder.add(index, I64(1)), after)
    builder.branch(head)
    builder.position_at_end(end)
    builder.ret_void()


_call_kernel = native("halfulp_call", 2, _build_call, guarded=False)
_serve = native("halfulp_serve", 1, _build_serve, guarded=False)
_post = native("halfulp_post", 3, _build_post, guarded=False)
_finish = native("halfulp_finish", 2, _build_finish, guarded=False)


@direct
def serve(slot: int) -> None:
    """A worker's share: run the jobs of its slot until none has come for a while."""
    _serve((slot,))


@direct
def post(slots: int, count: int, sleeping: int) -> None:
    """Start workers 1..count-1; `sleeping`, an address, receives a bit for each one to be woken."""
    _post((slots, count, sleeping))


@direct
def finish(slots: int, count: int) -> None:
    """Run the caller's job, slot 0, and wait for workers 1..count-1."""
    _finish((slots, count))


@direct
def call(kernel: int, arguments: int) -> None:
    """Run a kernel here."""
    _call_kernel((kernel, arguments))
