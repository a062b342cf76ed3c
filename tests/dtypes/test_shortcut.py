"""Small arrays go a short way to the same bits; what does not fit it is treated as ever."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from halfulp.dtypes import kernels, round_to
from halfulp.dtypes.conversion import conversion
from halfulp.dtypes.parameters import fast32
from tests.dtypes.opinion import bits, modes
from tests.strategies import EVERY_FLOAT, float32_boundaries

Array = npt.NDArray[Any]
X = np.linspace(-3, 3, 60, dtype=np.float32)
WANTED = round_to(X, "e4m3")


def views(size: int, x: slice, out: slice) -> tuple[Array, Array]:
    """Two parts of one memory."""
    memory = np.resize(X, size)
    return memory[x], memory[out]


def goes(x: Array, out: Array) -> bool:
    """Whether the short way serves these two; then it has."""
    shortcut = kernels.shortcut(conversion("e4m3"))
    assert shortcut is not None
    return shortcut(x, out)


@pytest.mark.parametrize("fmt", EVERY_FLOAT.values(), ids=str)
def test_both_ways_give_the_same_bits(fmt: Any) -> None:
    x = float32_boundaries(fmt)[:20000]
    x = x.copy() if fmt.has_nan else x[~np.isnan(x)]
    for rounding, overflow in modes(fmt):
        shortcut = kernels.shortcut(conversion(fmt, rounding=rounding, overflow=overflow))
        assert (shortcut is not None) == (fast32(fmt) and fmt.has_nan)
        if shortcut is None:
            continue
        out = np.full_like(x, 77)
        assert shortcut(x, out)
        long = round_to(x, fmt, rounding=rounding, overflow=overflow)
        assert np.array_equal(bits(out), bits(long))


SERVED: dict[str, Callable[[], tuple[Array, Array]]] = {
    "memory of its own": lambda: (X.copy(), np.empty_like(X)),
    "x itself": lambda: views(60, slice(None), slice(None)),
    "two axes": lambda: (X.reshape(6, 10).copy(), np.empty((6, 10), np.float32)),
    "side by side": lambda: views(120, slice(60), slice(60, None)),
}


@pytest.mark.parametrize("make", SERVED.values(), ids=SERVED)
def test_what_goes_the_short_way(make: Callable[[], tuple[Array, Array]]) -> None:
    x, out = make()
    assert goes(x, out)
    assert np.array_equal(bits(out.ravel()), bits(WANTED))


def read_only() -> Array:
    x = X.copy()
    x.flags.writeable = False
    return x


def unaligned() -> Array:
    memory = np.zeros(4 * X.size + 1, np.uint8)
    x = memory[1:].view(np.float32)
    x[...] = X
    return x


OTHERS: dict[str, Callable[[], tuple[Array, Array]]] = {
    "read-only": lambda: (read_only(), np.empty_like(X)),
    "unaligned": lambda: (unaligned(), np.empty_like(X)),
    "into unaligned": lambda: (X.copy(), unaligned()),
    "every other": lambda: (np.repeat(X, 2)[::2], np.empty_like(X)),
    "into every other": lambda: (X.copy(), np.empty(120, np.float32)[::2]),
    "swapped bytes": lambda: (X.astype(">f4"), np.empty_like(X)),
    "large": lambda: (np.resize(X, 1 << 17), np.empty(1 << 17, np.float32)),
    "empty": lambda: (X[:0].copy(), np.empty(0, np.float32)),
}


@pytest.mark.parametrize("make", OTHERS.values(), ids=OTHERS)
def test_what_goes_the_long_way(make: Callable[[], tuple[Array, Array]]) -> None:
    x, out = make()
    assert not goes(x, out)
    assert round_to(x, "e4m3", out=out) is out
    assert np.array_equal(bits(out), bits(np.resize(WANTED, x.shape)))


REFUSED: dict[str, Callable[[], tuple[Array, Array]]] = {
    "another shape": lambda: (X.copy(), np.empty(59, np.float32)),
    "another type": lambda: (X.copy(), np.empty(60, np.float64)),
    "read-only": lambda: (X.copy(), read_only()),
    "one to the right": lambda: views(61, slice(60), slice(1, None)),
    "one to the left": lambda: views(61, slice(1, None), slice(60)),
    "half of it": lambda: views(90, slice(60), slice(30, None)),
}


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED)
def test_what_is_refused_is_not_written(make: Callable[[], tuple[Array, Array]]) -> None:
    x, out = make()
    before = x.copy()
    assert not goes(x, out)
    with pytest.raises(ValueError, match="out "):
        round_to(x, "e4m3", out=out)
    assert np.array_equal(bits(x), bits(before))


def test_conversions_that_ask_for_more_have_no_short_way() -> None:
    for made in (
        conversion("e4m3", subnormals="flush_inputs"),
        conversion("e4m3", subnormals="flush_outputs"),
        conversion("e2m1fn"),  # NaN must be refused
        conversion("int8"),
        conversion("e8m0fnu"),
    ):
        assert kernels.shortcut(made) is None, made
    assert kernels.shortcut(conversion("e2m1fn", nan="max")) is not None
    with pytest.raises(ValueError, match="NaN"):
        round_to(np.array([np.nan], np.float32), "e2m1fn", out=np.empty(1, np.float32))
