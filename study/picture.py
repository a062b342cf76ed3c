"""A sweep as a picture: accuracy and error of every policy, side by side along the peak rate.

From left to right stand the peak rates of the chips' data sheets, lowest first, each a band; in a
band each policy has its own place, so that no two points and no two labels meet. Above: accuracy
with its interval, a panel for each model and task. Below: SQNR of all of them together.
"""

import io
import itertools
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from halfulp.dtypes.wording import counted
from halfulp.study.result import Reference, Row, Sweep

_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5b4fa2", "#8a6d3b")
_INK, _SOFT, _BAND, _BAD = "#222222", "#777777", "#f2f4f7", "#b00020"
_DASHES = (0, (4, 3))

_STEP_IN = 0.46
_LEAST_BAND = 2.2  # steps: the rate and the chip's name must fit over a band of one policy
_LEFT_IN, _RIGHT_IN, _TOP_IN, _BETWEEN_IN = 0.85, 0.25, 1.2, 0.34
_ACCURACY_IN, _SQNR_IN, _LEGEND_IN, _LINE_IN = 1.75, 2.5, 0.24, 0.155


@dataclass(frozen=True)
class Band:
    """The policies of one chip that share a peak rate, from `start` to `end` along x."""

    chip: str
    rate: str
    policies: tuple[str, ...]
    start: float
    end: float

    @property
    def places(self) -> dict[tuple[str, str], float]:
        """The x of each (chip, policy), one step apart in the middle of the band."""
        first = (self.start + self.end - len(self.policies) + 1) / 2
        return {(self.chip, policy): first + i for i, policy in enumerate(self.policies)}


def bands(rows: Sequence[Row]) -> tuple[Band, ...]:
    """A band for each peak rate of each chip, the lowest rate first, those without one last."""

    def key(row: Row) -> tuple[float, str, str]:
        rate = math.inf if row.peak_tops is None else row.peak_tops
        return rate, row.peak_unit or "", row.chip

    found: list[Band] = []
    for (rate, unit, chip), group in itertools.groupby(sorted(rows, key=key), key):
        policies = tuple(dict.fromkeys(row.policy for row in group))
        start = found[-1].end if found else 0.0
        end = start + max(len(policies) + 0.5, _LEAST_BAND)
        name = "no rate stated" if math.isinf(rate) else f"{rate:g} {unit}"
        found.append(Band(chip, name, policies, start, end))
    return tuple(found)


def to_png(sweep: Sweep) -> bytes:
    """The picture as the bytes of a PNG file.

    Raises ValueError when the sweep has no rows.
    """
    out = io.BytesIO()
    draw(sweep).savefig(out, format="png")
    return out.getvalue()


def draw(sweep: Sweep) -> Figure:
    """The picture as a figure of matplotlib.

    Raises ValueError when the sweep has no rows.
    """
    if not sweep.rows:
        raise ValueError("the sweep has no finished cell to draw")
    workloads = list(dict.fromkeys((row.model, row.task) for row in sweep.rows))
    along = bands(sweep.rows)
    places = {key: x for band in along for key, x in band.places.items()}
    references = {(r.model, r.task): r for r in sweep.references}
    figure, panels = _panels(sweep, workloads, along)
    error, time = panels[len(workloads)], panels[len(workloads) + 1 :]
    for number, (workload, panel) in enumerate(zip(workloads, panels, strict=False)):
        rows = [row for row in sweep.rows if (row.model, row.task) == workload]
        color = _COLORS[number % len(_COLORS)]
        _accuracy(panel, rows, places, references.get(workload), color)
        shift = 0.5 * ((number + 0.5) / len(workloads) - 0.5)
        shifted = {key: x + shift for key, x in places.items()}
        _sqnr(error, rows, shifted, color)
        for place in time:
            _latency(place, rows, shifted, color)
    error.set_ylim(bottom=0)
    error.set_ylabel("SQNR, dB", fontsize=9)
    _title(error, "error against torch float32: 6 dB more are half the error", _INK)
    for place in time:
        place.set_ylim(bottom=0)
        place.set_ylabel("ms", fontsize=9)
        _title(place, "calibrated latency of one text of 128 tokens on one core", _INK)
    _dress(panels, along, places)
    return figure


