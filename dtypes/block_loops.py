"""The loops of block formats: largest magnitudes, scales, and elements with their block's scale.

A slot is what a block takes in memory: a multiple of 16 elements, zeros behind the last one.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from halfulp.dtypes.block_layout import LANES
from halfulp.dtypes.lanes import (
    BYTES,
    F32,
    F64,
    I8,
    I32,
    I64,
    Lanes,
    declare,
    load,
    load_parameters,
    splat,
    store,
)
from halfulp.dtypes.loops import lane_loop
from halfulp.dtypes.natives import native
from halfulp.dtypes.parameters import NAN32

Given = dict[str, Lanes]
_INF64, _NAN64 = 0x7FF << 52, 0x7FF8 << 48


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


def _block_maxima(name: str, kind: Any) -> Any:
    """name((source, maxima, blocks, vectors)): the bits of each slot's largest magnitude.

    An infinity is larger than all numbers, a NaN larger still.
    """
    size = BYTES[kind]
    magnitude_bits = (1 << (8 * size - 1)) - 1

    def build(function: ir.Function) -> None:
        source, maxima, blocks, vectors = function.args
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        vector = ir.VectorType(kind, LANES)
        largest = declare(
            builder.module,
            f"llvm.vector.reduce.umax.v{LANES}i{8 * size}",
            ir.FunctionType(kind, [vector]),
        )

        def one_block(block: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
            first = builder.mul(block, vectors)

            def one_vector(index: ir.Value, carried: list[ir.Value]) -> list[ir.Value]:
                place = _place(builder, source, builder.add(first, index), size * LANES)
                magnitude = load(builder, place, kind, LANES) & magnitude_bits
                return [magnitude.call("umax", Lanes(builder, carried[0])).value]

            nothing = ir.Constant(vector, None)
            (found,) = _count_loop(builder, "vectors", vectors, [nothing], one_vector)
            place = builder.inttoptr(_place(builder, maxima, block, size), kind.as_pointer())
            builder.store(builder.call(largest, [found]), place)
            return []

        _count_loop(builder, "blocks", blocks, [], one_block)
        builder.ret_void()

    return native(name, 4, build)


#: body(elements, the block's value, parameters) -> elements
BlockBody = Callable[[Lanes, Lanes, Given], Lanes]


def _block_map(name: str, body: BlockBody, kind: Any, parameters: tuple[str, ...] = ()) -> Any:
    """A native that maps `body` over the elements of slots, each with the value of its block.

    name((source, target, values, parameters, blocks, vectors, streaming)). Elements are integers of
    `kind`, values float32 bits; streaming as in `lane_loop`.
    """
    width = BYTES[kind] * LANES

    def build(function: ir.Function) -> None:
        source, target, values, parameter_base, blocks, vectors, streaming = function.args
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        given = load_parameters(builder, parameter_base, parameters, LANES)
        names = (builder.append_basic_block(name) for name in ("fast", "plain", "end"))
        fast, plain, end = names
        builder.cbranch(builder.icmp_signed("!=", streaming, I64(0)), fast, plain)

        def over_blocks(bypass: bool) -> None:
            def one_block(block: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
                place = builder.inttoptr(_place(builder, values, block, 4), I32.as_pointer())
                value = Lanes(builder, splat(builder, builder.load(place), LANES)).bits(F32)
                first = builder.mul(block, vectors)

                def one_vector(index: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
                    number = builder.add(first, index)
                    elements = load(builder, _place(builder, source, number, width), kind, LANES)
                    result = body(elements, value, given)
                    store(builder, result, _place(builder, target, number, width), bypass)
                    return []

                _count_loop(builder, "vectors", vectors, [], one_vector)
                return []

            _count_loop(builder, "blocks", blocks, [], one_block)

        for block, bypass in ((fast, True), (plain, False)):
            builder.position_at_end(block)
            over_blocks(bypass)
            if bypass:
                builder.fence("seq_cst")
            builder.branch(end)
        builder.position_at_end(end)
        builder.ret_void()

    return native(name, 7, build)


def _zero_for_nan(result: Lanes, integer: Any) -> Lanes:
    """Where the block's scale is NaN every element is +0."""
    bits = result.bits(integer)
    return result.is_nan().where(bits.like(0), bits)


def _multiply(x: Lanes, inverse: Lanes, given: Given) -> Lanes:
    """x / scale, by the inverse of a power of two: exact, or too small to matter."""
    return _zero_for_nan(x.bits(F32) * inverse, I32)


def _odd_quotient(x: Lanes, divisor: Lanes, integer: Any) -> Lanes:
    """Bits of x / divisor rounded to odd: rounding it again to two bits less is right.

    The remainder tells on which side of the quotient x lies.
    """
    quotient = x / divisor
    remainder = (quotient.like(0.0) - quotient).fma(divisor, x)
    inexact = (remainder < 0.0) | (remainder > 0.0)
    bits = quotient.bits(integer)
    # a remainder of the other sign: the quotient was rounded away from zero
    too_far = ((remainder.bits(integer) ^ bits) >> (integer.width - 1)).differs(0) & inexact
    down = too_far.convert("zext", integer)
    return quotient.is_nan().where(bits.like(0), (bits - down) | inexact.convert("zext", integer))


