"""Few physical numbers that published measurements decide: a latency that a model reaches.

The equation, of one core:

    t = launch + (fetch^p + busy^p + floor^p)^(1/p) + spill + host

    fetch   bytes fetched / bandwidth of one core
    busy    era * chip * (tensor + elementwise * (V * vector + S * scalar) + operations * each)
    floor   operations * least
    spill   share * bytes spilled / bandwidth of DMA
    host    bytes of the results / bandwidth of the host

Engines follow one another, the fetching of parameters goes on beside them. NeuronCore-v2: p = 6,
clocks, costs and bandwidth as documented; fitted: launch, each, share, host, chip and era.
NeuronCore-v1: p = 3, V = 10, S = 3, the documented ratios of the two cores' engines; fitted:
launch, bandwidth, least, elementwise.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from halfulp.engines.chips import RATED_CHIPS, Chip
from halfulp.engines.specs import SCALAR_RATIO, VECTOR_RATIO
from halfulp.study.measured import Configuration, Observation

#: The era that the others are compared with.
REFERENCE_ERA = "2.15-2.22"
_DMA = "dma"


@dataclass(frozen=True)
class Features:
    """What the equation takes from the ledger of one forward on one core.

    tensor_s             of the Tensor Engine
    vector_s, scalar_s   of a NeuronCore-v2's engines at their documented rates
    fetched, spilled, output   bytes
    operations   instructions and compositions that follow one another
    """

    tensor_s: float
    vector_s: float
    scalar_s: float
    fetched: int
    spilled: int
    output: int
    operations: int


@dataclass(frozen=True)
class Parameter:
    """A number that is fitted: where it starts, and what it may be."""

    start: float
    low: float
    high: float


@dataclass(frozen=True)
class Structure:
    """An equation: what is fitted, what is fixed, and how times that overlap combine.

    name      of the core
    power     p
    fitted    by name
    fixed     by name
    eras      names of the factors of the compiler's eras, by era
    """

    name: str
    power: float
    fitted: Mapping[str, Parameter]
    fixed: Mapping[str, float]
    eras: Mapping[str, str]


V2 = Structure(
    name="NeuronCore-v2",
    power=6.0,
    fitted=MappingProxyType(
        {
            "launch_s": Parameter(250e-6, 0.0, 1.5e-3),
            "each_s": Parameter(0.4e-6, 0.0, 6e-6),
            "host_bytes_per_s": Parameter(8e9, 1e9, 60e9),
            "spill_share": Parameter(0.5, 0.0, 3.0),
            "inferentia2": Parameter(1.1, 0.8, 1.6),
            "era hf-feb-2023": Parameter(1.3, 0.8, 2.5),
            "era 2.8-2.9": Parameter(1.2, 0.8, 2.0),
            "era 2.10-2.14": Parameter(1.05, 0.8, 1.5),
            "era 2.23+": Parameter(0.95, 0.7, 1.2),
        }
    ),
    fixed=MappingProxyType({"least_s": 0.0, "elementwise": 1.0, "vector": 1.0, "scalar": 1.0}),
    eras=MappingProxyType(
        {name: f"era {name}" for name in ("hf-feb-2023", "2.8-2.9", "2.10-2.14", "2.23+")}
    ),
)
V1 = Structure(
    name="NeuronCore-v1",
    power=3.0,
    fitted=MappingProxyType(
        {
            "launch_s": Parameter(300e-6, 0.0, 3e-3),
            "bytes_per_s": Parameter(25e9, 5e9, 53.7e9),
            "least_s": Parameter(15e-6, 0.1e-6, 40e-6),
            "elementwise": Parameter(1.0, 0.05, 6.0),
        }
    ),
    fixed=MappingProxyType(
        {
            "each_s": 0.0,
            "spill_share": 0.0,
            "host_bytes_per_s": float("inf"),
            "vector": VECTOR_RATIO.value,
            "scalar": SCALAR_RATIO.value,
        }
    ),
    eras=MappingProxyType({}),
)
#: Weight of the start values: a direction that no measurement decides stays physical.
_PRIOR = 0.1
_LOSS_SCALE = 0.1
#: So near that another processor's last bits change nothing that is shown.
_STOP = 1e-12


#: By the name of the core that they describe.
STRUCTURES = {structure.name: structure for structure in (V1, V2)}


def structure_of(chip: Chip) -> Structure:
    return STRUCTURES[chip.core.name]


Values = Mapping[str, float]


def latency(
    values: Values, features: Features, structure: Structure, chip: Chip, cores: int, era: str
) -> float:
    """Seconds of one forward, while `cores` of the chip work.

    Raises ValueError for an era that the structure has not.
    """
    factor = values[structure.eras[era]] if era in structure.eras else 1.0
    factor *= values.get(chip.key, 1.0)
    slower = values["vector"] * features.vector_s + values["scalar"] * features.scalar_s
    busy = factor * (
        features.tensor_s + values["elementwise"] * slower + features.operations * values["each_s"]
    )
    fetch = features.fetched / _bandwidth(values, chip, cores)
    floor = features.operations * values["least_s"]
    power = structure.power
    overlapped = (fetch**power + busy**power + floor**power) ** (1 / power)
    spill = values["spill_share"] * features.spilled / _dma(chip)
    return values["launch_s"] + overlapped + spill + features.output / values["host_bytes_per_s"]


def _bandwidth(values: Values, chip: Chip, cores: int) -> float:
    """Of one core: its share of the chip's memory, no more than it can take."""
    share = chip.stream.value / min(cores, chip.cores)
    return min(share, values.get("bytes_per_s", _dma(chip)))


