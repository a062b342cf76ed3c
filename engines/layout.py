"""Rows of a matrix cut into blocks of columns, side by side in memory, by all threads."""

from halfulp.dtypes.jit import kernel
from halfulp.dtypes.natives import unpack
from halfulp.engines.grid import clear, move
from halfulp.engines.wide import COLUMNS

_ROW_BYTES = 4 * COLUMNS  # of a block


@kernel
def lay_blocks(arguments: int) -> None:
    """Blocks first..last of a batch of matrices (depth x width) of 32-bit numbers.

    [matrix][block][row][column]; zeros fill the last block of a matrix. Steps are bytes.
    """
    (source, matrix_step, row_step, target, depth, width, first, last, scratch) = unpack(
        arguments, 9
    )
    blocks = (width + COLUMNS - 1) // COLUMNS
    for number in range(first, last):
        matrix, start = number // blocks, number % blocks * COLUMNS
        columns = min(COLUMNS, width - start)
        place = target + number * depth * _ROW_BYTES
        if columns < COLUMNS:
            clear((place, depth * COLUMNS))
        origin = source + matrix * matrix_step + start * 4
        move((origin, row_step, place, _ROW_BYTES, depth, columns))
