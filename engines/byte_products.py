"""Drivers of the products of 8-bit integers: blocks and edges around their micro-kernel.

All arguments are int64: addresses, strides in bytes, counts.
"""

from halfulp.dtypes.jit import kernel
from halfulp.dtypes.natives import begin_exact, end_exact, unpack
from halfulp.engines.byte_kernels import (
    FOUR,
    ROW_BYTES,
    ROWS,
    cast_bytes,
    flip_bytes,
    multiply_bytes,
    pack_words,
)
from halfulp.engines.grid import clear, move
from halfulp.engines.microkernel import PANEL, ROW_BLOCK
from halfulp.engines.panels import CORNER, ENVIRONMENT, PANEL_BYTES
from halfulp.engines.systolic import leave

_K_BLOCK = 2048  # k that are packed at once
_GROUP = 4  # panels that leave together


@kernel
def pack_byte_panels(arguments: int) -> None:
    """Panels first..last of float32 [depth][PANEL] into words [ceil(depth / 4)][PANEL], and what
    128 costs each column."""
    panels, words, sums, depth, first, last, scratch = unpack(arguments, 7)
    begin_exact((scratch + ENVIRONMENT,))
    count = (depth + FOUR - 1) // FOUR
    for p in range(first, last):
        clear((sums + p * PANEL_BYTES, PANEL))
        for word in range(count):
            rows = min(FOUR, depth - word * FOUR)
            pack_words((panels + (p * depth + word * FOUR) * PANEL_BYTES,
                        words + (p * count + word) * PANEL_BYTES, rows,
                        sums + p * PANEL_BYTES))  # fmt: skip
    end_exact((scratch + ENVIRONMENT,))


@kernel
def byte_product(arguments: int) -> None:
    """Rows r0..r1 and panels p0..p1 of C = evacuate(cast(A) B), in int32 until it leaves.

    A is float32, or int8 where `given` is 0: then nothing is cast.
    """
    (a, a_stride, b, sums, c, c_stride, depth, width, r0, r1, p0, p1, given, scale, a_counts, psum,
     multiplier, bias, out_given, out_counts, scratch) = unpack(arguments, 21)  # fmt: skip
    begin_exact((scratch + ENVIRONMENT,))
    size, corner = (depth + FOUR - 1) // FOUR * PANEL_BYTES, scratch + CORNER
    for m in range(r0, r1, ROW_BLOCK):
        height = min(ROW_BLOCK, r1 - m)
        for k in range(0, max(depth, 1), _K_BLOCK):
            steps, start = min(_K_BLOCK, depth - k), 1 if k == 0 else 0
            row = a + m * a_stride
            if given == 0:
                flip_bytes((row + k, a_stride, scratch, ROW_BYTES, height, steps, 0, 0, a_counts))
            else:
                cast_bytes((row + k * 4, a_stride, scratch, ROW_BYTES, height, steps, given, scale,
                            a_counts))  # fmt: skip
            words = (steps + FOUR - 1) // FOUR
            for p in range(p0, p1):
                at_b, own = b + p * size + k // FOUR * PANEL_BYTES, sums + p * PANEL_BYTES
                columns = min(PANEL, width - p * PANEL)
                for block in range(0, height, ROWS):
                    rows = min(ROWS, height - block)
                    place = c + (m + block) * c_stride + p * PANEL_BYTES
                    at_a = scratch + block * ROW_BYTES
                    if rows == ROWS and columns == PANEL:
                        multiply_bytes((at_a, at_b, place, c_stride, words, start, own))
                        continue
                    if start == 0:
                        move((place, c_stride, corner, PANEL_BYTES, rows, columns))
                    multiply_bytes((at_a, at_b, corner, PANEL_BYTES, words, start, own))
                    move((corner, PANEL_BYTES, place, c_stride, rows, columns))
        for p in range(p0, p1, _GROUP):
            shift = p * PANEL_BYTES
            columns = min(min(p + _GROUP, p1) * PANEL, width) - p * PANEL
            leave(psum, c + m * c_stride + shift, c_stride, height, columns, multiplier + shift,
                  bias + shift, out_given, out_counts)  # fmt: skip
    end_exact((scratch + ENVIRONMENT,))
