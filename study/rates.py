"""Three numbers of a forward, never confused: peak, roofline and calibrated estimate."""

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property, lru_cache

from halfulp.dtypes import parse_format
from halfulp.engines import Ledger
from halfulp.engines.chips import INFERENTIA1, INFERENTIA2, RATED_CHIPS, Chip
from halfulp.engines.facts import Fact
from halfulp.engines.specs import SPEC_V2
from halfulp.quant import Policy, named_policy
from halfulp.study.architectures import Survey, survey
from halfulp.study.calibrated import Calibrated, Latency
from halfulp.study.calibration import Features
from halfulp.study.measured import Configuration
from halfulp.study.parallel import share
from halfulp.study.timeline import LINK, Paths, Timeline, schedule
from halfulp.study.work import Work, work

HBM = "HBM"
#: What a message takes from its semaphore to its first byte.
HOP = Fact(
    1.3e-6,
    "s",
    "nki-dma-bandwidth-guide.rst: about 1300 ns from semaphore to start",
    date(2026, 8, 1),
)
#: What binds, as a table names it.
BOUNDS = {
    "tensor": "Tensor",
    "vector": "Vector",
    "scalar": "Scalar",
    "gpsimd": "GPSIMD",
    HBM: HBM,
    LINK: "Link",
}


@dataclass(frozen=True)
class LayerRate:
    """What one layer asks of the core.

    seconds   by engine, and of the device's memory ("HBM"), at the documented rates
    bound     the one that takes longest
    flops     a multiply-accumulate is two
    bytes     from the device's memory
    moved     bytes of operands and results, wherever they are
    """

    layer: str
    seconds: dict[str, float]
    flops: int
    bytes: int
    moved: int

    @property
    def bound(self) -> str:
        return BOUNDS[max(self.seconds, key=lambda name: self.seconds[name])]

    @property
    def roofline_s(self) -> float:
        return max(self.seconds.values())


@dataclass(frozen=True)
class Rate:
    """A forward of `batch` sequences on one core of a chip, while `cores` of its cores work.

    With `ranks` the model is shared by so many cores; work, engines and layers are those of one.

    peak_s        the multiply-accumulates at the data sheet's rate
    roofline_s    the busiest engine or the memory, by the documented costs, all overlapped
    calibrated    what measurements say such a model reaches; None for a chip without any
    """

    survey: Survey
    chip: Chip
    policy: str
    cores: int
    ledger: Ledger
    work: Work
    calibrated: Latency | None
    ranks: int = 1

    @property
    def flops(self) -> int:
        """Of all products; a multiply-accumulate is two."""
        return 2 * sum(self.work.macs.values())

    @cached_property
    def peak_s(self) -> float:
        """The data sheet's peak of a core for each product's operands, of this core's part."""
        return sum(
            2 * macs / (self.chip.peak(parse_format(name)).ops_per_s / self.chip.cores)
            for name, macs in self.work.macs.items()
        )

    @property
    def bytes_per_s(self) -> float:
        """Of the device's memory for one core: its share, no more than DMA takes."""
        share = self.chip.stream.value / min(self.cores, self.chip.cores)
        dma = self.chip.spec.dma
        return share if dma is None else min(share, dma.value)

    @cached_property
    def engine_seconds(self) -> dict[str, float]:
        """By engine, and of the device's memory, what the records themselves need."""
        found = {**self.work.least_seconds, HBM: self.work.fetched / self.bytes_per_s}
        if self.work.hops:
            found[LINK] = self.ring_s
        return found

    @property
    def paths(self) -> Paths:
        link = self.chip.link
        # half of what goes in and out, shared by the chip's cores (assumed)
        each = None if link is None else link.value / 2 / self.chip.cores
        return Paths(self.bytes_per_s, each, HOP.value)

    @property
    def ring_s(self) -> float:
        """Of all collectives."""
        return sum(self.paths.ring_s(operation) for operation in self.work.operations)

    @property
    def bound(self) -> str:
        """What binds the roofline."""
        return BOUNDS[max(self.engine_seconds, key=lambda name: self.engine_seconds[name])]

    @property
    def roofline_s(self) -> float:
        return max(self.engine_seconds.values())

    @property
    def core_s(self) -> float:
        """The roofline of the core and its memory, whatever the link takes."""
        return max(took for name, took in self.engine_seconds.items() if name != LINK)

    @cached_property
    def timeline(self) -> Timeline:
        """The list schedule of all that has to be done, layouts and spills included."""
        return schedule(self.work, self.paths)

    @property
    def serial_s(self) -> float:
        """Everything one after the other."""
        return sum(self.timeline.busy_s.values())

    @property
    def overlapped_s(self) -> float:
        """Everything at once: the busiest engine alone."""
        return max(self.timeline.busy_s.values(), default=0.0)

    @property
    def latency_s(self) -> float:
        """The calibrated estimate where there is one, else the schedule's end.

        Collectives were in no measurement: they are added as the documents have them.
        """
        if self.calibrated is None:
            return self.timeline.end_s
        return self.calibrated.seconds + self.ring_s

    @property
    def interval_s(self) -> tuple[float, float] | None:
        """Of the latency; None where it is not calibrated."""
        if self.calibrated is None:
            return None
        return self.calibrated.low + self.ring_s, self.calibrated.high + self.ring_s

    @property
    def invocations_per_s(self) -> float:
        """Forwards of one core, or of the cores that share one."""
        return 1 / self.latency_s

    @property
    def sequences_per_s(self) -> float:
        """Of all cores that share the model together, or of one."""
        return self.survey.batch / self.latency_s

    @property
    def flops_per_s(self) -> float:
        """Of one core."""
        return self.flops / self.latency_s

    @property
    def share_of_peak(self) -> float:
        return self.peak_s / self.latency_s

    @cached_property
    def layers(self) -> tuple[LayerRate, ...]:
        """By the layer that asked, in the order in which they ran."""
        seconds: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        flops: dict[str, int] = defaultdict(int)
        size: dict[str, int] = defaultdict(int)
        moved: dict[str, int] = defaultdict(int)
        for operation in self.work.operations:
            layer = operation.record.layer
            for step in operation.own:
                seconds[layer][step.engine] += self.work.spec.seconds(step)
            seconds[layer][HBM] += operation.fetched / self.bytes_per_s
            if operation.hops:
                seconds[layer][LINK] += self.paths.ring_s(operation)
            flops[layer] += 2 * operation.record.macs
            size[layer] += operation.fetched
            moved[layer] += operation.record.bytes
        return tuple(
            LayerRate(layer, dict(found), flops[layer], size[layer], moved[layer])
            for layer, found in seconds.items()
        )


