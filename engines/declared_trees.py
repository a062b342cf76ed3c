"""The summation tree that an `Accumulation` declares."""

from collections.abc import Iterator, Sequence
from functools import reduce

from halfulp.dtypes.checks import flag, integer
from halfulp.engines.accumulation import (
    Accumulation,
    Checked,
    Entry,
    IntegerAccumulator,
    Join,
    Order,
    Wrap,
    check_accumulation,
)
from halfulp.engines.trees import MOST_LEAVES, Tree, leaf, together


def declared_tree(accumulation: Accumulation, depth: int, with_input: bool) -> Tree:
    """How a dot product of `depth` products adds them: leaves 0 to depth - 1.

    with_input   the accumulator input is leaf number `depth`; without one, sums start from +0,
                 which is no leaf

    A block of a fused or exact sum is one addition, with the accumulator among its children where
    it enters there. Integers are exact between two checks of a saturating accumulator: each stretch
    is one exact addition. A wrapping one gives the same wherever it is checked: one for all.

    Raises TypeError, ValueError for a depth below 0, or too large, or without anything to add.
    """
    check_accumulation(accumulation)
    flag(with_input, "with_input")
    depth = integer(depth, "depth", 0 if with_input else 1, MOST_LEAVES - 1)
    total = leaf(depth) if with_input else None
    if isinstance(accumulation.accumulator, IntegerAccumulator):
        total = _integers(accumulation, depth, total)
    else:
        for ks in _tiles(accumulation, depth):
            if accumulation.entry is Entry.END:
                total = _plus(total, _tile(accumulation, ks, None))
            else:
                total = _tile(accumulation, ks, total)
    assert total is not None
    return total


def _tiles(how: Accumulation, depth: int) -> Iterator[range]:
    size = how.tile or max(depth, 1)
    return (range(start, min(start + size, depth)) for start in range(0, depth, size))


def _plus(total: Tree | None, more: Tree) -> Tree:
    return more if total is None else together([total, more])


def _pairs(trees: Sequence[Tree]) -> Tree:
    """Neighbors added level by level; the last of an odd number passes on."""
    while len(trees) > 1:
        trees = [together(trees[i : i + 2]) for i in range(0, len(trees), 2)]
    return trees[0]


def _tile(how: Accumulation, ks: Sequence[int], total: Tree | None) -> Tree:
    chains = [
        [k for k in ks if (k - ks[0]) // how.run % how.chains == i] for i in range(how.chains)
    ]
    chains = [chain for chain in (chains[::-1] if how.descending else chains) if chain]
    if how.join is not Join.CHAINED:
        sums = [_chain(how, chain, None) for chain in chains]
        return reduce(_plus, sums) if how.join is Join.SEQUENTIAL else _pairs(sums)
    for chain in chains:
        total = _chain(how, chain, total)
    assert total is not None
    return total


def _chain(how: Accumulation, ks: Sequence[int], total: Tree | None) -> Tree:
    size = how.block or len(ks)
    for start in range(0, len(ks), size):
        total = _block(how, [leaf(k) for k in ks[start : start + size]], total)
    assert total is not None
    return total


def _block(how: Accumulation, products: list[Tree], total: Tree | None) -> Tree:
    if how.order is Order.SEQUENTIAL:
        (product,) = products
        return _plus(total, product)
    if how.order is Order.PAIRWISE:
        return _plus(total, _pairs(products))
    exact = how.order is Order.EXACT
    if how.entry is Entry.LATE:
        return _plus(total, together(products, exact=exact))
    return together(products if total is None else [total, *products], exact=exact)


def _integers(how: Accumulation, depth: int, total: Tree | None) -> Tree | None:
    """What is added between two checks, in one exact addition each."""
    held = how.accumulator
    assert isinstance(held, IntegerAccumulator)
    stretches = {
        Checked.STEP: (range(k, k + 1) for k in range(depth)),
        Checked.TILE: _tiles(how, depth),
        Checked.END: iter([range(depth)]),
    }[Checked.END if held.overflow is Wrap.WRAP else held.checked]
    for ks in stretches:
        before = [] if total is None else [total]
        total = together([*before, *map(leaf, ks)], exact=True)
    return total
