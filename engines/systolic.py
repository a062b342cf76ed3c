"""Drivers of the systolic array: blocks and edges around the micro-kernel.

All arguments are int64: addresses, strides in bytes, counts. The two parts of fp32 operands
(`halfulp.engines.panels`) meet in four passes a K tile.
"""

from halfulp.dtypes.jit import device, kernel
from halfulp.dtypes.natives import begin_exact, end_exact, unpack
from halfulp.engines.casts import (
    add_integer,
    canonical_nan,
    evacuate,
    evacuate_integer,
    to_integer,
)
from halfulp.engines.grid import clear, move
from halfulp.engines.microkernel import (
    COLUMNS,
    K_BLOCK,
    PANEL,
    ROW_BLOCK,
    ROW_PANELS,
    ROW_STRIDE,
    ROWS,
    multiply,
    multiply_row,
)
from halfulp.engines.panels import CORNER, CORNER_BYTES, ENVIRONMENT, PANEL_BYTES, cast, pack_panel

#: How a sum leaves: fp32 as it is; multiplied, biased and cast; int32 likewise; int32 as it is.
PSUM_PLAIN, PSUM_FLOAT, PSUM_INTEGER, PSUM_RAW = 0, 1, 2, 3
_GROUP = 4  # panels that leave together: rows long enough for the loop, few enough for the cache
K_TILE = 128  # rows of the array
_HALF_BLOCK = K_BLOCK // 2  # where the low parts begin in a packed row of A


@device
def _step(
    a: int, b: int, low: int, c: int, stride: int, depth: int, first: int, passes: int, between: int
) -> None:
    """ROWS x COLUMNS of C over a block of `depth` rows of k, in one pass a K tile or four."""
    if passes == 1:
        tiles = (depth + K_TILE - 1) // K_TILE
        multiply((a, b, 0, c, stride, tiles, K_TILE, depth - (tiles - 1) * K_TILE, first,
                  between))  # fmt: skip
        return
    for k in range(0, depth, K_TILE):
        rows = min(K_TILE, depth - k)
        high_a, low_a = a + k * 4, a + (_HALF_BLOCK + k) * 4
        high_b, low_b = b + k * PANEL_BYTES, low + k * PANEL_BYTES
        multiply((high_a, high_b, 0, c, stride, 1, rows, rows, 1 if first and k == 0 else 0,
                  between))  # fmt: skip
        multiply((high_a, low_b, 0, c, stride, 1, rows, rows, 0, between))
        multiply((low_a, high_b, 0, c, stride, 1, rows, rows, 0, between))
        multiply((low_a, low_b, 0, c, stride, 1, rows, rows, 0, between))


@device
def _corner(a: int, b: int, low: int, c: int, stride: int, height: int, width: int, depth: int,
            first: int, passes: int, psum: int, corner: int) -> None:  # fmt: skip
    """A tile that is cut by C's edge, or whose sums are integers: through scratch."""
    if psum <= PSUM_FLOAT:
        if first == 0:
            move((c, stride, corner, PANEL_BYTES, height, width))
        _step(a, b, low, corner, PANEL_BYTES, depth, first, passes, corner + CORNER_BYTES)
        move((corner, PANEL_BYTES, c, stride, height, width))
        return
    # at most K_BLOCK products of 8-bit integers: every partial sum is an integer float32 holds
    _step(a, b, low, corner, PANEL_BYTES, depth, 1, passes, corner + CORNER_BYTES)
    if first:
        to_integer((corner, PANEL_BYTES, c, stride, height, width, 0, 0, 0))
    else:
        add_integer((c, stride, corner, PANEL_BYTES, c, stride, height, width, 0, 0, 0))


@device
def _panel(a: int, b: int, low: int, c: int, stride: int, height: int, width: int, depth: int,
           first: int, passes: int, psum: int, corner: int) -> None:  # fmt: skip
    """height x width (at most a panel) of C from packed rows of A and `depth` rows of one panel."""
    for m in range(0, height, ROWS):
        for n in range(0, width, COLUMNS):
            rows, columns = min(ROWS, height - m), min(COLUMNS, width - n)
            at_a, at_b, at_low = a + m * ROW_STRIDE * 4, b + n * 4, low + n * 4
            at_c = c + m * stride + n * 4
            if rows == ROWS and columns == COLUMNS and psum <= PSUM_FLOAT:
                _step(at_a, at_b, at_low, at_c, stride, depth, first, passes,
                      corner + CORNER_BYTES)  # fmt: skip
            else:
                _corner(at_a, at_b, at_low, at_c, stride, rows, columns, depth,
                        first, passes, psum, corner)  # fmt: skip


@device
def _row(a: int, b: int, size: int, c: int, panels: int, depth: int, first: int,
         between: int) -> int:  # fmt: skip
    """One row of C, as many whole panels of it as go by ROW_PANELS; returns how many."""
    tiles = (depth + K_TILE - 1) // K_TILE
    last = depth - (tiles - 1) * K_TILE
    done = panels // ROW_PANELS * ROW_PANELS
    for p in range(0, done, ROW_PANELS):
        multiply_row((a, b + p * size, size, c + p * PANEL_BYTES, 0, tiles, K_TILE, last, first,
                      between))  # fmt: skip
    return done