def features(survey: Survey, work: Work) -> Features:
    """What the calibrated equation takes; Vector and Scalar as on a NeuronCore-v2."""
    reference = Work(work.operations, SPEC_V2).seconds
    return Features(
        tensor_s=work.seconds.get("tensor", 0.0),
        vector_s=reference.get("vector", 0.0),
        scalar_s=reference.get("scalar", 0.0),
        fetched=work.fetched,
        spilled=work.spilled,
        output=survey.output_bytes,
        operations=sum(operation.record.engine != "dma" for operation in work.operations),
    )


def rate(
    model: str, batch: int, tokens: int, chip: Chip, policy: Policy, *,
    calibrated: Calibrated | None = None, era: str | None = None, cores: int = 1, ranks: int = 1,
) -> Rate:  # fmt: skip
    """The rates of one forward.

    cores        that work at the same time, each on a forward of its own
    ranks        cores that share one forward
    calibrated   what measurements decided; None asks for none
    era          of the compiler; by default the calibration's newest

    Raises what `survey` raises, ValueError for an era that the calibration has not.
    """
    surveyed = survey(model, batch, tokens, chip, policy)
    return rate_of(surveyed, chip, policy, calibrated=calibrated, era=era, cores=cores, ranks=ranks)


def rate_of(
    surveyed: Survey, chip: Chip, policy: Policy, *, calibrated: Calibrated | None = None,
    era: str | None = None, cores: int = 1, ranks: int = 1,
) -> Rate:  # fmt: skip
    """`rate` of a survey that is there already."""
    ledger = share(surveyed.ledger, ranks)
    found = work(ledger, chip.spec, ranks)
    whole = Rate(surveyed, chip, policy.name, max(cores, ranks), ledger, found, None, ranks)
    if calibrated is None:
        return whole
    working = max(cores, min(ranks, chip.cores))
    estimate = calibrated.latency(features(surveyed, found), chip, working, era)
    bounded = None if estimate is None else estimate.at_least(whole.core_s)
    return replace(whole, calibrated=bounded)


#: What the compilers of the published measurements did by default: products in bf16. A
#: NeuronCore-v1's casts everything else too, which costs the same there (assumed).
MEASURED_POLICY = "bf16-matmult"


@lru_cache(256)
def _measured_features(model: str, batch: int, tokens: int, chip: str) -> Features:
    rated = RATED_CHIPS[chip]
    surveyed = survey(model, batch, tokens, rated, named_policy(MEASURED_POLICY))
    return features(surveyed, work(surveyed.ledger, rated.spec))


def features_of(where: Configuration) -> Features:
    """Of a measured configuration; without output, a few numbers go back."""
    # Trainium1 has the cores of Inferentia2
    chip = INFERENTIA1 if where.chip == INFERENTIA1.key else INFERENTIA2
    found = _measured_features(where.model, where.batch, where.tokens, chip.key)
    return found if where.output else replace(found, output=0)
