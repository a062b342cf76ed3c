"""Summation trees: the value, its two ways of being written, and what an accumulation declares."""

from typing import Any

import pytest

from halfulp.engines import PRESETS, SYSTOLIC, Accumulation, IntegerAccumulator
from halfulp.engines.declared_trees import declared_tree
from halfulp.engines.tree_drawing import drawn
from halfulp.engines.trees import MOST_LEAVES, Tree, leaf, together


def chain(numbers: Any) -> Tree:
    """The first two added, then one after the other."""
    first, *more = map(leaf, numbers)
    for tree in more:
        first = Tree((first, tree))
    return first


def test_addition_commutes_but_does_not_associate() -> None:
    tree = Tree((leaf(2), Tree((leaf(1), leaf(0)))))
    assert tree == Tree.parse("((0 1) 2)") and hash(tree) == hash(Tree.parse("(2 (1 0))"))
    assert tree != Tree.parse("(0 (1 2))") and tree != Tree.parse("(0 1 2)")
    assert Tree.parse("[0 1 2]") != Tree.parse("(0 1 2)")
    assert tree != str(tree) and (tree.size, tree.first) == (3, 0)
    assert [*Tree.parse("((4 1) [7 2 0])").leaves()] == [0, 2, 7, 1, 4]


@pytest.mark.parametrize(
    "text", ["0", "7", "(0 1)", "((0 1) 2)", "(0 (1 2))", "((0 3) [1 2 4 (5 6)])", "(0 1 2)"]
)
def test_a_tree_is_read_as_it_is_written(text: str) -> None:
    tree = Tree.parse(text)
    assert str(tree) == text and repr(tree) == f"Tree.parse({text!r})"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "0 of them"), ("0 1", "2 of them"), ("(0 1", "stays open"), ("0 1)", "closes nothing"),
        ("(0 1]", "closes nothing"), ("(0)", "() around 1"), ("[0 1]", "[] around 2"),
        ("(0 c)", "'c'"), ("(0 -1)", "'-'"), ("(0 (1 0))", "a leaf is there twice"),
        (f"(0 {MOST_LEAVES})", "leaf=65536 is out of range"), ("(0 ²)", "'²'"),
    ],
)  # fmt: skip
def test_other_text_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError) as error:
        Tree.parse(text)
    assert why in str(error.value)


@pytest.mark.parametrize(
    "arguments",
    [
        {}, {"children": (leaf(0),)}, {"children": (leaf(0), leaf(1)), "leaf": 2},
        {"children": (leaf(0), leaf(1)), "exact": True}, {"leaf": 0, "exact": True}, {"leaf": -1},
    ],
)  # fmt: skip
def test_what_is_neither_leaf_nor_addition_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Tree(**arguments)


def test_what_is_no_tree_is_refused_by_its_kind() -> None:
    with pytest.raises(TypeError, match="give trees"):
        Tree((leaf(0), 1))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Tree(leaf=True)
    with pytest.raises(TypeError):
        Tree((leaf(0), leaf(1)), exact=1)  # type: ignore[arg-type]


def test_one_tree_together_is_itself_and_two_are_never_exact() -> None:
    assert together([leaf(3)]) == leaf(3)
    assert together([leaf(0), leaf(1)], exact=True) == Tree.parse("(0 1)")
    assert together([leaf(0), leaf(1), leaf(2)], exact=True) == Tree.parse("[0 1 2]")


def test_a_deep_tree_is_no_deep_recursion() -> None:
    deep, back = chain(range(5000)), chain(range(5000)[::-1])
    assert deep == chain(range(5000)) and hash(deep) == hash(chain(range(5000))) and deep != back
    assert Tree.parse(str(deep)) == deep and str(back).startswith("(0 (1 (2 ")
    assert drawn(deep) == "chain of 5000: 0 1 … 4999"
    assert drawn(back) == "chain of 5000: 4999 4998 … 0"


def test_leaves_have_names() -> None:
    tree = Tree.parse("((0 1 4) 2 3)")
    assert tree.line({4: "c"}) == "((0 1 c) 2 3)"
    assert drawn(tree, names={4: "c"}) == "chain of 2 fused: 0 1 c | 2 3"


