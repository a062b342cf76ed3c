"""How each thing that a preset says is known, and what else it might be."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from enum import Enum, StrEnum, unique
from typing import Any

from halfulp.dtypes import Format
from halfulp.engines.accumulation import SYSTOLIC, Accumulation
from halfulp.engines.described import Statement, described
from halfulp.engines.open_questions import Question, questions
from halfulp.engines.presets import Preset, Standing


@unique
class Known(StrEnum):
    """How a statement is known."""

    DOCUMENTED = "documented"  #: by the machine's maker
    VECTORS = "vectors"  #: every public output of the hardware is reproduced
    MEASURED = "measured"  #: every output that was taken for this project is reproduced
    MODELED = "modeled"  #: no output reaches it: what another project's model does
    ASSUMED = "assumed"  #: not documented, and no outputs are public


@dataclass(frozen=True)
class Open:
    """A question about a statement.

    asks           with what the engines assume; "" where it is only that the field has other values
    alternatives   other fields of the accumulation, by name
    """

    asks: str
    alternatives: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Fact:
    """A statement of a preset's accumulation.

    known    how
    source   who says so, a key of `preset_sources.SOURCES`; "" for what is assumed
    open     of what is modeled or assumed, what else it might be
    """

    statement: Statement
    known: Known
    source: str
    open: tuple[Open, ...] = ()


def facts(preset: Preset) -> tuple[Fact, ...]:
    """One for each statement of the preset's accumulation, in the order of `described`."""
    return tuple(_fact(preset, statement) for statement in described(preset.accumulation))


def _fact(preset: Preset, statement: Statement) -> Fact:
    about = {*statement.fields}
    if about <= preset.documented:
        return Fact(statement, Known.DOCUMENTED, "NKI")
    if about & preset.modeled:
        # of subnormal numbers an article says the same
        source = "MMA-Sim, FASI" if "flushes_inputs" in about else "MMA-Sim"
        others = _other_values(preset.accumulation, statement)
        return Fact(statement, Known.MODELED, source, (Open("", others),) if others else ())
    if preset.standing is Standing.ASSUMED:
        asked = (*_asked(preset.accumulation, preset.a_format, statement),)
        values = Open("", _other_values(preset.accumulation, statement))
        return Fact(statement, Known.ASSUMED, "", asked or (values,))
    source = "vectors" if preset.standing is Standing.VECTORS else "Zen 4"
    return Fact(statement, Known(preset.standing.value), source)


def _asked(how: Accumulation, fmt: Format, statement: Statement) -> Iterator[Open]:
    """The questions about a statement; what the preset has taken itself is no alternative to it."""
    own = _values(how, statement)
    for question in questions(fmt):
        changes = _changes(question)
        if not any(change.keys() & {*statement.fields} for change in changes.values()):
            continue
        others = {
            name: change
            for name, change in changes.items()
            if _values(replace(SYSTOLIC, **change), statement) != own
        }
        if len(others) < len(changes):
            names = {name for change in changes.values() for name in change}
            assumed = {name: getattr(SYSTOLIC, name) for name in sorted(names)}
            others = {_as_assumed(statement): assumed, **others}
        yield Open(question.asks, others)


def _as_assumed(statement: Statement) -> str:
    (words,) = (one.words for one in described(SYSTOLIC) if one.topic == statement.topic)
    return f"{words}, as the engines have it"


def _changes(question: Question) -> dict[str, dict[str, Any]]:
    """The fields of an accumulation in which each alternative is not the assumed one."""
    return {
        name: {
            field.name: getattr(other, field.name)
            for field in fields(Accumulation)
            if getattr(other, field.name) != getattr(SYSTOLIC, field.name)
        }
        for name, core in question.alternatives.items()
        if (other := core.get("accumulation")) is not None
    }


def _values(how: Accumulation, statement: Statement) -> tuple[Any, ...]:
    return tuple(getattr(how, name) for name in statement.fields)


def _other_values(how: Accumulation, statement: Statement) -> dict[str, dict[str, Any]]:
    """What the statement says with each other choice of one of its fields."""
    found: dict[str, dict[str, Any]] = {}
    for name in statement.fields:
        value = getattr(how, name)
        kind = type(value)
        for other in [not value] if kind is bool else kind if issubclass(kind, Enum) else ():
            change: dict[str, Any] = {name: other}
            try:
                changed = replace(how, **change)
            except ValueError:  # fields that contradict each other
                continue
            for one in described(changed):
                if one.topic == statement.topic and one.words != statement.words:
                    found[one.words] = change
    return found
