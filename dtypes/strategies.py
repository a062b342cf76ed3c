"""Hypothesis strategies for formats, and for numbers where casts go wrong (extra `hypothesis`).

Uniformly random numbers almost never tie; these stand at ties, at values and beside them. What a
source of type `source` ("float16", "float32" or "float64") cannot hold is rounded to it, so that
every number drawn is one of that type. `from_type(FloatFormat)` draws from here by itself.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from halfulp.dtypes import reference
from halfulp.dtypes.conformance_inputs import SOURCES, magnitude
from halfulp.dtypes.dtype_names import as_format
from halfulp.dtypes.format import FloatFormat, Format
from halfulp.dtypes.format_strategies import CORNERS, Which, float_formats, formats, int_formats
from halfulp.dtypes.int_format import IntFormat

__all__ = [
    "CORNERS",
    "LAYOUTS",
    "Which",
    "arrays",
    "boundaries",
    "codes",
    "float_formats",
    "formats",
    "int_formats",
    "near_ties",
    "numbers",
    "special_values",
    "values",
]

Array = npt.NDArray[Any]


def codes(fmt: Any) -> st.SearchStrategy[int]:
    """Codes of `fmt`, those of zero, infinity and NaN often; of an IntFormat its values."""
    fmt = as_format(fmt)
    if isinstance(fmt, IntFormat):
        return st.integers(fmt.min, fmt.max)
    every = (1 << fmt.bits) - 1
    edges = (0, fmt.sign_code, fmt.max_code, fmt.inf_code, fmt.nan_code, every)
    return st.integers(0, every) | st.sampled_from([code for code in edges if code is not None])


def values(
    fmt: Any, *, allow_nan: bool | None = None, allow_infinity: bool | None = None
) -> st.SearchStrategy[Any]:
    """Values of `fmt`: floats, each code as likely as another; of an IntFormat ints.

    allow_nan, allow_infinity   None: where the format has them

    Raises ValueError for True where the format has none.
    """
    fmt = as_format(fmt)
    specials = _specials(fmt, allow_nan, allow_infinity)
    if isinstance(fmt, IntFormat):
        return st.integers(fmt.min, fmt.max)
    signs = [0, fmt.sign_code] if fmt.signed else [0]
    finite = st.builds(lambda sign, code: sign + code, st.sampled_from(signs), _finite_codes(fmt))
    if not fmt.has_minus_zero:  # that code is another thing, or none
        finite = finite.map(lambda code: 0 if code == fmt.sign_code else code)
    numbers = finite.map(lambda code: _value(code, fmt))
    return numbers | st.sampled_from(specials) if specials else numbers


def near_ties(fmt: Any, source: str = "float64") -> st.SearchStrategy[float]:
    """At or beside the midpoint of two neighbors of `fmt`; both signs.

    The midpoint, it plus or minus a quarter ulp, or what is next to one of these in the source's
    type. The last midpoint is the one where overflow begins.
    """
    fmt = as_format(fmt)
    share = st.sampled_from([0.5, 0.25, 0.75])
    return _beside(st.builds(_between, st.just(fmt), _finite_codes(fmt), share), fmt, source)


def boundaries(fmt: Any, source: str = "float64") -> st.SearchStrategy[float]:
    """Where a rule changes, or what stands beside it in the source's type; both signs.

    Zero, the smallest values and half of them, the ends of the subnormals and of the other binades,
    the largest value, the midpoint past it and the value that would come next.
    """
    fmt = as_format(fmt)
    if isinstance(fmt, IntFormat):
        places = [0.0, 0.5, 1.0, float(fmt.max), fmt.max + 0.5, fmt.max + 1.0, -fmt.min + 0.5]
        return _beside(st.sampled_from(places), fmt, source)
    binade = 1 << fmt.mantissa_bits
    ends = st.builds(
        lambda place, step: min(max(place * binade + step, 0), fmt.max_code),
        st.integers(0, fmt.max_code // binade),
        st.sampled_from([0, 1, -1]),
    )
    edge_codes = ends | st.sampled_from([0, fmt.max_code])
    share = st.sampled_from([0.0, 0.5, 1.0])
    return _beside(st.builds(_between, st.just(fmt), edge_codes, share), fmt, source)


def special_values(source: str = "float64", *, allow_nan: bool = True) -> st.SearchStrategy[float]:
    """Zeros, infinities, NaN, one, and the ends of the source's own range; both signs."""
    info = np.finfo(_kind(source))
    ends = (info.max, info.tiny, info.smallest_subnormal)
    found = [0.0, 1.0, np.inf, *map(float, ends)]
    found += [-number for number in found]
    return st.sampled_from([*found, np.nan] if allow_nan else found)


