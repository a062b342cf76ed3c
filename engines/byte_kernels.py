"""Products of 8-bit integers, four to a lane, on processors that have them (AVX-512 VNNI).

    lane + a[0] b[0] + a[1] b[1] + a[2] b[2] + a[3] b[3], exact, modulo 2^32

The instruction takes a without sign: a + 128 goes in, and 128 times the sums of B's columns come
off. Four k of a row of A, and of a column of B, lie in one 32-bit word.
"""

from llvmlite import ir

from halfulp.dtypes.jit import has_feature
from halfulp.dtypes.lanes import F32, I8, I32, I64, Lanes, declare, load, splat, store
from halfulp.dtypes.natives import native
from halfulp.engines.casts import COUNTS, INTEGER_NAMES, Given, Result, integer_cast
from halfulp.engines.grid import Counter, lane_grid
from halfulp.engines.microkernel import PANEL, ROW_STRIDE

ROWS, VECTOR = 8, 16  # rows of a micro-kernel, 32-bit words of a vector
VECTORS = PANEL // VECTOR
ROW_BYTES = ROW_STRIDE * 4  # between packed rows of A
FOUR = 4  # k of a word
_VNNI = "llvm.x86.avx512.vpdpbusd.512"


HAS_BYTE_PRODUCTS = has_feature("avx512vnni")


def _byte_operand(inputs: list[Lanes], given: Given, scale: Lanes) -> Result:
    """float32 bits to an int8, plus 128."""
    value = (inputs[0].bits(F32) * scale).bits(I32)
    result, masks = integer_cast(value, given)
    integer = result.bits(F32).convert("fptosi", I32)
    return (integer ^ 128).convert("trunc", I8), masks


def _flipped(inputs: list[Lanes], given: Given, scale: Lanes) -> Result:
    """An int8, plus 128."""
    return inputs[0] ^ 128, []


def _build_columns(function: ir.Function) -> None:
    """(panel, words, rows, sums): up to four rows of a float32 panel into one row of words.

    From the sums of the columns 128 times each number is taken.
    """
    panel, words, rows, sums = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    last = builder.sub(rows, I64(1))
    for vector in range(VECTORS):
        shift = I64(4 * VECTOR * vector)
        place = builder.add(sums, shift)
        total, word = load(builder, place, I32, VECTOR), None
        for row in range(FOUR):
            there = builder.icmp_signed("<", I64(row), rows)
            index = builder.select(there, I64(row), last)
            at = builder.add(builder.add(panel, shift), builder.mul(index, I64(4 * PANEL)))
            value = load(builder, at, F32, VECTOR).convert("fptosi", I32)
            used = Lanes(builder, splat(builder, builder.sext(there, I32), VECTOR))
            value = value & used
            total = total - (value << 7)
            byte = (value & 255) << (8 * row)
            word = byte if word is None else word | byte
        store(builder, total, place)
        assert word is not None
        store(builder, word, builder.add(words, shift))
    builder.ret_void()


def _build_multiply(function: ir.Function) -> None:
    """(a, b, c, c stride, words, first, sums): ROWS x PANEL of C, from the sums where `first`."""
    a, b, c, stride, steps, first, sums = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    words = ir.VectorType(I32, VECTOR)
    eight = ir.VectorType(I8, VECTOR * FOUR)
    product = declare(builder.module, _VNNI, ir.FunctionType(words, [words, eight, eight]))
    new = builder.icmp_signed("!=", first, I64(0))
    source = builder.select(new, sums, c)
    step = builder.select(new, I64(0), stride)
    places, start = [], []
    for row in range(ROWS):
        for vector in range(VECTORS):
            shift = I64(4 * VECTOR * vector)
            before = builder.add(builder.add(source, builder.mul(step, I64(row))), shift)
            start.append(load(builder, before, I32, VECTOR))
            places.append(builder.add(builder.add(c, builder.mul(stride, I64(row))), shift))
    loop = Counter(builder, steps, 1, start)
    at_b = builder.add(b, builder.mul(loop.index, I64(4 * PANEL)))
    at_a = builder.add(a, builder.mul(loop.index, I64(FOUR)))
    columns = [
        builder.bitcast(load(builder, builder.add(at_b, I64(64 * v)), I32, VECTOR).value, eight)
        for v in range(VECTORS)
    ]
    totals = []
    for row in range(ROWS):
        pointer = builder.inttoptr(builder.add(at_a, I64(ROW_BYTES * row)), I32.as_pointer())
        factor = builder.bitcast(splat(builder, builder.load(pointer, align=4), VECTOR), eight)
        for vector, column in enumerate(columns):
            total = loop.sums[row * VECTORS + vector].value
            totals.append(Lanes(builder, builder.call(product, [total, factor, column])))
    for lanes, place in zip(loop.close(totals), places, strict=True):
        store(builder, lanes, place)
    builder.ret_void()


cast_bytes = lane_grid("halfulp_cast_bytes", _byte_operand, [I32], I8, INTEGER_NAMES, len(COUNTS))
flip_bytes = lane_grid("halfulp_flip_bytes", _flipped, [I8], I8, (), 0)
pack_words = native("halfulp_pack_words", 4, _build_columns, guarded=False)
multiply_bytes = native("halfulp_multiply_bytes", 7, _build_multiply, guarded=False)
