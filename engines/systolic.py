"""Drivers of the systolic array: blocks, panels and edges around the micro-kernel.

All arguments are int64: addresses, strides in bytes, counts. An operand's KIND says how it is cast;
two-part kinds hold the high and the low halves of fp32 (`halfulp.engines.casts.high_part`), which
meet in four passes a K tile.
"""

from halfulp.dtypes.jit import device, kernel
from halfulp.dtypes.natives import begin_exact, end_exact, unpack
from halfulp.dtypes.threads import SCRATCH_BYTES
from halfulp.engines.casts import (
    add_integer,
    canonical_nan,
    cast_float,
    cast_float_high,
    cast_float_low,
    cast_integer,
    cast_integer_high,
    cast_integer_low,
    evacuate,
    evacuate_integer,
    to_integer,
)
from halfulp.engines.grid import clear, move, transpose
from halfulp.engines.microkernel import (
    COLUMNS,
    K_BLOCK,
    PANEL,
    ROW_BLOCK,
    ROW_STRIDE,
    ROWS,
    multiply,
)

FLOAT, FLOAT_PARTS, INTEGER, INTEGER_PARTS = 0, 1, 2, 3  # KIND: how an operand is cast
#: How a sum leaves: fp32 as it is; multiplied, biased and cast; int32 likewise; int32 as it is.
PSUM_PLAIN, PSUM_FLOAT, PSUM_INTEGER, PSUM_RAW = 0, 1, 2, 3
_GROUP = 4  # panels that leave together: rows long enough for the loop, few enough for the cache
K_TILE = 128  # rows of the array
_HALF_BLOCK = K_BLOCK // 2  # where the low parts begin in a packed row of A

# the layout of a thread's scratch memory, in bytes
_CORNER = (ROW_BLOCK + 8) * ROW_STRIDE * 4  # an edge of C
_TURN = _CORNER + ROWS * PANEL * 4  # two 16 x 16 blocks
_ENVIRONMENT = _TURN + 2 * 16 * 16 * 4
if _ENVIRONMENT + 64 > SCRATCH_BYTES:
    raise AssertionError("the blocks do not fit into a thread's scratch memory")
_PANEL_BYTES = PANEL * 4


@device
def _cast(kind: int, source: int, stride: int, target: int, target_stride: int, low: int, rows: int, columns: int,
          given: int, scale: int, counts: int) -> None:  # fmt: skip
    """Cast a matrix; two-part kinds write the low parts to `low` first, so that the target may be the source."""
    if kind == FLOAT:
        cast_float((source, stride, target, target_stride, rows, columns, given, scale, counts))
    elif kind == FLOAT_PARTS:
        cast_float_low((source, stride, low, target_stride, rows, columns, given, scale, counts))
        cast_float_high(
            (source, stride, target, target_stride, rows, columns, given, scale, counts)
        )
    elif kind == INTEGER:
        cast_integer((source, stride, target, target_stride, rows, columns, given, scale, counts))
    else:
        cast_integer_low((source, stride, low, target_stride, rows, columns, given, scale, counts))
        cast_integer_high(
            (source, stride, target, target_stride, rows, columns, given, scale, counts)
        )


@device
def _turn(source: int, stride: int, panel: int, rows: int, depth: int, scratch: int) -> None:
    """panel[k, n] = source[n, k] for n < rows <= PANEL, k < depth; the panel's other columns are zeroed before."""
    inside, outside = scratch + _TURN, scratch + _TURN + 16 * 16 * 4
    for n in range(0, rows, 16):
        height = min(16, rows - n)
        for k in range(0, depth, 16):
            width = min(16, depth - k)
            origin = source + n * stride + k * 4
            target = panel + k * _PANEL_BYTES + n * 4
            if height == 16 and width == 16:
                transpose((origin, stride, target, _PANEL_BYTES))
            else:
                clear((inside, 16 * 16))
                move((origin, stride, inside, 64, height, width))
                transpose((inside, 64, outside, 64))
                move((outside, 64, target, _PANEL_BYTES, width, 16))


@device
def _pack_panel(source: int, stride: int, turned: int, panel: int, low: int, columns: int, depth: int, kind: int,
                given: int, scale: int, counts: int, scratch: int) -> None:  # fmt: skip
    """One panel [depth][PANEL] of B: from rows of B, or (`turned`) from rows of its transpose."""
    if columns < PANEL:
        clear((panel, depth * PANEL))
        if kind == FLOAT_PARTS or kind == INTEGER_PARTS:
            clear((low, depth * PANEL))
    if turned:
        _turn(source, stride, panel, columns, depth, scratch)
        _cast(
            kind,
            panel,
            _PANEL_BYTES,
            panel,
            _PANEL_BYTES,
            low,
            1,
            depth * PANEL,
            given,
            scale,
            counts,
        )
    else:
        _cast(kind, source, stride, panel, _PANEL_BYTES, low, depth, columns, given, scale, counts)


