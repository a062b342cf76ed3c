"""The sums of machines as text and as data."""

import textwrap
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from halfulp.dtypes import FloatFormat
from halfulp.dtypes.checks import integer
from halfulp.engines.declared_trees import declared_tree
from halfulp.engines.preset_facts import Fact, Known, Open, facts
from halfulp.engines.preset_sources import sources
from halfulp.engines.presets import PRESETS, Preset
from halfulp.engines.tree_drawing import drawn
from halfulp.engines.trees import MOST_LEAVES
from halfulp.study.catalog import aligned

SCHEMA = 1  # of the JSON
_WIDTH = 100
_LEFT = 14 + 12  # columns of the topic and of how it is known


def depth(preset: Preset, k: int | None) -> int:
    """How many products the tree has: k, or by default two tiles, or two blocks of each chain.

    Raises ValueError for a k that no tree has.
    """
    if k is not None:
        return integer(k, "k", 1, MOST_LEAVES - 1)
    how = preset.accumulation
    return 2 * (how.tile or how.chains * how.run * (how.block or 4))


def listed() -> str:
    """Every preset, a line each."""
    lines = [["name", "machine", "instruction", "operands", "result", "known"]]
    lines += [
        [one.name, one.machine, one.instruction, _operands(one), str(one.out_format), one.standing]
        for one in PRESETS.values()
    ]
    return aligned(lines, left=len(lines[0]))


def list_as_json() -> dict[str, object]:
    return {"schema": SCHEMA, "accumulations": [_head(one) for one in PRESETS.values()]}


def as_text(preset: Preset, k: int) -> str:
    """The preset in words, then its tree."""
    told = {
        "machine": f"{preset.machine}, {preset.instruction}",
        "operands": f"{_operands(preset)}, result {preset.out_format}",
        "source": preset.source,
        "note": preset.note,
    }
    lines = [preset.name]
    lines += [line for key, text in told.items() if text for line in _wrapped(key, text, 14)]
    lines.append("")
    for fact in facts(preset):
        lines += _fact_lines(fact)
    lines += ["", *_source_lines(preset), "", f"tree of k = 0 to {k - 1}, and c, the accumulator:"]
    lines.append(drawn(_tree(preset, k), names={k: "c"}, width=_WIDTH))
    return "\n".join(lines) + "\n"


def as_json(preset: Preset, k: int) -> dict[str, object]:
    """The same as data; the accumulator input is the leaf whose number is k."""
    how = preset.accumulation
    return {
        "schema": SCHEMA,
        **_head(preset),
        "source": preset.source,
        "note": preset.note,
        "sources": _sources(preset),
        "accumulation": {field.name: _plain(getattr(how, field.name)) for field in fields(how)},
        "facts": [_fact_as_json(preset, fact) for fact in facts(preset)],
        "k": k,
        "tree": str(_tree(preset, k)),
    }


def _tree(preset: Preset, k: int) -> Any:
    return declared_tree(preset.accumulation, k, True)


def _operands(preset: Preset) -> str:
    return f"{preset.a_format} x {preset.b_format}"


def _head(preset: Preset) -> dict[str, object]:
    return {
        "name": preset.name,
        "machine": preset.machine,
        "instruction": preset.instruction,
        "a_format": str(preset.a_format),
        "b_format": str(preset.b_format),
        "out_format": str(preset.out_format),
        "standing": preset.standing.value,
    }


def _wrapped(head: str, text: str, left: int) -> list[str]:
    """Text that hangs beside its head, `left` columns in."""
    lines = textwrap.wrap(text, _WIDTH - left, break_long_words=False, break_on_hyphens=False)
    heads = [head, *[""] * (len(lines) - 1)]
    return [f"{h:{left}}{line}" for h, line in zip(heads, lines, strict=True)]


def _fact_lines(fact: Fact) -> Iterator[str]:
    # what is not known for certain is seen at a glance
    certain = fact.known in (Known.DOCUMENTED, Known.VECTORS, Known.MEASURED)
    known = fact.known.value if certain else fact.known.value.upper()
    yield from _wrapped(f"{fact.statement.topic:14}{known}", fact.statement.words, _LEFT)
    for one in fact.open:
        if one.asks:
            yield from _wrapped("", f"open: {one.asks}", _LEFT)
        yield from _wrapped("", f"or: {'; or: '.join(one.alternatives)}", _LEFT)


def _sources(preset: Preset) -> dict[str, str]:
    return sources("; ".join([preset.source, *(fact.source for fact in facts(preset))]))


def _source_lines(preset: Preset) -> Iterator[str]:
    """Each way of knowing that occurs, with the source; then what the sources are."""
    ways: dict[Known, set[str]] = {}
    for fact in facts(preset):
        ways.setdefault(fact.known, set()).update(filter(None, fact.source.split(", ")))
    for known in Known:
        if known in ways:
            names = f" ({', '.join(sorted(ways[known]))})" if ways[known] else ""
            yield from _wrapped(known.value, _MEANS[known] + names, 14)
    yield ""
    for name, said in _sources(preset).items():
        yield from _wrapped(name, said, 14)


_MEANS = {
    Known.DOCUMENTED: "by the maker of the machine",
    Known.VECTORS: "every public output of the hardware is reproduced",
    Known.MEASURED: "every output that was taken for this project is reproduced",
    Known.MODELED: "no output reaches it: what another project's model does",
    Known.ASSUMED: "not documented, and no outputs are public",
}


def _plain(value: Any) -> Any:
    """A field of an accumulation as JSON has it."""
    if isinstance(value, FloatFormat):
        return str(value)
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return value.value if isinstance(value, Enum) else value


def _fact_as_json(preset: Preset, fact: Fact) -> dict[str, object]:
    how = preset.accumulation
    return {
        "topic": fact.statement.topic,
        "words": fact.statement.words,
        "fields": {name: _plain(getattr(how, name)) for name in fact.statement.fields},
        "known": fact.known.value,
        "source": fact.source,
        "open": [_open_as_json(one) for one in fact.open],
    }


def _open_as_json(one: Open) -> dict[str, object]:
    alternatives = {
        name: {field: _plain(value) for field, value in change.items()}
        for name, change in one.alternatives.items()
    }
    return {"asks": one.asks, "alternatives": alternatives}
