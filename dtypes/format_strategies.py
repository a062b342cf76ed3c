"""Hypothesis strategies for formats: the named ones, the corners of the family, any."""

from enum import StrEnum, unique
from typing import TypeVar, assert_never

from hypothesis import strategies as st

from halfulp.dtypes.format import FloatFormat, Format, Specials
from halfulp.dtypes.formats import FORMATS
from halfulp.dtypes.int_format import IntFormat
from halfulp.dtypes.rounding import choice

Kind = TypeVar("Kind", FloatFormat, IntFormat)


@unique
class Which(StrEnum):
    """Which formats are drawn."""

    NAMED = "named"  #: those of FORMATS
    CORNERS = "corners"  #: those of CORNERS
    ANY = "any"  #: these two, and whatever else can be made


#: Corners of the family: one or no mantissa bits, one exponent bit, every kind of specials, without
#: subnormals, and ranges that reach one end of float32's.
CORNERS: tuple[Format, ...] = (
    FloatFormat(1, 1),
    FloatFormat(1, 0, specials=Specials.FINITE),
    FloatFormat(1, 6),
    FloatFormat(7, 0),
    FloatFormat(8, 0),
    *(FloatFormat(2, 1, specials=kind) for kind in Specials),
    *(FloatFormat(4, 3, specials=kind, subnormals=False) for kind in Specials),
    *(FloatFormat(1, 2, specials=kind, subnormals=False) for kind in Specials),
    FloatFormat(3, 0, specials=Specials.FNUZ),
    FloatFormat(5, 2, bias=-20),
    FloatFormat(3, 4, bias=146),
    FloatFormat(8, 7, bias=142),
    FloatFormat(2, 8, bias=-125),
    FloatFormat(5, 23),
    FloatFormat(1, 23, bias=-126, specials=Specials.FN),
    FloatFormat(8, 22, bias=127, subnormals=False),
    FloatFormat(4, 0, specials=Specials.FN, signed=False, subnormals=False),
    FloatFormat(8, 0, bias=149, specials=Specials.FN, signed=False, subnormals=False),
    IntFormat(2),
    IntFormat(2, signed=False),
    IntFormat(24),
    IntFormat(25),
    IntFormat(32, signed=False),
)


def float_formats(which: Which | str = Which.ANY) -> st.SearchStrategy[FloatFormat]:
    """Float formats; "any" draws every one that a FloatFormat can be.

    Raises ValueError for a `which` that there is not.
    """
    return _formats(which, FloatFormat, _any_float())


def int_formats(which: Which | str = Which.ANY) -> st.SearchStrategy[IntFormat]:
    """Integer formats. Raises ValueError for a `which` that there is not."""
    anyone = st.builds(IntFormat, st.integers(2, 32), signed=st.booleans())
    return _formats(which, IntFormat, anyone)


def formats(which: Which | str = Which.ANY) -> st.SearchStrategy[Format]:
    """Float formats and integer formats. Raises ValueError for a `which` that there is not."""
    return float_formats(which) | int_formats(which)


def _formats(
    which: Which | str, kind: type[Kind], anyone: st.SearchStrategy[Kind]
) -> st.SearchStrategy[Kind]:
    named = st.sampled_from([fmt for fmt in FORMATS.values() if isinstance(fmt, kind)])
    corners = st.sampled_from([fmt for fmt in CORNERS if isinstance(fmt, kind)])
    chosen = choice(Which, which, "which")
    match chosen:
        case Which.NAMED:
            return named
        case Which.CORNERS:
            return corners
        case Which.ANY:
            return named | corners | anyone
    assert_never(chosen)


@st.composite
def _any_float(draw: st.DrawFn) -> FloatFormat:
    exponent_bits, specials = draw(st.integers(1, 8)), draw(st.sampled_from(Specials))
    if draw(st.integers(0, 7)) == 7:
        return draw(_biased(exponent_bits, 0, Specials.FN, signed=False, subnormals=False))
    subnormals = draw(st.booleans()) or draw(st.booleans())
    # what has too few bits to be a format, see FloatFormat
    needs_one = not subnormals or specials is Specials.FN
    needs_one |= exponent_bits == 1 and specials is Specials.IEEE
    most = min(23, 149 + subnormals - _lowest(exponent_bits, specials, True, subnormals))
    mantissa_bits = draw(st.integers(int(needs_one), most))
    return draw(_biased(exponent_bits, mantissa_bits, specials, signed=True, subnormals=subnormals))


def _lowest(exponent_bits: int, specials: Specials, has_fraction: bool, subnormals: bool) -> int:
    """The least bias that keeps the largest value inside float32."""
    top = (1 << exponent_bits) - 1
    if specials is Specials.IEEE or (specials is Specials.FN and not has_fraction):
        top -= 1  # the last field holds no number
    return max(top, int(subnormals)) - 127


def _biased(
    exponent_bits: int, mantissa_bits: int, specials: Specials, *, signed: bool, subnormals: bool
) -> st.SearchStrategy[FloatFormat]:
    """With any bias whose values float32 holds, often one at the ends."""
    low = _lowest(exponent_bits, specials, mantissa_bits > 0, subnormals)
    high = 149 + subnormals - mantissa_bits
    default = (1 << (exponent_bits - 1)) - (specials is not Specials.FNUZ)
    ends = sorted({min(max(bias, low), high) for bias in (default, low, low + 1, high - 1, high)})
    return st.builds(
        FloatFormat,
        st.just(exponent_bits),
        st.just(mantissa_bits),
        bias=st.sampled_from(ends) | st.integers(low, high),
        specials=st.just(specials),
        signed=st.just(signed),
        subnormals=st.just(subnormals),
    )