@kernel
def pack_panels(arguments: int) -> None:
    """Panels first..last of B (depth x width) into [panel][depth][PANEL]."""
    (source, stride, turned, packed, low, depth, width, kind, given, scale, counts, first, last,
     scratch) = unpack(arguments, 14)  # fmt: skip
    begin_exact((scratch + _ENVIRONMENT,))
    size = depth * _PANEL_BYTES
    for p in range(first, last):
        start = p * PANEL
        origin = source + (start * stride if turned else start * 4)
        _pack_panel(origin, stride, turned, packed + p * size, low + p * size, min(PANEL, width - start), depth,
                    kind, given, scale, counts, scratch)  # fmt: skip
    end_exact((scratch + _ENVIRONMENT,))


@device
def _step(
    a: int, b: int, low: int, c: int, stride: int, depth: int, first: int, passes: int
) -> None:
    """One micro-kernel tile over a block of `depth` rows of k, in one pass or four."""
    if passes == 1:
        tiles = (depth + K_TILE - 1) // K_TILE
        multiply((a, b, c, stride, tiles, K_TILE, depth - (tiles - 1) * K_TILE, first))
        return
    for k in range(0, depth, K_TILE):
        rows = min(K_TILE, depth - k)
        high_a, low_a = a + k * 4, a + (_HALF_BLOCK + k) * 4
        high_b, low_b = b + k * _PANEL_BYTES, low + k * _PANEL_BYTES
        multiply((high_a, high_b, c, stride, 1, rows, rows, 1 if first and k == 0 else 0))
        multiply((high_a, low_b, c, stride, 1, rows, rows, 0))
        multiply((low_a, high_b, c, stride, 1, rows, rows, 0))
        multiply((low_a, low_b, c, stride, 1, rows, rows, 0))


@device
def _corner(a: int, b: int, low: int, c: int, stride: int, height: int, width: int, depth: int, first: int, passes: int,
            psum: int, corner: int) -> None:  # fmt: skip
    """A tile that is cut by C's edge, or whose sums are integers: through scratch."""
    if psum <= PSUM_FLOAT:
        if first == 0:
            move((c, stride, corner, _PANEL_BYTES, height, width))
        _step(a, b, low, corner, _PANEL_BYTES, depth, first, passes)
        move((corner, _PANEL_BYTES, c, stride, height, width))
        return
    # at most K_BLOCK products of 8-bit integers: every partial sum is an integer float32 holds
    _step(a, b, low, corner, _PANEL_BYTES, depth, 1, passes)
    if first:
        to_integer((corner, _PANEL_BYTES, c, stride, height, width, 0, 0, 0))
    else:
        add_integer((c, stride, corner, _PANEL_BYTES, c, stride, height, width, 0, 0, 0))


@device
def _panel(a: int, b: int, low: int, c: int, stride: int, height: int, width: int, depth: int, first: int, passes: int,
           psum: int, corner: int) -> None:  # fmt: skip
    """height x width (at most a panel) of C from packed rows of A and `depth` rows of one panel."""
    for m in range(0, height, ROWS):
        for n in range(0, width, COLUMNS):
            rows, columns = min(ROWS, height - m), min(COLUMNS, width - n)
            at_a, at_c = a + m * ROW_STRIDE * 4, c + m * stride + n * 4
            if rows == ROWS and columns == COLUMNS and psum <= PSUM_FLOAT:
                _step(at_a, b + n * 4, low + n * 4, at_c, stride, depth, first, passes)
            else:
                _corner(
                    at_a,
                    b + n * 4,
                    low + n * 4,
                    at_c,
                    stride,
                    rows,
                    columns,
                    depth,
                    first,
                    passes,
                    psum,
                    corner,
                )


@device
def _leave(psum: int, place: int, stride: int, height: int, columns: int, multiplier: int, bias: int, given: int,
           counts: int) -> None:  # fmt: skip
    """Finished sums leave PSUM."""
    if psum == PSUM_PLAIN:
        canonical_nan((place, stride, place, stride, height, columns, 0, 0, counts))
    elif psum == PSUM_FLOAT:
        evacuate(
            (
                place,
                stride,
                multiplier,
                0,
                bias,
                0,
                place,
                stride,
                height,
                columns,
                given,
                0,
                counts,
            )
        )
    elif psum == PSUM_INTEGER:
        evacuate_integer(
            (
                place,
                stride,
                multiplier,
                0,
                bias,
                0,
                place,
                stride,
                height,
                columns,
                given,
                0,
                counts,
            )
        )