@device
def leave(psum: int, place: int, stride: int, height: int, columns: int, multiplier: int,
           bias: int, given: int, counts: int) -> None:  # fmt: skip
    """Finished sums leave PSUM."""
    scaled = (place, stride, multiplier, 0, bias, 0, place, stride, height, columns,
              given, 0, counts)  # fmt: skip
    if psum == PSUM_PLAIN and stride == columns * 4:
        canonical_nan((place, 0, place, 0, 1, height * columns, 0, 0, counts))
    elif psum == PSUM_PLAIN:
        canonical_nan((place, stride, place, stride, height, columns, 0, 0, counts))
    elif psum == PSUM_FLOAT:
        evacuate(scaled)
    elif psum == PSUM_INTEGER:
        evacuate_integer(scaled)


@device
def _product(a: int, a_stride: int, b: int, low: int, c: int, c_stride: int, depth: int, width: int,
             r0: int, r1: int, p0: int, p1: int, kind: int, given: int, scale: int, a_counts: int,
             passes: int, psum: int, multiplier: int, bias: int, out_given: int, out_counts: int,
             scratch: int) -> None:  # fmt: skip
    """Rows r0..r1 and panels p0..p1 of C = evacuate(cast(A) B)."""
    block = _HALF_BLOCK if passes == 4 else K_BLOCK
    size = depth * PANEL_BYTES
    for m in range(r0, r1, ROW_BLOCK):
        height = min(ROW_BLOCK, r1 - m)
        for k in range(0, max(depth, 1), block):
            steps = min(block, depth - k)
            cast(kind, a + m * a_stride + k * 4, a_stride, scratch, ROW_STRIDE * 4,
                 scratch + _HALF_BLOCK * 4, height, steps, given, scale, a_counts)  # fmt: skip
            for group in range(p0, p1, _GROUP):
                stop = min(group + _GROUP, p1)
                start = group
                if height == 1 and depth > 0 and passes == 1 and psum <= PSUM_FLOAT:
                    start += _row(scratch, b + group * size + k * PANEL_BYTES, size,
                                  c + m * c_stride + group * PANEL_BYTES,
                                  min(stop, width // PANEL) - group, steps, 1 if k == 0 else 0,
                                  scratch + CORNER + CORNER_BYTES)  # fmt: skip
                for p in range(start, stop):
                    place = c + m * c_stride + p * PANEL_BYTES
                    columns = min(PANEL, width - p * PANEL)
                    if depth == 0:
                        for row in range(height):
                            clear((place + row * c_stride, columns))
                    else:
                        at = p * size + k * PANEL_BYTES
                        _panel(scratch, b + at, low + at, place, c_stride, height, columns, steps,
                               1 if k == 0 else 0, passes, psum, scratch + CORNER)  # fmt: skip
                if k + block >= depth:
                    shift = group * PANEL_BYTES
                    columns = min(stop * PANEL, width) - group * PANEL
                    leave(psum, c + m * c_stride + shift, c_stride, height, columns,
                           multiplier + shift, bias + shift, out_given, out_counts)  # fmt: skip


@kernel
def product(arguments: int) -> None:
    """`_product` of one matrix with a packed one."""
    (a, a_stride, b, low, c, c_stride, depth, width, r0, r1, p0, p1, kind, given, scale, a_counts,
     passes, psum, multiplier, bias, out_given, out_counts,
     scratch) = unpack(arguments, 23)  # fmt: skip
    begin_exact((scratch + ENVIRONMENT,))
    _product(a, a_stride, b, low, c, c_stride, depth, width, r0, r1, p0, p1,
             kind, given, scale, a_counts, passes, psum, multiplier, bias, out_given, out_counts,
             scratch)  # fmt: skip
    end_exact((scratch + ENVIRONMENT,))


@kernel
def products(arguments: int) -> None:
    """Items first..last of a batch of two axes, the last `inner` long.

    `outer` and `inner` steps are bytes from one item to the next along either axis, 0 where a
    matrix repeats. B is packed item by item.
    """
    (a_base, a_outer, a_inner, b_base, b_outer, b_inner, c_base, c_outer, c_inner,
     inner, first, last, a_stride, b_stride, turned, c_stride, height, depth, width, packed, low,
     kind, given, scale, a_counts, b_kind, b_given, b_scale, b_counts,
     passes, psum, multiplier, bias, out_given, out_counts, again,
     scratch) = unpack(arguments, 37)  # fmt: skip
    begin_exact((scratch + ENVIRONMENT,))
    panels = (width + PANEL - 1) // PANEL
    size = depth * PANEL_BYTES
    for item in range(first, last):
        a = a_base + (item // inner) * a_outer + (item % inner) * a_inner
        b = b_base + (item // inner) * b_outer + (item % inner) * b_inner
        c = c_base + (item // inner) * c_outer + (item % inner) * c_inner
        # a matrix that serves several items is counted with the first of them
        outer_again, inner_again = item >= inner, item % inner > 0
        new_a = not ((outer_again and a_outer == 0) or (inner_again and a_inner == 0))
        new_b = not ((outer_again and b_outer == 0) or (inner_again and b_inner == 0))
        for p in range(panels):
            start = p * PANEL
            origin = b + (start * b_stride if turned else start * 4)
            pack_panel(origin, b_stride, turned, packed + p * size, low + p * size,
                       min(PANEL, width - start), depth, b_kind, b_given, b_scale,
                       b_counts if new_b else again, scratch)  # fmt: skip
        _product(a, a_stride, packed, low, c, c_stride, depth, width, 0, height, 0, panels,
                 kind, given, scale, a_counts if new_a else again, passes, psum, multiplier, bias,
                 out_given, out_counts, scratch)  # fmt: skip
    end_exact((scratch + ENVIRONMENT,))
