"""The one place where operands of the engines are made: boundaries first, random last."""

from collections.abc import Callable
from math import inf, nan

import numpy as np
import numpy.typing as npt

from halfulp.dtypes import FloatFormat, Format, IntFormat, parse_format

Floats = npt.NDArray[np.float32]
Random = np.random.Generator
FLOAT_OPERANDS = ("bf16", "fp16", "tf32", "fp32", "e4m3", "e5m2", "e3m4", "cfp8(2,5,bias=3)")
INTEGER_OPERANDS = ("int8", "int16", "int32")
OPERANDS: dict[str, Format] = {
    name: parse_format(name) for name in (*FLOAT_OPERANDS, *INTEGER_OPERANDS)
}
#: M, K, N around every block of the kernels: 6 and 8 rows, 16 and 32 columns, 128 rows of A,
#: 128, 512 and 1,024 steps of k.
SHAPES = (
    (1, 1, 1),
    (1, 128, 1),
    (3, 0, 5),
    (2, 2, 32),
    (7, 127, 31),
    (8, 128, 32),
    (9, 129, 33),
    (6, 255, 64),
    (13, 257, 47),
    (5, 513, 17),
    (3, 1025, 34),
    (2, 4096, 3),
    (127, 5, 129),
    (129, 130, 16),
    (513, 3, 33),
    (37, 300, 77),
)


def _signs(shape: tuple[int, ...], random: Random) -> Floats:
    return np.where(random.random(shape) < 0.5, np.float32(-1), np.float32(1))


def _powers(low: float, high: float, shape: tuple[int, ...], random: Random) -> Floats:
    """Random significands, exponents spread evenly over [low, high)."""
    exponent = np.floor(random.uniform(low, high, shape)).astype(np.int32)
    with np.errstate(over="ignore", under="ignore"):
        magnitude = np.ldexp(1 + random.random(shape), exponent).astype(np.float32)
    return _signs(shape, random) * magnitude


def _middle(fmt: Format) -> float:
    """A size at which few values overflow the format."""
    return min(1.0, fmt.max / 8) if isinstance(fmt, FloatFormat) else fmt.max / 3


def ordinary(fmt: Format, shape: tuple[int, ...], random: Random) -> Floats:
    return (random.normal(size=shape) * _middle(fmt)).astype(np.float32)


def spread(fmt: Format, shape: tuple[int, ...], random: Random) -> Floats:
    """Exponents over all of a small format, +-30 of a large one; integers beyond their range."""
    if isinstance(fmt, IntFormat):
        return _powers(-3, fmt.bits + 1, shape, random)
    low = fmt.emin - fmt.mantissa_bits - 2
    return _powers(max(low, -30), min(fmt.emax, 30), shape, random)


def small(fmt: Format, shape: tuple[int, ...], random: Random) -> Floats:
    """Products around float32's smallest subnormal, or operands around the format's."""
    if isinstance(fmt, IntFormat):
        return _powers(-4, 2, shape, random)
    if fmt.emin > -100:
        high = min(fmt.emin + 2, fmt.emax)
        return _powers(fmt.emin - fmt.mantissa_bits - 3, high, shape, random)
    x = _powers(-80, -64, shape, random)
    return np.where(random.random(shape) < 0.1, _powers(-149, -120, shape, random), x)


def large(fmt: Format, shape: tuple[int, ...], random: Random) -> Floats:
    """Products around float32's largest number, or operands around the format's."""
    if isinstance(fmt, IntFormat):
        return _powers(fmt.bits - 4, fmt.bits, shape, random)
    # mostly below the largest number: one infinity hides the rest of a sum
    rare = random.random(shape) < 0.5 / max(shape[-1], shape[-2])
    low, high = (fmt.emax - 3, fmt.emax) if fmt.emax < 100 else (58, 63)
    x: Floats = _powers(low, high, shape, random)
    x[rare] *= 4
    return x


def special(fmt: Format, shape: tuple[int, ...], random: Random) -> Floats:
    """A NaN or an infinity in every few rows, and zeros of both signs."""
    x = ordinary(fmt, shape, random)
    draw = random.random(shape)
    x[draw < 0.3] = 0.0
    x[draw < 0.15] = -0.0
    rare = 1.0 / (8 * max(shape[-1], shape[-2]))
    for number, value in enumerate((inf, -inf, nan)):
        x[(draw > 0.5 + number * rare) & (draw < 0.5 + (number + 1) * rare)] = value
    return x


def ties(fmt: Format, shape: tuple[int, ...], random: Random) -> Floats:
    """Products whose sums lie on, and one place beside, the ties of float32."""
    if isinstance(fmt, IntFormat):
        return np.floor(random.uniform(-4, 5, shape)).astype(np.float32) * np.float32(0.5)
    middle, reach = (fmt.emin + fmt.emax) // 2, min(12, (fmt.emax - fmt.emin) // 2)
    near = 1.0 + np.where(random.random(shape) < 0.5, fmt.eps, 0.0)
    exponent = middle + random.choice([reach, 0, -reach], shape).astype(np.int32)
    magnitude: Floats = np.ldexp(near, exponent).astype(np.float32)
    return _signs(shape, random) * magnitude


Kind = Callable[[Format, tuple[int, ...], Random], Floats]
KINDS: dict[str, Kind] = {
    kind.__name__: kind for kind in (ordinary, spread, small, large, special, ties)
}


def operands(
    kind: str, a_format: Format, b_format: Format, shape: tuple[int, int, int], seed: int = 0
) -> tuple[Floats, Floats]:
    """a (M, K) and b (K, N); the same for the same arguments."""
    rows, depth, columns = shape
    random = np.random.default_rng([seed, rows, depth, columns])
    make = KINDS[kind]
    return make(a_format, (rows, depth), random), make(b_format, (depth, columns), random)


CORNERS: tuple[float, ...] = (
    0.0, -0.0, 1.0, -1.0, inf, -inf, nan, 2.0**-149, -(2.0**-149), 2.0**-126, 2.0**127,
    2.0**128 - 2.0**104, 2.0**104 - 2.0**128, 2.0**-127, 1.5 * 2.0**-126, 0.5, 2.0**24,
)  # fmt: skip


def mixed(shape: tuple[int, ...], seed: int = 0) -> Floats:
    """Every kind of float32, NaN and infinities too: for operations of single elements."""
    random = np.random.default_rng([seed, *shape])
    x = random.integers(0, 1 << 32, shape, dtype=np.uint32).view(np.float32)
    near = np.ldexp(random.normal(size=shape), random.integers(-4, 5, shape)).astype(np.float32)
    x = np.where(random.random(shape) < 0.6, near, x)
    corners = np.array(CORNERS, np.float32)
    return np.where(random.random(shape) < 0.15, random.choice(corners, shape), x)
