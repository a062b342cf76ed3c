"""THE TABLES of rounding modes and overflow policies."""

from collections.abc import Callable
from enum import Enum, StrEnum, unique
from typing import TypeVar

Choice = TypeVar("Choice", bound=Enum)


@unique
class Rounding(StrEnum):
    """How a value between two neighbors of a format is rounded (IEEE 754-2019, 4.3, and to odd)."""

    NEAREST_EVEN = "nearest_even"  #: to the nearest; a tie to the one with an even significand
    NEAREST_AWAY = "nearest_away"  #: to the nearest; a tie to the larger magnitude
    TOWARD_ZERO = "toward_zero"
    TOWARD_POSITIVE = "toward_positive"
    TOWARD_NEGATIVE = "toward_negative"
    TO_ODD = "to_odd"  #: an inexact result takes the neighbour with an odd significand


@unique
class Overflow(StrEnum):
    """What a finite value becomes that rounds past the largest finite one."""

    #: The format's own answer: infinity; without one NaN; without either the largest finite value.
    INF = "inf"
    #: The largest finite value; an infinite source stays what it is.
    SATURATE = "saturate"


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


#: One entry for each mode; kernels take the integer as data.
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
