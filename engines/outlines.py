"""Arrays without data: the engines record what they would do with them, and compute nothing.

Every element of every outline is one and the same number, so that an array of any shape takes no
memory; it is known by where it lies. Views of outlines are outlines.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from halfulp.dtypes.addresses import address
from halfulp.engines.memory import uninitialized

_NUMBER = np.zeros((), np.float32)
_INDEX = np.zeros((), np.int64)
_TRUTH = np.zeros((), np.bool_)
for _element in (_NUMBER, _INDEX, _TRUTH):
    _element.flags.writeable = False
_PLACES = {address(_NUMBER), address(_INDEX), address(_TRUTH)}


def outline(shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """A float32 array of this shape without data."""
    return np.broadcast_to(_NUMBER, shape)


def index_outline(shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Integers of this shape without data."""
    return np.broadcast_to(_INDEX, shape)


def mask_outline(shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Booleans of this shape without data."""
    return np.broadcast_to(_TRUTH, shape)


def is_outline(*arrays: npt.NDArray[Any]) -> bool:
    """Whether one of these has no data."""
    for x in arrays:  # a loop: the question is asked several times a product
        if not x.flags.writeable and address(x) in _PLACES:
            return True
    return False


def result_of(
    shape: tuple[int, ...], *operands: npt.NDArray[Any], dtype: npt.DTypeLike = np.float32
) -> npt.NDArray[Any]:
    """Memory for a result, `memory.uninitialized`; an outline where an operand is one."""
    return outline(shape) if is_outline(*operands) else uninitialized(shape, dtype)
