"""How casts of other libraries differ from ours, counted, beside what was recorded.

`python -m tests.dtypes.fleet [LIBRARY ...]` prints the record anew, `--tables` those of
docs/verification.md.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from halfulp.dtypes import FloatFormat, Overflow, encode, round_to
from tests.dtypes.fleet_inputs import weighted
from tests.dtypes.fleet_kinds import Differing, by_kind
from tests.dtypes.fleet_libraries import CASES, LIBRARIES, SOURCES, Case
from tests.dtypes.opinion import Array, bits, convert, values_of

RECORD = Path(__file__).with_name("fleet.json")
RENEW = (
    "python -m tests.dtypes.fleet > fleet.new && mv fleet.new tests/dtypes/fleet.json"
    "; then python -m tests.dtypes.fleet --tables for docs/verification.md"
)
COUNT = 10_000_000
_AT_ONCE = 1 << 19


@dataclass(frozen=True)
class Difference:
    """How many inputs make it, and the smallest of them: its pattern, and what it became."""

    count: int
    input: str
    ours: str
    theirs: str

    def __str__(self) -> str:
        return f"{self.count:,}, first {self.input}: {self.theirs}, ours {self.ours}"


Differences = dict[str, Difference]


@dataclass(frozen=True)
class Found:
    """Of a case: how many inputs were compared, and the differences by kind."""

    inputs: int
    kinds: Differences

    def as_json(self) -> dict[str, Any]:
        kinds = {
            name: [one.count, one.input, one.ours, one.theirs] for name, one in self.kinds.items()
        }
        return {"inputs": self.inputs, "kinds": kinds}

    @staticmethod
    def from_json(given: Mapping[str, Any]) -> "Found":
        kinds = {name: Difference(*one) for name, one in given["kinds"].items()}
        return Found(given["inputs"], kinds)


def compare(case: Case, count: int) -> Found:
    """Cast `count` weighted numbers with both, and say how they differ."""
    fmt = case.fmt
    x = weighted(fmt, case.source, count)
    if not fmt.has_nan and not case.library.given_nan:
        x = x[~np.isnan(x)]
    kinds: Differences = {}
    with np.errstate(all="ignore"):
        for start in range(0, len(x), _AT_ONCE):
            for name, one in _differences(x[start : start + _AT_ONCE].copy(), case).items():
                kinds[name] = _merged(kinds[name], one) if name in kinds else one
    return Found(len(x), dict(sorted(kinds.items())))


def _differences(x: Array, case: Case) -> Differences:
    fmt = case.fmt
    ours, our_values = _our_answer(x, fmt, case.overflow)
    theirs, their_values = case.library.cast(x, fmt, case.overflow)
    codes = (ours.astype(np.int64), theirs.astype(np.int64))
    other = codes[0] != codes[1]
    if not case.library.own_nan:
        other &= ~(np.isnan(our_values) & np.isnan(their_values))
    other = np.flatnonzero(other)
    differing = Differing(fmt, case.overflow, x[other], codes[0][other], codes[1][other])
    masks = {name: other[which] for name, which in by_kind(differing).items()}
    # that the values say the same as the codes makes one comparison out of two
    for whose, code, value in (("our", codes[0], our_values), ("their", codes[1], their_values)):
        apart = np.flatnonzero(~_same(values_of_codes(code, fmt), value))
        if len(apart):
            masks[f"{whose} value is not that of the code"] = apart
    return {name: _counted(x[which], codes, which, fmt) for name, which in masks.items()}


def _our_answer(x: Array, fmt: FloatFormat, overflow: Overflow) -> tuple[Array, Array]:
    options: dict[str, Any] = {"overflow": overflow} | ({} if fmt.has_nan else {"nan": "zero"})
    return encode(x, fmt, **options), round_to(x, fmt, **options)


def values_of_codes(codes: Array, fmt: FloatFormat) -> Array:
    """As `values_of`; by a table where that is short. What is no code counts as NaN."""
    if fmt.bits > 16:
        return values_of(codes, fmt)
    table = np.append(values_of(np.arange(1 << fmt.bits), fmt), np.nan)
    return table[np.where((codes >= 0) & (codes < 1 << fmt.bits), codes, -1)]


def _same(values: Array, others: Array) -> Array:
    others = convert(others, np.float64)
    return (bits(values) == bits(others)) | (np.isnan(values) & np.isnan(others))


def _by_size(x: Array) -> Array:
    """Patterns with the sign behind the magnitude: the smallest numbers first, NaN last."""
    word = bits(x)
    one = word.dtype.type(1)
    return word << one | word >> word.dtype.type(8 * word.itemsize - 1)


def _counted(x: Array, codes: tuple[Array, Array], which: Array, fmt: FloatFormat) -> Difference:
    first = int(np.argmin(_by_size(x)))
    pattern = f"0x{int(bits(x)[first]):0{2 * x.itemsize}x}"
    ours, theirs = (f"{int(code[which[first]]):#0{2 - -fmt.bits // 4}x}" for code in codes)
    return Difference(len(x), pattern, ours, theirs)


def _merged(one: Difference, other: Difference) -> Difference:
    def size(difference: Difference) -> int:
        kind = "f4" if len(difference.input) == 10 else "f8"
        pattern = np.array([int(difference.input, 16)], kind.replace("f", "u"))
        return int(_by_size(pattern.view(kind))[0])

    first = min(one, other, key=size)
    return Difference(one.count + other.count, first.input, first.ours, first.theirs)


def changes(found: Found, recorded: Found) -> list[str]:
    """What is new, vanished or counted otherwise; a line each."""
    lines = []
    if found.inputs != recorded.inputs:
        lines.append(f"inputs: {found.inputs:,}, recorded {recorded.inputs:,}")
    for kind in sorted({*found.kinds, *recorded.kinds}):
        now, then = found.kinds.get(kind), recorded.kinds.get(kind)
        if then is None:
            lines.append(f"new: {kind}: {now}")
        elif now is None:
            lines.append(f"vanished: {kind}: recorded {then}")
        elif now != then:
            lines.append(f"changed: {kind}: {now}; recorded {then}")
    return lines


@dataclass(frozen=True)
class Record:
    """What was found in each case, and the versions of each library that gave just that."""

    versions: dict[str, list[str]]
    cases: dict[str, Found]

    @staticmethod
    def read() -> "Record":
        if not RECORD.exists():
            return Record({}, {})
        given = json.loads(RECORD.read_text(encoding="utf-8"))
        cases = {name: Found.from_json(one) for name, one in given["cases"].items()}
        return Record(given["versions"], cases)

    def text(self) -> str:
        """JSON, a line for each case."""
        lines = [f"  {json.dumps(name)}: {json.dumps(one.as_json())}" for name, one in self._rows()]
        versions = json.dumps(dict(sorted(self.versions.items())))
        body = ",\n".join(lines)
        return f'{{\n "versions": {versions},\n "cases": {{\n{body}\n }}\n}}\n'

    def _rows(self) -> list[tuple[str, Found]]:
        return sorted(self.cases.items())

    def renewed(self, libraries: list[str], count: int) -> "Record":
        """As these libraries are now; a version that differs in nothing joins those before it."""
        versions, cases = dict(self.versions), dict(self.cases)
        for name in libraries:
            found = {str(case): compare(case, count) for case in cases_of(name)}
            same = all(self.cases.get(case) == one for case, one in found.items())
            others = self.versions.get(name, []) if same else []
            versions[name] = sorted({*others, LIBRARIES[name].version})
            cases |= found
        known = {str(case) for case in CASES}
        return Record(versions, {name: one for name, one in cases.items() if name in known})

    def compared(self) -> list[list[str]]:
        """A row for each library: how much was compared."""
        rows = []
        for name in LIBRARIES:
            cases = cases_of(name)
            found = [self.cases[str(case)] for case in cases]
            formats = ", ".join(dict.fromkeys(case.name for case in cases))
            inputs = sum(one.inputs for one in found)
            rows.append(
                [name, ", ".join(self.versions[name]), formats, f"{len(cases)}", f"{inputs:,}"]
            )
        return rows

    def differences(self) -> list[list[str]]:
        """A row for each library and kind: where it is found, how often, and an example."""
        rows: dict[tuple[str, str], list[tuple[Case, Difference]]] = {}
        for case in CASES:
            for kind, one in self.cases[str(case)].kinds.items():
                rows.setdefault((case.library.name, kind), []).append((case, one))
        order = list(LIBRARIES)
        keys = sorted(rows, key=lambda key: (order.index(key[0]), key[1]))
        return [[*key, *_summary(rows[key])] for key in keys]


def cases_of(library: str) -> list[Case]:
    return [case for case in CASES if case.library.name == library]


def _summary(found: list[tuple[Case, Difference]]) -> list[str]:
    """Formats, inputs of each source over all formats and policies, and the first example."""
    counts = [sum(one.count for case, one in found if case.source == name) for name in SOURCES]
    case, first = found[0]
    example = f"{case.name}: {first.input} gives {first.theirs}, ours {first.ours}"
    formats = ", ".join(dict.fromkeys(case.name for case, _ in found))
    return [formats, *(f"{count:,}" for count in counts), example]


COMPARED = ("library", "versions", "formats", "cases", "inputs")
DIFFERENCES = ("of", "difference", "formats", *(f"from {name}" for name in SOURCES), "smallest")


def tables() -> str:
    """Those of docs/verification.md, as they are recorded."""
    record = Record.read()
    both = ((COMPARED, record.compared()), (DIFFERENCES, record.differences()))
    return "\n".join(_table(columns, rows) for columns, rows in both)


def _table(columns: tuple[str, ...], rows: list[list[str]]) -> str:
    numbers = {"cases", "inputs", *DIFFERENCES[3:5]}
    rule = ["--:" if name in numbers else "---" for name in columns]
    return "".join(f"| {' | '.join(line)} |\n" for line in (columns, rule, *rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library", nargs="*", help="default: every one that is installed")
    parser.add_argument("--tables", action="store_true", help="print the record as tables")
    parser.add_argument("--count", type=int, default=COUNT, help="the record has %(default)s")
    asked = parser.parse_args()
    if asked.tables:
        print(tables(), end="")
        return
    names = asked.library or [name for name, one in LIBRARIES.items() if one.installed]
    print(Record.read().renewed(names, asked.count).text(), end="")


if __name__ == "__main__":
    main()
