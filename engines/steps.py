"""The inner loops of any accumulation, over a block of ROWS x COLUMNS outputs in memory.

Operands are packed by `wide`'s layout: of each k the values of ROWS rows of A (COLUMNS columns of
B) as float64 and their powers, 2^exponent. Natives that add two numbers cut toward zero; what they
round is `wide.Rounder`'s. All arguments are int64: addresses and counts.
"""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from llvmlite import ir

from halfulp.dtypes.direction import Direction
from halfulp.dtypes.guards import unless_all
from halfulp.dtypes.lanes import F64, I64, Lanes, constant, load, store
from halfulp.dtypes.natives import native
from halfulp.engines.grid import Counter
from halfulp.engines.wide import (
    A_BYTES,
    B_BYTES,
    COLUMNS,
    INF64,
    LANES,
    NOISE_BYTES,
    ROUNDING,
    ROWS,
    SUM,
    UNIT_ROWS,
    VECTORS,
    WILD,
    ZERO_POWER,
    Rounder,
    Units,
    broadcast,
    load_unit,
    load_wide,
    places,
)

_SIGN = 1 << 63
Vectors = list[Lanes]


class _Operands:
    """The vectors of one k."""

    def __init__(self, builder: ir.IRBuilder, a: ir.Value, b: ir.Value, k: ir.Value) -> None:
        self.builder = builder
        self.a = builder.add(a, builder.mul(k, I64(A_BYTES)))
        self.b = builder.add(b, builder.mul(k, I64(B_BYTES)))

    def factors(self, powers: bool = False) -> list[tuple[Lanes, Lanes]]:
        """Every row with every column: the values, or their powers."""
        builder = self.builder
        a = builder.add(self.a, I64(8 * ROWS)) if powers else self.a
        b = builder.add(self.b, I64(8 * COLUMNS)) if powers else self.b
        right = [load(builder, builder.add(b, I64(64 * v)), F64, LANES) for v in range(VECTORS)]
        left = [broadcast(builder, builder.add(a, I64(8 * row))) for row in range(UNIT_ROWS)]
        return [(x, y) for x in left for y in right]

    def products(self, powers: bool = False) -> Vectors:
        """Of every row with every column: of the values, or of their powers."""
        return [x * y for x, y in self.factors(powers)]


def store_unit(builder: ir.IRBuilder, vectors: Vectors, base: ir.Value) -> None:
    for lanes, place in zip(vectors, places(builder, base), strict=True):
        store(builder, lanes, place)


def _sequential(rounds_products: bool, noisy: bool = False) -> Callable[[ir.Function], None]:
    def build(function: ir.Function) -> None:
        units = Units(function, "a-x--f")
        builder, (a, b, acc, steps, given, noise) = units.builder, units.arguments
        rounder = Rounder(builder, given, noise, noisy).prepare()
        loop = Counter(builder, steps, 1, load_unit(builder, acc))
        if noisy:  # a number for each step
            word = builder.mul(loop.index, I64(NOISE_BYTES))
            rounder = replace(rounder, noise=builder.add(noise, word))
        products = _Operands(builder, a, b, loop.index).products()
        if rounds_products:
            products = [rounder.exact(product, i) for i, product in enumerate(products)]
        sums = zip(loop.sums, products, strict=True)
        totals = [rounder.added(product, total, i) for i, (total, product) in enumerate(sums)]
        store_unit(builder, loop.close(totals), acc)
        units.close()

    return build


def _build_product(function: ir.Function) -> None:
    units = Units(function, "a-x-f")
    builder, (a, b, target, given, noise) = units.builder, units.arguments
    rounder = Rounder(builder, given, noise)
    products = _Operands(builder, a, b, I64(0)).products()
    rounded = [rounder.exact(product, i) for i, product in enumerate(products)]
    store_unit(builder, rounded, target)
    units.close()


def _build_add(function: ir.Function) -> None:
    units = Units(function, "xxx-f")
    builder, (x, y, target, given, noise) = units.builder, units.arguments
    rounder = Rounder(builder, given, noise)
    pairs = zip(load_unit(builder, x), load_unit(builder, y), strict=True)
    sums = [rounder.added(left, right, i) for i, (left, right) in enumerate(pairs)]
    store_unit(builder, sums, target)
    units.close()


