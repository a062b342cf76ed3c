"""Trees recovered from the answers of functions, beside models of sums whose trees are known."""

import functools
import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from halfulp.dtypes import FP16, FP32, Rounding
from halfulp.engines import Accumulation
from halfulp.engines.probes import NoTree, magnitudes
from halfulp.engines.reveal import reveal
from halfulp.engines.trees import Tree, leaf

Floats = npt.NDArray[np.float32]
ODD = Rounding.TO_ODD
DIRECTED = (Rounding.TOWARD_ZERO, Rounding.TOWARD_POSITIVE, Rounding.TO_ODD)


def chained(x: Floats) -> np.float32:
    return functools.reduce(lambda total, number: np.float32(total + number), x)


class Counted:
    """A function, and how often it was called."""

    def __init__(self, function: Callable[[Floats], Any]) -> None:
        self.function, self.calls = function, 0

    def __call__(self, x: Floats) -> Any:
        self.calls += 1
        return self.function(x)


def chain(numbers: Any) -> Tree:
    return functools.reduce(lambda tree, number: Tree((tree, number)), map(leaf, numbers))


def halves(trees: list[Tree]) -> Tree:
    while len(trees) > 1:
        trees = [Tree((a, b)) for a, b in zip(trees[::2], trees[1::2], strict=True)]
    return trees[0]


def numpy_sum(first: int, stop: int) -> Tree:
    """numpy's pairwise sum: eight chains up to 128 numbers, halves that are eights above."""
    n = stop - first
    if n < 8:
        return chain(range(first, stop))
    if n > 128:
        middle = first + n // 2 - n // 2 % 8
        return Tree((numpy_sum(first, middle), numpy_sum(middle, stop)))
    whole = n // 8 * 8
    tree = halves([chain(range(first + i, first + whole, 8)) for i in range(8)])
    for k in range(first + whole, stop):
        tree = Tree((tree, leaf(k)))
    return tree


def rounded(x: int, rounding: Rounding) -> int:
    """To 24 significant bits."""
    places = max(abs(x).bit_length() - 24, 0)
    low, rest = x >> places, x & ((1 << places) - 1)
    up = {
        Rounding.NEAREST_EVEN: 2 * rest + (low & 1) > 1 << places,
        Rounding.TOWARD_ZERO: rest > 0 and x < 0,
        Rounding.TOWARD_POSITIVE: rest > 0,
        Rounding.TO_ODD: rest > 0 and low % 2 == 0,
    }[rounding]
    return (low + up) << places