def numbers(
    fmt: Any, source: str = "float64", *, allow_nan: bool | None = None
) -> st.SearchStrategy[float]:
    """All that tells casts to `fmt` apart: ties, boundaries, values, specials, and any number.

    allow_nan   None: unless `fmt` is a float format without NaN
    """
    fmt = as_format(fmt)
    kind = _kind(source)
    nan = isinstance(fmt, IntFormat) or fmt.has_nan if allow_nan is None else allow_nan
    held = values(fmt, allow_nan=False).map(lambda value: _held(value, kind))
    width = 8 * np.dtype(source).itemsize
    anything = st.floats(width=width, allow_nan=nan)  # type: ignore[arg-type]
    return st.one_of(
        near_ties(fmt, source),
        boundaries(fmt, source),
        held,
        special_values(source, allow_nan=nan),
        anything,
    )


def arrays(
    fmt: Any,
    source: str = "float32",
    *,
    shape: Any = None,
    elements: st.SearchStrategy[float] | None = None,
    layouts: bool = False,
) -> st.SearchStrategy[Array]:
    """Arrays of type `source` of what `numbers(fmt, source)` draws.

    shape      a shape or a strategy for shapes; default: 0 to 3 axes of 0 to 6 elements
    elements   another strategy for the elements
    layouts    any memory that numpy knows: strides, byte orders, unaligned, read-only (`LAYOUTS`)
    """
    kind = _kind(source)
    if shape is None:
        shape = st_numpy.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=6)
    chosen = numbers(fmt, source) if elements is None else elements
    plain: st.SearchStrategy[Array] = st_numpy.arrays(kind, shape, elements=chosen)
    if not layouts:
        return plain
    return st.builds(lambda name, x: LAYOUTS[name](x), st.sampled_from(list(LAYOUTS)), plain)


def _strided(x: Array) -> Array:
    wide = np.zeros(tuple(3 * side for side in x.shape), x.dtype)
    wide[(slice(None, None, 3),) * x.ndim] = x
    return wide[(slice(None, None, 3),) * x.ndim]


def _backwards(x: Array) -> Array:
    back = (slice(None, None, -1),) * x.ndim
    return np.ascontiguousarray(x[back]).reshape(x.shape)[back]


def _unaligned(x: Array) -> Array:
    memory = np.zeros(x.nbytes + 1, np.uint8)
    odd: Array = np.ndarray(x.shape, x.dtype, memory.data, offset=1)
    odd[...] = x
    return odd


def _read_only(x: Array) -> Array:
    frozen = x.copy()
    frozen.flags.writeable = False
    return frozen


#: What makes an equal array in another memory.
LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "C order": lambda x: x,
    "Fortran order": np.asfortranarray,
    "every third": _strided,
    "backwards": _backwards,
    "read-only": _read_only,
    "other byte order": lambda x: x.astype(x.dtype.newbyteorder()),
    "unaligned": _unaligned,
}


def _kind(source: str) -> Any:
    if source not in SOURCES:
        raise ValueError(f"source={source!r} is not known; allowed: {', '.join(SOURCES)}")
    return np.dtype(source).type


def _specials(fmt: Format, nan: bool | None, infinity: bool | None) -> list[float]:
    """What is drawn beside the finite values."""
    has_nan, has_inf = (
        (fmt.has_nan, fmt.has_inf) if isinstance(fmt, FloatFormat) else (False, False)
    )
    table = (
        ("allow_nan", nan, has_nan, [np.nan]),
        ("allow_infinity", infinity, has_inf, [np.inf, -np.inf]),
    )
    found: list[float] = []
    for name, asked, has, specials in table:
        if asked and not has:
            raise ValueError(f"{name}=True, but {fmt} has none; leave {name} away or give False")
        found += specials if has and asked is not False else []
    return found


def _finite_codes(fmt: Format) -> st.SearchStrategy[int]:
    """Of positive values; those next to the ends are drawn often."""
    return st.integers(0, fmt.max if isinstance(fmt, IntFormat) else fmt.max_code)


def _value(code: int, fmt: FloatFormat) -> float:
    found = reference.value(code, fmt)
    return float(found.value if isinstance(found, reference.Special) else found)


def _between(fmt: Format, code: int, share: float) -> float:
    """So far from the value of a code toward the next one."""
    if isinstance(fmt, IntFormat):
        return code + share
    low = magnitude(code, fmt)
    return low + share * (magnitude(code + 1, fmt) - low)


def _held(number: float, kind: Any) -> float:
    """In the source's type; what is past its range is its largest number."""
    with np.errstate(over="ignore"):
        held = kind(number)
    return float(np.clip(held, np.finfo(kind).min, np.finfo(kind).max))


def _beside(places: st.SearchStrategy[float], fmt: Format, source: str) -> st.SearchStrategy[float]:
    """Each place or a neighbor of it in the source's type, with a sign."""
    kind = _kind(source)

    def moved(place: float, direction: float, sign: float) -> float:
        held = kind(_held(place, kind))
        with np.errstate(over="ignore", under="ignore"):
            beside = held if direction == 0 else np.nextafter(held, kind(direction))
        return sign * float(beside)

    directions = st.sampled_from([0.0, np.inf, -np.inf])
    return st.builds(moved, places, directions, st.sampled_from([1.0, -1.0]))
