"""The calibration that is shipped, one's own, and how far either is to be trusted."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from halfulp.engines.chips import RATED_CHIPS, Chip
from halfulp.study.artifacts import DATA
from halfulp.study.calibration import (
    REFERENCE_ERA,
    STRUCTURES,
    V1,
    V2,
    Calibration,
    Features,
    FeaturesOf,
    Structure,
    fit,
    structure_of,
)
from halfulp.study.measured import Observation

CALIBRATION = DATA / "rates" / "calibration.json"
#: The newest generation of each core's compiler.
NEWEST_ERA = {V1.name: "v1", V2.name: "2.23+"}
#: What a prediction's interval covers of the errors of configurations that were left out.
_COVERED = 0.9


class UnknownEra(ValueError):
    """A generation of the compiler that the measurements do not have."""


@dataclass(frozen=True)
class Latency:
    """A calibrated estimate.

    seconds     of one forward on one core
    low, high   nine of ten observations whose configuration was left out lay as near as this
    era         of the compiler that it is for
    """

    seconds: float
    low: float
    high: float
    era: str

    def at_least(self, bound: float) -> "Latency":
        """No faster than a bound: the equation knows none where nobody has measured."""
        seconds, low, high = (max(one, bound) for one in (self.seconds, self.low, self.high))
        return Latency(seconds, low, high, self.era)


@dataclass(frozen=True)
class Errors:
    """|estimate / measurement - 1| of observations that were left out of the fit."""

    median: float
    p90: float
    worst: float
    observations: int

    @classmethod
    def of(cls, errors: Iterable[float]) -> "Errors":
        sizes = np.abs(np.array(list(errors), float))
        p90 = float(np.percentile(sizes, 100 * _COVERED))
        return cls(float(np.median(sizes)), p90, float(sizes.max()), len(sizes))


@dataclass(frozen=True)
class Fitted:
    """One core's calibration with its errors.

    configuration   errors with one configuration left out, whatever its era
    architecture    errors with one architecture left out; None where there is one only
    """

    calibration: Calibration
    in_sample: Errors
    configuration: Errors
    architecture: Errors | None


@dataclass(frozen=True)
class Calibrated:
    """What measurements decided, by the structure's name."""

    fitted: Mapping[str, Fitted]

    def latency(
        self, features: Features, chip: Chip, cores: int, era: str | None
    ) -> Latency | None:
        """The estimate with its interval; None for a chip whose core nobody measured.

        Raises UnknownEra.
        """
        known = RATED_CHIPS.get(chip.key)
        structure = structure_of(chip)
        if known is None or known.spec != chip.spec or structure.name not in self.fitted:
            return None
        found = self.fitted[structure.name]
        asked = NEWEST_ERA[structure.name] if era is None else era
        allowed = eras_of(structure)
        if asked not in allowed:
            raise UnknownEra(f"era={asked!r}; {structure.name} has: {', '.join(allowed)}")
        seconds = found.calibration.latency(features, chip, cores, asked)
        # |seconds / measured - 1| is at most this
        miss = found.configuration.p90
        return Latency(seconds, seconds / (1 + miss), seconds / (1 - miss), asked)


def eras_of(structure: Structure) -> tuple[str, ...]:
    """Generations of the compiler that a structure tells apart, oldest first."""
    if structure is V1:
        return ("v1",)
    *older, newest = structure.eras
    return (*older, REFERENCE_ERA, newest)


def error(calibration: Calibration, features_of: FeaturesOf, observed: Observation) -> float:
    """estimate / measurement - 1."""
    where = observed.configuration
    chip = RATED_CHIPS[where.chip]
    found = calibration.latency(features_of(where), chip, where.cores, observed.era)
    return found / observed.service_s - 1


def left_out(
    observed: Sequence[Observation], structure: Structure, features_of: FeaturesOf,
    group: Callable[[Observation], Any], advance: Callable[[str], None] = lambda what: None,
) -> list[tuple[Observation, float]]:  # fmt: skip
    """Each observation with its error where its whole group was left out of the fit."""
    found = []
    for key in dict.fromkeys(group(one) for one in observed):
        kept = [one for one in observed if group(one) != key]
        if kept:
            calibration = fit(kept, structure, features_of)
            found += [
                (one, error(calibration, features_of, one)) for one in observed if group(one) == key
            ]
        advance(str(key))
    return found


def of_chips(observed: Iterable[Observation], structure: Structure) -> list[Observation]:
    """Those that a structure describes."""
    return [
        one for one in observed if structure_of(RATED_CHIPS[one.configuration.chip]) is structure
    ]


def calibrate(
    observed: Sequence[Observation], structure: Structure, features_of: FeaturesOf,
    advance: Callable[[str], None] = lambda what: None,
) -> Fitted:  # fmt: skip
    """Fit one structure, and fit it again without each configuration and each architecture.

    Raises ValueError where there are fewer than two configurations.
    """
    if len({one.configuration for one in observed}) < 2:
        raise ValueError(f"{structure.name}: needed: measurements of two configurations or more")
    calibration = fit(observed, structure, features_of)
    groups: tuple[Callable[[Observation], Any], ...] = (
        lambda one: one.configuration,
        lambda one: one.configuration.model,
    )
    by_configuration, by_architecture = (
        [miss for _, miss in left_out(observed, structure, features_of, group, advance)]
        for group in groups
    )
    inside = [error(calibration, features_of, one) for one in observed]
    return Fitted(
        calibration,
        Errors.of(inside),
        Errors.of(by_configuration),
        Errors.of(by_architecture) if by_architecture else None,
    )


def as_data(calibrated: Calibrated, rows: Path, command: str) -> dict[str, Any]:
    """What is written into a file, with the table that was fitted."""
    return {
        "schema": 1,
        "command": command,
        "rows": {"name": rows.name, "sha256": hashlib.sha256(rows.read_bytes()).hexdigest()},
        "cores": {
            name: {
                "values": {key: fitted.calibration.values[key] for key in STRUCTURES[name].fitted},
                "in_sample": asdict(fitted.in_sample),
                "configuration": asdict(fitted.configuration),
                "architecture": fitted.architecture and asdict(fitted.architecture),
            }
            for name, fitted in calibrated.fitted.items()
        },
    }


@cache
def shipped(path: Path = CALIBRATION) -> Calibrated:
    """The calibration on the published rows.

    Raises ValueError for a file that is none.
    """
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
        return Calibrated({name: _fitted(name, data) for name, data in given["cores"].items()})
    except (OSError, ValueError, KeyError, TypeError) as wrong:
        raise ValueError(f"{path}: no calibration ({wrong!r})") from wrong


def _fitted(name: str, data: Mapping[str, Any]) -> Fitted:
    structure = STRUCTURES[name]
    values = {key: float(data["values"][key]) for key in structure.fitted} | dict(structure.fixed)
    apart = data["architecture"]
    return Fitted(
        Calibration(structure, MappingProxyType(values)),
        Errors(**data["in_sample"]),
        Errors(**data["configuration"]),
        apart and Errors(**apart),
    )
