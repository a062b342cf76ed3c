"""A quick way for vectors whose lanes are all ordinary, and the question whether they are."""

import functools
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llvmlite import ir

from halfulp.dtypes.lanes import I32, Lanes


def add_masks(masks: Sequence[Lanes], sums: Sequence[Lanes]) -> list[Lanes]:
    """The sums, one more in each lane where the mask is set."""
    # a set mask is -1
    return [total - mask.convert("sext", I32) for total, mask in zip(sums, masks, strict=True)]


def unless_all(
    builder: ir.IRBuilder, mask: Lanes, quick: Sequence[Lanes], slow: Callable[[], Sequence[Lanes]]
) -> list[Lanes]:
    """`quick` when every lane of the mask is set, else slow(), behind a jump."""
    names = ("slow", "chosen")
    rare, chosen = (builder.append_basic_block(name) for name in names)
    before = builder.block
    jump = builder.cbranch(mask.reduce("and"), chosen, rare)
    jump.set_weights([1 << 10, 1])
    builder.position_at_end(rare)
    found = slow()
    after = builder.block
    builder.branch(chosen)
    builder.position_at_end(chosen)
    results = []
    for usual, other in zip(quick, found, strict=True):
        phi = builder.phi(usual.value.type)
        phi.add_incoming(usual.value, before)
        phi.add_incoming(other.value, after)
        results.append(Lanes(builder, phi))
    return results


@dataclass(frozen=True)
class Guard:
    """Passes where `number` is below `limit`, both without sign.

    The limit is the same in every turn of a loop.

    The largest number of several vectors is compared once for all of them: on the processors that
    have masks of lanes a comparison takes as long as several other operations.
    """

    number: Lanes
    limit: Lanes

    @property
    def mask(self) -> Lanes:
        return self.number < self.limit


Guards = Sequence[Guard]


def passing(guards: Guards) -> Lanes:
    """Lanes that pass every one of them."""
    return functools.reduce(operator.and_, [guard.mask for guard in guards])


def _halves(lanes: Lanes) -> tuple[Lanes, Lanes]:
    builder, count = lanes.builder, lanes.count // 2
    masks = [ir.Constant(ir.VectorType(I32, count), [I32(first + lane) for lane in range(count)])
             for first in (0, count)]  # fmt: skip
    low, high = (Lanes(builder, builder.shuffle_vector(lanes.value, lanes.value, mask))
                 for mask in masks)  # fmt: skip
    return low, high


def _together(vectors: Sequence[Guards]) -> list[Guard]:
    """The guards of several vectors as those of one of at most 16 lanes."""
    found = []
    for same in zip(*vectors, strict=True):
        number = functools.reduce(lambda x, y: x.call("umax", y), [guard.number for guard in same])
        limit = same[0].limit
        while number.count > 16:
            low, high = _halves(number)
            number, limit = low.call("umax", high), _halves(limit)[0]
        found.append(Guard(number, limit))
    return found


def mapped(
    builder: ir.IRBuilder, vectors: Sequence[list[Lanes]], sums: Sequence[Lanes],
    body: Callable[[list[Lanes]], tuple[Lanes, list[Lanes]]],
    quick: Callable[[list[Lanes]], tuple[Guards, Lanes]] | None,
) -> tuple[list[Lanes], list[Lanes]]:  # fmt: skip
    """The outputs of the vectors of one turn of a loop, and the sums with what they count.

    By `quick`, if it is given and every lane of all of them passes; else by the body.
    """

    def whole() -> list[Lanes]:
        found, totals = [], list(sums)
        for vector in vectors:
            result, masks = body(vector)
            found.append(result)
            totals = add_masks(masks, totals)
        return [*found, *totals]

    if quick is None:
        found = whole()
    else:
        ways = [quick(vector) for vector in vectors]
        mask = passing(_together([guards for guards, _ in ways]))
        found = unless_all(builder, mask, [*(result for _, result in ways), *sums], whole)
    return found[: len(vectors)], found[len(vectors) :]