def _build_round(function: ir.Function) -> None:
    units = Units(function, "xx-f")
    builder, (source, target, given, noise) = units.builder, units.arguments
    rounder = Rounder(builder, given, noise)
    rounded = [rounder.exact(x, i) for i, x in enumerate(load_unit(builder, source))]
    store_unit(builder, rounded, target)
    units.close()


def _power(x: Lanes, tiny: Lanes) -> Lanes:
    """2^exponent of accumulators, infinite for what is not finite."""
    bits = x.bits(I64)
    field = bits & INF64
    power = (field > tiny).where(field, tiny).bits(F64)
    return (bits << 1).equals(0).where(power.like(ZERO_POWER), power)


def _larger(x: Lanes, y: Lanes) -> Lanes:
    return (x > y).where(x, y)


class _Aligned:
    """One block's sum: every term cut to the grid of the largest."""

    def __init__(
        self, builder: ir.IRBuilder, operands: tuple[ir.Value, ir.Value], block: ir.Value,
        given: dict[str, Lanes], signed: bool,
    ) -> None:  # fmt: skip
        self.builder, self.operands, self.block = builder, operands, block
        self.given, self.signed = given, signed

    def _largest(self, acc: Vectors) -> Vectors:
        """2^E of each output."""
        own = [_power(x, self.given["tiny_power"]) for x in acc]
        loop = Counter(self.builder, self.block, 1, own)
        products = _Operands(self.builder, *self.operands, loop.index).products(powers=True)
        pairs = zip(products, loop.sums, strict=True)
        return loop.close([_larger(power, largest) for power, largest in pairs])

    def _cut(self, x: Lanes, magic: Lanes) -> Lanes:
        """x on the grid of which `magic` is 2^52 units, or one and a half times that."""
        if self.signed:
            sign = x.bits(I64) & _SIGN
            magic = (magic.bits(I64) | sign).bits(F64)
        return (x + magic) - magic

    def _plain(self, acc: Vectors) -> Vectors:
        """The sums without a grid, right where a term is not finite."""
        loop = Counter(self.builder, self.block, 1, acc)
        products = _Operands(self.builder, *self.operands, loop.index).products()
        pairs = zip(products, loop.sums, strict=True)
        return loop.close([product + total for product, total in pairs])

    def total(self, acc: Vectors, tell: bool) -> tuple[Vectors, Vectors]:
        """Sums of accumulators and products, and, to `tell`, which lost something."""
        builder, given = self.builder, self.given
        floor = given["floor_power"].bits(F64)
        largest = [_larger(power, floor) for power in self._largest(acc)]
        grid = given["grid"].bits(F64)
        magic = [power * grid for power in largest]
        start = [self._cut(x, m) for x, m in zip(acc, magic, strict=True)]
        lost = [self._loss(x, cut) for x, cut in zip(acc, start, strict=True)] if tell else []
        loop = Counter(builder, self.block, 1, [x + 0.0 for x in start] + lost)
        products = _Operands(builder, *self.operands, loop.index).products()
        cuts = [self._cut(x, m) for x, m in zip(products, magic, strict=True)]
        sums = [t + cut for t, cut in zip(loop.sums, cuts, strict=False)]
        if tell:
            losses = [self._loss(x, cut) for x, cut in zip(products, cuts, strict=True)]
            sums += [x | y for x, y in zip(loop.sums[len(acc) :], losses, strict=True)]
        closed = loop.close(sums)
        totals = self._with_specials(acc, largest, closed[: len(acc)])
        # what is not finite has lost nothing
        pairs = zip(closed[len(acc) :], largest, strict=False)
        return totals, [self._tame(power).where(loss, loss.like(0)) for loss, power in pairs]

    @staticmethod
    def _tame(power: Lanes) -> Lanes:
        """Lanes all of whose terms are finite."""
        return power.like(WILD) > power

    @staticmethod
    def _loss(x: Lanes, cut: Lanes) -> Lanes:
        return cut.differs_from_number(x).convert("sext", I64)

    def _with_specials(self, acc: Vectors, largest: Vectors, totals: Vectors) -> Vectors:
        def slow() -> Vectors:
            plain = zip(largest, totals, self._plain(acc), strict=True)
            return [self._tame(power).where(total, other) for power, total, other in plain]

        all_tame = self._tame(functools.reduce(_larger, largest))
        return unless_all(self.builder, all_tame, totals, slow)


