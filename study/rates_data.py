"""Rates as data: what JSON, CSV and the tables have of one forward."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from halfulp.engines.chips import Chip
from halfulp.study.instances import Instance
from halfulp.study.rates import BOUNDS, LayerRate, Rate
from halfulp.study.work import Operation

#: A throughput that grows by less than this share of what the work grows has passed the knee.
_KNEE = 0.5
_MILLION = 1_000_000


@dataclass(frozen=True)
class Offer:
    """A rate on an instance that is paid for.

    full    the same with every core of a chip at work
    price   kind of the price; None for the instance's first
    """

    rate: Rate
    full: Rate
    instance: Instance
    price: str | None = None

    @property
    def usd_alone(self) -> float:
        """One sequence, with one request at a time on the whole instance."""
        rate = self.rate
        return self.instance.usd(rate.latency_s, self.price) / rate.survey.batch

    @property
    def usd_full(self) -> float:
        """One sequence, with every core of the instance at work."""
        at_once = max(1, self.instance.cores // self.rate.ranks)
        seconds = self.full.latency_s / at_once
        return self.instance.usd(seconds, self.price) / self.rate.survey.batch

    def as_json(self) -> dict[str, Any]:
        """Milliseconds, seconds, bytes and dollars, each under a name that says so."""
        rate, price = self.rate, self.instance.price(self.price)
        estimate = rate.calibrated
        low, high = rate.interval_s or (None, None)
        return {
            "model": rate.survey.model,
            "batch": rate.survey.batch,
            "tokens": rate.survey.tokens,
            "policy": rate.policy,
            "chip": rate.chip.key,
            "instance": self.instance.name,
            "cores_at_work": rate.cores,
            "tensor_parallel": rate.ranks,
            "flops": rate.flops,
            "fetched_bytes": rate.work.fetched,
            "spilled_bytes": rate.work.spilled,
            "peak_ms": rate.peak_s * 1e3,
            "roofline_ms": rate.roofline_s * 1e3,
            "bound": rate.bound,
            "overlapped_ms": rate.overlapped_s * 1e3,
            "scheduled_ms": rate.timeline.end_s * 1e3,
            "serial_ms": rate.serial_s * 1e3,
            "calibrated_ms": None if estimate is None else rate.latency_s * 1e3,
            "calibrated_low_ms": None if low is None else low * 1e3,
            "calibrated_high_ms": None if high is None else high * 1e3,
            "era": None if estimate is None else estimate.era,
            "collectives_ms": rate.ring_s * 1e3,
            "flops_per_s": rate.flops_per_s,
            "share_of_peak": rate.share_of_peak,
            "invocations_per_s": rate.invocations_per_s,
            "sequences_per_s": rate.sequences_per_s,
            "usd_per_million": self.usd_alone * _MILLION,
            "usd_per_million_all_cores": self.usd_full * _MILLION,
            "usd_per_hour": price.value,
            "price_source": f"{price.source}, {price.as_of}",
            "note": rate.survey.note,
        }

    def in_full(self) -> dict[str, Any]:
        """`as_json` with engines and layers."""
        return {
            **self.as_json(),
            "engines": {
                BOUNDS[name]: seconds * 1e3 for name, seconds in self.rate.engine_seconds.items()
            },
            "layers": [layer_json(one) for one in self.rate.layers],
        }

    def operations(self) -> list[dict[str, Any]]:
        """Every operation of the ledger with its traffic, cycles and flags."""
        return [operation_json(one) for one in self.rate.work.operations]


def layer_json(layer: LayerRate) -> dict[str, Any]:
    """One layer: milliseconds by engine, what binds it."""
    return {
        "layer": layer.layer,
        "flops": layer.flops,
        "bytes": layer.bytes,
        "moved_bytes": layer.moved,
        "bound": layer.bound,
        "roofline_ms": layer.roofline_s * 1e3,
        "engines_ms": {BOUNDS[name]: seconds * 1e3 for name, seconds in layer.seconds.items()},
    }


def operation_json(operation: Operation) -> dict[str, Any]:
    """One operation: bytes of each memory, cycles of each engine, what is odd about it.

    flags   "from psum": it takes an operand there; "spills"; "fetches"; "transposed": on its way to
            a product
    """
    record, moved = operation.record, operation.traffic
    cycles: dict[str, int] = defaultdict(int)
    for step in operation.steps:
        cycles[step.engine] += step.cycles
    flags = {
        "from psum": operation.psum,
        "fetches": operation.fetched > 0,
        "spills": operation.spilled > 0,
        "transposed": record.engine != "tensor" and "tensor" in cycles,
    }
    return {
        "record": operation.index,
        "layer": record.layer,
        "engine": record.engine,
        "instruction": record.instruction,
        "shapes": [list(shape) for shape in record.shapes],
        "tiles": [[repr(one.instruction), one.number] for one in record.issued],
        "formats": list(record.formats),
        "accumulator": record.accumulator,
        "macs": record.macs,
        "elements": record.elements,
        "hbm_bytes": operation.fetched + operation.spilled,
        "sbuf_bytes": moved.sbuf,
        "psum_bytes": moved.psum,
        "link_bytes": operation.linked,
        "cycles": dict(cycles),
        "needs": list(record.needs),
        "flags": [name for name, holds in flags.items() if holds],
    }


@dataclass(frozen=True)
class Kind:
    """Layers whose names differ in their numbers only, together."""

    name: str
    count: int
    rate: LayerRate


_NUMBER = re.compile(r"(?<=\.)\d+(?=\.|$)")


def kinds(layers: Sequence[LayerRate]) -> list[Kind]:
    """The layers by kind, in the order of the first of each."""
    found: dict[str, list[LayerRate]] = defaultdict(list)
    for layer in layers:
        found[_NUMBER.sub("*", layer.layer)].append(layer)
    return [Kind(name, len(group), _together(name, group)) for name, group in found.items()]


def _together(name: str, group: Sequence[LayerRate]) -> LayerRate:
    seconds: dict[str, float] = defaultdict(float)
    for layer in group:
        for engine, took in layer.seconds.items():
            seconds[engine] += took
    return LayerRate(
        name,
        dict(seconds),
        sum(one.flops for one in group),
        sum(one.bytes for one in group),
        sum(one.moved for one in group),
    )


def knee(offers: Sequence[Offer]) -> Offer | None:
    """Where more work at once stops to pay: the last before throughput grows by less than half.

    Of forwards that grow in tokens together; None for fewer than two, and where it pays to the end.
    """
    for before, after in zip(offers, offers[1:], strict=False):
        more = _tokens(after) / _tokens(before)
        gain = (_tokens(after) / after.rate.latency_s) / (_tokens(before) / before.rate.latency_s)
        if gain - 1 < _KNEE * (more - 1):
            return before
    return None


def _tokens(offer: Offer) -> int:
    return offer.rate.survey.batch * offer.rate.survey.tokens


def peaks(chip: Chip) -> list[tuple[str, float, str]]:
    """(name, operations a second of one core, source), the two sets of specifications apart."""
    sheet = [
        (f"data sheet, {label}", peak.ops_per_s / chip.cores, peak.source)
        for label, peak in (("INT8", chip.int8), ("16 bits", chip.half), ("FP32", chip.wide))
        if peak is not None
    ]
    clock = chip.spec.tensor_clock
    return [*sheet, ("array x clock, 16 bits", chip.spec.ops_per_s, clock.source)]
