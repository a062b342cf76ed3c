"""The shortest way of a small array to its kernel.

What `round_to` asks of any container, type and layout takes as long as to cast 40,000 values. Of
float32 arrays in C order, with memory for the result, little need be asked.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from halfulp.dtypes.addresses import writable_address
from halfulp.dtypes.jit import Kernel
from halfulp.dtypes.threads import alone

Array = npt.NDArray[Any]
_FLOAT32 = np.dtype(np.float32)


#: shortcut(x, out): cast if `out` is of x's shape, and x itself or apart from it. Returns whether
#: it has; else nothing is done.
Shortcut = Callable[[Array, Array], bool]


def make_shortcut(kernel: Kernel, parameters: int, elements: int) -> Shortcut:
    """For a kernel from float32 to float32, by the address of its parameters.

    elements   arrays of as many, or more, do not go this way
    """

    def shortcut(x: Array, out: Array) -> bool:
        count = x.size
        if (
            x.dtype is not _FLOAT32
            or out.dtype is not _FLOAT32
            or not 0 < count < elements
            or x.shape != out.shape
        ):
            return False
        source, place, size = writable_address(x), writable_address(out), 4 * count
        if source is None or place is None:
            return False
        if (source | place) & 3 or (source != place and -size < place - source < size):
            return False
        alone(kernel, source, place, parameters, count, 0)
        return True

    return shortcut
