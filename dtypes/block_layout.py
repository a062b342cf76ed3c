"""Where blocks lie in arrays, and how they become slots: memory that the kernels take as it is."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from halfulp.dtypes.block_format import BlockFormat

Array = npt.NDArray[Any]
#: A slot is a multiple of this: the kernels' vectors.
LANES = 16


@dataclass(frozen=True)
class Layout:
    """Blocks along an axis of a shape, the last one of each row perhaps partial."""

    shape: tuple[int, ...]
    axis: int
    block_size: int

    @property
    def slot(self) -> int:
        """Elements that a block takes in the kernels' memory."""
        return slot_of(self.block_size)

    @property
    def length(self) -> int:
        return self.shape[self.axis]

    @property
    def blocks(self) -> int:
        """Of one row along the axis."""
        return -(-self.length // self.block_size)

    @property
    def rows(self) -> int:
        others = [size for axis, size in enumerate(self.shape) if axis != self.axis]
        return math.prod(others)

    @property
    def scales_shape(self) -> tuple[int, ...]:
        return tuple(
            self.blocks if axis == self.axis else size for axis, size in enumerate(self.shape)
        )

    def _direct(self, array: Array) -> bool:
        """Whether the array's own memory is one of slots."""
        if self.block_size != self.slot or self.length % self.block_size:
            return False
        flags = np.moveaxis(array, self.axis, -1).flags
        return flags.c_contiguous and flags.aligned

    def room(self, array: Array) -> Array:
        """Slots for elements of the array's type: its own memory, or new."""
        if self._direct(array):
            return np.moveaxis(array, self.axis, -1).reshape(-1)
        return np.zeros(self.rows * self.blocks * self.slot, array.dtype)

    def room_for_scales(self, scales: Array) -> Array:
        moved = np.moveaxis(scales, self.axis, -1)
        if moved.flags.c_contiguous and moved.flags.aligned:
            return moved.reshape(-1)
        return np.empty(scales.size, scales.dtype)

    def fill(self, array: Array) -> Array:
        """Slots that hold the elements, zeros behind those of each block."""
        slots = self.room(array)
        if not self._direct(array):
            rows = np.moveaxis(array, self.axis, -1).reshape(self.rows, self.length)
            for inside, part in self._parts(slots, rows):
                inside[...] = part
        return slots

    def fill_scales(self, scales: Array) -> Array:
        return np.ascontiguousarray(np.moveaxis(scales, self.axis, -1)).reshape(-1)

    def empty(self, slots: Array, array: Array) -> None:
        """Write the elements of slots from `room` into the array."""
        if self._direct(array):
            return
        rows = np.empty((self.rows, self.length), array.dtype)
        for inside, part in self._parts(slots, rows):
            part[...] = inside
        moved = np.moveaxis(array, self.axis, -1)
        moved[...] = rows.reshape(moved.shape)

    def empty_scales(self, slots: Array, scales: Array) -> None:
        """Write scales from `room_for_scales` into the array."""
        moved = np.moveaxis(scales, self.axis, -1)
        if not np.may_share_memory(moved, slots):
            moved[...] = slots.reshape(moved.shape)

    def _parts(self, slots: Array, rows: Array) -> list[tuple[Array, Array]]:
        """The full blocks, then the partial ones: views of the slots and of the rows."""
        inside = slots.reshape(self.rows, self.blocks, self.slot)
        size = self.block_size
        full, rest = divmod(self.length, size)
        whole = rows[:, : full * size].reshape(self.rows, full, size)
        return [
            (inside[:, :full, :size], whole),
            (inside[:, full:, :rest], rows[:, None, full * size :][:, : self.blocks - full]),
        ]


def slot_of(block_size: int) -> int:
    return -(-block_size // LANES) * LANES


def layout(shape: tuple[int, ...], axis: object, fmt: BlockFormat) -> Layout:
    """The layout of blocks of `fmt`.

    Raises TypeError for an axis that is no integer, ValueError for one that the shape lacks.
    """
    if isinstance(axis, bool) or not isinstance(axis, int | np.integer):
        raise TypeError(f"axis={axis!r} is not an integer")
    if not shape:
        raise ValueError("x has no dimension, so no axis for blocks; give an array")
    if not -len(shape) <= axis < len(shape):
        raise ValueError(
            f"axis={axis} of shape {shape}; allowed: {-len(shape)} to {len(shape) - 1}"
        )
    return Layout(shape, int(axis) % len(shape), fmt.block_size)
