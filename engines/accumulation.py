"""What happens inside a dot product, as a value: which products meet, where sums are rounded.

    sum over k of a[k] * b[k], and an accumulator input c

1. k is cut into **tiles** of `tile`.
2. A tile's k go to `chains` **chains**, `run` neighbours at a time: k to (k // run) % chains,
   counted from the tile's start. A chain keeps its k in ascending order.
3. A chain is a sequence of **blocks** of `block` products. `order` says how a block becomes part of
   the running sum, the *accumulator*, a number of `accumulator` format; each step rounds to it.
4. `join` says how the chains of a tile meet, `entry` where the accumulator comes in and whether a
   tile goes on from it or begins at +0.

Numbers that are finite are added exactly and rounded where this says, nowhere else. A sum with a
NaN, with 0 x infinity, or with infinities of both signs is NaN; with infinities of one sign it is
that infinity. An exact sum of zero is +0, but for -0 + -0 in an addition of two numbers.
"""

from dataclasses import KW_ONLY, dataclass, fields
from functools import cached_property

from halfulp.dtypes import BF16, FP32, FloatFormat, Format, IntFormat, Rounding
from halfulp.dtypes.checks import flag, integer
from halfulp.dtypes.format import Specials
from halfulp.dtypes.rounding import choice
from halfulp.dtypes.wording import kind_of
from halfulp.engines.accumulation_choices import (
    Checked,
    Entry,
    IntegerAccumulator,
    Join,
    NanRule,
    Order,
    Wrap,
    as_accumulator,
    as_psum,
)

__all__ = [
    "SYSTOLIC",
    "SYSTOLIC_BF16",
    "Accumulation",
    "Checked",
    "Entry",
    "IntegerAccumulator",
    "Join",
    "NanRule",
    "Order",
    "Wrap",
]

_MOST_BITS = 52  # of an exact sum in a float64, the place below them telling that something is left


