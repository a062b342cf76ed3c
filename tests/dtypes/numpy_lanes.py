"""A stand-in for `halfulp.dtypes.lanes.Lanes`: the kernels' bodies as plain Python on numpy arrays.

A vector's lanes are a whole array here, and nothing is compiled. What LLVM leaves open (a shift by
the width or more, a conversion out of range) becomes a pattern that is no result of any kernel.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from halfulp.dtypes.direction import Direction
from halfulp.dtypes.lanes import F32, F64, I1, I8, I16, I32, I64

Array = npt.NDArray[Any]
Number = int | float

#: Integers are unsigned; operations that mind the sign view them as signed.
TYPES: dict[Any, npt.DTypeLike] = {
    F32: np.float32, F64: np.float64,
    I1: np.bool_, I8: np.uint8, I16: np.uint16, I32: np.uint32, I64: np.uint64,
}  # fmt: skip
_OPEN = 0xA5A5A5A5A5A5A5A5


def _signed(array: Array) -> Array:
    return array.view(f"i{array.itemsize}")


def _open(array: Array, where: Array) -> Array:
    """Integers, with the pattern where LLVM leaves the result open."""
    pattern = _OPEN & ((1 << (8 * array.itemsize)) - 1)
    return np.where(where, array.dtype.type(pattern), array)


def in_direction(nearest: Array, rest: Array, direction: Direction) -> Array:
    """The exact result in another direction; it is more than `nearest` by a number like `rest`."""
    kind = nearest.dtype.type
    low, high = np.nextafter(nearest, kind(-np.inf)), np.nextafter(nearest, kind(np.inf))
    down = (rest < 0) & (direction in (Direction.DOWN, Direction.CUT))
    up = (rest > 0) & (direction in (Direction.UP, Direction.CUT))
    if direction is Direction.CUT:
        down, up = down & (nearest > 0), up & (nearest < 0)
    return np.where(down, low, np.where(up, high, nearest))


def _refuse(what: str, direction: Direction) -> None:
    if direction is not Direction.NEAREST:
        raise NotImplementedError(f"{what} in another direction than to nearest")


def add(a: Array, b: Array, direction: Direction) -> Array:
    """a + b, rounded once."""
    nearest = a + b
    if direction is Direction.NEAREST:
        return nearest
    if a.dtype != np.float32:
        _refuse("a sum of float64", direction)
    # the exact sum of two float32 is one float64 and its error
    x, y = a.astype(np.float64), b.astype(np.float64)
    total = x + y
    of_y = total - x
    error = (x - (total - of_y)) + (y - of_y)
    rest = np.where(nearest == total, error, total - nearest)
    result = in_direction(nearest, rest, direction)
    # numbers that cancel leave -0 downward
    cancelled = (a == -b) & ~((a == 0) & ~np.signbit(a) & ~np.signbit(b))
    negative_zero = cancelled & (direction is Direction.DOWN)
    return np.where(negative_zero, a.dtype.type(-0.0), result)


def multiply(a: Array, b: Array, direction: Direction) -> Array:
    """a * b, rounded once."""
    nearest = a * b
    if direction is Direction.NEAREST:
        return nearest
    if a.dtype != np.float32:
        _refuse("a product of float64", direction)
    exact = a.astype(np.float64) * b  # 48 bits, far from float64's ends
    return in_direction(nearest, exact - nearest, direction)


def fma(a: Array, b: Array, c: Array) -> Array:
    """a * b + c, rounded once, to nearest."""
    plain = a * b + c
    result = plain.ravel()
    operands = (each.ravel().tolist() for each in np.broadcast_arrays(a, b, c))
    for index, (x, y, z) in enumerate(zip(*operands, strict=True)):
        if np.isfinite(result[index]):
            exact = Fraction(x) * Fraction(y) + Fraction(z)
            if exact:  # else the sign of zero is already right
                result[index] = _nearest(exact, result.dtype.type)
    return result.reshape(plain.shape)


def _nearest(exact: Fraction, kind: type[Any]) -> Any:
    """The float of a kind nearest to a fraction."""
    double = float(exact)
    if kind is np.float64:
        return double
    # a float32 through a float64 rounded to odd: its last bits decide nothing twice
    if Fraction(double) != exact and np.float64(double).view(np.uint64) & np.uint64(1) == 0:
        toward = np.inf if Fraction(double) < exact else -np.inf
        double = float(np.nextafter(double, toward))
    return kind(double)


class NumpyLanes:
    """What `Lanes` is in a builder; operations on floats round in `direction`."""

    def __init__(self, array: Array, direction: Direction = Direction.NEAREST) -> None:
        self.array, self.direction = array, direction

    def _of(self, array: Array) -> "NumpyLanes":
        return NumpyLanes(array, self.direction)

    def _other(self, other: "NumpyLanes | Number") -> Array:
        kind = self.array.dtype
        if isinstance(other, NumpyLanes):
            if other.array.dtype != kind:
                raise TypeError(f"{kind} beside {other.array.dtype}")
            return other.array
        if kind.kind == "u":
            other = int(other) & ((1 << (8 * kind.itemsize)) - 1)
        return np.array([other], kind)

    @property
    def _floats(self) -> bool:
        return self.array.dtype.kind == "f"

    def __add__(self, other: "NumpyLanes | Number") -> "NumpyLanes":
        a, b = self.array, self._other(other)
        return self._of(add(a, b, self.direction) if self._floats else a + b)

    def __sub__(self, other: "NumpyLanes | Number") -> "NumpyLanes":
        a, b = self.array, self._other(other)
        return self._of(add(a, -b, self.direction) if self._floats else a - b)

    def __mul__(self, other: "NumpyLanes | Number") -> "NumpyLanes":
        a, b = self.array, self._other(other)
        return self._of(multiply(a, b, self.direction) if self._floats else a * b)

    def __truediv__(self, other: "NumpyLanes | Number") -> "NumpyLanes":
        _refuse("a quotient", self.direction)
        return self._of(self.array / self._other(other))

    def divide_unsigned(self, other: "NumpyLanes | Number") -> "NumpyLanes":
        return self._of(self.array // self._other(other))

    def __and__(self, other: "NumpyLanes | Number") -> "NumpyLanes":
        return self._of(self.array & self._other(other))

    def __or__(self, other: "NumpyLanes | Number") -> "NumpyLanes":
        return self._of(self.array | self._other(other))

    def __xor__(self, other: "NumpyLanes | Number") -> "NumpyLanes":
        return self._of(self.array ^ self._other(other))

    def _shifted(self, array: Array, other: "NumpyLanes | Number") -> "NumpyLanes":
        too_far = self._other(other) >= 8 * array.itemsize
        return self._of(_open(array.view(self.array.dtype), too_far))

    def __lshift__(self, other: "NumpyLanes | Number") -> "NumpyLanes":
        return self._shifted(self.array << self._other(other), other)

    def __rshift__(self, other: "NumpyLanes | Number") -> "NumpyLanes":
        return self._shifted(self.array >> self._other(other), other)

    def arithmetic_shift(self, other: "NumpyLanes | Number") -> "NumpyLanes":
        return self._shifted(_signed(self.array) >> _signed(self._other(other)), other)

    def like(self, value: Number) -> "NumpyLanes":
        return self._of(self._other(value))

    def __lt__(self, other: "NumpyLanes | Number") -> "NumpyLanes":
        return self._of(self.array < self._other(other))

    def __gt__(self, other: "NumpyLanes | Number") -> "NumpyLanes":
        return self._of(self.array > self._other(other))

    def __ge__(self, other: "NumpyLanes | Number") -> "NumpyLanes":
        return self._of(self.array >= self._other(other))

    def equals(self, other: "NumpyLanes | Number") -> "NumpyLanes":
        return self._of(self.array == self._other(other))

    def differs(self, other: "NumpyLanes | Number") -> "NumpyLanes":
        return self._of(self.array != self._other(other))

    def differs_from_number(self, other: "NumpyLanes") -> "NumpyLanes":
        return self._of((self.array < other.array) | (self.array > other.array))

    def is_nan(self) -> "NumpyLanes":
        return self._of(np.isnan(self.array))

    def where(self, yes: "NumpyLanes", no: "NumpyLanes | Number") -> "NumpyLanes":
        return self._of(np.where(self.array, yes.array, yes._other(no)))

    def bits(self, kind: Any) -> "NumpyLanes":
        return self._of(self.array.view(TYPES[kind]))

    def convert(self, operation: str, kind: Any) -> "NumpyLanes":
        return self._of(_CONVERSIONS[operation](self.array, np.dtype(TYPES[kind]), self.direction))

    def call(self, name: str, *arguments: "NumpyLanes | Number") -> "NumpyLanes":
        return self._of(_FUNCTIONS[name](self.array, *map(self._other, arguments)))

    def fma(self, factor: "NumpyLanes | Number", addend: "NumpyLanes | Number") -> "NumpyLanes":
        _refuse("fma", self.direction)
        return self.call("fma", factor, addend)


def _extended(array: Array, kind: np.dtype[Any], direction: Direction) -> Array:
    """With the sign, a set mask being -1."""
    if array.dtype == np.bool_:
        return kind.type(0) - array.astype(kind)
    return _signed(array).astype(f"i{kind.itemsize}").view(kind)


def _narrowed(array: Array, kind: np.dtype[Any], direction: Direction) -> Array:
    nearest = array.astype(kind)
    return in_direction(nearest, array - nearest, direction)


def _from_integers(array: Array, kind: np.dtype[Any], direction: Direction) -> Array:
    exact = array.astype(np.float64)
    if (exact.astype(array.dtype) != array).any():
        raise NotImplementedError("an integer that float64 does not hold")
    return _narrowed(exact, kind, direction)


def _whole(array: Array, kind: str) -> Array:
    """Toward zero; open out of range."""
    limits = np.iinfo(kind)
    whole = np.trunc(array.astype(np.float64))
    inside = (whole >= limits.min) & (whole < float(limits.max) + 1)
    found = np.where(inside, whole, 0).astype(kind)
    return _open(found.view(kind.replace("i", "u")), ~inside)


_CONVERSIONS: dict[str, Callable[[Array, np.dtype[Any], Direction], Array]] = {
    "zext": lambda array, kind, _: array.astype(kind),
    "trunc": lambda array, kind, _: array.astype(kind),
    "sext": _extended,
    "fpext": lambda array, kind, _: array.astype(kind),
    "fptrunc": _narrowed,
    "sitofp": lambda array, kind, way: _from_integers(_signed(array), kind, way),
    "uitofp": _from_integers,
    "fptosi": lambda array, kind, _: _whole(array, f"i{kind.itemsize}"),
    "fptoui": lambda array, kind, _: _whole(array, f"u{kind.itemsize}"),
}
_FUNCTIONS: dict[str, Callable[..., Array]] = {
    "umin": np.minimum,
    "umax": np.maximum,
    "smin": lambda a, b: np.minimum(_signed(a), _signed(b)).view(a.dtype),
    "smax": lambda a, b: np.maximum(_signed(a), _signed(b)).view(a.dtype),
    "fma": fma,
    "sqrt": np.sqrt,
    "copysign": np.copysign,
}
