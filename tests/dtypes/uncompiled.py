"""The kernels without a compiler: the modules that make them, loaded again over numpy's lanes.

Each loop of `halfulp.dtypes.loops` and `block_loops` becomes a Python function that takes the same
addresses, so bodies and drivers run as they are written, and coverage counts them.
"""

import contextlib
import ctypes
import functools
import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import halfulp.dtypes as layer
from halfulp.dtypes import block_loops, loops, natives, threads
from halfulp.dtypes.block_layout import LANES
from halfulp.dtypes.direction import Direction
from halfulp.dtypes.guards import passing
from halfulp.dtypes.jit import Kernel
from tests.dtypes.numpy_lanes import TYPES, NumpyLanes

Array = npt.NDArray[Any]
Native = Callable[[tuple[int, ...]], None]
#: All that stands on the loops.
MODULES = (
    "codec", "codec64", "codec_wide", "philox", "block_codec", "drivers", "drivers64",
    "drivers_wide", "block_drivers", "noise", "kernels", "block_kernels",
)  # fmt: skip


def memory(address: int, kind: npt.DTypeLike, count: int) -> Array:
    """The array that stands at an address."""
    size = count * np.dtype(kind).itemsize
    return np.frombuffer(memoryview((ctypes.c_char * size).from_address(address)), kind)


def _unpack(address: int, count: int) -> tuple[int, ...]:
    return tuple(memory(address, np.int64, count).tolist())


def _given(address: int, names: Sequence[str], direction: Direction) -> dict[str, NumpyLanes]:
    low = memory(address, np.int64, len(names)).astype(np.uint32)
    return {name: NumpyLanes(low[i : i + 1], direction) for i, name in enumerate(names)}


def _lane_loop(
    name: str, body: Any, inputs: Sequence[Any], output: Any, parameters: Sequence[str] = (), *,
    lanes: int = 16, counted: int = 0, quick: Any = None,
    direction: Direction = Direction.NEAREST, directed: bool = False,
) -> Native:  # fmt: skip
    def run(arguments: tuple[int, ...]) -> None:
        *sources, target, place, counts, n, _ = arguments
        way = Direction(memory(place, np.int64, 1)[0]) if directed else direction
        given = [
            NumpyLanes(memory(source, TYPES[kind], n).copy(), way)
            for source, kind in zip(sources, inputs, strict=True)
        ]
        values = _given(place, parameters, way)
        result, masks = body(given, values)
        if quick is not None:  # in each lane, while a compiled loop asks for all of a vector
            guards, same = quick(given, values)
            ordinary: Any = passing(guards)
            assert (same.array == result.array)[ordinary.array].all()
            result = ordinary.where(same, result)
        memory(target, TYPES[output], n)[...] = result.array
        if counted:
            sums = memory(counts, np.int64, counted)
            sums += [np.count_nonzero(mask.array) for mask in masks]

    return run


def _block_loop(
    name: str, body: Any, kind: Any, output: Any, parameters: Sequence[str] = ()
) -> Native:
    def run(arguments: tuple[int, ...]) -> None:
        source, target, values, place, blocks, vectors, _ = arguments
        size = blocks * vectors * LANES
        x = NumpyLanes(memory(source, TYPES[kind], size).reshape(blocks, -1).copy())
        value = NumpyLanes(memory(values, np.float32, blocks).reshape(-1, 1).copy())
        result = body(x, value, _given(place, parameters, Direction.NEAREST))
        memory(target, TYPES[output], size).reshape(blocks, -1)[...] = result.array

    return run


def _maxima_loop(name: str, kind: Any) -> Native:
    def run(arguments: tuple[int, ...]) -> None:
        source, maxima, blocks, vectors = arguments
        x = memory(source, TYPES[kind], blocks * vectors * LANES).reshape(blocks, -1)
        magnitude = x & x.dtype.type(np.iinfo(x.dtype).max >> 1)
        memory(maxima, TYPES[kind], blocks)[...] = magnitude.max(axis=1)

    return run


def _native(name: str, arguments: int, build: Any, **how: Any) -> Native:
    """Philox's, the one native that is no loop over lanes; its rounds are."""
    assert name == "halfulp_philox"
    return functools.partial(_philox, build.__globals__)


def _philox(module: dict[str, Any], arguments: tuple[int, ...]) -> None:
    target, group, pairs, seed, step, drop = arguments
    groups, width = 2 * pairs, module["GROUP"] // 4
    blocks = np.arange(groups * width, dtype=np.uint64) + np.uint64(group * width)

    def words(of: Array) -> list[NumpyLanes]:
        return [NumpyLanes(of & np.uint64(0xFFFFFFFF)), NumpyLanes(of >> np.uint64(32))]

    key, steps = (words(np.array([word], np.int64).view(np.uint64)) for word in (seed, step))
    found = [lanes.array for lanes in module["rounds"]([*words(blocks), *steps], key)]
    low = np.stack(found).astype(np.uint32).reshape(4, groups, width) >> np.uint32(drop)
    memory(target, np.uint32, pairs * module["PAIR"])[...] = low.swapaxes(0, 1).ravel()


def _run_here(kernel: Kernel, parts: Sequence[tuple[int, ...]]) -> None:
    scratch = np.zeros(threads.SCRATCH_BYTES, np.uint8)
    for part in parts:
        arguments = np.array([*part, scratch.ctypes.data], np.int64)
        with np.errstate(all="ignore"):
            kernel.function(arguments.ctypes.data)


@contextlib.contextmanager
def _aside() -> Iterator[None]:
    """While here the modules are not loaded; afterwards the compiled ones are theirs again."""
    names = {f"{layer.__name__}.{name}": name for name in MODULES}
    before = {full: importlib.import_module(full) for full in names}
    for full, name in names.items():
        del sys.modules[full]
        delattr(layer, name)
    try:
        yield
    finally:
        sys.modules.update(before)
        for full, name in names.items():
            setattr(layer, name, before[full])


@functools.cache
def uncompiled() -> dict[str, ModuleType]:
    """Copies of MODULES whose kernels run as Python, on this thread, when they are called."""
    with pytest.MonkeyPatch.context() as patch, _aside():
        patch.setattr(loops, "lane_loop", _lane_loop)
        patch.setattr(block_loops, "block_loop", _block_loop)
        patch.setattr(block_loops, "maxima_loop", _maxima_loop)
        patch.setattr(natives, "native", _native)
        patch.setattr(natives, "unpack", _unpack)
        patch.setattr(threads, "parallel", _run_here)
        return {name: importlib.import_module(f"{layer.__name__}.{name}") for name in MODULES}
