"""How values become those of a format: the choices of one conversion, checked together."""

import functools
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, TypedDict

from halfulp.dtypes.compatibility import COMPATIBILITY, Compatibility
from halfulp.dtypes.dtype_names import as_format
from halfulp.dtypes.format import FloatFormat, Format
from halfulp.dtypes.random_bits import GivenBits, Philox, RandomBits
from halfulp.dtypes.rounding import NanTo, Overflow, Rounding, Subnormals, choice
from halfulp.dtypes.wording import kind_of

if TYPE_CHECKING:
    from halfulp.dtypes.shortcut import Shortcut


@dataclass(frozen=True, eq=False)
class Conversion:
    """A format and all that decides what a number becomes in it.

    `conversion` gives one object for equal choices, so that what is derived from it can be kept.
    """

    fmt: Format
    _: KW_ONLY
    rounding: Rounding = Rounding.NEAREST_EVEN
    overflow: Overflow = Overflow.INF
    subnormals: Subnormals = Subnormals.KEEP
    nan: NanTo | None = None
    random: RandomBits | None = None

    @property
    def random_bits(self) -> int:
        return 32 if self.random is None else self.random.random_bits

    @functools.cached_property
    def refuses_nan(self) -> bool:
        """Whether nothing stands for NaN in the format."""
        return isinstance(self.fmt, FloatFormat) and not self.fmt.has_nan and self.nan is None

    @functools.cached_property
    def shortcut(self) -> "Shortcut | None":
        """How small float32 arrays are cast, where that is all that is asked."""
        from halfulp.dtypes import kernels  # numba, which takes its time, when needed

        return kernels.shortcut(self)


class Options(TypedDict, total=False):
    """What may be said of a conversion beside its format."""

    rounding: Rounding | str
    overflow: Overflow | Compatibility | str
    subnormals: Subnormals | str
    nan: NanTo | str | None
    random: RandomBits | None


def conversion(
    fmt: Any,
    *,
    rounding: Rounding | str = Rounding.NEAREST_EVEN,
    overflow: Overflow | Compatibility | str = Overflow.INF,
    subnormals: Subnormals | str = Subnormals.KEEP,
    nan: NanTo | str | None = None,
    random: RandomBits | None = None,
) -> Conversion:
    """The choices as members of their tables.

    Raises ValueError for unknown names, for choices that exclude each other, and for overflow "nan"
    in a format that has none; TypeError for a `random` of another kind.
    """
    given = fmt, rounding, overflow, subnormals, nan, random
    if isinstance(random, GivenBits):  # to keep it would keep an array
        return _checked(*given)
    try:
        return _kept(*given)
    except TypeError:  # what cannot be hashed is wrong, and there is a better message
        return _checked(*given)


def _checked(
    fmt: Any, rounding: Any, overflow: Any, subnormals: Any, nan: Any, random: Any
) -> Conversion:
    fmt = as_format(fmt)
    policy = COMPATIBILITY.get(overflow, overflow) if isinstance(overflow, str) else overflow
    if isinstance(policy, Compatibility):
        nan = policy.nan if nan is None else nan
        policy = policy.overflow(fmt)
    made = Conversion(
        fmt,
        rounding=choice(Rounding, rounding, "rounding"),
        overflow=_overflow(policy),
        subnormals=choice(Subnormals, subnormals, "subnormals"),
        nan=None if nan is None else choice(NanTo, nan, "nan"),
        random=random,
    )
    _refuse_contradictions(made)
    return made


_kept = functools.lru_cache(1024)(_checked)


def _overflow(given: Any) -> Overflow:
    try:
        return choice(Overflow, given, "overflow")
    except ValueError as error:
        policies = ", ".join(repr(name) for name in COMPATIBILITY)
        raise ValueError(f"{error}; or a library's policy: {policies}") from None


def _refuse_contradictions(made: Conversion) -> None:
    stochastic = made.rounding is Rounding.STOCHASTIC
    if made.random is not None and not isinstance(made.random, Philox | GivenBits):
        raise TypeError(
            f"random is {kind_of(made.random)}; give Philox(seed) or GivenBits(values, random_bits)"
        )
    if stochastic and made.random is None:
        raise ValueError("rounding='stochastic' needs random bits; give random=Philox(seed)")
    if not stochastic and made.random is not None:
        raise ValueError(
            f"rounding={made.rounding.value!r} draws no random bits; leave random= away,"
            " or give rounding='stochastic'"
        )
    fmt = made.fmt
    if made.overflow is Overflow.NAN and isinstance(fmt, FloatFormat) and not fmt.has_nan:
        raise ValueError(f"{fmt} has no NaN, so overflow='nan' cannot be; give 'inf' or 'saturate'")
