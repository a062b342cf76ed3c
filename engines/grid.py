"""Loops over the rows of matrices, and blocks that are moved or transposed: what the engines' kernels are made of.

Everything here runs between `begin_exact` and `end_exact`; addresses, strides (in bytes) and counts
are int64.
"""

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from halfulp.dtypes.lanes import (
    BYTES,
    F32,
    I32,
    I64,
    Lanes,
    constant,
    load,
    load_parameters,
    splat,
    store,
)
from halfulp.dtypes.loops import add_counts, add_masks, copy_lanes, first_lanes
from halfulp.dtypes.natives import native

LANES = 16
#: body(inputs, parameters, scale) -> (output, masks whose set lanes are counted)
GridBody = Callable[[list[Lanes], dict[str, Lanes], Lanes], tuple[Lanes, list[Lanes]]]


class Counter:
    """A loop over [0, stop) in steps: `with` gives the index, vectors carried along are `sums`."""

    def __init__(
        self, builder: ir.IRBuilder, stop: ir.Value, step: int, sums: Sequence[Lanes] = ()
    ) -> None:
        self.builder, self.stop, self.step = builder, stop, step
        before = builder.block
        self.head, self.loop, self.rest = (
            builder.append_basic_block(name) for name in ("head", "loop", "rest")
        )
        builder.branch(self.head)
        builder.position_at_end(self.head)
        self.index = builder.phi(I64)
        self.index.add_incoming(I64(0), before)
        self.phis = [builder.phi(total.value.type) for total in sums]
        for phi, total in zip(self.phis, sums, strict=True):
            phi.add_incoming(total.value, before)
        builder.cbranch(builder.icmp_signed("<", self.index, stop), self.loop, self.rest)
        builder.position_at_end(self.loop)

    @property
    def sums(self) -> list[Lanes]:
        return [Lanes(self.builder, phi) for phi in self.phis]

    def close(self, sums: Sequence[Lanes] = ()) -> list[Lanes]:
        """End the body; the builder goes on behind the loop with the sums' final values."""
        builder = self.builder
        self.index.add_incoming(builder.add(self.index, I64(self.step)), builder.block)
        for phi, total in zip(self.phis, sums, strict=True):
            phi.add_incoming(total.value, builder.block)
        builder.branch(self.head)
        builder.position_at_end(self.rest)
        return self.sums


def offset(
    builder: ir.IRBuilder, base: ir.Value, index: ir.Value, stride: ir.Value | int
) -> ir.Value:
    step = I64(stride) if isinstance(stride, int) else stride
    return builder.add(base, builder.mul(index, step))


