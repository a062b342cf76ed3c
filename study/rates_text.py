"""Rates as text: tables for people."""

import io
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from halfulp.study.announcement import SOURCE, Measured, cells
from halfulp.study.calibrated import Calibrated, Errors
from halfulp.study.capacity import Need, fits
from halfulp.study.instances import Instance
from halfulp.study.rates import BOUNDS
from halfulp.study.rates_data import Offer, kinds, knee, peaks

_TERA = 1e12
_MEGA = 1e6
_GIGA = 1e9


def text_of(*parts: Table | str) -> str:
    """Tables and lines, one under the other; a number is never cut short."""
    widths = [
        Console(width=1000).measure(part).maximum for part in parts if isinstance(part, Table)
    ]
    out = io.StringIO()
    console = Console(file=out, width=max([100, *widths]), highlight=False, emoji=False)
    for part in parts:
        console.print(part, markup=False)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, words: bool = False
) -> Table:
    """Numbers to the right of their columns; `words` stand in the last one."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.title, table.title_justify, table.title_style = title, "left", "bold"
    for index, column in enumerate(columns):
        left = not index or (words and index == len(columns) - 1)
        table.add_column(column, justify="left" if left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def forward(offer: Offer, *, every_layer: bool = False) -> str:
    """One forward: the three numbers, what it brings and costs, engines, layers."""
    rate, survey = offer.rate, offer.rate.survey
    shared = f", shared by {rate.ranks} cores" if rate.ranks > 1 else ""
    title = (
        f"{survey.model}, batch {survey.batch}, {survey.tokens} tokens, {rate.policy},"
        f" {rate.chip.name}{shared}"
    )
    parts: list[Table | str] = [
        _table(title, ("", "ms", "what it is"), _three(offer), words=True),
        "",
        _table("", ("with that latency", "", ""), _brings(offer), words=True),
        "",
        _table("one core, at the documented costs", _ENGINE_COLUMNS, _engines(offer)),
        "",
        _layers(offer, every_layer),
    ]
    if survey.note:
        parts += ["", f"{survey.model}: {survey.note}"]
    return text_of(*parts)


def _three(offer: Offer) -> list[tuple[str, str, str]]:
    rate = offer.rate
    found = [
        ("peak", _ms(rate.peak_s), "the products at the data sheet's rate"),
        ("roofline", _ms(rate.roofline_s), f"the documented costs, all overlapped: {rate.bound}"),
        ("schedule", _ms(rate.timeline.end_s),
         f"with layouts and spills, as dependencies allow; {_ms(rate.overlapped_s)} all at once,"
         f" {_ms(rate.serial_s)} one by one"),
    ]  # fmt: skip
    estimate = rate.calibrated
    if estimate is None:
        return [*found, ("calibrated", "-", "no measurement is of this chip")]
    low, high = rate.interval_s or (0.0, 0.0)
    beside = f"; {_ms(rate.ring_s)} of it collectives, not measured" if rate.work.hops else ""
    text = f"{_ms(low)} to {_ms(high)} (nine of ten), compiler of {estimate.era}{beside}"
    return [*found, ("calibrated", _ms(rate.latency_s), text)]


def _brings(offer: Offer) -> list[tuple[str, str, str]]:
    rate, price = offer.rate, offer.instance.price(offer.price)
    whose = f"{rate.ranks} cores together" if rate.ranks > 1 else "one core"
    return [
        ("TFLOPS", f"{rate.flops_per_s / _TERA:.2f}", f"{_percent(rate.share_of_peak)} of peak"),
        ("invocations/s", f"{rate.invocations_per_s:.2f}", f"of {whose}"),
        ("sequences/s", f"{rate.sequences_per_s:.2f}", f"of {whose}"),
        ("USD per million", f"{offer.usd_alone * _MEGA:.3f}",
         f"sequences, one request at a time on {offer.instance.name}"),
        ("", f"{offer.usd_full * _MEGA:.3f}", "with all its cores at work"),
        ("price, USD/h", f"{price.value:g}", f"{price.source}, {price.as_of}"),
    ]  # fmt: skip


_ENGINE_COLUMNS = ("engine", "least ms", "scheduled ms", "share of the schedule")


def _engines(offer: Offer) -> list[tuple[str, ...]]:
    rate = offer.rate
    busy = rate.timeline.busy_s
    found: list[tuple[str, ...]] = []
    for name, least in sorted(rate.engine_seconds.items(), key=lambda item: -item[1]):
        took = busy.get("dma" if name == "HBM" else name, 0.0)
        share = _percent(took / rate.timeline.end_s) if rate.timeline.end_s else "-"
        found.append((BOUNDS[name], _ms(least), _ms(took), share))
    return found


def _layers(offer: Offer, every_layer: bool) -> Table:
    rate = offer.rate
    names = list(rate.engine_seconds)
    rows = []
    if every_layer:
        shown = [(layer.layer, layer) for layer in rate.layers]
    else:
        shown = [
            (kind.name + (f" x {kind.count}" if kind.count > 1 else ""), kind.rate)
            for kind in kinds(rate.layers)
        ]
    for name, layer in shown:
        rows.append((
            name or "(the model)",
            f"{layer.flops / _GIGA:.3f}",
            f"{layer.bytes / _MEGA:.2f}",
            *(_ms(layer.seconds.get(engine, 0.0)) for engine in names),
            layer.bound,
        ))  # fmt: skip
    columns = ("layer", "GFLOP", "MB", *(f"{BOUNDS[name]} ms" for name in names), "bound")
    return _table("by layer, the least of each engine", columns, rows)


_SWEEP_COLUMNS = (
    *("batch", "tokens", "peak ms", "roofline ms", "bound", "calibrated ms", "interval"),
    *("TFLOPS", "of peak", "inv/s", "seq/s", "USD/M", ""),
)


def sweep(offers: Sequence[Offer]) -> str:
    """One line a forward; the knee is marked in each run of growing work."""
    rate = offers[0].rate
    marked = {id(found) for group in runs(offers) if (found := knee(group))}
    rows = []
    for offer in offers:
        rate = offer.rate
        estimate, interval = rate.calibrated, rate.interval_s
        spread = "-" if interval is None else "..".join(map(_ms, interval))
        rows.append((
            str(rate.survey.batch), str(rate.survey.tokens), _ms(rate.peak_s),
            _ms(rate.roofline_s), rate.bound, "-" if estimate is None else _ms(rate.latency_s),
            spread, f"{rate.flops_per_s / _TERA:.2f}", _percent(rate.share_of_peak),
            f"{rate.invocations_per_s:.2f}", f"{rate.sequences_per_s:.2f}",
            f"{offer.usd_alone * _MEGA:.3f}", "knee" if id(offer) in marked else "",
        ))  # fmt: skip
    title = f"{rate.survey.model}, {rate.policy}, {rate.chip.name}, {offers[0].instance.name}"
    note = "knee: beyond it, throughput grows by less than half of what the work grows by"
    return text_of(_table(title, _SWEEP_COLUMNS, rows), "", note)


def runs(offers: Sequence[Offer]) -> list[list[Offer]]:
    """Those of the same number of tokens by batch, and those of the same batch by tokens."""
    batches = {offer.rate.survey.batch for offer in offers}
    tokens = {offer.rate.survey.tokens for offer in offers}
    by_batch = [[o for o in offers if o.rate.survey.tokens == one] for one in sorted(tokens)]
    by_tokens = [[o for o in offers if o.rate.survey.batch == one] for one in sorted(batches)]
    if len(batches) > 1:
        return [sorted(group, key=lambda o: o.rate.survey.batch) for group in by_batch]
    return [sorted(group, key=lambda o: o.rate.survey.tokens) for group in by_tokens]


def announcement(measured: Sequence[Measured]) -> str:
    """The announcement's table again, and its eight latencies beside their rates."""
    twenty = cells()
    printed = _table(
        f"{SOURCE}: what follows from 8 latencies and 2 prices",
        ("model", "batch", "cell", "printed", "derived", ""),
        [
            (cell.model, str(cell.batch), cell.name, cell.printed, cell.derived,
             "equal" if cell.equal else "DIFFERENT")
            for cell in twenty
        ],
    )  # fmt: skip
    columns = (
        *("model", "batch", "tokens", "chip", "peak ms", "roofline ms", "bound"),
        *("calibrated ms", "measured ms", "peak", "roofline", "calibrated"),
    )
    rows = []
    for one in measured:
        row = one.as_json()
        rows.append((
            row["model"], str(row["batch"]), str(row["tokens"]), row["chip"],
            f"{row['peak_ms']:.3f}", f"{row['roofline_ms']:.3f}", row["bound"],
            f"{row['calibrated_ms']:.3f}", f"{row['measured_ms']:.2f}",
            *(f"{row[f'{name}_to_measured']:.2f}" for name in ("peak", "roofline", "calibrated")),
        ))  # fmt: skip
    table = _table("the last three columns: of the measured latency", columns, rows)
    equal = sum(cell.equal for cell in twenty)
    notes = (
        f"{equal} of {len(twenty)} cells equal",
        "Throughput counts invocations, whatever their batch; cost is the whole instance's for one"
        " sequence, one request at a time on one core. No row of these was fitted.",
    )
    return text_of(printed, "", table, "", *notes)


