"""Which alternatives a machine's answers leave, and by which input the others are ruled out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from halfulp.dtypes.wording import counted
from halfulp.engines.accumulation import Accumulation
from halfulp.engines.alternative_inputs import inputs
from halfulp.engines.alternatives import Words, canonical, classes, table
from halfulp.study.probe_files import Probe

#: Names of candidates with the same answers to these inputs.
Class = tuple[str, ...]


@dataclass(frozen=True)
class Failure:
    """An input, counted from 1, with the word that a class answers and the word that was given."""

    number: int
    name: str
    expected: int
    given: int

    def __str__(self) -> str:
        return (
            f"input {self.number} ({self.name}): expected {self.expected:08x},"
            f" given {self.given:08x}"
        )


@dataclass(frozen=True)
class Verdict:
    """The classes of the candidates with the inputs on which each fails; none: it remains."""

    inputs: int
    failures: Mapping[Class, tuple[Failure, ...]]

    @property
    def remaining(self) -> list[Class]:
        """Classes that give every answer."""
        return [group for group, failed in self.failures.items() if not failed]

    @property
    def nearest(self) -> list[Class]:
        """Where none remains, those that fail on the fewest inputs."""
        fewest = min(map(len, self.failures.values()), default=0)
        return [group for group, failed in self.failures.items() if len(failed) == fewest > 0]

    def as_json(self) -> dict[str, Any]:
        """The same as data; words are hexadecimal."""
        ruled_out = [
            {
                "candidates": list(group),
                "failures": [
                    {"input": one.number, "name": one.name, "expected": f"{one.expected:08x}",
                     "given": f"{one.given:08x}"}
                    for one in failed
                ],
            }
            for group, failed in self.failures.items() if failed
        ]  # fmt: skip
        return {
            "inputs": self.inputs,
            "remaining": [list(group) for group in self.remaining],
            "nearest": [list(group) for group in self.nearest],
            "ruled_out": ruled_out,
        }

    def __str__(self) -> str:
        remaining, nearest = self.remaining, self.nearest
        lines = [f"remaining: {len(remaining)} of {counted(len(self.failures), 'class')}"]
        lines += [f"  {joined(group)}" for group in remaining]
        if nearest:
            count = len(self.failures[nearest[0]])
            differ = "differs" if count == 1 else "differ"
            lines.append(f"nearest: {count} of {counted(self.inputs, 'answer')} {differ}")
            for group in nearest:
                lines.append(f"  {joined(group)}")
                lines += [f"    {failure}" for failure in self.failures[group]]
        rest = [group for group in self.failures if group not in (*remaining, *nearest)]
        lines += ["ruled out:"] * bool(rest)
        for group in rest:
            lines += [f"  {joined(group)}", f"    {self.failures[group][0]}"]
        return "\n".join(lines)


def joined(group: Class) -> str:
    """Names of a class in a line."""
    return " = ".join(group)


def verdict(probe: Probe, candidates: Mapping[str, Accumulation], given: Words) -> Verdict:
    """Judge the words that a machine gave, every NaN alike.

    The inputs tell the candidates of their file apart as far as the library does. Others that
    remain are several classes where the library tells them apart.
    """
    words, got = table(probe.inputs, candidates), canonical(given)
    place = {name: number for number, name in enumerate(candidates)}
    failures: dict[Class, tuple[Failure, ...]] = {}
    for group in classes(words, candidates):
        expected = words[place[group[0]]]
        failed = tuple(
            Failure(i + 1, probe.inputs.names[i], int(expected[i]), int(given[i]))
            for i in np.flatnonzero(expected != got).tolist()
        )
        parts = [group]
        if not failed and not set(group) <= set(probe.candidates):
            members = {name: candidates[name] for name in group}
            parts = classes(table(inputs(probe.inputs.fmt), members), members)
        failures |= dict.fromkeys(parts, failed)
    return Verdict(len(probe.inputs), failures)
