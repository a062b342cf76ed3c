"""Instructions of the Vector Engine that move rows: transposes of small tiles, shuffles."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from halfulp.dtypes import FP32, Format
from halfulp.engines.activations import Activation
from halfulp.engines.arrays import apply_flat
from halfulp.engines.operands import open_floats
from halfulp.engines.vector_elementwise import ElementwiseInstructions, write_record

#: Rows and columns of a tile that the Vector Engine transposes, and rows of a quadrant (documented:
#: nki.isa nc_transpose, nc_stream_shuffle).
TILE = 32
_PARTITIONS = 128


@dataclass(frozen=True)
class MovingInstructions(ElementwiseInstructions):
    """See `halfulp.engines.vector.VectorEngine`."""

    def nc_transpose(self, x: Any, *, out_format: Format | str = FP32) -> Any:
        """A tile of at most 32 x 32, its rows as columns: no value is lost on the way.

        Raises ValueError for a larger one: the Tensor Engine's transpose takes 128 x 128.
        """
        fmt = self.result_format(out_format)
        array, give = open_floats(x)
        if array.ndim != 2 or max(array.shape) > TILE:
            raise ValueError(
                f"x has shape {array.shape}; the Vector Engine transposes at most {TILE} x {TILE}"
                " (nki.isa nc_transpose); NeuronCore.tensor.transpose takes more"
            )
        out, counts = apply_flat(array.T, Activation.COPY, 1.0, -0.0, fmt)
        write_record("nc_transpose", (array,), out, fmt, counts)
        return give(out)

    def nc_stream_shuffle(
        self, x: Any, mask: Sequence[int], *, out_format: Format | str = FP32
    ) -> Any:
        """Row p of each quadrant of 32 rows becomes row mask[p] of the same quadrant.

        x (32 n, F), n from 1 to 4; mask: 32 numbers from 0 to 31, repeats allowed.

        Raises ValueError for another mask or shape.
        """
        fmt = self.result_format(out_format)
        array, give = open_floats(x)
        rows = array.shape[0] if array.ndim == 2 else 0
        if array.ndim != 2 or rows % TILE or not TILE <= rows <= _PARTITIONS:
            raise ValueError(f"x has shape {array.shape}; needed: 32, 64, 96 or 128 rows")
        places = [int(place) for place in mask]
        if len(places) != TILE or not all(0 <= place < TILE for place in places):
            raise ValueError(f"mask={places}; needed: {TILE} numbers from 0 to {TILE - 1}")
        moved = array.reshape(-1, TILE, array.shape[1])[:, places].reshape(array.shape)
        out, counts = apply_flat(np.ascontiguousarray(moved), Activation.COPY, 1.0, -0.0, fmt)
        write_record("nc_stream_shuffle", (array,), out, fmt, counts)
        return give(out)
