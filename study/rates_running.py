"""`halfulp rates` at work: what was asked becomes rates, tables, pictures and files."""

import json as json_
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from halfulp.dtypes import BF16, E4M3, FP32
from halfulp.engines import UnsupportedFormat
from halfulp.engines.chips import INFERENTIA1, INFERENTIA2, Chip
from halfulp.quant import Policy, UnsupportedOp, named_policy
from halfulp.study import announcement, cli, rates_text
from halfulp.study.architectures import Survey, TooManyTokens, UnknownModel, survey
from halfulp.study.calibrated import (
    Calibrated,
    UnknownEra,
    as_data,
    calibrate,
    of_chips,
    shipped,
)
from halfulp.study.calibration import STRUCTURES
from halfulp.study.capacity import need
from halfulp.study.files import FileNotWritten, write_whole
from halfulp.study.included import BUILT_IN, Hardware, IncludeError, include
from halfulp.study.instances import SMALLEST, Instance
from halfulp.study.ledger_files import write_ledger
from halfulp.study.measured import MEASURED_ROWS, MeasurementError, observations, read_rows
from halfulp.study.parallel import Indivisible
from halfulp.study.perfetto import write_trace
from halfulp.study.progress import WatchedParts
from halfulp.study.rates import Rate, features_of, rate_of
from halfulp.study.rates_data import Offer, knee
from halfulp.study.rates_options import Asked, check_counts, numbers

_CALIBRATION_COMMAND = "halfulp rates --calibration --refit --json FILE"


def calibrated(asked: Asked, *, refit: bool) -> Calibrated:
    """The shipped calibration, or one of these measurements."""
    if asked.measurements is None and not refit:
        return shipped()
    path = asked.measurements or MEASURED_ROWS
    try:
        rows, unread = read_rows(path)
    except MeasurementError as error:
        cli.usage("--measurements", str(error))
    observed = observations(row for row in rows if row.is_fit)
    groups = {name: of_chips(observed, structure) for name, structure in STRUCTURES.items()}
    groups = {name: found for name, found in groups.items() if found}
    total = sum(
        len({one.configuration for one in found}) + len({one.configuration.model for one in found})
        for found in groups.values()
    )
    if not groups:
        cli.usage("--measurements", f"{path}: no row of it can be fitted ({len(unread)} unread)")
    if asked.measurements is not None:
        for one in unread:
            print(f"halfulp: {path}, line {one.line} left out: {one.reason}", file=sys.stderr)
    fitted = {}
    with WatchedParts(total) as progress:

        def done(left_out: str) -> None:
            progress.finish(f"fitted without {left_out}", from_file=False)

        for name, found in groups.items():
            progress.announce(f"what the configurations of {name} ask of a core")
            try:
                fitted[name] = calibrate(found, STRUCTURES[name], features_of, done)
            except ValueError as error:
                cli.usage("--measurements", f"{path}: {error}")
    return Calibrated(fitted)


def run_announcement(asked: Asked, found: Calibrated) -> None:
    """Rebuild the announcement's table."""
    try:
        measured = announcement.rows(found)
    except announcement.MissingCore as error:
        cli.usage("--measurements", str(error))
    _write(asked, announcement.as_json(measured))
    cli.say(rates_text.announcement(measured))
    if not all(cell.equal for cell in announcement.cells()):
        cli.fail("a derived cell is not the printed one")


def run_calibration(asked: Asked, found: Calibrated) -> None:
    """Show what was fitted."""
    if asked.measurements is None:
        data = as_data(found, MEASURED_ROWS, _CALIBRATION_COMMAND)
    else:
        command = f"halfulp rates --calibration --measurements {asked.measurements.name}"
        data = as_data(found, asked.measurements, f"{command} --json FILE")
    _write(asked, data)
    cli.say(rates_text.calibration(found))


def run_model(asked: Asked, found: Calibrated) -> None:
    """The rates of one model."""
    hardware = BUILT_IN
    for path in asked.include:
        try:
            hardware = include(path, hardware)
        except IncludeError as error:
            cli.usage("--include", str(error))
    chip, instance = _where(asked, hardware)
    offers = _offers(asked, chip, instance, found)
    data = {
        "offers": [
            offer.in_full() | ({"operations": offer.operations()} if asked.layers else {})
            for offer in offers
        ],
        "knees": [
            {"batch": one.rate.survey.batch, "tokens": one.rate.survey.tokens}
            for group in rates_text.runs(offers)
            if (one := knee(group))
        ],
    }
    _write(asked, data)
    first = offers[0]
    if asked.picture is not None:
        _draw(asked, first, found, asked.picture)
    try:
        if asked.ledger is not None:
            write_ledger(first.rate.ledger, asked.ledger)
        if asked.trace is not None:
            write_trace(asked.trace, first.rate.ledger, first.rate.timeline.slots)
    except FileNotWritten as error:
        cli.fail(str(error))
    if len(offers) > 1:
        cli.say(rates_text.sweep(offers))
        return
    needs = [need(first.rate.survey, fmt) for fmt in (FP32, BF16, E4M3)]
    cli.say(rates_text.forward(first, every_layer=asked.layers))
    cli.say("\n" + rates_text.specifications(first))
    cli.say("\n" + rates_text.memory(needs, instance))


