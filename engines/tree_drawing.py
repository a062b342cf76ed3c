"""Summation trees drawn for terminals: chains in one line, all else as branches."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from halfulp.engines.trees import Tree, namer

_SHORTEST_RUN = 4  # numbers at one distance that are written as "0 8 … 56"

Name = Callable[[int], str]


class _Link(NamedTuple):
    """One addition of a chain: what is added to the sum so far; `fused` and `exact` name it."""

    added: tuple[Tree, ...]
    operands: int
    exact: bool

    @property
    def kind(self) -> str:
        return "" if self.operands == 2 else "exact" if self.exact else "fused"


def drawn(tree: Tree, *, names: Mapping[int, str] | None = None, width: int = 100) -> str:
    """The tree in lines of about `width` columns, no newline at the end.

    names   of leaves that have another one than their number: {128: "c"}

    A chain is written in the order in which it adds, the first two as one: "chain of 5: 0 1 … 4"
    is (((0 1) 2) 3) 4, and "0 8 … 56" goes on in steps of 8. In a chain of fused or exact additions
    "|" stands between them: what comes after it is added to the sum so far at once.
    """
    return "\n".join(_lines(tree, namer(names), width))


def _links(tree: Tree) -> list[_Link]:
    """Its additions one after the other, the first first; one where no child is the sum so far.

    A child is the sum so far if it is at least twice as large as any other: so a branch is at most
    two thirds of its tree, and however deep the tree is, the drawing is not.
    """
    found = []
    while tree.leaf is None:
        *others, longest = sorted(tree.children, key=lambda child: child.size)
        goes_on = longest.size >= 2 * others[-1].size
        kept = [child for child in tree.children if not goes_on or child is not longest]
        found.append(_Link(tuple(kept), len(tree.children), tree.exact))
        if not goes_on:
            break
        tree = longest
    return _eased(found[::-1])


def _eased(links: list[_Link]) -> list[_Link]:
    """The second leaf is the one that is nearer to the third: 9 8 7, not 8 9 7."""
    numbers = [child.leaf for link in links[:2] for child in link.added]
    if links and len(links[0].added) == 2 and len(numbers) == 3 and None not in numbers:
        left, right, third = (child.first for link in links[:2] for child in link.added)
        if abs(third - left) < abs(third - right):
            links[0] = links[0]._replace(added=links[0].added[::-1])
    return links


def _lines(tree: Tree, name: Name, width: int) -> list[str]:
    if tree.leaf is not None:
        return [name(tree.leaf)]
    links = _links(tree)
    kinds = {link.kind for link in links}
    kind = f" {links[0].kind}" if len(kinds) == 1 else ""
    title = kind.strip() or "sum"
    if len(links) > 1:
        steps = sum(len(link.added) for link in links) if kinds == {""} else len(links)
        title = f"chain of {steps}{kind.rstrip()}"
    if not all(_is_flat(link) for link in links):
        return [title, *_branches(_branch_lines(links, name, width - 3))]
    if kinds == {""}:
        text = _numbers([child for link in links for child in link.added], name)
    else:
        own = [f"{link.kind} " if len(kinds) > 1 and link.kind else "" for link in links]
        numbers = [_numbers(link.added, name) for link in links]
        text = " | ".join(map("".join, zip(own, numbers, strict=True)))
    return _wrapped(f"{title}: {text}", width)


def _is_flat(link: _Link) -> bool:
    return all(child.leaf is not None for child in link.added)


def _branch_lines(links: Sequence[_Link], name: Name, width: int) -> list[list[str]]:
    """What hangs under the title of a chain; leaves that follow each other share a line."""
    found: list[list[str]] = []
    waiting: list[Tree] = []

    def flush() -> None:
        if waiting:
            found.append(_wrapped(_numbers(waiting, name), width))
            waiting.clear()

    for index, link in enumerate(links):
        single = len(link.added) == 1 or (index == 0 and (not link.kind or len(links) == 1))
        if not single:
            flush()
            found.append(_at_once(link, name, width))
            continue
        for child in link.added:
            if child.leaf is not None:
                waiting.append(child)
            else:
                flush()
                found.append(_lines(child, name, width))
    flush()
    return found


def _at_once(link: _Link, name: Name, width: int) -> list[str]:
    """Several that one addition of a chain takes."""
    if _is_flat(link):
        return _wrapped(f"{link.kind}: {_numbers(link.added, name)}", width)
    return [link.kind, *_branches(_branch_lines([link], name, width - 3))]


def _branches(blocks: Sequence[list[str]]) -> list[str]:
    lines = []
    for block in blocks:
        last = block is blocks[-1]
        lines.append(("└─ " if last else "├─ ") + block[0])
        lines += [("   " if last else "│  ") + line for line in block[1:]]
    return lines


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(
        text, max(width, 20), subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def _numbers(leaves: Sequence[Tree], name: Name) -> str:
    """Names of leaves; numbers at one distance as their first two and their last."""
    numbers = [tree.first for tree in leaves]
    names = [name(number) for number in numbers]
    words: list[str] = []
    start = 0
    while start < len(numbers):
        stop = start + _run(numbers, names, start)
        if stop - start < _SHORTEST_RUN:
            words.append(names[start])
            start += 1
        else:
            words += [*names[start : start + 2], "…", names[stop - 1]]
            start = stop
    return " ".join(words)


def _run(numbers: Sequence[int], names: Sequence[str], start: int) -> int:
    """How many from `start` on lie at one distance and are called by their numbers."""
    stop = start
    while stop < len(numbers) and names[stop] == str(numbers[stop]):
        if stop > start + 1:
            distance = numbers[start + 1] - numbers[start]
            if numbers[stop] - numbers[stop - 1] != distance:
                break
        stop += 1
    return stop - start
