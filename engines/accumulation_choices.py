"""THE TABLES of choices in an `Accumulation`, and integer accumulators."""

from dataclasses import KW_ONLY, dataclass
from enum import StrEnum, unique

from halfulp.dtypes import FloatFormat, UnknownFormat, parse_format
from halfulp.dtypes.checks import integer
from halfulp.dtypes.rounding import choice


@unique
class Order(StrEnum):
    """How the products of a block become part of the accumulator."""

    SEQUENTIAL = "sequential"  #: one after the other, one rounding each (fused multiply-add)
    PAIRWISE = "pairwise"  #: each product rounded, then neighbours added, each sum rounded
    FUSED = "fused"  #: all cut to one grid, added exactly, rounded once
    EXACT = "exact"  #: added exactly, rounded once


@unique
class Join(StrEnum):
    """How the chains of a tile meet."""

    CHAINED = "chained"  #: one after the other: each goes on from the sum of the one before it
    SEQUENTIAL = "sequential"  #: each from +0; their sums added in order, rounded each time
    PAIRWISE = "pairwise"  #: each from +0; their sums added in pairs of neighbours, rounded


@unique
class Entry(StrEnum):
    """Where the accumulator comes in."""

    FIRST = "first"  #: the chain starts from it (sequential)
    BLOCK = "block"  #: it is one more term of each block's sum (fused, exact)
    LATE = "late"  #: each block's sum is rounded, then added to it and rounded (not sequential)
    #: A tile starts from +0 (by FIRST, BLOCK or, pairwise, LATE); its sum is added to it, rounded
    #: to the PSUM format. Without accumulator input the first tile's sum takes its place.
    END = "end"


@unique
class NanRule(StrEnum):
    """The bits of a NaN result."""

    CANONICAL = "canonical"  #: sign 0, quiet, no payload: 0x7FC00000
    ALL_ONES = "all_ones"  #: sign 0, all fraction bits of the result's format set: 0x7FFFFFFF
    #: x86: of the latest step with a NaN, a's, or else b's, quiet; if none has, that of the
    #: accumulator input, quiet; a NaN that an operation makes is 0xFFC00000.
    OPERAND = "operand"


@unique
class Wrap(StrEnum):
    """What an integer accumulator does with a sum that it does not hold."""

    WRAP = "wrap"  #: keeps the low bits
    SATURATE = "saturate"  #: takes the nearest integer that it holds


@unique
class Checked(StrEnum):
    """When an integer accumulator meets its limits; in between it is exact."""

    STEP = "step"  #: after each product
    TILE = "tile"  #: after each tile
    END = "end"  #: after the last product


@dataclass(frozen=True)
class IntegerAccumulator:
    """A signed integer accumulator.

    bits       8 to 64
    overflow   wrap or saturate
    checked    step, tile or end

    Raises TypeError, ValueError for fields that are not these.
    """

    bits: int
    _: KW_ONLY
    overflow: Wrap = Wrap.WRAP
    checked: Checked = Checked.STEP

    def __post_init__(self) -> None:
        object.__setattr__(self, "bits", integer(self.bits, "bits", 8, 64))
        object.__setattr__(self, "overflow", choice(Wrap, self.overflow, "overflow"))
        object.__setattr__(self, "checked", choice(Checked, self.checked, "checked"))

    @property
    def min(self) -> int:
        return -(1 << (self.bits - 1))

    @property
    def max(self) -> int:
        return (1 << (self.bits - 1)) - 1

    @property
    def name(self) -> str:
        return f"int{self.bits}"

    def __str__(self) -> str:
        return f"{self.name}, {self.overflow}, checked each {self.checked}"


def as_accumulator(value: object) -> FloatFormat | IntegerAccumulator:
    """An accumulator, or the float format of a name.

    Raises UnknownFormat for a name that no format has, TypeError for what is no accumulator.
    """
    found = _named(value, "accumulator")
    if not isinstance(found, FloatFormat | IntegerAccumulator):
        raise TypeError(
            f"accumulator={value!r}; needed: a float format or its name, or an"
            " IntegerAccumulator(bits)"
        )
    return found


def as_psum(value: object) -> FloatFormat | None:
    """The format of PSUM, or that of a name. Raises UnknownFormat, TypeError."""
    found = _named(value, "psum")
    if not isinstance(found, FloatFormat | None):
        raise TypeError(f"psum={value!r}; needed: a float format or its name, or None")
    return found


def _named(value: object, field: str) -> object:
    try:
        return parse_format(value) if isinstance(value, str) else value
    except UnknownFormat as error:
        raise UnknownFormat(f"{field}: {error}") from None
