"""Memory for results: fresh, or, while a model is emulated, what earlier results no longer need.

Fresh memory comes as pages that the system clears one by one: for the operations between two matrix
products that took up to as long as the work itself.
"""

import contextlib
import sys
import threading
from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from halfulp.dtypes.addresses import address

_LINE = 64  # bytes; results begin at a cache line
#: Smaller results lie in memory that the process has already.
_SMALL = 1 << 16
_PATIENCE = 1000  # requests: some forwards of a large model

_Block = npt.NDArray[np.uint8]


def _holders(blocks: list[_Block]) -> Iterator[tuple[_Block, int]]:
    for block in blocks:
        yield block, sys.getrefcount(block)


class _Blocks:
    """Blocks by their size in bytes; a list begins with one that nobody else ever holds.

    Sizes that have not been asked for during `_PATIENCE` requests give their unused blocks up as
    soon as another size needs a new one: texts of other lengths need other memory.
    """

    def __init__(self) -> None:
        self._of_size: dict[int, list[_Block]] = {}
        self._asked: dict[int, int] = {}
        self._requests = 0

    def take(self, size: int) -> _Block:
        """A block that nobody else holds."""
        self._requests += 1
        self._asked[size] = self._requests
        known = self._of_size.setdefault(size, [np.empty(0, np.uint8)])
        counted = _holders(known)
        # the first is never given away; what is counted for it depends on the interpreter
        _, unused = next(counted)
        for block, holders in counted:
            if holders == unused:
                return block
        self._give_up()
        known.append(np.empty(size, np.uint8))
        return known[-1]

    def _give_up(self) -> None:
        for size, asked in list(self._asked.items()):
            if self._requests - asked > _PATIENCE:
                del self._of_size[size], self._asked[size]


class _Reuse(threading.local):
    """The blocks of a thread while it reuses any."""

    blocks: _Blocks | None = None


_reuse = _Reuse()


@contextlib.contextmanager
def reusing_memory() -> Iterator[None]:
    """Let this thread's results take the memory of earlier ones that nobody holds any more.

    Every array and tensor made of a result holds its block, so what is still in use stays as it is.
    """
    before = _reuse.blocks
    _reuse.blocks = _Blocks() if before is None else before
    try:
        yield
    finally:
        _reuse.blocks = before


def uninitialized(shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32) -> npt.NDArray[Any]:
    """An array for a result, C-contiguous, at a cache line; its elements are not set."""
    kind = np.dtype(dtype)
    size = prod(shape) * kind.itemsize
    blocks = _reuse.blocks if size >= _SMALL else None
    memory = np.empty(size + _LINE, np.uint8) if blocks is None else blocks.take(size + _LINE)
    start = -address(memory) % _LINE
    return memory[start : start + size].view(kind).reshape(shape)


def target(
    out: Any, shape: tuple[int, ...], dtype: np.dtype[Any], gaps: bool, *operands: Any
) -> npt.NDArray[Any]:
    """A new array for the result, or the caller's after the checks; `gaps` may lie between rows."""
    if out is None:
        return uninitialized(shape, dtype)
    array = out if isinstance(out, np.ndarray) else np.asarray(out)
    usable = array.flags.c_contiguous or (gaps and has_whole_rows(array))
    if array.shape != shape or array.dtype != dtype or not (usable and array.flags.writeable):
        raise ValueError(
            f"out is {array.dtype} of shape {array.shape};"
            f" needed: C-contiguous{' or of whole rows apart' if gaps else ''},"
            f" writeable {dtype} of shape {shape}"
        )
    if any(isinstance(x, np.ndarray) and np.may_share_memory(array, x) for x in operands):
        raise ValueError("out overlaps an operand; give memory of its own")
    return array


def has_whole_rows(x: npt.NDArray[Any]) -> bool:
    """Whether the elements of a row lie side by side, and no two rows lie in one place."""
    *axes, last = sorted(zip(x.strides, x.shape, strict=True), reverse=True)
    if x.strides[-1] != x.itemsize or last != (x.itemsize, x.shape[-1]):
        return False
    size = x.itemsize * x.shape[-1]
    for step, count in reversed(axes):
        if count > 1 and step < size:
            return False
        size = max(size, step * count)
    return True
