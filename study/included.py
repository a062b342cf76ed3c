"""Chips, cores, instances and prices of one's own: a TOML file, checked as the tables are.

```toml
[core.faster]                 # what is not given is the core's that it is based on
based_on = "NeuronCore-v2"
tensor_clock = { value = 3.2e9, unit = "Hz", source = "our plan", as_of = 2026-11-01 }

[chip.wide]
based_on = "inferentia2"
core = "faster"
cores = 4
memory = { value = 64e9, unit = "bytes", source = "our plan", as_of = 2026-11-01 }
half = { value = 400e12, unit = "ops/s", source = "our plan", as_of = 2026-11-01 }

[instance.wide-box]
chip = "wide"
chips = 2
prices.on-demand = { value = 3.1, unit = "USD/h", source = "our offer", as_of = 2026-11-01 }

[price."inf2.xlarge"]
on-demand = { value = 0.7, unit = "USD/h", source = "our contract", as_of = 2026-11-01 }
```
"""

import dataclasses
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from halfulp.dtypes.checks import integer
from halfulp.engines.chips import RATED_CHIPS, Chip, Peak
from halfulp.engines.facts import Fact
from halfulp.engines.specs import SPEC_V1, SPEC_V2, CoreSpec
from halfulp.study.instances import INSTANCES, Instance

_CORES = {spec.name: spec for spec in (SPEC_V1, SPEC_V2)}
_CORE_FACTS = tuple(one.name for one in dataclasses.fields(CoreSpec) if one.name != "name")
_PEAKS = ("int8", "half", "wide")
_CHIP_FACTS = ("memory", "stream", "link")
_FACT_KEYS = {"value", "unit", "source", "as_of"}
_TABLES = ("core", "chip", "instance", "price")


class IncludeError(ValueError):
    """A file of one's own that says too little, too much or something wrong, with the place."""


@dataclass(frozen=True)
class Hardware:
    """Every chip and every instance that has rates, by name."""

    chips: Mapping[str, Chip]
    instances: Mapping[str, Instance]


BUILT_IN = Hardware(RATED_CHIPS, INSTANCES)


def include(path: Path, known: Hardware = BUILT_IN) -> Hardware:
    """The known hardware and that of a file. Chips and cores have new names; prices may change.

    Raises IncludeError for a file that cannot be read, and for every number without a source.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as wrong:
        raise IncludeError(f"{path}: {wrong}") from wrong
    try:
        return _Reading(known).take(given)
    except (TypeError, ValueError) as wrong:
        raise IncludeError(f"{path}: {wrong}") from wrong


class _Reading:
    def __init__(self, known: Hardware) -> None:
        self.cores = dict(_CORES)
        self.chips = dict(known.chips)
        self.instances = dict(known.instances)

    def take(self, given: Mapping[str, Any]) -> Hardware:
        _only(given, _TABLES, "the file")
        for name, table in _tables(given, "core"):
            self._is_new(self.cores, name, "core")
            self.cores[name] = self._core(name, table)
        for name, table in _tables(given, "chip"):
            self._is_new(self.chips, name, "chip")
            self.chips[name] = self._chip(name, table)
        for name, table in _tables(given, "instance"):
            self.instances[name] = self._instance(name, table)
        for name, table in _tables(given, "price"):
            found = _known(self.instances, name, "price")
            prices = {kind: _fact(one, f"price.{name}.{kind}") for kind, one in table.items()}
            self.instances[name] = dataclasses.replace(
                found, prices={**prices, **found.prices} | prices
            )
        return Hardware(self.chips, self.instances)

    @staticmethod
    def _is_new(known: Mapping[str, Any], name: str, kind: str) -> None:
        if name in known:
            raise ValueError(f"{kind}.{name} is there already, with its sources; give another name")

    def _core(self, name: str, table: Mapping[str, Any]) -> CoreSpec:
        place = f"core.{name}"
        _only(table, ("based_on", *_CORE_FACTS), place)
        base = _known(self.cores, table.get("based_on"), f"{place}.based_on")
        facts = {key: _fact(table[key], f"{place}.{key}") for key in _CORE_FACTS if key in table}
        return dataclasses.replace(base, name=name, **facts)

    def _chip(self, name: str, table: Mapping[str, Any]) -> Chip:
        place = f"chip.{name}"
        _only(table, ("based_on", "core", "cores", *_PEAKS, *_CHIP_FACTS), place)
        base = _known(self.chips, table.get("based_on"), f"{place}.based_on")
        changes: dict[str, Any] = {"name": name, "key": name}
        if "core" in table:
            changes["spec"] = _known(self.cores, table["core"], f"{place}.core")
        if "cores" in table:
            changes["cores"] = integer(table["cores"], f"{place}.cores", 1, 1 << 16)
        for key in _CHIP_FACTS:
            if key in table:
                changes[key] = _fact(table[key], f"{place}.{key}")
        for key in _PEAKS:
            if key in table:
                fact = _fact(table[key], f"{place}.{key}")
                if fact.unit != "ops/s":
                    raise ValueError(f"{place}.{key} is in {fact.unit}; needed: ops/s")
                kind = "TOPS" if key == "int8" else "TFLOPS"
                changes[key] = Peak(fact.value, kind, f"{fact.source} ({fact.as_of})")
        return dataclasses.replace(base, **changes)

    def _instance(self, name: str, table: Mapping[str, Any]) -> Instance:
        place = f"instance.{name}"
        _only(table, ("chip", "chips", "prices"), place)
        chip = _known(self.chips, table.get("chip"), f"{place}.chip")
        prices = table.get("prices", {})
        if not isinstance(prices, dict):
            raise TypeError(f"{place}.prices is no table of prices by kind")
        return Instance(
            name,
            chip,
            integer(table.get("chips", 1), f"{place}.chips", 1, 1 << 20),
            {kind: _fact(one, f"{place}.prices.{kind}") for kind, one in prices.items()},
        )


def _tables(given: Mapping[str, Any], name: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
    found = given.get(name, {})
    if not isinstance(found, dict):
        raise TypeError(f"{name} is no table")
    for key, table in found.items():
        if not isinstance(table, dict):
            raise TypeError(f"{name}.{key} is no table")
        yield key, table


def _only(given: Mapping[str, Any], allowed: Iterable[str], place: str) -> None:
    unknown = sorted(set(given) - set(allowed))
    if unknown:
        raise ValueError(f"{place} has {', '.join(unknown)}; allowed: {', '.join(allowed)}")


def _known(table: Mapping[str, Any], name: object, place: str) -> Any:
    if name not in table:
        raise ValueError(f"{place}: {name!r} is not known; allowed: {', '.join(table)}")
    return table[str(name)]


def _fact(given: object, place: str) -> Fact:
    if not isinstance(given, dict):
        raise TypeError(f"{place}={given!r}; needed: {{value, unit, source, as_of}}")
    missing = sorted(_FACT_KEYS - set(given))
    if missing:
        raise ValueError(f"{place} has no {', '.join(missing)}")
    _only(given, sorted(_FACT_KEYS), place)
    if not isinstance(given["as_of"], date):
        raise TypeError(f"{place}.as_of={given['as_of']!r}; needed: a date such as 2026-11-27")
    try:
        return Fact(given["value"], given["unit"], given["source"], given["as_of"])
    except (TypeError, ValueError) as wrong:
        raise ValueError(f"{place}: {wrong}") from wrong