def lane_grid(
    name: str,
    body: GridBody,
    inputs: Sequence[Any],
    output: Any,
    parameters: Sequence[str],
    counted: int,
) -> Any:
    """A native that maps `body` over matrices.

    name((input, its row stride, ..., output, its row stride, rows, columns, parameters, scale bits,
    counts)). An input row stride of 0 repeats one row. `counted` masks are added to int64 values at
    `counts`.
    """

    def row(builder: ir.IRBuilder, places: list[ir.Value], given: dict[str, Lanes], scale: Lanes, columns: ir.Value,
            sums: list[Lanes], buffers: list[ir.Value]) -> list[Lanes]:  # fmt: skip
        kinds = [*inputs, output]
        whole = builder.sub(columns, builder.srem(columns, I64(LANES)))
        loop = Counter(builder, whole, LANES, sums)
        at = [
            offset(builder, place, loop.index, BYTES[kind])
            for place, kind in zip(places, kinds, strict=True)
        ]
        loaded = [
            load(builder, place, kind, LANES) for place, kind in zip(at, inputs, strict=False)
        ]
        result, masks = body(loaded, given, scale)
        store(builder, result, at[-1])
        sums = loop.close(_count(masks, loop.sums))
        # the rest of the row goes through buffers, all of whose lanes exist
        rest = builder.sub(columns, whole)
        single = Counter(
            builder, builder.zext(builder.icmp_signed(">", rest, I64(0)), I64), 1, sums
        )
        at = [
            offset(builder, place, whole, BYTES[kind])
            for place, kind in zip(places, kinds, strict=True)
        ]
        loaded = []
        for place, kind, buffer in zip(at, inputs, buffers, strict=False):
            builder.store(constant(kind, LANES, 0), buffer)
            copy_lanes(builder, place, builder.ptrtoint(buffer, I64), rest, kind)
            loaded.append(Lanes(builder, builder.load(buffer)))
        result, masks = body(loaded, given, scale)
        builder.store(result.value, buffers[-1])
        copy_lanes(builder, builder.ptrtoint(buffers[-1], I64), at[-1], rest, output)
        numbers = Lanes(
            builder, ir.Constant(ir.VectorType(I32, LANES), [I32(lane) for lane in range(LANES)])
        )
        used = numbers < Lanes(builder, splat(builder, builder.trunc(rest, I32), LANES))
        return single.close(_count([mask & used for mask in masks], single.sums))

    def build(function: ir.Function) -> None:
        *operands, rows, columns, parameter_base, scale_bits, counts = function.args
        bases, strides = operands[::2], operands[1::2]
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        given = load_parameters(builder, parameter_base, parameters, LANES)
        scale = Lanes(builder, splat(builder, builder.trunc(scale_bits, I32), LANES)).bits(F32)
        buffers = [builder.alloca(ir.VectorType(kind, LANES)) for kind in (*inputs, output)]
        zero = [Lanes(builder, constant(I32, LANES, 0))] * counted
        loop = Counter(builder, rows, 1, zero)
        places = [
            offset(builder, base, loop.index, stride)
            for base, stride in zip(bases, strides, strict=True)
        ]
        sums = row(builder, places, given, scale, columns, loop.sums, buffers)
        add_counts(builder, loop.close(sums), counts)
        builder.ret_void()

    return native(name, 2 * len(inputs) + 7, build, guarded=False)


def _count(masks: list[Lanes], sums: list[Lanes]) -> list[Lanes]:
    return [total - mask.convert("sext", I32) for total, mask in zip(sums, masks, strict=True)]


def _build_move(function: ir.Function) -> None:
    source, source_stride, target, target_stride, rows, columns = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    loop = Counter(builder, rows, 1)
    from_row = offset(builder, source, loop.index, source_stride)
    copy_lanes(builder, from_row, offset(builder, target, loop.index, target_stride), columns, I32)
    loop.close()
    builder.ret_void()


def _build_clear(function: ir.Function) -> None:
    target, count = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    whole = builder.sub(count, builder.srem(count, I64(LANES)))
    for base, stop, lanes in (
        (target, whole, LANES),
        (offset(builder, target, whole, 4), builder.sub(count, whole), 1),
    ):
        loop = Counter(builder, stop, lanes)
        store(
            builder, Lanes(builder, constant(I32, lanes, 0)), offset(builder, base, loop.index, 4)
        )
        loop.close()
    builder.ret_void()


def _build_transpose(function: ir.Function) -> None:
    """A 16 x 16 block of 32-bit elements: a perfect shuffle of rows i and i + 8, four times, is the transpose."""
    source, source_stride, target, target_stride = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    rows = [
        load(builder, offset(builder, source, I64(i), source_stride), I32, LANES).value
        for i in range(LANES)
    ]
    for _ in range(4):
        mixed = []
        for i in range(8):
            for start in (0, 8):
                order = [lane for k in range(start, start + 8) for lane in (k, 16 + k)]
                mask = ir.Constant(ir.VectorType(I32, LANES), [I32(lane) for lane in order])
                mixed.append(builder.shuffle_vector(rows[i], rows[i + 8], mask))
        rows = mixed
    for i, value in enumerate(rows):
        store(builder, Lanes(builder, value), offset(builder, target, I64(i), target_stride))
    builder.ret_void()


#: move((source, stride, target, stride, rows, columns)): copy a matrix of 32-bit elements
move = native("halfulp_move", 6, _build_move, guarded=False)
#: clear((target, count)): zero 32-bit elements
clear = native("halfulp_clear", 2, _build_clear, guarded=False)
#: transpose((source, stride, target, stride)): a 16 x 16 block of 32-bit elements
transpose = native("halfulp_transpose", 4, _build_transpose, guarded=False)
