"""Records of a ledger as rows of plain values, and the records that such rows describe.

A row has the record's number and its fields. Shapes, formats, issued instructions, needs and
parameters are lists; an instruction is its name, how often it was issued, and its fields.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields
from operator import index
from typing import Any, get_type_hints

from halfulp.engines import Parameter, Record
from halfulp.engines.custom_op import CustomCall
from halfulp.engines.instructions import Issue, LoadStationary, MultiplyMoving

Row = dict[str, Any]
Types = dict[str, type]

COLUMNS = ("record", *Record._fields)
#: Integers and texts; the other columns are lists.
SCALARS: Types = {
    "record": int,
    **{name: kind for name, kind in get_type_hints(Record).items() if kind in (int, str)},
}
PARAMETER: Types = get_type_hints(Parameter)
#: The parts of what a record may have issued, by the name of the instruction.
ISSUES: dict[str, Types] = {
    kind.__name__: {
        **{"instruction": str, "number": int},
        **{part.name: get_type_hints(kind)[part.name] for part in fields(kind)},
    }
    for kind in (LoadStationary, MultiplyMoving, CustomCall)
}
_INSTRUCTIONS = {kind.__name__: kind for kind in (LoadStationary, MultiplyMoving, CustomCall)}


def rows_of(records: Sequence[Record]) -> list[Row]:
    """A row for each record. Raises ValueError for what `records_of` could not read back."""
    rows = [{"record": i, **_plain(record)} for i, record in enumerate(records)]
    records_of(rows)
    return rows


def _plain(value: Any) -> Any:
    """Lists and dicts in the place of tuples, int in the place of numpy's integers."""
    if isinstance(value, Issue):
        kind = type(value.instruction)
        parts = {part.name: getattr(value.instruction, part.name) for part in fields(kind)}
        return _plain({"instruction": kind.__name__, "number": value.number, **parts})
    if isinstance(value, Record | Parameter):
        return _plain(value._asdict())
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    try:
        return index(value)
    except TypeError:
        return value


def records_of(rows: Any) -> list[Record]:
    """The records of rows. Raises ValueError with the record and the field that is wrong."""
    if not isinstance(rows, list):
        raise ValueError(f"the records are {shown(rows)}; needed: a list")
    return [_record(number, row) for number, row in enumerate(rows)]


def _record(number: int, row: Any) -> Record:
    if not isinstance(row, dict):
        raise ValueError(f"record {number} is {shown(row)}; needed: its fields")
    check_names(f"record {number}", list(row), COLUMNS)
    values = {}
    for name, read in _READERS.items():
        try:
            values[name] = read(row[name])
        except ValueError as error:
            raise ValueError(f"record {number}, {name}: {error}") from None
    if values.pop("record") != number:
        raise ValueError(f"record {number} is numbered {row['record']}: some are missing or moved")
    return Record(**values)


def check_names(what: str, given: Sequence[Any], wanted: Sequence[str]) -> None:
    """Raise ValueError unless `given` has each name that is wanted, once, and no other."""
    missing = ", ".join(name for name in wanted if name not in given)
    unknown = [name for name in given if name not in wanted]
    if missing or unknown:
        raise ValueError(f"{what} lacks {missing or 'nothing'} and has {shown(unknown)} beside")
    if len(given) != len(wanted):
        raise ValueError(f"{what} has a field twice: {shown(given)}")


def shown(value: Any) -> str:
    """What was given, in at most some 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise ValueError(f"{shown(value)} is no integer from 0 to 2^63 - 1")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is no text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{shown(value)} is no text in UTF-8") from None
    return value


def _list_of(read: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    def read_list(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ValueError(f"{shown(value)} is no list")
        return tuple(map(read, value))

    return read_list


def _parts(value: Any, types: Types) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{shown(value)} is none of {', '.join(types)}")
    check_names(shown(value), list(value), list(types))
    return {name: _READ[kind](value[name]) for name, kind in types.items()}


def _parameter(value: Any) -> Parameter:
    return Parameter(**_parts(value, PARAMETER))


def _issue(value: Any) -> Issue:
    name = value.get("instruction") if isinstance(value, dict) else None
    if not isinstance(name, str) or name not in ISSUES:
        raise ValueError(f"{shown(value)} is no instruction: {', '.join(ISSUES)}")
    parts = _parts(value, ISSUES[name])
    number = parts.pop("number")
    del parts["instruction"]
    # a custom operator's call too, for which Issue is not typed
    instruction: Any = _INSTRUCTIONS[name](**parts)
    return Issue(instruction, number)


_READ: dict[type, Callable[[Any], Any]] = {int: _count, str: _text}
_READERS: dict[str, Callable[[Any], Any]] = {
    **{name: _READ[kind] for name, kind in SCALARS.items()},
    "shapes": _list_of(_list_of(_count)),
    "formats": _list_of(_text),
    "issued": _list_of(_issue),
    "needs": _list_of(_count),
    "parameters": _list_of(_parameter),
}
