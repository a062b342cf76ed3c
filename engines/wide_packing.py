"""What goes into and comes out of `steps`: operands with their powers, blocks of outputs, noise."""

from collections.abc import Callable
from functools import partial

from llvmlite import ir

from halfulp.dtypes.lanes import F32, F64, I32, I64, Lanes, load, splat, store
from halfulp.dtypes.natives import native
from halfulp.dtypes.parameters import NAN32
from halfulp.dtypes.philox import rounds
from halfulp.engines.grid import Counter
from halfulp.engines.wide import (
    COLUMNS,
    INF64,
    LANES,
    NOISE_BYTES,
    ROWS,
    VECTORS,
    WILD_POWER,
    ZERO_POWER,
    Units,
    load_unit,
    places,
)

_LOW = 0xFFFFFFFF
_DRAWN = 4 * LANES  # counters at once: those of one vector leave the processor waiting


def _operand_power(x: Lanes, tiny: Lanes) -> Lanes:
    """2^exponent; what stands for zeros, and for infinities and NaN."""
    bits = x.bits(I64)
    field = bits & INF64
    power = (field > tiny).where(field, tiny).bits(F64)
    power = (bits << 1).equals(0).where(power.like(ZERO_POWER), power)
    return field.equals(INF64).where(power.like(WILD_POWER), power)


def _widen(width: int) -> Callable[[ir.Function], None]:
    """(source, target, count, tiny): rows of `width` float32 to float64 values and their powers.

    `tiny` is the smallest normal number of their format, as float64 bits.
    """
    lanes = min(width, LANES)

    def build(function: ir.Function) -> None:
        source, target, count, tiny = function.args
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        smallest = Lanes(builder, splat(builder, tiny, lanes))
        loop = Counter(builder, count, 1)
        row = builder.add(source, builder.mul(loop.index, I64(4 * width)))
        wide = builder.add(target, builder.mul(loop.index, I64(16 * width)))
        for first in range(0, width, lanes):
            narrow = load(builder, builder.add(row, I64(4 * first)), F32, lanes)
            x = narrow.convert("fpext", F64)
            store(builder, x, builder.add(wide, I64(8 * first)))
            power = _operand_power(x, smallest)
            store(builder, power, builder.add(wide, I64(8 * (width + first))))
        loop.close()
        builder.ret_void()

    return build


def _spread(width: int) -> Callable[[ir.Function], None]:
    """(source, target, count): rows of `width` int32 to int64, where float64 values would stand."""
    lanes = min(width, LANES)

    def build(function: ir.Function) -> None:
        source, target, count = function.args
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        loop = Counter(builder, count, 1)
        row = builder.add(source, builder.mul(loop.index, I64(4 * width)))
        wide = builder.add(target, builder.mul(loop.index, I64(16 * width)))
        for first in range(0, width, lanes):
            narrow = load(builder, builder.add(row, I64(4 * first)), I32, lanes)
            store(builder, narrow.convert("sext", I64), builder.add(wide, I64(8 * first)))
        loop.close()
        builder.ret_void()

    return build


def _build_open(function: ir.Function) -> None:
    units = Units(function, "fx")
    builder, (source, target) = units.builder, units.arguments
    for i, place in enumerate(places(builder, target)):
        narrow = load(builder, builder.add(source, I64(4 * LANES * i)), F32, LANES)
        store(builder, narrow.convert("fpext", F64), place)
    units.close()


def _build_close(function: ir.Function) -> None:
    units = Units(function, "xf")
    builder, (source, target) = units.builder, units.arguments
    for i, x in enumerate(load_unit(builder, source)):
        bits = x.convert("fptrunc", F32).bits(I32)
        result = x.is_nan().where(bits.like(NAN32), bits)
        store(builder, result, builder.add(target, I64(4 * LANES * i)))
    units.close()


def _draw(function: ir.Function, halves: bool) -> None:
    """Four words for each output of a block, of one counter each; or the halves of them."""
    numbers, step, seed, drop, target = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))

    def words(value: ir.Value) -> list[Lanes]:
        both = Lanes(builder, splat(builder, value, _DRAWN))
        return [both & _LOW, both >> 32]

    steps, key = words(step), words(seed)
    unwanted = Lanes(builder, splat(builder, drop, _DRAWN))
    loop = Counter(builder, I64(ROWS * COLUMNS // _DRAWN), 1)
    shift = builder.mul(loop.index, I64(8 * _DRAWN))
    half = builder.mul(loop.index, I64(4 * _DRAWN))
    output = load(builder, builder.add(numbers, shift), I64, _DRAWN)
    drawn = rounds([output & _LOW, output >> 32, *steps], key)
    # the lower half of a word stands where the upper one does
    pieces = [piece for word in drawn for piece in ([word, word << 16] if halves else [word])]
    for number, piece in enumerate(pieces):
        place = builder.add(builder.add(target, half), I64(number * NOISE_BYTES))
        store(builder, ((piece & _LOW) >> unwanted).convert("trunc", I32), place)
    loop.close()
    builder.ret_void()


def _build_number(function: ir.Function) -> None:
    """(target, first, of a row): the number of each output of a block, row-major."""
    target, first, width = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    lane = ir.Constant(ir.VectorType(I64, LANES), [I64(i) for i in range(LANES)])
    for i in range(ROWS * VECTORS):
        place = builder.add(target, I64(8 * LANES * i))
        row, column = divmod(i * LANES, COLUMNS)
        start = builder.add(first, builder.add(builder.mul(width, I64(row)), I64(column)))
        store(builder, Lanes(builder, splat(builder, start, LANES)) + Lanes(builder, lane), place)
    builder.ret_void()


def _build_put(function: ir.Function) -> None:
    place, value = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    builder.store(value, builder.inttoptr(place, I64.as_pointer()))
    builder.ret_void()


widen_rows = native("halfulp_widen_rows", 4, _widen(ROWS))
widen_columns = native("halfulp_widen_columns", 4, _widen(COLUMNS))
spread_rows = native("halfulp_spread_rows", 3, _spread(ROWS), guarded=False)
spread_columns = native("halfulp_spread_columns", 3, _spread(COLUMNS), guarded=False)
#: open_block((source, target)): float32 outputs of a block to float64
open_block = native("halfulp_open_block", 2, _build_open)
#: close_block((source, target)): back, exact; every NaN canonical
close_block = native("halfulp_close_block", 2, _build_close)
#: draw_words((numbers, step, seed, drop, target)): NOISE_BYTES of int32 for each of four words,
draw_words = native("halfulp_draw_words", 5, partial(_draw, halves=False), guarded=False)
#: or of eight halves of words, of which `drop`, 16 or more, takes the lower half away
draw_halves = native("halfulp_draw_halves", 5, partial(_draw, halves=True), guarded=False)
#: number((target, first, of a row))
number = native("halfulp_number", 3, _build_number, guarded=False)
#: put((place, value)): one int64
put = native("halfulp_put", 2, _build_put, guarded=False)