def modelled(
    tree: Tree, rounding: Rounding = Rounding.NEAREST_EVEN, unit: float = 1.0
) -> Callable[[Floats], float]:
    """The sum in a tree's order of integers; fused additions cut 24 bits below their largest."""

    def total(x: Floats) -> float:
        sums: dict[int, int] = {}
        for node in tree.walk():
            if node.leaf is not None:
                sums[id(node)] = int(float(x[node.leaf]) / unit)
                continue
            terms = [sums[id(child)] for child in node.children]
            if len(terms) > 2 and not node.exact:
                grid = max(max(abs(term) for term in terms).bit_length() - 25, 0)
                terms = [int(math.copysign(abs(t) >> grid, t)) << grid for t in terms]
            sums[id(node)] = rounded(sum(terms), rounding)
        return sums[id(tree)] * unit

    return total


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Any order of up to 20 leaves, in additions of two to five, some of them exact."""
    pool = [leaf(k) for k in draw(st.permutations(range(draw(st.integers(1, 20)))))]
    while len(pool) > 1:
        count = min(draw(st.integers(2, 5)), len(pool))
        start = draw(st.integers(0, len(pool) - count))
        exact = count > 2 and draw(st.booleans())
        pool[start : start + count] = [Tree(tuple(pool[start : start + count]), exact=exact)]
    return pool[0]


@given(trees())
# an exact addition that is larger above, and one that is larger below, answer the same counts
@example(Tree.parse("[(0 1) 2 3]"))
@example(Tree.parse("[0 1 (2 3)]"))
@example(Tree.parse("[[0 1 4] [2 3 5] (6 7 8) 9]"))
@example(Tree.parse("[0 (1 2) (3 4 5 6) [7 8 9 10]]"))
@example(Tree.parse("(0 [1 2 3] (4 [5 6 7]))"))
def test_every_tree_is_recovered(tree: Tree) -> None:
    assert reveal(modelled(tree), tree.size) == tree


@settings(max_examples=50)
@given(trees(), st.sampled_from(DIRECTED))
@example(Tree.parse("((((0 1) 2) 3) 4)"), Rounding.TOWARD_ZERO)
def test_rounding_away_from_big_is_told_from_the_count(tree: Tree, rounding: Rounding) -> None:
    how = Accumulation("fused", block=4, fraction_bits=24, entry="late", rounding=rounding)  # type: ignore[arg-type]
    numbers = magnitudes(FP32, tree.size, how)
    assert numbers.spacing is not None
    assert reveal(modelled(tree, rounding), tree.size, **numbers._asdict()) == tree


def test_a_rounding_away_without_a_spacing_is_no_tree() -> None:
    with pytest.raises(NoTree, match="a rounding that is not to nearest needs `spacing`"):
        reveal(modelled(chain(range(9)), ODD), 9)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 64])
def test_numbers_added_one_after_the_other(n: int) -> None:
    assert reveal(chained, n) == chain(range(n))
    assert reveal(lambda x: chained(x[::-1]), n) == chain(range(n)[::-1])


@pytest.mark.parametrize("n", [8, 9, 15, 16, 31, 64, 100, 127, 128, 129, 136, 200])
def test_numpy_sums_in_eight_chains_and_halves(n: int) -> None:
    assert reveal(np.sum, n) == numpy_sum(0, n)


def test_chains_that_meet_in_pairs() -> None:
    def sums(x: Floats) -> np.float32:
        a, b, c, d = (chained(x[i::4]) for i in range(4))
        return np.float32(np.float32(a + b) + np.float32(c + d))

    assert reveal(sums, 24) == halves([chain(range(i, 24, 4)) for i in range(4)])


@pytest.mark.parametrize(("block", "n"), [(4, 17), (8, 33), (16, 33)])
def test_fused_blocks_with_the_accumulator_inside(block: int, n: int) -> None:
    tree = leaf(n - 1)
    for start in range(0, n - 1, block):
        tree = Tree((tree, *map(leaf, range(start, start + block))))
    numbers = magnitudes(FP16, n)
    assert numbers == (2.0**15, 2.0**-24, None)
    assert reveal(modelled(tree, unit=2.0**-24), n, fmt=FP16) == tree


def test_a_sum_that_loses_nothing_is_one_exact_addition() -> None:
    assert reveal(math.fsum, 9) == Tree.parse("[0 1 2 3 4 5 6 7 8]")
    assert reveal(math.fsum, 2) == Tree.parse("(0 1)")


def test_half_of_a_sum_may_be_exact() -> None:
    def sums(x: Floats) -> np.float32:
        return np.float32(np.float32(math.fsum(x[:5])) + chained(x[5:]))

    assert reveal(sums, 8) == Tree.parse("([0 1 2 3 4] ((5 6) 7))")


@pytest.mark.parametrize(
    ("tree", "questions"),
    [
        (chain(range(64)), 63),
        (Tree(tuple(map(leaf, range(17)))), 136),
        (Tree(tuple(map(leaf, range(64))), exact=True), 63),
        (halves([leaf(k) for k in range(64)]), 192),
        (leaf(0), 0),
    ],
)
def test_how_many_questions_are_asked(tree: Tree, questions: int) -> None:
    function = Counted(modelled(tree))
    assert reveal(function, tree.size, checks=0) == tree
    assert function.calls == questions + 1


@pytest.mark.parametrize(
    "order", [[*range(300)], [*range(300)][::-1], [k * 7 % 300 for k in range(300)]]
)
def test_a_chain_in_any_order_takes_few_questions(order: list[int]) -> None:
    function = Counted(lambda x: chained(x[order]))
    assert reveal(function, 300, checks=0) == chain(order)
    assert function.calls < 900


def test_the_function_may_spoil_its_array() -> None:
    def spoiling(x: Floats) -> np.float32:
        total = chained(x)
        x[:] = np.nan
        return total

    assert reveal(spoiling, 12) == chain(range(12))


def noise(x: Floats) -> np.float32:
    return chained(x[rng.sample(range(len(x)), len(x))])


rng = random.Random(7)


def rotated(x: Floats) -> np.float32:
    """From the largest number on: an order that the values choose."""
    return chained(np.roll(x, -int(x.argmax())))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (np.max, "of 12 times 1 it makes 1, not 12: no plain sum"),
        (np.mean, "not 12: no plain sum"),
        (lambda x: 12.0, "the answer is 12, no count"),
        (lambda x: abs(x.astype(float)).sum(), "no count"),
        (lambda x: chained(x) + (0.25 if x.max() > 1 else 0), "no count"),
        (lambda x: math.inf, "the answer is inf"),
        (lambda x: x.sum() if x.min() > 0 else math.nan, "the answer is nan"),
        (lambda x: chained(x) + chained(x) - 12, "no count"),
        (noise, "no tree answers so"),
        (rotated, "no tree answers so"),
        (lambda x: chained(x) if x[3] == 1 else chained(x[::-1]), "no tree answers so"),
    ],
)
def test_what_is_no_sum_in_one_order_has_no_tree(function: Any, message: str) -> None:
    with pytest.raises(NoTree) as error:
        reveal(function, 12)
    assert message in str(error.value)


def test_answers_that_no_exact_addition_gives_contradict_each_other() -> None:
    """Two pairs that come in at once, by the first leaf; by the others there are no pairs."""

    def function(x: Floats) -> float:
        return 5.0 if x.max() == 1 else 2.0 if x[0] != 1 else 1.0

    with pytest.raises(NoTree, match=r"\d has 1 leaves where 2 were lost"):
        reveal(function, 5, checks=0)


def test_a_flushed_one_and_counts_that_do_not_fit_are_told() -> None:
    with pytest.raises(NoTree, match="flushes subnormals, or does not hold these counts"):
        reveal(lambda x: np.where(x < 2.0**-14, 0, x).sum(), 8, fmt="fp16")
    with pytest.raises(NoTree, match="does not hold these counts"):
        reveal(lambda x: min(x.sum(), 256), 300)


@pytest.mark.parametrize("answer", [None, "one", np.ones(1), np.ones((2, 2)), 1j])
def test_a_function_returns_a_number(answer: Any) -> None:
    with pytest.raises(TypeError, match="the function returned .* needed: the sum, a number"):
        reveal(lambda x: answer, 3)
