"""Loops made of lanes, callable from numba; each runs in the default floating-point environment."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from halfulp.dtypes.direction import Direction
from halfulp.dtypes.lanes import (
    BYTES,
    I1,
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
from halfulp.dtypes.natives import native


def copy_lanes(
    builder: ir.IRBuilder, source: ir.Value, target: ir.Value, count: ir.Value, kind: Any
) -> None:
    """Copy `count` scalars between addresses; leaves the builder behind the loop."""
    names = ("copy", "copy_next", "copied")
    head, loop, rest = (builder.append_basic_block(name) for name in names)
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


def first_lanes(builder: ir.IRBuilder, used: ir.Value, lanes: int) -> Lanes:
    """A mask of `lanes` lanes that is set in the first `used` ones."""
    numbers = ir.Constant(ir.VectorType(I32, lanes), [I32(lane) for lane in range(lanes)])
    return Lanes(builder, numbers) < Lanes(builder, splat(builder, builder.trunc(used, I32), lanes))


def add_masks(masks: Sequence[Lanes], sums: Sequence[Lanes]) -> list[Lanes]:
    """The sums, one more in each lane where the mask is set."""
    # a set mask is -1
    return [total - mask.convert("sext", I32) for total, mask in zip(sums, masks, strict=True)]


def unless_all(
    builder: ir.IRBuilder, mask: Lanes, quick: Sequence[Lanes], slow: Callable[[], Sequence[Lanes]]
) -> list[Lanes]:
    """`quick` when every lane of the mask is set, else slow(), behind a jump."""
    name = f"llvm.vector.reduce.and.v{mask.count}i1"
    reduce = declare(builder.module, name, ir.FunctionType(I1, [mask.value.type]))
    names = ("slow", "chosen")
    rare, chosen = (builder.append_basic_block(name) for name in names)
    before = builder.block
    jump = builder.cbranch(builder.call(reduce, [mask.value]), chosen, rare)
    jump.set_weights([1 << 10, 1])
    builder.position_at_end(rare)
    found = slow()
    after = builder.block
    builder.branch(chosen)
    builder.position_at_end(chosen)
    results = []
    for usual, other in zip(quick, found, strict=True):
        phi = builder.phi(usual.value.type)
        phi.add_incoming(usual.value, before)
        phi.add_incoming(other.value, after)
        results.append(Lanes(builder, phi))
    return results


#: body(inputs, parameters) -> (output, masks whose set lanes are counted)
Body = Callable[[list[Lanes], dict[str, Lanes]], tuple[Lanes, list[Lanes]]]
#: quick(inputs, parameters) -> (lanes that the body would treat so and not count, their output)
Quick = Callable[[list[Lanes], dict[str, Lanes]], tuple[Lanes, Lanes]]


@dataclass(frozen=True)
class _Loop:
    """Emits one loop over whole vectors and one step for the rest.

    inputs, output   LLVM types of the elements
    lanes            elements of a vector
    counted          masks that the body returns
    quick            serves a vector whose lanes are all ordinary, without the body
    """

    body: Body
    inputs: Sequence[Any]
    output: Any
    lanes: int
    counted: int
    quick: Quick | None

    def _step(
        self, builder: ir.IRBuilder, given: list[Lanes], parameters: dict[str, Lanes],
        sums: list[Lanes],
    ) -> list[Lanes]:  # fmt: skip
        """The output and the new counts of one vector."""

        def whole() -> list[Lanes]:
            result, masks = self.body(given, parameters)
            return [result, *add_masks(masks, sums)]

        if self.quick is None:
            return whole()
        ordinary, result = self.quick(given, parameters)
        return unless_all(builder, ordinary, [result, *sums], whole)

    def _addresses(
        self, builder: ir.IRBuilder, bases: Sequence[ir.Value], index: ir.Value
    ) -> list[ir.Value]:
        kinds = [*self.inputs, self.output]
        return [
            builder.add(base, builder.mul(index, I64(BYTES[kind])))
            for base, kind in zip(bases, kinds, strict=True)
        ]

    def whole(
        self, builder: ir.IRBuilder, bases: Sequence[ir.Value], parameters: dict[str, Lanes],
        stop: ir.Value, streaming: bool,
    ) -> list[Lanes]:  # fmt: skip
        """Every full vector of [0, stop); returns the counts. The builder stands behind it."""
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
        given = [
            load(builder, at, kind, self.lanes)
            for at, kind in zip(places, self.inputs, strict=False)
        ]
        counts = [Lanes(builder, total) for total in sums]
        result, *totals = self._step(builder, given, parameters, counts)
        # one vector a turn: two streaming stores in a row took half as long again
        store(builder, result, places[-1], streaming)
        index.add_incoming(builder.add(index, I64(self.lanes)), builder.block)
        for total, phi in zip(totals, sums, strict=True):
            phi.add_incoming(total.value, builder.block)
        builder.branch(head)
        builder.position_at_end(rest)
        return [Lanes(builder, total) for total in sums]

    def tail(
        self, builder: ir.IRBuilder, bases: Sequence[ir.Value], parameters: dict[str, Lanes],
        start: ir.Value, rest: ir.Value,
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
        used = first_lanes(builder, rest, self.lanes)
        nothing = Lanes(builder, constant(I32, self.lanes, 0))
        return add_masks([mask & used for mask in masks], [nothing] * self.counted)


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
    lanes: int = 16, counted: int = 0, quick: Quick | None = None,
    direction: Direction = Direction.NEAREST, directed: bool = False,
) -> Any:  # fmt: skip
    """A native that maps `body` over arrays.

    name((inputs..., output, parameters, counts, n, streaming)). All are int64: addresses, then the
    number of elements, then 1 for stores that bypass the caches (the output must then be aligned to
    64 bytes). `counted` masks are summed into int64 values at `counts`. Floating-point operations
    round in `direction`, or with `directed` in that of the first parameter.
    """
    loop = _Loop(body, inputs, output, lanes, counted, quick)

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

    directed_by = len(inputs) + 1 if directed else None
    return native(name, len(inputs) + 5, build, direction=direction, directed_by=directed_by)
