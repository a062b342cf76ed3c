"""The summation tree of any function that adds, recovered from its answers alone.

The function gets ones, but +big at i and -big at j. big + n is big: a one that meets either of the
two before they meet each other is lost, the others are counted by the answer. So the lost leaves
are those under the addition where i and j meet; under an exact addition, where nothing is lost any
more, those of the two children through which i and j came. A leaf asked against all others
therefore tells the additions on its way up and which leaves come in at each; what comes in is
asked likewise.

Source: Xie et al., "FPRev", USENIX ATC 2025; its additions of two, and fused ones. The exact ones
are ours.
"""

import random
from collections.abc import Sequence

from halfulp.dtypes import FP32, FloatFormat
from halfulp.dtypes.checks import integer
from halfulp.engines.probes import Function, Magnitudes, NoTree, Probe, magnitudes
from halfulp.engines.trees import MOST_LEAVES, Tree, leaf, together


def reveal(
    function: Function,
    n: int,
    *,
    fmt: FloatFormat | str = FP32,
    big: float | None = None,
    one: float | None = None,
    spacing: float | None = None,
    checks: int = 32,
) -> Tree:
    """The tree by which `function` adds n numbers: leaves 0 to n - 1, as its array has them.

    function   takes a float32 array (n,) of its own and returns the sum
    fmt        format that holds the numbers of the array; chooses big and one (`magnitudes`)
    spacing    answers are counts but for whole multiples of it; for sums beside which big + 1 is
               not big, see `magnitudes`
    checks     questions about random pairs among random ones at the end, which must be answered
               as the tree would

    n - 1 questions for numbers added one after the other in the array's order, about three times as
    many if in another, n log2(n) / 2 for a balanced tree, n (n - 1) / 2 for one fused addition.

    A sum that loses nothing is one exact addition, "[0 1 2]": its order cannot be seen, for it does
    not matter. One that sorts its numbers by size looks fused or exact. Widths, roundings and
    subnormal numbers are not asked about.

    Raises NoTree for a function that is no sum, whose answers are infinite, NaN or no counts, or
    contradict each other (an order that depends on the values, or on the call), TypeError for one
    that returns no number, ValueError for n below 1 and numbers that do not probe.
    """
    n = integer(n, "n", 1, MOST_LEAVES)
    checks = integer(checks, "checks", 0, 1 << 30)
    probe = Probe(function, n, _numbers(fmt, n, big, one, spacing))
    probe.refuse_what_is_no_sum()
    tree, _ = _child(probe, range(n), None, random.Random(0))
    _verify(probe, tree, checks)
    return tree


def _numbers(
    fmt: FloatFormat | str, n: int, big: float | None, one: float | None, spacing: float | None
) -> Magnitudes:
    if big is None or one is None:
        given = magnitudes(fmt, n)
        big, one = given.big if big is None else big, given.one if one is None else one
    numbers = Magnitudes(big, one, spacing)
    numbers.check(n)
    return numbers


def _contradiction(what: str) -> NoTree:
    return NoTree(
        f"no tree answers so: {what}. The order depends on the values or changes from call to call,"
        " or the sum keeps some of what big + 1 rounds away"
    )


def _child(
    probe: Probe, leaves: Sequence[int], apart: int | None, rng: random.Random
) -> tuple[Tree, list[int]]:
    """Of leaves under the children of one addition: one child, and the leaves of the others.

    apart   how many are lost between two children; None if there is one child
    """
    # the first leaf finds a sum in the array's order in one go; afterwards a random one keeps
    # sums in any other from being one group in one group in one group
    pivot = leaves[0] if apart is None else rng.choice(leaves)
    groups: dict[int, list[int]] = {}
    for j in leaves:
        if j != pivot:
            groups.setdefault(probe.lost(pivot, j), []).append(j)
    others = [] if apart is None else groups.pop(apart, [])
    climb = _Climb(probe, pivot, rng)
    for lost in sorted(groups):
        climb.join(lost, groups[lost])
    return climb.tree, others


class _Climb:
    """The way from a leaf up: the addition that was reached, and what its first child was."""

    def __init__(self, probe: Probe, pivot: int, rng: random.Random) -> None:
        self.probe, self.pivot, self.rng = probe, pivot, rng
        self.tree = leaf(pivot)
        self.stem = 0  # leaves of the child with the pivot; 0: the addition has all its children
        self.other = pivot  # a leaf of another child

    def join(self, lost: int, group: list[int]) -> None:
        """Add leaves; more are lost between them and the pivot than with any before."""
        size = self.tree.size
        if lost == size + len(group):  # an addition of two, or fused
            children = self._children(group, lost, None)
            self.tree, self.stem = Tree((self.tree, *children)), size * (len(children) == 1)
            self.other = group[0]
            return
        # an exact addition: only the two children are lost. Is it a new one, or the last one, of
        # which this is another, larger child?
        above, beside = lost - size, lost - self.stem
        new = above > 0 and len(group) % above == 0
        same = self.stem > 0 and len(group) % beside == 0
        if new and same:
            same = self._survives(self.other, group[0])
        if same:
            children = self._children(group, 2 * beside, beside)
            self.tree = Tree((*self.tree.children, *children), exact=True)
        elif new:
            children = self._children(group, 2 * above, above)
            self.tree, self.stem = Tree((self.tree, *children), exact=True), size
            self.other = group[0]
        else:
            raise _contradiction(
                f"{lost} are lost between {self.pivot} and {group[0]}, among {size} nearer and"
                f" {len(group)} as near"
            )

    def _children(self, group: list[int], apart: int, size: int | None) -> list[Tree]:
        """The subtrees that a group consists of; all of one size, if it is known."""
        if size == 1:
            return [leaf(number) for number in group]
        found = []
        while group:
            child, group = _child(self.probe, group, apart, self.rng)
            if size not in (None, child.size):
                raise _contradiction(f"{child} has {child.size} leaves where {size} were lost")
            found.append(child)
        return found

    def _survives(self, number: int, far: int) -> bool:
        """Whether a one there outlives big at the pivot and -big far away."""
        ones = [k == number for k in range(self.probe.n)]
        return self.probe.survivors(self.pivot, far, ones) == 1


class _Prediction:
    """What a tree would answer."""

    def __init__(self, tree: Tree) -> None:
        self.above = {id(child): node for node in tree.walk() for child in node.children}
        self.leaves = {node.first: node for node in tree.walk() if node.leaf is not None}

    def lost(self, i: int, j: int) -> set[int]:
        """The leaves that are lost with big at i and -big at j."""
        way: dict[int, Tree] = {}  # addition above i -> its child with i
        below = self.leaves[i]
        while id(below) in self.above:
            node = self.above[id(below)]
            way[id(node)], below = below, node
        below = self.leaves[j]
        while id(node := self.above[id(below)]) not in way:
            below = node
        lost = together((way[id(node)], below)) if node.exact else node
        return set(lost.leaves())


def _verify(probe: Probe, tree: Tree, checks: int) -> None:
    rng, n, prediction = random.Random(1), probe.n, _Prediction(tree)
    for _ in range(checks if n > 1 else 0):
        i, j = rng.sample(range(n), 2)
        ones = [rng.random() < 0.5 for _ in range(n)]
        lost = prediction.lost(i, j)
        expected = sum(one for k, one in enumerate(ones) if k not in lost)
        found = probe.survivors(i, j, ones)
        if found != expected:
            raise _contradiction(
                f"between {i} and {j}, {found} of {sum(ones)} ones survive, {expected} by the tree"
                f" {tree.line():.200}"
            )
