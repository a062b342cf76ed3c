"""Loops over blocks: the largest magnitude of each, and elements beside a value of their block.

A slot is what a block takes in memory: a multiple of 16 elements, zeros behind the last one.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from halfulp.dtypes.block_layout import LANES
from halfulp.dtypes.lanes import (
    BYTES,
    F32,
    I32,
    I64,
    Lanes,
    load,
    load_parameters,
    splat,
    store,
)
from halfulp.dtypes.natives import native

Given = dict[str, Lanes]


def _count_loop(
    builder: ir.IRBuilder, name: str, count: ir.Value, start: list[ir.Value],
    step: Callable[[ir.Value, list[ir.Value]], list[ir.Value]],
) -> list[ir.Value]:  # fmt: skip
    """for index in range(count): carried = step(index, carried); the builder stands behind it."""
    before = builder.block
    head, loop, rest = (builder.append_basic_block(name + part) for part in ("", "_next", "_end"))
    builder.branch(head)
    builder.position_at_end(head)
    index = builder.phi(I64)
    index.add_incoming(I64(0), before)
    carried = [builder.phi(value.type) for value in start]
    for phi, value in zip(carried, start, strict=True):
        phi.add_incoming(value, before)
    builder.cbranch(builder.icmp_signed("<", index, count), loop, rest)
    builder.position_at_end(loop)
    for phi, value in zip(carried, step(index, carried), strict=True):
        phi.add_incoming(value, builder.block)
    index.add_incoming(builder.add(index, I64(1)), builder.block)
    builder.branch(head)
    builder.position_at_end(rest)
    return carried


def _place(builder: ir.IRBuilder, base: ir.Value, index: ir.Value, size: int) -> ir.Value:
    return builder.add(base, builder.mul(index, I64(size)))


def maxima_loop(name: str, kind: Any) -> Any:
    """name((source, maxima, blocks, vectors)): the bits of each slot's largest magnitude.

    An infinity is larger than all numbers, a NaN larger still.
    """
    size = BYTES[kind]
    magnitude_bits = (1 << (8 * size - 1)) - 1

    def build(function: ir.Function) -> None:
        source, maxima, blocks, vectors = function.args
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        vector = ir.VectorType(kind, LANES)

        def one_block(block: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
            first = builder.mul(block, vectors)

            def one_vector(index: ir.Value, carried: list[ir.Value]) -> list[ir.Value]:
                place = _place(builder, source, builder.add(first, index), size * LANES)
                magnitude = load(builder, place, kind, LANES) & magnitude_bits
                return [magnitude.call("umax", Lanes(builder, carried[0])).value]

            nothing = ir.Constant(vector, None)
            (found,) = _count_loop(builder, "vectors", vectors, [nothing], one_vector)
            place = builder.inttoptr(_place(builder, maxima, block, size), kind.as_pointer())
            builder.store(Lanes(builder, found).reduce("umax"), place)
            return []

        _count_loop(builder, "blocks", blocks, [], one_block)
        builder.ret_void()

    return native(name, 4, build)


#: body(elements, the block's value, parameters) -> elements
BlockBody = Callable[[Lanes, Lanes, Given], Lanes]


def _map_blocks(
    builder: ir.IRBuilder, places: list[ir.Value], counts: list[ir.Value], given: Given,
    body: BlockBody, kinds: tuple[Any, Any], bypass: bool,
) -> None:  # fmt: skip
    """target = body(source, value of the block) for every vector of every block."""
    source, target, values = places
    blocks, vectors = counts
    kind, output = kinds

    def one_block(block: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
        place = builder.inttoptr(_place(builder, values, block, 4), I32.as_pointer())
        value = Lanes(builder, splat(builder, builder.load(place), LANES)).bits(F32)
        first = builder.mul(block, vectors)

        def one_vector(index: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
            number = builder.add(first, index)
            place = _place(builder, source, number, BYTES[kind] * LANES)
            result = body(load(builder, place, kind, LANES), value, given)
            place = _place(builder, target, number, BYTES[output] * LANES)
            store(builder, result, place, bypass)
            return []

        _count_loop(builder, "vectors", vectors, [], one_vector)
        return []

    _count_loop(builder, "blocks", blocks, [], one_block)


def block_loop(
    name: str, body: BlockBody, kind: Any, output: Any, parameters: tuple[str, ...] = ()
) -> Any:
    """A native that maps `body` over the elements of slots, each with the value of its block.

    name((source, target, values, parameters, blocks, vectors, streaming)). Elements are integers of
    `kind`, results of `output`, values float32 bits. Streaming stores need an aligned target.
    """

    def build(function: ir.Function) -> None:
        *places, parameter_base, blocks, vectors, streaming = function.args
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        given = load_parameters(builder, parameter_base, parameters, LANES)
        names = (builder.append_basic_block(name) for name in ("fast", "plain", "end"))
        fast, plain, end = names
        builder.cbranch(builder.icmp_signed("!=", streaming, I64(0)), fast, plain)
        for block, bypass in ((fast, True), (plain, False)):
            builder.position_at_end(block)
            kinds = kind, output
            _map_blocks(builder, places, [blocks, vectors], given, body, kinds, bypass)
            if bypass:
                builder.fence("seq_cst")
            builder.branch(end)
        builder.position_at_end(end)
        builder.ret_void()

    return native(name, 7, build)
