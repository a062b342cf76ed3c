"""Summation trees as values: which numbers meet in which addition.

(0 1)      the sum of leaves 0 and 1, rounded
(0 1 2)    one fused addition: cut to a common grid, added, rounded once
[0 1 2]    one exact addition: nothing is lost before the rounding
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property

from halfulp.dtypes.checks import flag, integer

#: Summands of a sum, at most.
MOST_LEAVES = 1 << 16


@dataclass(frozen=True, eq=False, repr=False)
class Tree:
    """An order of addition: a leaf, or one addition of two or more trees.

    children   what is added, kept in the order of the smallest leaves, for addition commutes
    leaf       number of the summand; None for an addition
    exact      of three or more children: none of them loses a bit before the sum is rounded. Of two
               it would say nothing, and is False

    No leaf may be there twice: `parse` refuses it, the constructor leaves it to its caller. Trees
    of the same additions are equal, whatever order the children were given in.

    Raises TypeError, ValueError for what is neither leaf nor addition.
    """

    children: tuple["Tree", ...] = ()
    _: KW_ONLY
    leaf: int | None = None
    exact: bool = False
    #: Its smallest leaf, and how many it has.
    first: int = field(init=False)
    size: int = field(init=False)

    def __post_init__(self) -> None:
        flag(self.exact, "exact")
        if not all(isinstance(child, Tree) for child in self.children):
            raise TypeError(f"children={self.children!r}; give trees, Tree(leaf=0) for a leaf")
        if self.leaf is not None:
            integer(self.leaf, "leaf", 0, MOST_LEAVES - 1)
        count = len(self.children)
        wrong = bool(count) if self.leaf is not None else count < 2 + self.exact
        if wrong or (self.exact and self.leaf is not None):
            raise ValueError(
                f"leaf={self.leaf}, exact={self.exact} with {count} children; needed: a leaf"
                " without any, or two children or more, of an exact addition three"
            )
        ordered = tuple(sorted(self.children, key=lambda child: child.first))
        object.__setattr__(self, "children", ordered)
        first = ordered[0].first if self.leaf is None else self.leaf
        object.__setattr__(self, "first", first)
        object.__setattr__(self, "size", sum(child.size for child in ordered) or 1)

    @classmethod
    def parse(cls, text: str) -> "Tree":
        """The tree that `str` writes: "((0 1) [2 3 4])". Raises ValueError for other text."""
        return _parsed(text)

    def walk(self) -> Iterator["Tree"]:
        """Every subtree, children before their parents; the last is the tree itself."""
        # a chain is as deep as it is long: nothing here recurs
        stack = [(self, False)]
        while stack:
            tree, open_ = stack.pop()
            if open_ or tree.leaf is not None:
                yield tree
            else:
                stack.append((tree, True))
                stack += [(child, False) for child in reversed(tree.children)]

    def leaves(self) -> Iterator[int]:
        """The numbers of its leaves, left to right."""
        return (tree.leaf for tree in self.walk() if tree.leaf is not None)

    @cached_property
    def _codes(self) -> tuple[int, ...]:
        """All that it is, flat: leaves as they are, additions by their arity, below zero."""
        return tuple(
            -2 * len(tree.children) - tree.exact if tree.leaf is None else tree.leaf
            for tree in self.walk()
        )

    def __eq__(self, other: object) -> bool:
        return self._codes == other._codes if isinstance(other, Tree) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._codes)

    def __str__(self) -> str:
        return self.line()

    def __repr__(self) -> str:
        return f"Tree.parse({self.line()!r})"

    def line(self, names: Mapping[int, str] | None = None) -> str:
        """The tree in one line; `names` for leaves that have another one than their number."""
        name = namer(names)
        written: list[str] = []
        stack: list[Tree | str] = [self]
        while stack:
            top = stack.pop()
            if isinstance(top, str):
                written.append(top)
            elif top.leaf is not None:
                written.append(name(top.leaf))
            else:
                opening, closing = "[]" if top.exact else "()"
                inside: list[Tree | str] = [closing]
                for child in reversed(top.children):
                    inside += [child, " "]
                stack += [*inside[:-1], opening]
        return "".join(written)


def leaf(number: int) -> Tree:
    return Tree(leaf=number)


def together(trees: Iterable[Tree], *, exact: bool = False) -> Tree:
    """One addition of all of them; a single one is itself."""
    children = tuple(trees)
    return children[0] if len(children) == 1 else Tree(children, exact=exact and len(children) > 2)


def namer(names: Mapping[int, str] | None) -> Callable[[int], str]:
    given = {} if names is None else names
    return lambda number: given.get(number, str(number))


def _parsed(text: str) -> Tree:
    def wrong(why: str) -> ValueError:
        return ValueError(f"{text!r} is no tree: {why}; a tree is written ((0 1) [2 3 4])")

    stack: list[tuple[str, list[Tree]]] = [("", [])]
    for token in re.findall(r"\d+|\S", text):
        if token in "([":
            stack.append((token, []))
        elif token in ")]":
            opening, children = stack.pop()
            if opening + token not in ("()", "[]"):
                raise wrong(f"{token!r} closes nothing")
            if len(children) < 2 or (opening == "[" and len(children) < 3):
                raise wrong(f"{opening}{token} around {len(children)}")
            stack[-1][1].append(Tree(tuple(children), exact=opening == "["))
        elif re.fullmatch("[0-9]+", token):
            stack[-1][1].append(leaf(int(token)))
        else:
            raise wrong(f"{token!r}")
    (opening, found), *more = stack
    if more or len(found) != 1:
        raise wrong("a bracket stays open" if more else f"{len(found)} of them")
    if len(set(found[0].leaves())) < found[0].size:
        raise wrong("a leaf is there twice")
    return found[0]