@device
def _product(a: int, a_stride: int, b: int, low: int, c: int, c_stride: int, depth: int, width: int,
             r0: int, r1: int, p0: int, p1: int, kind: int, given: int, scale: int, a_counts: int,
             passes: int, psum: int, multiplier: int, bias: int, out_given: int, out_counts: int,
             scratch: int) -> None:  # fmt: skip
    """Rows r0..r1 and panels p0..p1 of C = evacuate(cast(A) B)."""
    block = _HALF_BLOCK if passes == 4 else K_BLOCK
    size = depth * _PANEL_BYTES
    for m in range(r0, r1, ROW_BLOCK):
        height = min(ROW_BLOCK, r1 - m)
        for k in range(0, max(depth, 1), block):
            steps = min(block, depth - k)
            _cast(kind, a + m * a_stride + k * 4, a_stride, scratch, ROW_STRIDE * 4, scratch + _HALF_BLOCK * 4,
                  height, steps, given, scale, a_counts)  # fmt: skip
            for group in range(p0, p1, _GROUP):
                stop = min(group + _GROUP, p1)
                for p in range(group, stop):
                    place, columns = (
                        c + m * c_stride + p * _PANEL_BYTES,
                        min(PANEL, width - p * PANEL),
                    )
                    if depth == 0:
                        for row in range(height):
                            clear((place + row * c_stride, columns))
                    else:
                        at = p * size + k * _PANEL_BYTES
                        _panel(scratch, b + at, low + at, place, c_stride, height, columns, steps, 1 if k == 0 else 0,
                               passes, psum, scratch + _CORNER)  # fmt: skip
                if k + block >= depth:
                    shift = group * _PANEL_BYTES
                    _leave(psum, c + m * c_stride + shift, c_stride, height, min(stop * PANEL, width) - group * PANEL,
                           multiplier + shift, bias + shift, out_given, out_counts)  # fmt: skip


@kernel
def product(arguments: int) -> None:
    """`_product` of one matrix with a packed one."""
    (a, a_stride, b, low, c, c_stride, depth, width, r0, r1, p0, p1, kind, given, scale, a_counts, passes, psum, multiplier,
     bias, out_given, out_counts, scratch) = unpack(arguments, 23)  # fmt: skip
    begin_exact((scratch + _ENVIRONMENT,))
    _product(a, a_stride, b, low, c, c_stride, depth, width, r0, r1, p0, p1, kind, given, scale, a_counts, passes, psum,
             multiplier, bias, out_given, out_counts, scratch)  # fmt: skip
    end_exact((scratch + _ENVIRONMENT,))


@kernel
def products(arguments: int) -> None:
    """Items first..last of a batch of two axes, the last `inner` long; B is packed item by item, C is contiguous."""
    (a_base, a_outer, a_inner, b_base, b_outer, b_inner, c_base, inner, first, last, a_stride, b_stride, turned, c_stride, height, depth, width, packed, low, kind, given, scale, a_counts,
     b_kind, b_given, b_scale, b_counts, passes, psum, multiplier, bias, out_given, out_counts, again,
     scratch) = unpack(arguments, 35)  # fmt: skip
    begin_exact((scratch + _ENVIRONMENT,))
    panels = (width + PANEL - 1) // PANEL
    size = depth * _PANEL_BYTES
    for item in range(first, last):
        a = a_base + (item // inner) * a_outer + (item % inner) * a_inner
        b = b_base + (item // inner) * b_outer + (item % inner) * b_inner
        c = c_base + item * height * c_stride
        # a matrix that serves several items is counted with the first of them
        outer_again, inner_again = item >= inner, item % inner > 0
        new_a = not ((outer_again and a_outer == 0) or (inner_again and a_inner == 0))
        new_b = not ((outer_again and b_outer == 0) or (inner_again and b_inner == 0))
        for p in range(panels):
            start = p * PANEL
            origin = b + (start * b_stride if turned else start * 4)
            _pack_panel(origin, b_stride, turned, packed + p * size, low + p * size, min(PANEL, width - start), depth,
                        b_kind, b_given, b_scale, b_counts if new_b else again, scratch)  # fmt: skip
        _product(a, a_stride, packed, low, c, c_stride, depth, width, 0, height, 0, panels, kind, given, scale,
                 a_counts if new_a else again, passes, psum, multiplier, bias, out_given, out_counts, scratch)  # fmt: skip
    end_exact((scratch + _ENVIRONMENT,))