@pytest.mark.parametrize(
    ("tree", "lines"),
    [
        ("3", ["3"]),
        ("(0 1)", ["sum: 0 1"]),
        ("(0 1 2)", ["fused: 0 1 2"]),
        ("[0 1 2 3]", ["exact: 0 1 … 3"]),
        ("(((((0 8) 16) 24) 1) 3)", ["chain of 6: 0 8 … 24 1 3"]),
        ("((((0 1) 3) 2) 5)", ["chain of 5: 0 1 3 2 5"]),
        ("(((0 1 2) 3 4 5) 6)", ["chain of 3: fused 0 1 2 | fused 3 4 5 | 6"]),
        ("([0 1 2] 3 4 5)", ["chain of 2: exact 0 1 2 | fused 3 4 5"]),
        ("((0 1) (2 3))", ["sum", "├─ sum: 0 1", "└─ sum: 2 3"]),
        ("((0 1) (2 3) 4)", ["fused", "├─ sum: 0 1", "├─ sum: 2 3", "└─ 4"]),
        (
            "(((((0 1) (2 3)) (4 5)) 6) 7)",
            ["chain of 5", "├─ sum: 0 1", "├─ sum: 2 3", "├─ sum: 4 5", "└─ 6 7"],
        ),
        (
            "((((0 1) 2) 3) (((4 5) 6) 7))",
            ["sum", "├─ chain of 4: 0 1 … 3", "└─ chain of 4: 4 5 … 7"],
        ),
        (
            "[((0 1 2 3) (4 5) 6) 7 (8 9) 10]",
            ["chain of 3", "├─ fused: 0 1 … 3", "├─ fused", "│  ├─ sum: 4 5", "│  └─ 6",
             "└─ exact", "   ├─ 7", "   ├─ sum: 8 9", "   └─ 10"],
        ),
    ],
)  # fmt: skip
def test_a_drawing_line_by_line(tree: str, lines: list[str]) -> None:
    assert drawn(Tree.parse(tree)).splitlines() == lines


def test_long_lines_go_on_below() -> None:
    order = [k ^ 1 for k in range(32)]
    lines = drawn(Tree((chain(order), chain(range(32, 64)))), width=40).splitlines()
    assert lines[:3] == [
        "sum",
        "├─ chain of 32: 0 1 3 2 5 4 7 6 9 8 11",
        "│    10 13 12 15 14 17 16 19 18 21 20 23",
    ]
    assert lines[-1] == "└─ chain of 32: 32 33 … 63"
    assert all(len(line) <= 40 for line in lines)


def fused(block: int | None, **more: Any) -> Accumulation:
    return Accumulation("fused", block=block, fraction_bits=24, **more)  # type: ignore[arg-type]


def exact(block: int | None, **more: Any) -> Accumulation:
    return Accumulation("exact", block=block, **more)  # type: ignore[arg-type]


def pairwise(block: int | None, **more: Any) -> Accumulation:
    return Accumulation("pairwise", block=block, **more)  # type: ignore[arg-type]


def sequential(**more: Any) -> Accumulation:
    return Accumulation(**more)


def integers(tile: int | None, **more: Any) -> Accumulation:
    return Accumulation(tile=tile, accumulator=IntegerAccumulator(32, **more))