def _panels(
    sweep: Sweep, workloads: Sequence[tuple[str, str]], along: Sequence[Band]
) -> tuple[Figure, list[Axes]]:
    width = max(7.5, _LEFT_IN + _RIGHT_IN + _STEP_IN * along[-1].end)
    footnote = textwrap.wrap(_footnote(sweep), int(16.5 * (width - _LEFT_IN - _RIGHT_IN)))
    handles = _legend(workloads)
    columns = max(1, int((width - _LEFT_IN) / 2.1))
    foot = 0.2 + _LINE_IN * len(footnote)
    legend = foot + _LEGEND_IN * math.ceil(len(handles) / columns)
    longest = max(len(policy) for band in along for policy in band.policies)
    below = legend + 0.25 + 0.062 * longest
    rated = any(row.latency_ms is not None for row in sweep.rows)
    heights = [_ACCURACY_IN] * len(workloads) + [_SQNR_IN] + [_ACCURACY_IN] * rated
    height = _TOP_IN + sum(heights) + _BETWEEN_IN * (len(heights) - 1) + below
    figure = Figure(figsize=(width, height), dpi=130, facecolor="white")
    panels, top, left = [], height - _TOP_IN, _LEFT_IN / width
    for panel_in in heights:
        across = 1 - left - _RIGHT_IN / width
        panels.append(figure.add_axes((left, (top - panel_in) / height, across, panel_in / height)))
        top -= panel_in + _BETWEEN_IN
    figure.text(left, 0.12 / height, "\n".join(footnote), fontsize=7.5, color=_SOFT, va="bottom")
    figure.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(left, foot / height),
        borderaxespad=0,
        borderpad=0,
        ncols=columns,
        fontsize=8.5,
        frameon=False,
    )
    heading = "Accuracy and error against peak rate"
    figure.text(left, 1 - 0.2 / height, heading, va="top", fontsize=14, color=_INK, weight="bold")
    return figure, panels


def _legend(workloads: Sequence[tuple[str, str]]) -> list[Line2D]:
    return [
        *(
            Line2D([], [], color=color, marker="o", lw=2, ms=6, label=_name(*workload))
            for workload, color in zip(workloads, itertools.cycle(_COLORS), strict=False)
        ),
        Line2D([], [], color=_SOFT, ls=_DASHES, lw=1, label="accuracy of torch float32"),
        Line2D([], [], color=_BAD, marker="v", lw=0, ms=8, label="accuracy below the axis"),
        Line2D([], [], color=_BAD, marker="x", lw=0, mew=2, label="NaN or infinite logits"),
        Line2D([], [], color=_SOFT, marker="*", lw=0, ms=8, label="equal to float32"),
    ]


def _name(model: str, task: str) -> str:
    # A local folder is named by its path: its last part is enough here.
    return f"{PurePath(model).name or model}, {task}"


def _title(panel: Axes, text: str, color: str) -> None:
    panel.set_title(text, loc="left", fontsize=10, color=color, weight="bold", pad=4)


def _accuracy(
    panel: Axes,
    rows: Sequence[Row],
    places: dict[tuple[str, str], float],
    reference: Reference | None,
    color: str,
) -> None:
    known = [row for row in rows if row.accuracy is not None]
    sound = [row for row in known if not row.collapsed] or known
    values = [100 * (end or 0.0) for row in sound for end in (row.accuracy_low, row.accuracy_high)]
    if reference is not None and reference.accuracy is not None:
        values.append(100 * reference.accuracy)
        panel.axhline(100 * reference.accuracy, color=_SOFT, lw=1, ls=_DASHES, zorder=1)
    low, high = min(values, default=0.0), max(values, default=100.0)
    pad = max(0.18 * (high - low), 0.5)
    panel.set_ylim(low - pad, high + pad)
    for row in known:
        assert row.accuracy is not None
        y, x = 100 * row.accuracy, places[row.chip, row.policy]
        if y < low - pad:
            _below_the_axis(panel, x, low - pad, f"{y:.1f} %")
            continue
        start, end = 100 * (row.accuracy_low or 0.0), 100 * (row.accuracy_high or 0.0)
        panel.vlines(x, start, end, color=color, alpha=0.35, lw=3, zorder=2)
        panel.plot(x, y, marker="o", ms=6, color=color, mec="white", mew=0.7, zorder=3)
    row = rows[0]
    count = counted(row.samples, "token" if row.detection else "sample")
    _title(panel, f"{_name(row.model, row.task)}: {count}", color)
    panel.set_ylabel("accuracy, %", fontsize=9)