def _fused(signed: bool) -> Callable[[ir.Function], None]:
    """fused((a, b, accumulators, products, of a block, parameters, noise))"""

    def build(function: ir.Function) -> None:
        units = Units(function, "a-x---f")
        builder, (a, b, acc, steps, block, base, noise) = units.builder, units.arguments
        given = load_wide(builder, base, SUM, SUM[len(ROUNDING) :])
        rounder = Rounder(builder, base, noise).prepare()
        blocks = builder.sdiv(builder.add(steps, builder.sub(block, I64(1))), block)
        loop = Counter(builder, blocks, 1, load_unit(builder, acc))
        start = builder.mul(loop.index, block)
        left = builder.sub(steps, start)
        length = builder.select(builder.icmp_signed("<", left, block), left, block)
        at = (
            builder.add(a, builder.mul(start, I64(A_BYTES))),
            builder.add(b, builder.mul(start, I64(B_BYTES))),
        )
        totals, _ = _Aligned(builder, at, length, given, signed).total(loop.sums, False)
        rounded = [rounder.exact(total, i) for i, total in enumerate(totals)]
        store_unit(builder, loop.close(rounded), acc)
        units.close()

    return build


def _build_plain_sum(function: ir.Function) -> None:
    """Accumulators and products in float64's own arithmetic: a sum that is not -0 to begin with."""
    units = Units(function, "a-x-x")
    builder, (a, b, acc, steps, target) = units.builder, units.arguments
    loop = Counter(builder, steps, 1, [x + 0.0 for x in load_unit(builder, acc)])
    pairs = zip(_Operands(builder, a, b, loop.index).factors(), loop.sums, strict=True)
    store_unit(builder, loop.close([x.fma(y, total) for (x, y), total in pairs]), target)
    units.close()


def _build_sum(function: ir.Function) -> None:
    """sums((a, b, accumulators, products, parameters, target, lost, any)): what an exact sum is, if
    no term lost anything; `lost` gets int64 that are not 0 where one did, so does `any`."""
    units = Units(function, "a-x--xx-")
    builder, (a, b, acc, steps, base, target, lost, found) = units.builder, units.arguments
    given = load_wide(builder, base, SUM, SUM[len(ROUNDING) :])
    aligned = _Aligned(builder, (a, b), steps, given, True)
    totals, losses = aligned.total(load_unit(builder, acc), True)
    store_unit(builder, totals, target)
    store_unit(builder, losses, lost)
    together = losses[0]
    for loss in losses[1:]:
        together = together | loss
    place = builder.inttoptr(found, I64.as_pointer())
    before = builder.load(place)
    builder.store(builder.or_(before, together.reduce("umax")), place)
    units.close()


def _build_zero(function: ir.Function) -> None:
    units = Units(function, "x")
    builder = units.builder
    for place in places(builder, units.arguments[0]):
        store(builder, Lanes(builder, constant(I64, LANES, 0)), place)
    units.close()


def _cutting(name: str, arguments: int, build: Callable[[ir.Function], None]) -> Any:
    return native(name, arguments, build, direction=Direction.CUT)


#: sequential((a, b, accumulators, steps, parameters, noise))
sequential = _cutting("halfulp_sequential", 6, _sequential(False))
sequential_rounded = _cutting("halfulp_sequential_rounded", 6, _sequential(True))
#: sequential_noisy((a, b, accumulators, at most eight steps, parameters, noise of the first))
sequential_noisy = _cutting("halfulp_sequential_noisy", 6, _sequential(False, True))
#: product((a, b, target, parameters, noise)): of one k, rounded
product = _cutting("halfulp_wide_product", 5, _build_product)
#: add((x, y, target, parameters, noise))
add = _cutting("halfulp_wide_add", 5, _build_add)
#: round_block((source, target, parameters, noise))
round_block = _cutting("halfulp_wide_round", 4, _build_round)
#: fused((a, b, accumulators, products, products of a block, parameters, noise)); terms are cut
#: toward zero, toward negative, to nearest even
fused_to_zero = _cutting("halfulp_fused_to_zero", 7, _fused(True))
fused_down = _cutting("halfulp_fused_down", 7, _fused(False))
fused_to_nearest = native("halfulp_fused_to_nearest", 7, _fused(False))
#: plain_sums((a, b, accumulators, products, target)); in the environment that stands
plain_sums = native("halfulp_plain_sums", 5, _build_plain_sum, guarded=False)
sums = _cutting("halfulp_exact_sums", 8, _build_sum)
#: zero_block((target))
zero_block = native("halfulp_zero_block", 1, _build_zero, guarded=False)
