"""Where arrays stand in memory, for the kernels."""

import ctypes
from typing import Any

import numpy.typing as npt

_first_byte = ctypes.c_char.from_buffer


def writable_address(x: npt.NDArray[Any]) -> int | None:
    """Of the first element of an array in C order that may be written and is not empty, else None.

    Only such an array shows its memory as a buffer.
    """
    try:
        return ctypes.addressof(_first_byte(x))  # type: ignore[arg-type]
    except (TypeError, ValueError, BufferError):
        return None


def address(x: npt.NDArray[Any]) -> int:
    """Of the first element.

    `x.ctypes.data` says it of any array, but takes as long as to cast thousands of numbers: it is
    asked about the others only.
    """
    known = writable_address(x)
    return int(x.ctypes.data) if known is None else known