def _dma(chip: Chip) -> float:
    return float("inf") if chip.spec.dma is None else chip.spec.dma.value


@dataclass(frozen=True)
class Calibration:
    """Fitted values of one structure."""

    structure: Structure
    values: Values

    def latency(self, features: Features, chip: Chip, cores: int, era: str) -> float:
        return latency(self.values, features, self.structure, chip, cores, era)


FeaturesOf = Callable[[Configuration], Features]


def fit(
    observed: Sequence[Observation],
    structure: Structure,
    features_of: FeaturesOf,
    *,
    prior: float = _PRIOR,
) -> Calibration:
    """Least squares of the logarithms, each configuration with the same weight, robustly.

    prior   weight of the start values

    Raises ValueError where there is nothing to fit.
    """
    # half a second that only a fit takes
    from scipy.optimize import least_squares

    if not observed:
        raise ValueError(f"{structure.name}: no measurement to fit")
    names = list(structure.fitted)
    start, low, high = (
        np.array([getattr(one, side) for one in structure.fitted.values()], float)
        for side in ("start", "low", "high")
    )
    counts = Counter(one.configuration for one in observed)
    weights = np.array([counts[one.configuration] ** -0.5 for one in observed])
    known = [(features_of(one.configuration), one) for one in observed]

    def residuals(point: np.ndarray) -> np.ndarray:
        values = dict(zip(names, point.tolist(), strict=True)) | dict(structure.fixed)
        found = [
            latency(values, features, structure, RATED_CHIPS[one.configuration.chip],
                    one.configuration.cores, one.era) / one.service_s
            for features, one in known
        ]  # fmt: skip
        drawn = prior * np.log(np.maximum(point, 1e-12) / start)
        return np.concatenate([weights * np.log(found), drawn])

    found = least_squares(
        residuals, start, bounds=(low, high), x_scale=start, loss="soft_l1", f_scale=_LOSS_SCALE,
        ftol=_STOP, xtol=_STOP, gtol=_STOP,
    )  # fmt: skip
    values = dict(zip(names, found.x.tolist(), strict=True)) | dict(structure.fixed)
    return Calibration(structure, MappingProxyType(values))