def _below_the_axis(panel: Axes, x: float, bottom: float, text: str) -> None:
    panel.plot(x, bottom, marker="v", ms=8, color=_BAD, clip_on=False, zorder=4)
    panel.annotate(
        text,
        (x, bottom),
        xytext=(0, 8),
        textcoords="offset points",
        ha="center",
        fontsize=8,
        color=_BAD,
        weight="bold",
    )


def _sqnr(
    panel: Axes, rows: Sequence[Row], places: dict[tuple[str, str], float], color: str
) -> None:
    for row in rows:
        x, y = places[row.chip, row.policy], row.sqnr_db
        if y is not None:
            panel.vlines(x, 0, y, color=color, alpha=0.3, lw=2, zorder=2)
            panel.plot(x, y, marker="o", ms=5.5, color=color, mec="white", mew=0.6, zorder=3)
        elif row.relative_error == 0:
            place = panel.get_xaxis_transform()
            panel.plot(x, 0.97, marker="*", ms=9, color=color, transform=place, zorder=4)
        else:
            panel.plot(x, 0, marker="x", ms=6, mew=2, color=_BAD, clip_on=False, zorder=4)


def _latency(
    panel: Axes, rows: Sequence[Row], places: dict[tuple[str, str], float], color: str
) -> None:
    for row in rows:
        if row.latency_ms is not None:
            x = places[row.chip, row.policy]
            low, high = row.latency_low_ms or 0.0, row.latency_high_ms or 0.0
            panel.vlines(x, low, high, color=color, alpha=0.35, lw=3)
            panel.plot(x, row.latency_ms, marker="o", ms=5.5, color=color, mec="white", mew=0.6)


def _dress(
    panels: Sequence[Axes], along: Sequence[Band], places: dict[tuple[str, str], float]
) -> None:
    for number, band in enumerate(along):
        for panel in panels:
            if number % 2 == 0:
                panel.axvspan(band.start, band.end, color=_BAND, zorder=0, lw=0)
        for text, up, weight in ((band.rate, 35, "bold"), (band.chip, 23, "normal")):
            panels[0].annotate(
                text,
                ((band.start + band.end) / 2, 1),
                xycoords=("data", "axes fraction"),
                xytext=(0, up),
                textcoords="offset points",
                ha="center",
                fontsize=9,
                color=_INK,
                weight=weight,
            )
    for panel in panels:
        panel.set_xlim(along[0].start, along[-1].end)
        panel.set_xticks([])
        panel.tick_params(axis="y", labelsize=8, color=_SOFT)
        panel.grid(axis="y", color="#dddddd", lw=0.6, zorder=0)
        panel.set_axisbelow(True)
        for side in ("top", "right", "bottom"):
            panel.spines[side].set_visible(False)
    panels[-1].set_xticks(list(places.values()))
    policies = [policy for _, policy in places]
    panels[-1].set_xticklabels(
        policies, rotation=55, ha="right", rotation_mode="anchor", fontsize=8.5
    )
    panels[-1].tick_params(axis="x", length=0, pad=3)


def _footnote(sweep: Sweep) -> str:
    rates: dict[str, dict[str, None]] = {}
    for row in sweep.rows:
        if row.peak_tops is not None:
            rate = f"{row.chip} {row.peak_tops:g} {row.peak_unit}"
            rates.setdefault(row.peak_source, {})[rate] = None
    sources = (f"{', '.join(known)}: {source}" for source, known in rates.items())
    return (
        "Emulated on a CPU. Bars: Wilson 95 % interval. SQNR = 10 log10 (power of float32's logits"
        f" / power of the error). Peak rates of a whole chip, not measured: {'; '.join(sources)}."
        " Latency: fitted to published measurements of bf16-matmult, its bar nine of ten"
        " configurations that were left out."
    )
