"""What an `Accumulation` says, topic by topic, in words."""

from collections.abc import Callable
from dataclasses import dataclass

from halfulp.dtypes import Rounding
from halfulp.dtypes.wording import are, counted
from halfulp.engines.accumulation import (
    Accumulation,
    Checked,
    Entry,
    IntegerAccumulator,
    Join,
    NanRule,
    Order,
    Wrap,
)


@dataclass(frozen=True)
class Statement:
    """One topic of an accumulation: the fields that it is about, and what they say."""

    topic: str
    fields: tuple[str, ...]
    words: str


def described(accumulation: Accumulation) -> tuple[Statement, ...]:
    """All that an accumulation says. Fields without a meaning there, such as `seed` of a rounding
    that is not stochastic, are no statement's.
    """
    found = ((topic, fields, say(accumulation)) for topic, fields, say in _TOPICS)
    return tuple(
        Statement(topic, fields, words) for topic, fields, words in found if words is not None
    )


def _integer(how: Accumulation) -> bool:
    return isinstance(how.accumulator, IntegerAccumulator)


def _order(how: Accumulation) -> str | None:
    if _integer(how):
        return None
    block = "all products of a chain" if how.block is None else counted(how.block, "product")
    go = are(how.block or 2)
    return {
        Order.SEQUENTIAL: "one product after the other is added, and the sum rounded each time",
        Order.PAIRWISE: f"{block} {go} added in pairs of neighbors, each sum rounded",
        Order.FUSED: f"{block} at once {go} cut to one grid, added exactly, and rounded once",
        Order.EXACT: f"{block} at once {go} added exactly, and rounded once",
    }[how.order]


def _products(how: Accumulation) -> str | None:
    if _integer(how) or how.order is not Order.SEQUENTIAL:
        return None
    return "rounded before they are added" if how.rounds_products else "exact until they are added"


def _grid(how: Accumulation) -> str | None:
    if how.fraction_bits is None:
        return None
    return (
        f"whole 2^(E - {how.fraction_bits}), E the largest exponent of the terms;"
        f" what is below is cut {_to(how.cut)}"
    )


def _floor(how: Accumulation) -> str | None:
    if how.fraction_bits is None:
        return None
    return "none under E" if how.floor_exponent is None else f"E is {how.floor_exponent} or more"


def _tile(how: Accumulation) -> str:
    return "all k are one" if how.tile is None else f"{how.tile} k"


def _chains(how: Accumulation) -> str | None:
    if _integer(how):
        return None
    if how.chains == 1:
        return "one, k ascending"
    k = "k" if how.run == 1 else f"(k // {how.run})"
    joins = {
        Join.CHAINED: "each goes on from the sum of the one before it",
        Join.SEQUENTIAL: "each from +0, their sums added one after the other",
        Join.PAIRWISE: "each from +0, their sums added in pairs",
    }
    end = ", from the last to the first" if how.descending else ""
    return f"{how.chains}, k to chain {k} mod {how.chains}; {joins[how.join]}{end}"


def _entry(how: Accumulation) -> str | None:
    if _integer(how):
        return None
    return {
        Entry.FIRST: "the sum starts from it",
        Entry.BLOCK: "one more term of each block's sum",
        Entry.LATE: "a block's sum is rounded, then added to it",
        Entry.END: "a tile starts from +0, and its sum is added to it at the tile's end",
    }[how.entry]


def _sums(how: Accumulation) -> str:
    if not isinstance(held := how.accumulator, IntegerAccumulator):
        return f"{held}" if how.psum is None else f"{held} inside a tile, {how.psum} outside"
    if held.overflow is Wrap.WRAP:
        return f"{held.name}, which wraps"
    when = {Checked.STEP: "each product", Checked.TILE: "each tile", Checked.END: "the last"}
    return f"{held.name}, which saturates, checked after {when[held.checked]}"


def _exponents(how: Accumulation) -> str | None:
    if _integer(how) or how.entry is not Entry.END or how.order in (Order.FUSED, Order.EXACT):
        return None
    bits = how.extra_exponent_bits
    return f"{counted(bits, 'bit')} more inside a tile" if bits else "those of the sums' format"


def _to(rounding: Rounding) -> str:
    return {
        Rounding.NEAREST_EVEN: "to nearest, ties to even",
        Rounding.NEAREST_AWAY: "to nearest, ties away from zero",
        Rounding.STOCHASTIC: "at random",
    }.get(rounding, rounding.value.replace("_", " "))


def _rounding(how: Accumulation) -> str | None:
    if _integer(how):
        return None
    if how.rounding is Rounding.STOCHASTIC:
        return f"at random, by {counted(how.random_bits, 'bit')} of seed {how.seed}"
    return _to(how.rounding)


def _psum(how: Accumulation) -> str | None:
    return _to(how.psum_rounding) if how.entry is Entry.END else None


def _overflow(how: Accumulation) -> str | None:
    if _integer(how):
        return None
    return "to infinity" if how.overflows_to_infinity else "as IEEE 754 has it for the rounding"


def _subnormals(how: Accumulation) -> str | None:
    if _integer(how):
        return None
    return {
        (False, False): "kept",
        (True, False): "zero as operands",
        (False, True): "zero as sums",
        (True, True): "zero as operands and as sums",
    }[how.flushes_inputs, how.flushes_results]


def _nan(how: Accumulation) -> str | None:
    if _integer(how):
        return None
    return {
        NanRule.CANONICAL: "quiet, sign 0, no payload",
        NanRule.ALL_ONES: "sign 0, all fraction bits set",
        NanRule.OPERAND: "that of an operand, made quiet, or 0xffc00000",
    }[how.nan]


#: Every field of an accumulation is in one of them.
_TOPICS: tuple[tuple[str, tuple[str, ...], Callable[[Accumulation], str | None]], ...] = (
    ("sums", ("accumulator", "psum"), _sums),
    ("tile", ("tile",), _tile),
    ("chains", ("chains", "run", "descending", "join"), _chains),
    ("order", ("order", "block"), _order),
    ("products", ("rounds_products",), _products),
    ("grid", ("fraction_bits", "cut"), _grid),
    ("floor", ("floor_exponent",), _floor),
    ("rounding", ("rounding", "seed", "random_bits"), _rounding),
    ("exponents", ("extra_exponent_bits",), _exponents),
    ("accumulator", ("entry",), _entry),
    ("its rounding", ("psum_rounding",), _psum),
    ("overflow", ("overflows_to_infinity",), _overflow),
    ("subnormals", ("flushes_inputs", "flushes_results"), _subnormals),
    ("NaN", ("nan",), _nan),
)
