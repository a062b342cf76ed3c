"""What the engines' kernels are made of: loops over rows of matrices, blocks moved or transposed.

Everything here runs between `begin_exact` and `end_exact`; addresses, strides (in bytes) and counts
are int64.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from halfulp.dtypes.guards import Guards, add_masks, mapped
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
from halfulp.dtypes.loops import add_counts, copy_lanes, first_lanes, load_all
from halfulp.dtypes.natives import native

LANES = 16
#: body(inputs, parameters, scale) -> (output, masks whose set lanes are counted)
GridBody = Callable[[list[Lanes], dict[str, Lanes], Lanes], tuple[Lanes, list[Lanes]]]
#: quick(inputs, parameters, scale) -> (guards of lanes that the body would treat so and not count,
#: output)
GridQuick = Callable[[list[Lanes], dict[str, Lanes], Lanes], tuple[Guards, Lanes]]
_GROUP = 4  # vectors that go the quick way together


class Counter:
    """A loop over [start, stop) in steps: the builder stands in its body until `close`.

    index   of this turn
    sums    vectors that each turn hands to the next
    """

    def __init__(
        self, builder: ir.IRBuilder, stop: ir.Value, step: int, sums: Sequence[Lanes] = (), *,
        start: ir.Value | None = None,
    ) -> None:  # fmt: skip
        self.builder, self.stop, self.step = builder, stop, step
        before = builder.block
        names = ("head", "loop", "rest")
        self.head, self.loop, self.rest = (builder.append_basic_block(name) for name in names)
        builder.branch(self.head)
        builder.position_at_end(self.head)
        self.index = builder.phi(I64)
        self.index.add_incoming(start or I64(0), before)
        self.phis = [builder.phi(total.value.type) for total in sums]
        for phi, total in zip(self.phis, sums, strict=True):
            phi.add_incoming(total.value, before)
        builder.cbranch(builder.icmp_signed("<", self.index, stop), self.loop, self.rest)
        builder.position_at_end(self.loop)

    @property
    def sums(self) -> list[Lanes]:
        """The vectors at the start of this turn; behind the loop their final values."""
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
    """base + index * stride, an address."""
    step = I64(stride) if isinstance(stride, int) else stride
    return builder.add(base, builder.mul(index, step))


@dataclass(frozen=True)
class _Row:
    """Emits `body` over one row; `inputs` and `output` are the LLVM types of the elements.

    `quick` serves a vector whose lanes are all ordinary, without the body. `own` are vectors of the
    numbers that the row has one of, the last inputs of both.
    """

    body: GridBody
    inputs: Sequence[Any]
    output: Any
    quick: GridQuick | None

    def _at(
        self, builder: ir.IRBuilder, places: Sequence[ir.Value], index: ir.Value
    ) -> list[ir.Value]:
        kinds = [*self.inputs, self.output]
        return [
            offset(builder, place, index, BYTES[kind])
            for place, kind in zip(places, kinds, strict=True)
        ]

    def whole(
        self, builder: ir.IRBuilder, places: Sequence[ir.Value], given: dict[str, Lanes],
        scale: Lanes, own: Sequence[Lanes], bounds: tuple[ir.Value, ir.Value], vectors: int,
        sums: Sequence[Lanes],
    ) -> list[Lanes]:  # fmt: skip
        """From one bound to the other, `vectors` a turn, no element over; returns the counts."""
        loop = Counter(builder, bounds[1], vectors * LANES, sums, start=bounds[0])
        steps = [builder.add(loop.index, I64(i * LANES)) for i in range(vectors)]
        at = [self._at(builder, places, step) for step in steps]
        loaded = [[*load_all(builder, one, self.inputs, LANES), *own] for one in at]
        quick = self.quick
        results, counts = mapped(
            builder, loaded, loop.sums, lambda vector: self.body(vector, given, scale),
            None if quick is None else lambda vector: quick(vector, given, scale),
        )  # fmt: skip
        for result, one in zip(results, at, strict=True):
            store(builder, result, one[-1])
        return loop.close(counts)

    def rest(
        self, builder: ir.IRBuilder, places: Sequence[ir.Value], given: dict[str, Lanes],
        scale: Lanes, own: Sequence[Lanes], bounds: tuple[ir.Value, ir.Value],
        sums: Sequence[Lanes], buffers: Sequence[ir.Value],
    ) -> list[Lanes]:  # fmt: skip
        """From one bound to the other, through buffers, all of whose lanes exist."""
        start, left = bounds[0], builder.sub(bounds[1], bounds[0])
        some = builder.zext(builder.icmp_signed(">", left, I64(0)), I64)
        once = Counter(builder, some, 1, sums)
        at = self._at(builder, places, start)
        loaded = []
        for place, kind, buffer in zip(at, self.inputs, buffers, strict=False):
            builder.store(constant(kind, LANES, 0), buffer)
            copy_lanes(builder, place, builder.ptrtoint(buffer, I64), left, kind)
            loaded.append(Lanes(builder, builder.load(buffer)))
        result, masks = self.body([*loaded, *own], given, scale)
        builder.store(result.value, buffers[-1])
        copy_lanes(builder, builder.ptrtoint(buffers[-1], I64), at[-1], left, self.output)
        used = first_lanes(builder, left, LANES)
        return once.close(add_masks([mask & used for mask in masks], once.sums))


def lane_grid(
    name: str, body: GridBody, inputs: Sequence[Any], output: Any, parameters: Sequence[str],
    counted: int, quick: GridQuick | None = None, *, width: int | None = None,
    scalars: int = 0, at_address: bool = False,
) -> Any:  # fmt: skip
    """A native that maps `body` over matrices.

    name((input, its row stride, ..., output, its row stride, rows, columns, parameters, scale bits,
    counts)). An input row stride of 0 repeats one row. `counted` masks are added to int64 values at
    `counts`. With a `width` it is for that number of columns alone, and spends less on short rows.
    Behind them come as many addresses as there are `scalars`: of a float32 for each row, which the
    body gets in all lanes, after the inputs.
    With `at_address` it takes the address of all of these alone, and needs no `begin_exact`.
    """
    row = _Row(body, inputs, output, quick)
    most = _GROUP if width is None else width // LANES
    group = 1 if quick is None else min(_GROUP, most)
    arguments = 2 * len(inputs) + 7 + scalars

    def build(function: ir.Function) -> None:
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        passed = function.args
        if at_address:
            passed = _unpacked(builder, passed[0], arguments)
        first = arguments - scalars
        *operands, rows, columns, parameter_base, scale_bits, counts = passed[:first]
        columns = columns if width is None else I64(width)
        bases, strides = operands[::2], operands[1::2]
        given = load_parameters(builder, parameter_base, parameters, LANES)
        scale = Lanes(builder, splat(builder, builder.trunc(scale_bits, I32), LANES)).bits(F32)
        buffers = [builder.alloca(ir.VectorType(kind, LANES)) for kind in (*inputs, output)]
        zero = [Lanes(builder, constant(I32, LANES, 0))] * counted
        loop = Counter(builder, rows, 1, zero)
        pairs = zip(bases, strides, strict=True)
        places = [offset(builder, base, loop.index, stride) for base, stride in pairs]
        own = [repeated(builder, base, loop.index) for base in passed[first:]]
        done, sums = I64(0), loop.sums
        for vectors in sorted({group, 1}, reverse=True):
            until = builder.sub(columns, builder.srem(columns, I64(LANES * vectors)))
            sums = row.whole(builder, places, given, scale, own, (done, until), vectors, sums)
            done = until
        sums = row.rest(builder, places, given, scale, own, (done, columns), sums, buffers)
        add_counts(builder, loop.close(sums), counts)
        builder.ret_void()

    return native(name, 1 if at_address else arguments, build, guarded=at_address)


def repeated(builder: ir.IRBuilder, base: ir.Value, index: ir.Value) -> Lanes:
    """The float32 at `index`, in every lane."""
    pointer = builder.inttoptr(offset(builder, base, index, BYTES[F32]), F32.as_pointer())
    return Lanes(builder, splat(builder, builder.load(pointer), LANES))


def _unpacked(builder: ir.IRBuilder, address: ir.Value, count: int) -> list[ir.Value]:
    pointer = builder.inttoptr(address, I64.as_pointer())
    return [builder.load(builder.gep(pointer, [I64(index)])) for index in range(count)]


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
    single = offset(builder, target, whole, 4), builder.sub(count, whole), 1
    for base, stop, lanes in ((target, whole, LANES), single):
        loop = Counter(builder, stop, lanes)
        zero = Lanes(builder, constant(I32, lanes, 0))
        store(builder, zero, offset(builder, base, loop.index, 4))
        loop.close()
    builder.ret_void()


def load_block(builder: ir.IRBuilder, base: ir.Value, stride: ir.Value, kind: Any) -> list[Lanes]:
    """Sixteen rows of sixteen 32-bit elements."""
    places = [offset(builder, base, I64(i), stride) for i in range(LANES)]
    return [load(builder, place, kind, LANES) for place in places]


def transposed(builder: ir.IRBuilder, block: list[Lanes]) -> list[Lanes]:
    """A 16 x 16 block of 32-bit elements: four perfect shuffles of rows i, i + 8 transpose it."""
    rows = [lanes.value for lanes in block]
    for _ in range(4):
        mixed = []
        for i in range(8):
            for start in (0, 8):
                order = [lane for k in range(start, start + 8) for lane in (k, 16 + k)]
                mask = ir.Constant(ir.VectorType(I32, LANES), [I32(lane) for lane in order])
                mixed.append(builder.shuffle_vector(rows[i], rows[i + 8], mask))
        rows = mixed
    return [Lanes(builder, value) for value in rows]


def _build_transpose(function: ir.Function) -> None:
    source, source_stride, target, target_stride = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    for i, row in enumerate(transposed(builder, load_block(builder, source, source_stride, I32))):
        store(builder, row, offset(builder, target, I64(i), target_stride))
    builder.ret_void()


#: move((source, stride, target, stride, rows, columns)): copy a matrix of 32-bit elements
move = native("halfulp_move", 6, _build_move, guarded=False)
#: clear((target, count)): zero 32-bit elements
clear = native("halfulp_clear", 2, _build_clear, guarded=False)
#: transpose((source, stride, target, stride)): a 16 x 16 block of 32-bit elements
transpose = native("halfulp_transpose", 4, _build_transpose, guarded=False)
