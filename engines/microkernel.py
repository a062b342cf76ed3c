"""The inner loop of the systolic array.

For each K tile one chain of fused multiply-adds from +0, then one addition to PSUM.

A matrix product's inner kernel already computes each output as one chain in k, so the array's order
costs one addition and one load and store of the output every 128 steps, no more.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

from llvmlite import ir

from halfulp.dtypes.jit import has_feature
from halfulp.dtypes.lanes import BYTES, F32, I8, I64, declare, splat
from halfulp.dtypes.natives import native

PANEL = 32  # columns of a packed panel
ROW_BLOCK = 128  # rows of A that are packed at once
K_BLOCK = 1024  # columns of A that are packed at once
#: Floats between packed rows of A: 72 cache lines, so that the rows of a step fall into different
#: sets of the first cache.
ROW_STRIDE = K_BLOCK + 128


def _vectors() -> tuple[int, int]:
    """Floats in a vector and rows of the micro-kernel, for the processor that numba compiles for.

    8 x 2 accumulators of 16 floats hide the latency of the multiply-add; with 16 registers of 8
    floats 6 x 2 fit. The bits do not depend on it: LLVM splits what a processor has not.
    """
    return (16, 8) if has_feature("avx512f") else (8, 6)


VECTOR, ROWS = _vectors()
COLUMNS = 2 * VECTOR  # columns of one call; a divisor of PANEL
ROW_PANELS = VECTOR // 4  # panels that one row is multiplied with at once


@dataclass(frozen=True)
class _Shape:
    """What one call computes: `rows` of A times the first `vectors` of each of `panels` of B."""

    rows: int
    panels: int
    vectors: int

    @property
    def columns(self) -> list[tuple[int, int]]:
        """Panel and byte in the row of the panel, of each vector of a row of C."""
        vectors = [vector * VECTOR * BYTES[F32] for vector in range(self.vectors)]
        return [(panel, byte) for panel in range(self.panels) for byte in vectors]

    @property
    def row_bytes(self) -> int:
        return self.panels * self.vectors * VECTOR * BYTES[F32]


Sums = list[list[Any]]  # [row][vector]


def _load_columns(
    builder: ir.IRBuilder, shape: _Shape, b: ir.Value, panel_bytes: ir.Value
) -> list[ir.Value]:
    """A row of B, of every panel of the shape."""
    columns = []
    for number, byte in shape.columns:
        shift = builder.add(builder.mul(panel_bytes, I64(number)), I64(byte))
        pointer = builder.inttoptr(builder.add(b, shift), ir.VectorType(F32, VECTOR).as_pointer())
        columns.append(builder.load(pointer, align=4))
    return columns


def _chain(
    builder: ir.IRBuilder,
    shape: _Shape,
    a: ir.Value,
    b: ir.Value,
    panel_bytes: ir.Value,
    steps: ir.Value,
) -> tuple[Sums, ir.Value, ir.Value]:
    """acc[i][j] = fma(a[i, k], b[k, j], acc[i][j]) for k < steps, from +0.

    Panels of B are `panel_bytes` apart. Returns the sums and the addresses behind the tile in A and
    in B.
    """
    vector = ir.VectorType(F32, VECTOR)
    fma = declare(builder.module, f"llvm.fma.v{VECTOR}f32", ir.FunctionType(vector, [vector] * 3))
    before = builder.block
    loop, rest = builder.append_basic_block("chain"), builder.append_basic_block("chained")
    builder.branch(loop)
    builder.position_at_end(loop)
    k, at_a, at_b = (builder.phi(I64) for _ in range(3))
    sums = [[builder.phi(vector) for _ in shape.columns] for _ in range(shape.rows)]
    for phi, start in ((k, I64(0)), (at_a, a), (at_b, b)):
        phi.add_incoming(start, before)
    columns = _load_columns(builder, shape, at_b, panel_bytes)
    base = builder.inttoptr(at_a, I8.as_pointer())
    results = []
    for i, row in enumerate(sums):
        place = builder.gep(base, [I64(i * ROW_STRIDE * 4)], source_etype=I8)
        pointer = builder.bitcast(place, F32.as_pointer())
        factor = splat(builder, builder.load(pointer, align=4), VECTOR)
        pairs = zip(columns, row, strict=True)
        results.append([builder.call(fma, [factor, column, total]) for column, total in pairs])
    following = builder.add(k, I64(1)), builder.add(at_a, I64(4)), builder.add(at_b, I64(PANEL * 4))
    for phi, value in zip((k, at_a, at_b), following, strict=True):
        phi.add_incoming(value, loop)
    for row, result in zip(sums, results, strict=True):
        for phi, value in zip(row, result, strict=True):
            phi.add_incoming(ir.Constant(vector, None), before)
            phi.add_incoming(value, loop)
    builder.cbranch(builder.icmp_signed("<", following[0], steps), loop, rest)
    builder.position_at_end(rest)
    return results, following[1], following[2]


@dataclass(frozen=True)
class _Place:
    """Sums in memory: the address of the first, and bytes from row to row."""

    builder: ir.IRBuilder
    base: ir.Value
    stride: ir.Value

    def pointer(self, i: int, j: int) -> ir.Value:
        builder = self.builder
        shift = builder.add(builder.mul(self.stride, I64(i)), I64(j * VECTOR * BYTES[F32]))
        vector = ir.VectorType(F32, VECTOR)
        return builder.inttoptr(builder.add(self.base, shift), vector.as_pointer())

    def or_else(self, chosen: ir.Value, other: "_Place") -> "_Place":
        """This one where `chosen`, else the other."""
        select = self.builder.select
        base = select(chosen, self.base, other.base)
        return _Place(self.builder, base, select(chosen, self.stride, other.stride))


def _store(source: _Place | None, target: _Place, sums: Sums) -> None:
    """Sums, added to those at `source` if there are any, to `target`."""
    builder = target.builder
    for i, row in enumerate(sums):
        for j, value in enumerate(row):
            total = value
            if source is not None:
                before = builder.load(source.pointer(i, j), align=4)
                total = builder.fadd(before, value)
            builder.store(total, target.pointer(i, j), align=4)


def _build(shape: _Shape, function: ir.Function) -> None:
    a, b, panel_bytes, c, stride, tiles, tile_rows, last_rows, first, scratch = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    entry = builder.block
    names = ("tile", "over", "add", "after", "end")
    tile, over, add, after, end = (builder.append_basic_block(name) for name in names)
    builder.branch(tile)
    builder.position_at_end(tile)
    index, at_a, at_b = (builder.phi(I64) for _ in range(3))
    for phi, start in ((index, I64(0)), (at_a, a), (at_b, b)):
        phi.add_incoming(start, entry)
    last = builder.icmp_signed("==", index, builder.sub(tiles, I64(1)))
    steps = builder.select(last, last_rows, tile_rows)
    sums, next_a, next_b = _chain(builder, shape, at_a, at_b, panel_bytes, steps)
    new, wanted = builder.icmp_signed("==", index, I64(0)), builder.icmp_signed("!=", first, I64(0))
    # rows of C may lie a multiple of 4096 bytes apart, all in the same sets of the first cache
    outside = _Place(builder, c, stride)
    between = _Place(builder, scratch, I64(shape.row_bytes))
    target = outside.or_else(last, between)
    source = outside.or_else(new, between)
    builder.cbranch(builder.and_(new, wanted), over, add)
    for block, before in ((over, None), (add, source)):
        builder.position_at_end(block)
        _store(before, target, sums)
        builder.branch(after)
    builder.position_at_end(after)
    following = builder.add(index, I64(1))
    for phi, value in ((index, following), (at_a, next_a), (at_b, next_b)):
        phi.add_incoming(value, after)
    builder.cbranch(builder.icmp_signed("<", following, tiles), tile, end)
    builder.position_at_end(end)
    builder.ret_void()


def _micro_kernel(name: str, shape: _Shape) -> Any:
    """Packed rows of A (ROW_STRIDE apart) times columns of panels of B, tile after tile of k.

    name((a, b, bytes from panel to panel, c, c stride, tiles, rows of a tile, rows of the last
    tile, first, between)); the first tile overwrites c where `first` is not 0. At least one tile of
    one row. `between`, an address, has room for the sums between two tiles.
    """
    return native(name, 10, partial(_build, shape), guarded=False)


multiply = _micro_kernel("halfulp_multiply", _Shape(ROWS, 1, COLUMNS // VECTOR))
#: One row times whole panels: as many chains at once as hide the latency of the multiply-add.
multiply_row = _micro_kernel("halfulp_multiply_row", _Shape(1, ROW_PANELS, PANEL // VECTOR))
