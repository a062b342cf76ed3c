"""The one place where inputs are made: formats, numbers at their boundaries, arrays in any layout.

Boundaries first: uniformly random numbers almost never tie, so they let a wrong tie rule pass.
"""

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from halfulp.dtypes import FORMATS, FloatFormat, IntFormat, Overflow, Specials, cfp8
from halfulp.dtypes.rounding import DETERMINISTIC

Array = npt.NDArray[Any]

FLOATS: dict[str, FloatFormat] = {
    name: fmt for name, fmt in FORMATS.items() if isinstance(fmt, FloatFormat)
}
INTEGERS: dict[str, IntFormat] = {
    name: fmt for name, fmt in FORMATS.items() if isinstance(fmt, IntFormat)
}
#: Corners of the family: one or no mantissa bits, one exponent bit, shifted ranges, every kind of
#: specials, without subnormals, ranges up to float32's at either end.
CORNERS: dict[str, FloatFormat] = {
    fmt.name: fmt
    for fmt in (
        *(cfp8(exponent, 7 - exponent) for exponent in range(1, 8)),
        cfp8(2, 5, bias=3),
        cfp8(4, 3, bias=11),
        cfp8(5, 2, bias=-20),
        FloatFormat(2, 1),
        *(FloatFormat(2, 1, specials=kind) for kind in Specials),
        *(FloatFormat(4, 3, specials=kind, subnormals=False) for kind in Specials),
        *(FloatFormat(1, 2, specials=kind, subnormals=False) for kind in Specials),
        FloatFormat(1, 2, specials=Specials.FN),
        FloatFormat(5, 2, specials=Specials.FN),
        FloatFormat(8, 3, bias=128, specials=Specials.FN),
        FloatFormat(8, 7, specials=Specials.FNUZ),
        FloatFormat(8, 7, bias=142, specials=Specials.FINITE),
        FloatFormat(8, 22, bias=127, subnormals=False),
        FloatFormat(8, 22),
        FloatFormat(8, 21),
        FloatFormat(1, 0, specials=Specials.FINITE),
        FloatFormat(3, 0, specials=Specials.FNUZ),
        FloatFormat(4, 0, specials=Specials.FN, signed=False, subnormals=False),
        FloatFormat(8, 0, bias=149, specials=Specials.FN, signed=False, subnormals=False),
        FloatFormat(2, 0),
        FloatFormat(2, 0, bias=127),
        FloatFormat(2, 8, bias=-125),
        FloatFormat(1, 23, bias=-126, specials=Specials.FN),
        FloatFormat(8, 0),
        FloatFormat(6, 9),
        FloatFormat(5, 23),
        FloatFormat(7, 8, bias=63 + 60),
        FloatFormat(8, 7, bias=142),
        FloatFormat(8, 10, bias=139),
        FloatFormat(3, 4, bias=146),
        FloatFormat(7, 20, bias=125),
    )
}
EVERY_FLOAT = FLOATS | CORNERS
SPECIALS = np.array(
    [0.0, np.inf, np.nan, np.finfo(np.float64).max, np.finfo(np.float32).max, 5e-324, 2.0**-149]
    + [1.0, 2.0**-126, 2.0**-1022, 2.0**128, 2.0**64, 2.0**-64]
)
#: All bfloat16 patterns, as float32.
BF16_PATTERNS: npt.NDArray[np.float32] = (
    np.arange(1 << 16, dtype=np.uint32) << np.uint32(16)
).view(np.float32)

roundings = st.sampled_from(DETERMINISTIC)
overflows = st.sampled_from(Overflow)


def overflows_of(fmt: FloatFormat) -> list[Overflow]:
    """The policies that the format can have: without NaN not "nan"."""
    return [policy for policy in Overflow if fmt.has_nan or policy is not Overflow.NAN]


@st.composite
def float_formats(draw: st.DrawFn) -> FloatFormat:
    """A named format, a corner, or any other."""
    if draw(st.booleans()):
        return draw(st.sampled_from(list(EVERY_FLOAT.values())))
    exponent_bits, specials = draw(st.integers(1, 8)), draw(st.sampled_from(Specials))
    if draw(st.integers(0, 7)) == 0:
        return draw(_biased(exponent_bits, 0, Specials.FN, signed=False, subnormals=False))
    subnormals = draw(st.booleans()) or draw(st.booleans())
    least = 0 if subnormals and specials is not Specials.FN else 1
    if exponent_bits == 1 and specials is Specials.IEEE:
        least = 1
    # float32 holds fewer with eight exponent bits that all serve numbers, or without subnormals
    most = 23
    if exponent_bits == 8:
        most -= (specials is not Specials.IEEE) + (not subnormals)
    mantissa_bits = draw(st.integers(least, most))
    return draw(_biased(exponent_bits, mantissa_bits, specials, subnormals=subnormals))


def _biased(
    exponent_bits: int, mantissa_bits: int, specials: Specials, **flags: bool
) -> st.SearchStrategy[FloatFormat]:
    """The format with any bias whose values float32 holds, often one at the ends."""
    subnormals = flags["subnormals"]
    top = (1 << exponent_bits) - 1 - (specials is Specials.IEEE)
    if mantissa_bits == 0 and specials is Specials.FN:
        top -= 1
    lowest, highest = max(top, int(subnormals)) - 127, 149 + subnormals - mantissa_bits
    default = (1 << (exponent_bits - 1)) - 1
    border = st.sampled_from([lowest, lowest + 1, highest - 1, highest, 126, 127, default])
    bias = border.map(lambda b: min(max(b, lowest), highest)) | st.integers(lowest, highest)
    return bias.map(
        lambda b: FloatFormat(exponent_bits, mantissa_bits, bias=b, specials=specials, **flags)
    )