def _divide(x: Lanes, scale: Lanes, given: Given) -> Lanes:
    """x / (scale * tensor scale), float32; the product is rounded once.

    `lift` keeps the remainder off the subnormal numbers, where it would be rounded.
    """
    lift = given["lift"].bits(F32)
    divisor = scale * given["tensor_scale"].bits(F32) * lift
    return _odd_quotient(x.bits(F32) * lift, divisor, I32)


def _divide_wide(x: Lanes, scale: Lanes, given: Given) -> Lanes:
    """The same of float64 numbers."""
    divisor = (scale * given["tensor_scale"].bits(F32)).convert("fpext", F64)
    return _odd_quotient(x.bits(F64), divisor, I64)


def _apply(element: Lanes, scale: Lanes, given: Given) -> Lanes:
    """element * scale, which is exact but for e8m0's ends, times the tensor scale."""
    result = element.bits(F32) * scale * given["tensor_scale"].bits(F32)
    bits = result.bits(I32)
    return result.is_nan().where(bits.like(NAN32), bits)


def _wide(given: Given, name: str) -> Lanes:
    low, high = given[name + "_low"], given[name + "_high"]
    return low.convert("zext", I64) | (high.convert("zext", I64) << 32)


def _power_scale(inputs: list[Lanes], given: Given) -> tuple[Lanes, list[Lanes]]:
    """float64 bits of a block's maximum to the e8m0 code of its scale, as a `ScaleRule` says.

    What is added carries into the exponent where the rule rounds up.
    """
    maximum = inputs[0]
    field = (maximum + _wide(given, "carry")) >> 52
    code = field - given["offset"].convert("sext", I64)
    code = code.call("smax", 0).call("smin", 254)
    return (maximum >= _INF64).where(code.like(255), code).convert("trunc", I8), []


def _quotient(inputs: list[Lanes], given: Given) -> tuple[Lanes, list[Lanes]]:
    """float64 bits of maximum / (largest element * tensor scale), rounded to odd.

    At least the smallest scale: a block is never divided by zero.
    """
    maximum = inputs[0]
    # two float32 of few bits each: the product is exact
    largest, tensor_scale, least = (
        given[name].bits(F32).convert("fpext", F64)
        for name in ("element_max", "tensor_scale", "least")
    )
    bits = _odd_quotient(maximum.bits(F64), largest * tensor_scale, I64)
    bits = bits.call("umax", least.bits(I64))
    return (maximum >= _INF64).where(bits.like(_NAN64), bits), []


def _inverse(inputs: list[Lanes], given: Given) -> tuple[Lanes, list[Lanes]]:
    """e8m0 codes to the float32 bits of 1 / scale."""
    code = inputs[0].convert("zext", I32)
    bits = (code.like(254) - code) << 23
    bits = code.equals(254).where(code.like(1 << 22), bits)  # 2^-127 is subnormal
    return code.equals(255).where(code.like(NAN32), bits), []


def _encode_fixed(inputs: list[Lanes], given: Given) -> tuple[Lanes, list[Lanes]]:
    """float32 bits to integers in units of `unit`, nearest even, from -most to most."""
    x = inputs[0]
    units = (x & 0x7FFFFFFF).bits(F32) * given["per_unit"].bits(F32)
    units = units.bits(I32).call("umin", given["most"]).bits(F32)
    whole = ((units + 8388608.0) - 8388608.0).convert("fptosi", I32)
    negative = x.arithmetic_shift(31)
    return ((whole ^ negative) - negative).convert("trunc", I8), []


def _decode_fixed(inputs: list[Lanes], given: Given) -> tuple[Lanes, list[Lanes]]:
    """Integers to the float32 bits of what they stand for."""
    whole = inputs[0].convert("sext", I32).convert("sitofp", F32)
    return (whole * given["unit"].bits(F32)).bits(I32), []


TENSOR_NAMES = ("tensor_scale", "lift")
POWER_NAMES = ("offset", "carry_low", "carry_high")
QUOTIENT_NAMES = ("element_max", "tensor_scale", "least")
FIXED_NAMES = ("per_unit", "most", "unit")

block_maxima = _block_maxima("halfulp_block_maxima", I32)
block_maxima_wide = _block_maxima("halfulp_block_maxima_wide", I64)
multiply_blocks = _block_map("halfulp_multiply_blocks", _multiply, I32)
divide_blocks = _block_map("halfulp_divide_blocks", _divide, I32, TENSOR_NAMES)
divide_blocks_wide = _block_map("halfulp_divide_blocks_wide", _divide_wide, I64, TENSOR_NAMES)
scale_blocks = _block_map("halfulp_scale_blocks", _apply, I32, TENSOR_NAMES)
power_scale_loop = lane_loop("halfulp_power_scale", _power_scale, [I64], I8, POWER_NAMES, lanes=8)
quotient_loop = lane_loop("halfulp_quotient", _quotient, [I64], I64, QUOTIENT_NAMES, lanes=8)
inverse_loop = lane_loop("halfulp_inverse", _inverse, [I8], I32)
encode_fixed_loop = lane_loop("halfulp_encode_fixed", _encode_fixed, [I32], I8, FIXED_NAMES)
decode_fixed_loop = lane_loop("halfulp_decode_fixed", _decode_fixed, [I8], I32, FIXED_NAMES)
