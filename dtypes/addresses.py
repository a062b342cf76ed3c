"""Where arrays stand in memory, for the kernels."""

import ctypes
from typing import Any

import numpy.typing as npt

_first_byte = ctypes.c_char.from_buffer


def address(x: npt.NDArray[Any]) -> int:
    """Of the first element.

    `x.ctypes.data` says it too, of any array, but takes as long as to cast thousands of numbers: it
    is asked only about what is read-only, empty or has gaps, and so shows no buffer.
    """
    try:
        return ctypes.addressof(_first_byte(x))  # type: ignore[arg-type]
    except (TypeError, ValueError, BufferError):
        return int(x.ctypes.data)
