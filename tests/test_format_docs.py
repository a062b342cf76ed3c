"""docs/formats.md and docs/rounding.md say what the code does, and their pictures can be made."""

import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from halfulp.dtypes import (
    COMPATIBILITY,
    E4M3,
    FORMATS,
    FloatFormat,
    IntFormat,
    Overflow,
    Philox,
    Rounding,
    Specials,
    Subnormals,
    decode,
    parse_format,
    round_to,
)
from tests.test_docs import blocks, table
from tests.tree import ROOT, script

PAGES = {
    name: (ROOT / "docs" / name).read_text(encoding="utf-8")
    for name in ("formats.md", "rounding.md")
}
PAGE, ROUNDING = PAGES.values()


@pytest.mark.parametrize("page", PAGES)
def test_the_example_prints_what_the_page_says(page: str) -> None:
    (example,) = blocks(PAGES[page], "python")
    (printed,) = blocks(PAGES[page], "text")
    done = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == printed


def test_the_table_of_float_formats_is_that_of_the_code() -> None:
    expected = [
        [
            name,
            f"{int(fmt.signed)}-{fmt.exponent_bits}-{fmt.mantissa_bits}",
            str(fmt.bias),
            fmt.specials.value,
            *(f"{value:.6g}" for value in (fmt.smallest_subnormal, fmt.tiny)),
            f"{fmt.max:.8g}",
            f"{fmt.eps:.6g}",
            ", ".join(fmt.aliases),
        ]
        for name, fmt in FORMATS.items()
        if isinstance(fmt, FloatFormat)
    ]
    rows = table(PAGE, "format")
    assert [row[:-1] for row in rows] == expected
    assert all(row[-1] for row in rows), "every format has a source"


def test_the_table_of_integer_formats_is_that_of_the_code() -> None:
    assert table(PAGE, "integer") == [
        [name, str(fmt.min), str(fmt.max), ", ".join(fmt.aliases)]
        for name, fmt in FORMATS.items()
        if isinstance(fmt, IntFormat)
    ]


def test_the_kinds_of_specials_are_those_of_the_code() -> None:
    rows = {row[0]: row[1:4] for row in table(PAGE, "kind")}
    assert list(rows) == [kind.value for kind in Specials]
    for kind, said in rows.items():
        fmt = FloatFormat(4, 3, specials=kind)
        has = (fmt.has_inf, fmt.has_nan, fmt.has_minus_zero)
        assert said == ["yes" if one else "no" for one in has]


def test_the_general_names_are_read() -> None:
    for names, _ in table(PAGE, "written"):
        for name in re.findall(r"`(.*?)`", names):
            assert parse_format(name).name


def test_the_properties_are_those_of_formats() -> None:
    text = PAGE.partition("## Properties")[2]
    ours, _, integers = text.partition("`IntFormat`")
    names = re.findall(r"`(\w+)`", ours)
    assert len(names) >= 16
    assert all(isinstance(getattr(E4M3, name), int | float) for name in names)
    for name in re.findall(r"`(\w+)`", integers.partition(" of iinfo")[0]):
        assert hasattr(FORMATS["int8"], name)
    assert FORMATS["fp16"].precision == 11 and np.finfo(np.float16).precision == 3  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("first", "kind"),
    [("rounding", Rounding), ("overflow", Overflow), ("subnormals", Subnormals)],
)
def test_the_tables_of_choices_are_those_of_the_code(first: str, kind: Any) -> None:
    assert [row[0] for row in table(ROUNDING, first)] == [member.value for member in kind]


def test_the_policies_of_others_are_those_of_the_code() -> None:
    rows = {row[0]: row[1:] for row in table(ROUNDING, "name")}
    assert list(rows) == list(COMPATIBILITY)
    for name, (policy, source) in rows.items():
        other = COMPATIBILITY[name]
        general, _, special = policy.partition(", for ")
        exceptions = dict([special.split()] if special else [])
        for short, fmt in FORMATS.items():
            assert other.overflow(fmt).value == exceptions.get(short, general)
        assert source == other.source


def test_every_picture_is_shown_and_small() -> None:
    shown = re.findall(r"!\[[^\]]+\]\(([\w.]+)\)", PAGE + ROUNDING)
    pictures = script("docs/pictures.py").PICTURES
    assert sorted(shown) == sorted(pictures)
    for name in pictures:
        data = (ROOT / "docs" / name).read_bytes()
        assert data.startswith(b"\x89PNG") and len(data) < 150_000


def test_every_picture_can_be_drawn_again() -> None:
    module = script("docs/pictures.py")
    for draw in module.PICTURES.values():
        assert all(axes.lines or axes.collections or axes.patches for axes in draw().axes)
    values = module.finite_values(E4M3)
    assert len(values) == 239  # 256 codes, 16 of them special, and 0 is -0
    assert set(values.tolist()) <= set(decode(np.arange(256), E4M3).tolist())


@pytest.mark.parametrize("bits", [1, 2, 5, 32])
def test_the_mean_of_draws_is_the_exact_one(bits: int) -> None:
    draws = 4000
    x = 1 + np.arange(64) / 512
    drawn = round_to(
        np.repeat(x, draws), E4M3, rounding="stochastic", random=Philox(2, random_bits=bits)
    )
    share = (drawn.reshape(-1, draws) > 1).mean(axis=1)
    exact = np.floor((x - 1) * 8 * 2.0**bits) / 2.0**bits
    assert np.all(abs(share - exact) <= 5 * np.sqrt(exact * (1 - exact) / draws))
    assert np.all(share[exact == 0] == 0)
