"""Random bits as an array, for the conversions that numpy makes."""

import math

import numpy as np
import numpy.typing as npt

from halfulp.dtypes.addresses import address
from halfulp.dtypes.drivers64 import FILL
from halfulp.dtypes.philox import GROUP, PAIR
from halfulp.dtypes.random_bits import GivenBits, Philox, RandomBits
from halfulp.dtypes.threads import parallel

Noise = npt.NDArray[np.uint32]


def signed64(word: int) -> int:
    """The int64 of the same bits."""
    return word - (1 << 64) if word >> 63 else word


def noise_for(random: RandomBits | None, shape: tuple[int, ...]) -> Noise:
    """`random_bits` bits for each element of an array of that shape, (n,) for n elements."""
    if isinstance(random, GivenBits):
        return random.for_shape(shape).reshape(-1)
    assert isinstance(random, Philox)
    count = math.prod(shape)
    lead = random.start % GROUP
    pairs = -(-(lead + count) // PAIR)
    words = np.empty(pairs * PAIR, np.uint32)
    counter = signed64(random.seed), signed64(random.step), 32 - random.random_bits
    parallel(FILL, [(address(words), random.start // GROUP, pairs, *counter)])
    return words[lead : lead + count]
