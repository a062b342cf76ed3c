"""THE TABLES of rounding modes, overflow and subnormal policies."""

from collections.abc import Callable
from enum import Enum, StrEnum, unique
from typing import TypeVar

Choice = TypeVar("Choice", bound=Enum)


@unique
class Rounding(StrEnum):
    """How a value between two neighbors of a format is rounded (IEEE 754-2019, 4.3, and two more).

    Without mantissa bits no neighbor is even: there a tie takes the larger magnitude (4.3.1).
    """

    NEAREST_EVEN = "nearest_even"  #: to the nearest; a tie to the one with an even significand
    NEAREST_AWAY = "nearest_away"  #: to the nearest; a tie to the larger magnitude
    TOWARD_ZERO = "toward_zero"
    TOWARD_POSITIVE = "toward_positive"
    TOWARD_NEGATIVE = "toward_negative"
    TO_ODD = "to_odd"  #: an inexact result takes the neighbor with an odd significand
    #: Away from zero with a probability that is the distance from the neighbor toward zero, in
    #: ulps, cut to `random_bits` bits: noise of that width is added below the last place, the rest
    #: cut off. An exact value never moves.
    STOCHASTIC = "stochastic"


#: Those in which the value alone decides.
DETERMINISTIC: tuple[Rounding, ...] = tuple(r for r in Rounding if r is not Rounding.STOCHASTIC)


@unique
class Overflow(StrEnum):
    """What becomes of a finite value that rounds past the largest finite one, and of infinity."""

    #: The format's own answer: infinity; without one NaN; without either the largest finite value.
    #: Toward zero, to odd and away from the infinity's side a finite value stays finite (IEEE
    #: 754-2019, 7.4; to odd: chosen).
    INF = "inf"
    #: A finite value becomes the largest finite one; an infinite source is treated as by INF.
    SATURATE = "saturate"
    #: The largest finite value, infinite sources too.
    SATURATE_ALL = "saturate_all"
    #: NaN, infinite sources too.
    NAN = "nan"


@unique
class Subnormals(StrEnum):
    """What becomes of subnormal numbers; a flushed one keeps its sign where the format has -0."""

    KEEP = "keep"
    FLUSH_INPUTS = "flush_inputs"  #: a source that is subnormal in its own type counts as zero
    FLUSH_OUTPUTS = "flush_outputs"  #: a result that is subnormal in its format becomes zero


@unique
class NanTo(StrEnum):
    """What a NaN becomes in a format that has none."""

    ZERO = "zero"  #: +0
    MAX = "max"  #: the largest finite value


def truth_table(away: Callable[[bool, bool, bool, bool], bool]) -> int:
    """`away(negative, odd, guard, sticky)` for all 16 cases, as the bits of one integer.

    The bit's index is 8 negative + 4 odd + 2 guard + sticky. A deterministic rounding is nothing
    more than this: does the magnitude take one more unit?
    """
    table = 0
    for index in range(16):
        bits = (bool(index & 8), bool(index & 4), bool(index & 2), bool(index & 1))
        table |= int(away(*bits)) << index
    return table


#: One entry for each deterministic mode; kernels take the integer as data.
TRUTH_TABLES: dict[Rounding, int] = {
    Rounding.NEAREST_EVEN: truth_table(lambda neg, odd, guard, sticky: guard and (sticky or odd)),
    Rounding.NEAREST_AWAY: truth_table(lambda neg, odd, guard, sticky: guard),
    Rounding.TOWARD_ZERO: truth_table(lambda neg, odd, guard, sticky: False),
    Rounding.TOWARD_POSITIVE: truth_table(
        lambda neg, odd, guard, sticky: not neg and (guard or sticky)
    ),
    Rounding.TOWARD_NEGATIVE: truth_table(
        lambda neg, odd, guard, sticky: neg and (guard or sticky)
    ),
    Rounding.TO_ODD: truth_table(lambda neg, odd, guard, sticky: not odd and (guard or sticky)),
}


def stays_finite(rounding: Rounding, negative: bool) -> bool:
    """Whether INF leaves a finite value past the largest one there (IEEE 754-2019, 7.4)."""
    match rounding:
        case Rounding.TOWARD_ZERO | Rounding.TO_ODD:
            return True
        case Rounding.TOWARD_POSITIVE:
            return negative
        case Rounding.TOWARD_NEGATIVE:
            return not negative
        case _:
            return False


def choice(kind: type[Choice], given: object, argument: str) -> Choice:
    """The member of `kind` that `given` is or names.

    Raises ValueError with the allowed names.
    """
    if isinstance(given, kind):
        return given
    try:
        return kind(given)
    except ValueError:
        allowed = ", ".join(repr(member.value) for member in kind)
        raise ValueError(f"{argument}={given!r} is not known; allowed: {allowed}") from None