def calibration(calibrated: Calibrated) -> str:
    """Fitted numbers, and the errors of what was left out."""
    parts: list[Table | str] = []
    for name, fitted in calibrated.fitted.items():
        values = fitted.calibration.values
        chosen = fitted.calibration.structure.fitted
        rows = [(key, f"{values[key]:.6g}") for key in chosen]
        parts += [_table(f"{name}: fitted", ("number", "value"), rows), ""]
        kinds_of = {
            "in the fit": fitted.in_sample,
            "configuration left out": fitted.configuration,
            "architecture left out": fitted.architecture,
        }
        found = [(kind, *_errors(errors)) for kind, errors in kinds_of.items()]
        columns = ("|estimate / measured - 1|", "observations", "median", "90 %", "worst")
        parts += [_table(name, columns, found), ""]
    return text_of(*parts)


def _errors(errors: Errors | None) -> tuple[str, ...]:
    if errors is None:
        return "0", "-", "-", "-"
    return str(errors.observations), *map(_percent, (errors.median, errors.p90, errors.worst))


def memory(needs: Sequence[Need], instance: Instance) -> str:
    """Does the model fit into an instance, in each format?"""
    rows = [
        (one.fmt.name, *(f"{size / _GIGA:.2f}" for size in (
            one.weights, one.cache, one.activations, one.total)),
         "yes" if fits(one, instance) else "no")
        for one in needs
    ]  # fmt: skip
    title = f"memory in GB; {instance.name} has {instance.memory_bytes / _GIGA:.1f}"
    columns = ("format", "weights", "keys and values", "activations", "together", "fits")
    return text_of(_table(title, columns, rows))


def specifications(offer: Offer) -> str:
    """The data sheet's peaks and those of array and clock, apart, of one core."""
    rows = [
        (name, f"{value / _TERA:.2f}", source) for name, value, source in peaks(offer.rate.chip)
    ]
    title = f"{offer.rate.chip.name}: 10^12 operations a second of one core"
    return text_of(_table(title, ("specification", "", "source"), rows, words=True))
