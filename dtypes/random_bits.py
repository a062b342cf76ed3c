"""Where stochastic rounding takes its random bits from: a counter, or the caller.

Philox-4x32-10 is a function of a key and a counter (Salmon et al., SC 2011): any element's bits can
be had without those before it, so they depend neither on threads nor on how an array is cut. The
hardware's generator is not described (NUMERICS: assumed).
"""

from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from halfulp.dtypes.checks import integer

_WORD = (1 << 64) - 1


@dataclass(frozen=True)
class Philox:
    """Random bits by counting: element i of an array (C order) always has the same ones.

    seed          0 to 2^64 - 1, the key
    step          0 to 2^64 - 1, the upper half of the counter: another one for each use
    start         the number of the array's first element, 0 to 2^62: parts of an array that are
                  rounded one by one, each with its start, give what the whole gives
    random_bits   1 to 32, the upper bits of a 32-bit word

    Element i takes word (i % 64) // 16 of block 16 (i // 64) + i % 16.
    """

    seed: int
    _: KW_ONLY
    step: int = 0
    start: int = 0
    random_bits: int = 32

    def __post_init__(self) -> None:
        allowed = {"seed": (0, _WORD), "step": (0, _WORD), "start": (0, 1 << 62)}
        for name, (low, high) in (allowed | {"random_bits": (1, 32)}).items():
            object.__setattr__(self, name, integer(getattr(self, name), name, low, high))


@dataclass(frozen=True, eq=False)
class GivenBits:
    """Random bits of the caller's own.

    values        integers of the array's shape, or one for all: 0 to 2^random_bits - 1
    random_bits   1 to 32
    """

    values: npt.NDArray[Any]
    random_bits: int

    def __post_init__(self) -> None:
        bits = integer(self.random_bits, "random_bits", 1, 32)
        values = np.asarray(self.values)
        if values.dtype.kind not in "iu":
            raise TypeError(f"values have type {values.dtype}; random bits are integers")
        if values.size and not 0 <= values.min() <= values.max() < 1 << bits:
            raise ValueError(
                f"values go from {values.min()} to {values.max()};"
                f" random_bits={bits} allows 0 to {(1 << bits) - 1}"
            )
        object.__setattr__(self, "values", values.astype(np.uint32))
        object.__setattr__(self, "random_bits", bits)

    def for_shape(self, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """One value for each element, C-contiguous. Raises ValueError for another shape."""
        try:
            return np.ascontiguousarray(np.broadcast_to(self.values, shape))
        except ValueError:
            raise ValueError(
                f"the random bits have shape {self.values.shape}, the numbers {shape};"
                " give one for each number, or one for all"
            ) from None


RandomBits = Philox | GivenBits