@pytest.mark.parametrize(
    ("accumulation", "depth", "with_c", "without"),
    [
        (sequential(), 1, "(0 c)", "0"),
        (sequential(), 4, "((((0 c) 1) 2) 3)", "(((0 1) 2) 3)"),
        (sequential(tile=2), 4, "((((0 c) 1) 2) 3)", "(((0 1) 2) 3)"),
        (sequential(tile=2, entry="end"), 5, "((((0 1) c) (2 3)) 4)", "(((0 1) (2 3)) 4)"),
        (sequential(chains=2), 5, "(((((0 c) 2) 4) 1) 3)", "((((0 2) 4) 1) 3)"),
        (sequential(chains=2, run=2), 6, "((((((0 c) 1) 4) 5) 2) 3)", "(((((0 1) 4) 5) 2) 3)"),
        (sequential(chains=2, tile=2, descending=True), 4, "((((1 c) 0) 3) 2)", "(((0 1) 3) 2)"),
        (sequential(chains=4, descending=True), 3, "(((2 c) 1) 0)", "((2 1) 0)"),
        (
            sequential(chains=4, entry="end", join="sequential"), 8,
            "(((((0 4) (1 5)) (2 6)) (3 7)) c)", "((((0 4) (1 5)) (2 6)) (3 7))",
        ),
        (
            sequential(chains=3, tile=6, entry="end", join="pairwise"), 7,
            "(((((0 3) (1 4)) (2 5)) c) 6)", "((((0 3) (1 4)) (2 5)) 6)",
        ),
        (
            sequential(chains=4, entry="end", join="pairwise", descending=True), 7,
            "(((3 (2 6)) ((1 5) (0 4))) c)", "((3 (2 6)) ((1 5) (0 4)))",
        ),
        (sequential(chains=2, entry="end"), 4, "((((0 2) 1) 3) c)", "(((0 2) 1) 3)"),
        (pairwise(None), 5, "((((0 1) (2 3)) 4) c)", "(((0 1) (2 3)) 4)"),
        (pairwise(None), 6, "((((0 1) (2 3)) (4 5)) c)", "(((0 1) (2 3)) (4 5))"),
        (pairwise(2), 5, "(((c (0 1)) (2 3)) 4)", "(((0 1) (2 3)) 4)"),
        (pairwise(4, tile=4, entry="end"), 6, "((((0 1) (2 3)) c) (4 5))", "(((0 1) (2 3)) (4 5))"),
        (fused(2), 5, "(((0 1 c) 2 3) 4)", "(((0 1) 2 3) 4)"),
        (fused(4), 8, "((0 1 2 3 c) 4 5 6 7)", "((0 1 2 3) 4 5 6 7)"),
        (fused(4, tile=6), 8, "(((0 1 2 3 c) 4 5) 6 7)", "(((0 1 2 3) 4 5) 6 7)"),
        (fused(4, entry="late"), 6, "((c (0 1 2 3)) (4 5))", "((0 1 2 3) (4 5))"),
        (fused(2, tile=4, entry="end"), 6, "((((0 1) 2 3) c) (4 5))", "(((0 1) 2 3) (4 5))"),
        (fused(None), 3, "(0 1 2 c)", "(0 1 2)"),
        (
            fused(None, chains=2, run=2, entry="end", join="sequential"), 8,
            "(((0 1 4 5) (2 3 6 7)) c)", "((0 1 4 5) (2 3 6 7))",
        ),
        (exact(None), 4, "[0 1 2 3 c]", "[0 1 2 3]"),
        (exact(2), 4, "[[0 1 c] 2 3]", "[(0 1) 2 3]"),
        (exact(3, entry="late"), 5, "((c [0 1 2]) (3 4))", "([0 1 2] (3 4))"),
        (exact(1), 2, "((0 c) 1)", "(0 1)"),
        (integers(None), 3, "[0 1 2 c]", "[0 1 2]"),
        (integers(None, overflow="saturate"), 3, "(((0 c) 1) 2)", "((0 1) 2)"),
        (
            integers(2, overflow="saturate", checked="tile"), 5,
            "([[0 1 c] 2 3] 4)", "([(0 1) 2 3] 4)",
        ),
        (integers(2, overflow="saturate", checked="end"), 4, "[0 1 2 3 c]", "[0 1 2 3]"),
        (
            PRESETS["v100-wmma-fp16-fp32"].accumulation, 8,
            "((0 1 2 3 c) 4 5 6 7)", "((0 1 2 3) 4 5 6 7)",
        ),
        (
            PRESETS["zen4-vdpbf16ps-bf16-fp32"].accumulation, 4,
            "((((1 c) 0) 3) 2)", "(((0 1) 3) 2)",
        ),
        (SYSTOLIC, 3, "(((0 1) 2) c)", "((0 1) 2)"),
    ],
)  # fmt: skip
def test_a_declared_tree_is_the_one_written_by_hand(
    accumulation: Accumulation, depth: int, with_c: str, without: str
) -> None:
    tree = declared_tree(accumulation, depth, True)
    assert tree == Tree.parse(with_c.replace("c", str(depth)))
    assert declared_tree(accumulation, depth, False) == Tree.parse(without)


def test_tiles_of_128_rows_are_chains_that_meet_one_after_the_other() -> None:
    first, second, third = chain(range(128)), chain(range(128, 256)), chain(range(256, 300))
    expected = Tree((Tree((Tree((leaf(300), first)), second)), third))
    assert declared_tree(SYSTOLIC, 300, True) == expected
    assert drawn(expected, names={300: "c"}).splitlines() == [
        "chain of 3",
        "├─ chain of 129: 0 1 … 127 c",
        "├─ chain of 128: 128 129 … 255",
        "└─ chain of 44: 256 257 … 299",
    ]


def test_the_input_alone_is_a_leaf_and_nothing_is_refused() -> None:
    assert declared_tree(SYSTOLIC, 0, True) == leaf(0)
    assert declared_tree(integers(None), 0, True) == leaf(0)
    with pytest.raises(ValueError, match="depth=0 is out of range; allowed: 1 to"):
        declared_tree(SYSTOLIC, 0, False)
    with pytest.raises(TypeError, match="with_input=1 is not a bool"):
        declared_tree(SYSTOLIC, 3, 1)  # type: ignore[arg-type]