@dataclass(frozen=True)
class Accumulation:
    """What happens inside a dot product; see the module's text for the words.

    order                 sequential, pairwise, fused or exact
    block                 products of a block, 1 to 512; None: a chain's whole; sequential has 1
    tile                  k of a tile, None: all
    chains, run           chains of a tile, neighbouring k that stay together
    descending            the chains are taken from the last to the first
    join                  chained, sequential or pairwise
    entry                 first, block, late or end; by default what `order` allows without an end
    rounds_products       sequential: each product is rounded before it is added
    fraction_bits         fused: terms are cut to whole 2^(E - fraction_bits), 0 to 40. E is the
                          largest exponent of the terms that are not zero; a product's is the sum of
                          its factors' (it is not normalized), a subnormal's that of the smallest
                          normal number of its format
    cut                   fused: toward_zero, toward_negative or nearest_even
    floor_exponent        fused: E is no smaller than this, -300 to 300; None: no floor
    accumulator           float format (IEEE style with subnormals) or its name, or an
                          `IntegerAccumulator`
    rounding              of the accumulator, any; a product and a join are rounded so as well
    seed, random_bits     for stochastic: rounding number t of output i (row-major over the whole
                          result) draws word t % 4 of Philox-4x32-10 with counter (i, t // 4) and
                          key `seed`, or with at most 16 bits half t % 8 of the words of counter
                          (i, t // 8), upper halves first: its upper `random_bits`. Two neighbours
                          are added as soon as both are there, a chain's sum to those before it
                          likewise
    extra_exponent_bits   sequential or pairwise: the accumulator's exponent has 0 to 2 bits more
                          than its format's
    psum, psum_rounding   end: format and deterministic rounding of the accumulator outside of the
                          tiles; None: that of `accumulator`
    flushes_inputs        subnormal operands and accumulator inputs count as zeros of their sign
    flushes_results       a result of any rounding that is tiny after rounding with unbounded
                          exponent becomes a zero of its sign
    overflows_to_infinity a finite sum past the largest number becomes infinite whatever the
                          rounding; False: as IEEE 754, 7.4 says (toward zero, to odd and the side
                          away from infinity keep the largest number)
    nan                   the bits of a NaN result

    Integer accumulators go sequentially, start from the accumulator input, and have neither
    rounding, flushing nor NaN.

    Raises TypeError, ValueError for fields that contradict each other; the message names them.
    """

    order: Order = Order.SEQUENTIAL
    _: KW_ONLY
    block: int | None = 1
    tile: int | None = None
    chains: int = 1
    run: int = 1
    descending: bool = False
    join: Join = Join.CHAINED
    entry: Entry = None  # type: ignore[assignment]  # None is replaced when the value is made
    rounds_products: bool = False
    fraction_bits: int | None = None
    cut: Rounding = Rounding.TOWARD_ZERO
    floor_exponent: int | None = None
    accumulator: FloatFormat | IntegerAccumulator = FP32
    rounding: Rounding = Rounding.NEAREST_EVEN
    seed: int = 0
    random_bits: int = 16
    extra_exponent_bits: int = 0
    psum: FloatFormat | None = None
    psum_rounding: Rounding = Rounding.NEAREST_EVEN
    flushes_inputs: bool = False
    flushes_results: bool = False
    overflows_to_infinity: bool = True
    nan: NanRule = NanRule.CANONICAL

    def __post_init__(self) -> None:
        self._set("accumulator", as_accumulator(self.accumulator))
        self._set("psum", as_psum(self.psum))
        self._take_choices()
        self._take_numbers()
        if isinstance(self.accumulator, IntegerAccumulator):
            self._refuse_for_integers()
            return
        self._refuse_orders()
        self._refuse_formats()

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _take_choices(self) -> None:
        self._set("order", choice(Order, self.order, "order"))
        natural = {Order.SEQUENTIAL: Entry.FIRST, Order.PAIRWISE: Entry.LATE}
        entry = natural.get(self.order, Entry.BLOCK) if self.entry is None else self.entry
        self._set("entry", choice(Entry, entry, "entry"))
        self._set("join", choice(Join, self.join, "join"))
        self._set("nan", choice(NanRule, self.nan, "nan"))
        for name in ("cut", "rounding", "psum_rounding"):
            self._set(name, choice(Rounding, getattr(self, name), name))
        for name in (
            "descending", "rounds_products", "flushes_inputs", "flushes_results",
            "overflows_to_infinity",
        ):  # fmt: skip
            flag(getattr(self, name), name)

    def _take_numbers(self) -> None:
        for name, low, high in (("block", 1, 512), ("tile", 1, 1 << 30)):
            if getattr(self, name) is not None:
                self._set(name, integer(getattr(self, name), name, low, high))
        for name, low, high in (
            ("chains", 1, 512), ("run", 1, 512), ("seed", 0, (1 << 64) - 1),
            ("random_bits", 1, 32), ("extra_exponent_bits", 0, 2),
        ):  # fmt: skip
            self._set(name, integer(getattr(self, name), name, low, high))
        if self.floor_exponent is not None:
            self._set("floor_exponent", integer(self.floor_exponent, "floor_exponent", -300, 300))
        if self.tile is not None and self.tile % (self.chains * self.run):
            raise ValueError(
                f"tile={self.tile} is no multiple of chains * run = {self.chains * self.run}"
            )

    def _refuse(self, wrong: bool, text: str) -> None:
        if wrong:
            raise ValueError(text)

    def _refuse_for_integers(self) -> None:
        plain = Accumulation(tile=self.tile)
        for field in fields(self):
            if field.name in ("tile", "accumulator"):
                continue
            given, needed = getattr(self, field.name), getattr(plain, field.name)
            self._refuse(
                given != needed,
                f"{field.name}={given} with an integer accumulator; it goes one after the other in"
                f" one chain and has no roundings: {field.name}={needed}",
            )

    def _refuse_orders(self) -> None:
        order, entry = self.order, self.entry
        allowed = {
            Order.SEQUENTIAL: (Entry.FIRST, Entry.END),
            Order.PAIRWISE: (Entry.LATE, Entry.END),
        }.get(order, (Entry.BLOCK, Entry.LATE, Entry.END))
        names = ", ".join(allowed)
        self._refuse(
            entry not in allowed, f"entry={entry} with order={order}; allowed there: {names}"
        )
        sequential = order is Order.SEQUENTIAL
        self._refuse(
            sequential and self.block != 1, f"block={self.block} with order=sequential; leave it 1"
        )
        self._refuse(
            self.rounds_products and not sequential,
            f"rounds_products with order={order}: pairwise always rounds them, fused and exact"
            " never do",
        )
        self._refuse(
            (self.fraction_bits is None) == (order is Order.FUSED),
            f"fraction_bits={self.fraction_bits} with order={order};"
            " fused has 0 to 40, the others None",
        )
        if self.fraction_bits is not None:
            self._set("fraction_bits", integer(self.fraction_bits, "fraction_bits", 0, 40))
        cuts = (Rounding.TOWARD_ZERO, Rounding.TOWARD_NEGATIVE, Rounding.NEAREST_EVEN)
        self._refuse(self.cut not in cuts, f"cut={self.cut}; allowed: {', '.join(cuts)}")
        self._refuse(
            self.floor_exponent is not None and order is not Order.FUSED,
            f"floor_exponent with order={order}; only fused has an E",
        )
        self._refuse(
            self.join is not Join.CHAINED and entry is not Entry.END,
            f"join={self.join} with entry={entry}: chains that start from +0 need entry=end",
        )
        self._refuse(
            bool(self.extra_exponent_bits) and (order in (Order.FUSED, Order.EXACT)),
            f"extra_exponent_bits with order={order}; sequential and pairwise have them",
        )

    def _refuse_formats(self) -> None:
        assert isinstance(self.accumulator, FloatFormat)
        end = self.entry is Entry.END
        self._refuse(
            self.psum is not None and not end, f"psum={self.psum} with entry={self.entry}; end only"
        )
        for name, fmt in (("accumulator", self.accumulator), ("psum", self.psum)):
            wrong = fmt is not None and not (
                fmt.specials is Specials.IEEE and fmt.subnormals and fmt.mantissa_bits
            )
            self._refuse(
                wrong, f"{name}={fmt}: IEEE style formats with subnormals and mantissa bits"
            )
        self._refuse(
            self.extra_exponent_bits > 0 and not end,
            f"extra_exponent_bits with entry={self.entry}: they are inside a tile (entry=end)",
        )
        stochastic = self.rounding is Rounding.STOCHASTIC
        most = _MOST_BITS - 1 - self.accumulator.mantissa_bits
        self._refuse(
            stochastic and self.random_bits > most,
            f"random_bits={self.random_bits} for {self.accumulator}; at most {most}",
        )
        self._refuse(
            self.psum_rounding is Rounding.STOCHASTIC, "psum_rounding=stochastic; deterministic"
        )

    @cached_property
    def outside(self) -> FloatFormat:
        """Format of the accumulator input and of the result."""
        assert isinstance(self.accumulator, FloatFormat)
        return self.accumulator if self.psum is None else self.psum

    @property
    def input_rounding(self) -> Rounding:
        """How an accumulator input is rounded to `outside`: as sums are, and never at random."""
        rounding = self.psum_rounding if self.entry is Entry.END else self.rounding
        return Rounding.NEAREST_EVEN if rounding is Rounding.STOCHASTIC else rounding

    def check_operand(self, fmt: Format) -> None:
        """Raise ValueError for an operand format whose values the accumulator does not hold."""
        held = self.accumulator
        if isinstance(held, IntegerAccumulator):
            if not isinstance(fmt, IntFormat) or fmt.bits > 16:
                raise ValueError(f"{fmt} operands with {held}; needed: integers of at most 16 bits")
            if not (held.min <= fmt.min and fmt.max <= held.max):
                raise ValueError(
                    f"{held.name} does not hold {fmt}, which goes from {fmt.min} to {fmt.max}"
                )
            return
        if isinstance(fmt, IntFormat):
            raise ValueError(f"{fmt} operands with accumulator={held}; give an IntegerAccumulator")
        if fmt.max > held.max or fmt.precision > held.precision:
            raise ValueError(
                f"{held} does not hold {fmt}: {held.precision} significant bits up to {held.max:g},"
                f" needed {fmt.precision} up to {fmt.max:g}"
            )


def check_accumulation(value: object) -> None:
    """Raise TypeError for what is no Accumulation, such as a preset or its name."""
    if not isinstance(value, Accumulation):
        name = value if isinstance(value, str) else getattr(value, "name", "...")
        raise TypeError(
            f"accumulation is {kind_of(value)}; give an Accumulation, that of a preset as"
            f" PRESETS[{name!r}].accumulation"
        )


#: The documented order of a NeuronCore with what is assumed about it: presets.NEURONCORE.
SYSTOLIC = Accumulation(tile=128, entry=Entry.END)
#: The same with a bfloat16 accumulator in each element of the array.
SYSTOLIC_BF16 = Accumulation(tile=128, entry=Entry.END, accumulator=BF16, psum=FP32)
