"""Loops made of lanes, callable from numba; each runs in the default floating-point environment."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from halfulp.dtypes.direction import Direction
from halfulp.dtypes.guards import Guards, add_masks, mapped
from halfulp.dtypes.lanes import (
    BYTES,
    I32,
    I64,
    Lanes,
    constant,
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


#: body(inputs, parameters) -> (output, masks whose set lanes are counted)
Body = Callable[[list[Lanes], dict[str, Lanes]], tuple[Lanes, list[Lanes]]]
#: quick(inputs, parameters) -> (guards of lanes that the body would treat so and not count, output)
Quick = Callable[[list[Lanes], dict[str, Lanes]], tuple[Guards, Lanes]]


def load_all(
    builder: ir.IRBuilder, places: Sequence[ir.Value], kinds: Sequence[Any], lanes: int
) -> list[Lanes]:
    """A vector of each kind, from the first places."""
    return [load(builder, at, kind, lanes) for at, kind in zip(places, kinds, strict=False)]


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
        bounds: tuple[ir.Value, ir.Value], vectors: int, sums: Sequence[Lanes], streaming: bool,
    ) -> list[Lanes]:  # fmt: skip
        """From one bound to the other, `vectors` a turn, no element over; returns the counts.

        The builder stands behind it.
        """
        before = builder.block
        head, loop, rest = (builder.append_basic_block(name) for name in ("head", "loop", "rest"))
        builder.branch(head)
        builder.position_at_end(head)
        index = builder.phi(I64)
        index.add_incoming(bounds[0], before)
        phis = [builder.phi(total.value.type) for total in sums]
        for phi, total in zip(phis, sums, strict=True):
            phi.add_incoming(total.value, before)
        builder.cbranch(builder.icmp_signed("<", index, bounds[1]), loop, rest)
        builder.position_at_end(loop)
        steps = [builder.add(index, I64(i * self.lanes)) for i in range(vectors)]
        places = [self._addresses(builder, bases, step) for step in steps]
        given = [load_all(builder, place, self.inputs, self.lanes) for place in places]
        quick = self.quick
        counts = [Lanes(builder, total) for total in phis]
        results, totals = mapped(
            builder, given, counts, lambda vector: self.body(vector, parameters),
            None if quick is None else lambda vector: quick(vector, parameters),
        )  # fmt: skip
        for result, place in zip(results, places, strict=True):
            store(builder, result, place[-1], streaming)
        index.add_incoming(builder.add(index, I64(vectors * self.lanes)), builder.block)
        for total, phi in zip(totals, phis, strict=True):
            phi.add_incoming(total.value, builder.block)
        builder.branch(head)
        builder.position_at_end(rest)
        return counts

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
        amount = builder.zext(total.reduce("add"), I64)
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
    # what little a quick way does, it does for 64 elements at a time
    group = 1 if quick is None else max(1, 64 // lanes)

    def build(function: ir.Function) -> None:
        *bases, parameter_base, counts, n, streaming = function.args
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        given = load_parameters(builder, parameter_base, parameters, lanes)
        whole, grouped = (
            builder.sub(n, builder.srem(n, I64(lanes * vectors))) for vectors in (1, group)
        )
        left = builder.sub(n, whole)
        zero = [Lanes(builder, constant(I32, lanes, 0))] * counted
        blocks = (builder.append_basic_block(name) for name in ("fast", "plain", "tail", "end"))
        fast, plain, tail, end = blocks
        builder.cbranch(builder.icmp_signed("!=", streaming, I64(0)), fast, plain)
        for block, bypass in ((fast, True), (plain, False)):
            builder.position_at_end(block)
            # one vector a turn: two streaming stores in a row took half as long again
            bound, sums = I64(0), zero
            if group > 1 and not bypass:
                bound = grouped
                sums = loop.whole(builder, bases, given, (I64(0), bound), group, sums, bypass)
            sums = loop.whole(builder, bases, given, (bound, whole), 1, sums, bypass)
            add_counts(builder, sums, counts)
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