integer_formats = st.builds(IntFormat, st.integers(2, 32), signed=st.booleans())


def magnitudes(codes: Array, fmt: FloatFormat) -> npt.NDArray[np.float64]:
    """What magnitude codes mean with an unbounded exponent: one past the largest is a number."""
    field, fraction = np.divmod(codes.astype(np.int64), 1 << fmt.mantissa_bits)
    hidden = (field > 0) | (not fmt.subnormals)
    significand = np.where(hidden, fraction + (1 << fmt.mantissa_bits), fraction)
    exponent = np.maximum(field, int(fmt.subnormals)) - fmt.bias - fmt.mantissa_bits
    values = np.ldexp(significand.astype(np.float64), exponent.astype(np.int32))
    return np.where((codes == 0) & fmt.has_zero, 0.0, values)


def chosen_codes(fmt: FloatFormat) -> npt.NDArray[np.int64]:
    """Finite magnitude codes: of bytes and named formats of 16 bits all, else some a binade."""
    if fmt.bits <= (16 if fmt in FLOATS.values() else 10):
        return np.arange(fmt.max_code + 1)
    width = 1 << fmt.mantissa_bits
    within = np.array([0, 1, 2, width // 2 - 1, width // 2, width - 2, width - 1])
    mixed = np.random.default_rng(0).integers(0, width, 9)
    binades = np.arange(0, fmt.max_code + 1, width)[:, None]
    codes = np.unique((binades + np.concatenate([within, mixed])).ravel())
    return codes[codes <= fmt.max_code]


@functools.cache
def boundaries(fmt: FloatFormat) -> npt.NDArray[np.float64]:
    """Values, ties, ties and a quarter ulp, neighbours of each among float64 and float32, specials.

    Both signs. The last tie is the one where overflow begins. Read-only, as it is kept.
    """
    codes = chosen_codes(fmt)
    value, following = magnitudes(codes, fmt), magnitudes(codes + 1, fmt)
    with np.errstate(over="ignore", under="ignore"):
        ulp = following - value
        tie = value + ulp / 2
        points = [value, following[-1:], tie, tie - ulp / 4, tie + ulp / 4]
        for place in (value, tie):
            points += [np.nextafter(place, -np.inf), np.nextafter(place, np.inf)]
            single = place.astype(np.float32)
            for direction in (np.float32(-np.inf), np.float32(np.inf)):
                points.append(np.nextafter(single, direction).astype(np.float64))
    every = np.unique(np.abs(np.concatenate([*points, SPECIALS])))
    return _frozen(np.concatenate([every, -every]))


@functools.cache
def float32_boundaries(fmt: FloatFormat) -> npt.NDArray[np.float32]:
    """Those of `boundaries` that are float32."""
    points = boundaries(fmt)
    with np.errstate(over="ignore", under="ignore"):
        single = points.astype(np.float32)
    return _frozen(single[(single == points) | np.isnan(points)])


def _frozen(x: Array) -> Array:
    x.flags.writeable = False
    return x


@st.composite
def floats_near(draw: st.DrawFn, fmt: FloatFormat) -> float:
    """A float64 at or beside a value or a tie of `fmt`, or any float64."""
    if draw(st.integers(0, 7)) == 0:
        return draw(st.floats())
    codes = np.array([draw(st.integers(0, fmt.max_code))])
    value, following = (float(magnitudes(codes + step, fmt)[0]) for step in (0, 1))
    ulp = following - value
    place = value + ulp * draw(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]))
    direction = draw(st.sampled_from([-np.inf, place, np.inf]))
    with np.errstate(over="ignore", under="ignore"):
        x = float(np.nextafter(place, direction))
        if draw(st.booleans()):
            x = float(np.float32(x))
    return draw(st.sampled_from([x, -x]))


def layouts(x: Array) -> Iterator[tuple[str, Array]]:
    """The two-dimensional `x` in every kind of memory that numpy knows; or a part of it."""
    rows, columns = x.shape
    yield "C order", np.ascontiguousarray(x)
    yield "Fortran order", np.asfortranarray(x)
    wide = np.zeros((2 * rows, 3 * columns), x.dtype)
    wide[::2, ::3] = x
    yield "every second row, third column", wide[::2, ::3]
    yield "backwards", np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1]
    frozen = x.copy()
    frozen.flags.writeable = False
    yield "read-only", frozen
    yield "other byte order", x.astype(x.dtype.newbyteorder(">"))
    memory = np.zeros(x.nbytes + 1, np.uint8)
    odd = np.frombuffer(memory.data, x.dtype, x.size, offset=1).reshape(x.shape)
    odd[...] = x
    yield "unaligned", odd
    yield "repeated by a stride of 0", np.broadcast_to(x[:1], x.shape)
    yield "empty", x[:0]
    yield "one element", x[:1, :1]
    yield "no dimension", x[0, 0, ...]