def _where(asked: Asked, hardware: Hardware) -> tuple[Chip, Instance]:
    """The chip and the instance: of each other, where one is not given."""
    if asked.instance is not None and asked.instance not in hardware.instances:
        allowed = ", ".join(hardware.instances)
        cli.usage("--instance", f"{asked.instance!r} is not known; allowed: {allowed}")
    if asked.instance is not None and asked.chip is None:
        instance = hardware.instances[asked.instance]
        return instance.chip, instance
    name = asked.chip or INFERENTIA2.key
    if name not in hardware.chips:
        cli.usage("--chip", f"{name!r} is no chip; allowed: {', '.join(hardware.chips)}")
    chip = hardware.chips[name]
    if asked.instance is not None:
        instance = hardware.instances[asked.instance]
        if instance.chip != chip:
            cli.usage("--instance", f"{instance.name} has {instance.chip.key}, not {name}")
        return chip, instance
    own = [one for one in hardware.instances.values() if one.chip == chip]
    smallest = hardware.instances.get(SMALLEST.get(name, ""), own[0] if own else None)
    if smallest is None:
        cli.usage("--chip", f"no instance has {name}: give one with its price by --include")
    return chip, smallest


def _offers(asked: Asked, chip: Chip, instance: Instance, found: Calibrated) -> list[Offer]:
    batches, tokens = numbers("--batch", asked.batch), numbers("--tokens", asked.tokens)
    check_counts(asked, instance, len(batches) * len(tokens))
    try:
        policy = named_policy(asked.policy)
    except ValueError as error:
        cli.usage("--policy", str(error))
    offers = []
    with WatchedParts(len(batches) * len(tokens)) as progress:
        for length in tokens:
            for size in batches:
                name = f"{asked.model}, batch {size}, {length} tokens"
                progress.begin(name)
                surveyed = _survey(asked, size, length, chip, policy)
                rate = _rate(asked, surveyed, chip, policy, found, asked.cores)
                full = _rate(asked, surveyed, chip, policy, found, chip.cores)
                offers.append(Offer(rate, full, instance, asked.price))
                progress.finish(name, from_file=False)
    return offers


def _survey(asked: Asked, batch: int, tokens: int, chip: Chip, policy: Policy) -> Survey:
    try:
        return survey(str(asked.model), batch, tokens, chip, policy)
    except UnknownModel as error:
        cli.usage("MODEL", str(error))
    except UnsupportedFormat as error:
        cli.usage("--policy", str(error))
    except UnsupportedOp as error:
        cli.fail(str(error))
    except TooManyTokens as error:
        cli.usage("--tokens", str(error))


def _rate(
    asked: Asked, surveyed: Survey, chip: Chip, policy: Policy, found: Calibrated, cores: int
) -> Rate:
    try:
        return rate_of(
            surveyed, chip, policy, calibrated=found, era=asked.era, cores=cores,
            ranks=asked.ranks,
        )  # fmt: skip
    except UnknownEra as error:
        cli.usage("--era", str(error))
    except Indivisible as error:
        cli.usage("--tensor-parallel", str(error))


def _draw(asked: Asked, offer: Offer, found: Calibrated, path: Path) -> None:
    """Both chips, where the other takes the policy's formats."""
    from halfulp.study.rates_picture import rooflines, save

    rates: Sequence[Rate] = [offer.rate]
    other = INFERENTIA1 if offer.rate.chip.key != INFERENTIA1.key else INFERENTIA2
    policy = named_policy(asked.policy)
    try:
        there = survey(
            str(asked.model), offer.rate.survey.batch, offer.rate.survey.tokens, other, policy
        )
        rates = [rate_of(there, other, policy, calibrated=found, ranks=asked.ranks), offer.rate]
    except UnsupportedFormat:
        pass
    _put(path, save(rooflines(rates), path))


def _write(asked: Asked, data: dict[str, Any]) -> None:
    if asked.json is not None:
        text = json_.dumps(data, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
        _put(asked.json, text.encode())


def _put(path: Path, data: bytes) -> None:
    try:
        write_whole(path, data)
    except FileNotWritten as error:
        cli.fail(str(error))
