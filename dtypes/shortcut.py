"""The shortest way of a small array to its kernel.

What `round_to` asks of any container, type and layout takes as long as to cast 40,000 values. Of
float32 arrays in C order, with memory for the result, little need be asked.
"""

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from halfulp.dtypes.jit import Kernel
from halfulp.dtypes.threads import alone

Array = npt.NDArray[Any]
_FLOAT32 = np.dtype(np.float32)
_first_byte = ctypes.c_char.from_buffer


@dataclass(frozen=True)
class Shortcut:
    """A kernel from float32 to float32, the address of its parameters, and below which size."""

    kernel: Kernel
    parameters: int
    elements: int

    def __call__(self, x: Array, out: Array) -> bool:
        """Cast if `out` is of x's shape, and x itself or apart from it; else nothing is done."""
        if x.dtype is not _FLOAT32 or out.dtype is not _FLOAT32 or x.shape != out.shape:
            return False
        count = x.size
        if not 0 < count < self.elements:
            return False
        try:  # only what is contiguous and may be written shows its memory
            source = ctypes.addressof(_first_byte(x))  # type: ignore[arg-type]
            place = ctypes.addressof(_first_byte(out))  # type: ignore[arg-type]
        except (TypeError, ValueError, BufferError):
            return False
        distance, size = place - source, 4 * count
        if (source | place) & 3 or (distance and -size < distance < size):
            return False
        alone(self.kernel, source, place, self.parameters, count, 0)
        return True
