"""Arguments of the engines: opened as float32 arrays, results given back in kind."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from halfulp.dtypes import FP32, FloatFormat, Format, IntFormat, Overflow, parse_format
from halfulp.dtypes.addresses import address
from halfulp.dtypes.cast import decode, encode
from halfulp.dtypes.containers import is_tensor, open_source
from halfulp.dtypes.parameters import bits32, parameters32
from halfulp.dtypes.threads import split
from halfulp.engines.outlines import is_outline

Floats = npt.NDArray[np.float32]
Counts = npt.NDArray[np.int64]
#: Below this many elements a second thread costs more than it saves.
_PARALLEL_ELEMENTS = 1 << 15


#: Of a cast that changed nothing, or that had no data.
NO_COUNTS: Counts = np.zeros(4, np.int64)
NO_COUNTS.flags.writeable = False


class UnsupportedFormat(ValueError):
    """A format, or a pair of formats, that an engine does not take."""


def open_floats(x: object) -> tuple[Floats, Callable[[Any], Any]]:
    """A float32 view or copy of `x` (any strides), and what makes a result x's kind of container.

    Other types are converted as the engines' inputs are: through float32, rounded to nearest even.
    """
    if type(x) is np.ndarray and x.dtype == np.float32 and x.dtype.isnative:
        return x, _same
    if is_tensor(x) and x.requires_grad:  # type: ignore[attr-defined]
        x = x.detach()  # type: ignore[attr-defined]
    source = open_source(x)
    if source.codes_of is not None:
        array = decode(source.array, source.codes_of)
    elif source.array.dtype == np.float64:
        # numpy's conversion would flush subnormals where the process does
        array = encode(source.array, FP32).view(np.float32)
    else:
        array = source.array.astype(np.float32, copy=False)
    return array, source.give_back


def _same(result: Any) -> Any:
    return result


def filled(count: int, value: float) -> Floats:
    """`count` times the float32 nearest to a number."""
    return np.full(count, bits32(value), np.uint32).view(np.float32)


def size_bytes(fmt: Format, elements: int) -> int:
    """Bytes of elements in memory; tf32 takes four."""
    width = fmt.code_dtype if isinstance(fmt, FloatFormat) else fmt.numpy
    return width.itemsize * elements


def broadcast_shape(**shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The common shape of numpy's rules.

    Raises ValueError with the names and shapes that do not go together.
    """
    try:
        return np.broadcast_shapes(*shapes.values())
    except ValueError:
        given = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(
            f"shapes do not go together: {given}; each axis must be equal or 1"
        ) from None


def contiguous(x: Floats) -> Floats:
    return x if x.flags.c_contiguous or is_outline(x) else np.ascontiguousarray(x)


def as_format(fmt: Format | str) -> Format:
    """A format, or the one that a name means."""
    if isinstance(fmt, FloatFormat | IntFormat):
        return fmt
    return parse_format(fmt)


def as_float_format(fmt: Format | str, argument: str) -> FloatFormat:
    """A float format; the engines' results are floats.

    Raises UnsupportedFormat for an integer format.
    """
    found = as_format(fmt)
    if not isinstance(found, FloatFormat):
        raise UnsupportedFormat(f"{argument}={found.name}: results are float formats")
    return found


@functools.cache
def float_parameters(fmt: FloatFormat) -> tuple[npt.NDArray[np.int64], int]:
    """The kernels' constants of a float format (overflow to infinity), and their address."""
    given = parameters32(fmt, Overflow.INF)
    return given, address(given)


@functools.cache
def integer_parameters(fmt: IntFormat) -> tuple[npt.NDArray[np.int64], int]:
    """The largest float32 within the format on either side, and the address of the two."""
    # the float32 next to 2^k - 1 may be 2^k: drop the bits that float32 has not
    spare = max(fmt.max.bit_length() - 24, 0)
    given = np.array([bits32(float(fmt.max >> spare << spare)), bits32(float(-fmt.min))], np.int64)
    return given, address(given)


def pieces_of(rows: int, columns: int) -> list[tuple[int, int]]:
    """Rows of each thread's share of a matrix."""
    if rows * columns < _PARALLEL_ELEMENTS:
        return [(0, rows)]
    return split(rows, 16 if rows >= 64 else 1, 1)


class Counters:
    """Counts that kernels add to, in the order of `casts.COUNTS`.

    Each piece of the work has two cache lines of its own: threads that count within one line would
    wait for each other at every row.
    """

    def __init__(self, pieces: int) -> None:
        self.values = np.zeros((max(pieces, 1), 4, 4), np.int64)
        self._base = address(self.values)

    def place(self, piece: int, group: int = 0) -> int:
        """Address of one of a piece's four groups of counts."""
        return self._base + piece * 128 + group * 32

    def more(self) -> int:
        """The sum over all pieces of the first count of their second groups."""
        return int(self.values[:, 1, 0].sum())

    def total(self, groups: int = 1) -> Counts:
        """The sum over all pieces and over their first groups."""
        # additions of four numbers take a fifth of the time of numpy's sum over axes
        found: Counts = self.values[0, 0]
        for piece in range(len(self.values)):
            for group in range(groups):
                if piece or group:
                    found = found + self.values[piece, group]
        return found
