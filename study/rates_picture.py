"""Rooflines as a picture: each kind of layer a point under the roof of its chip."""

import io
import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePath
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from halfulp.study.rates import Rate
from halfulp.study.rates_data import Kind, kinds

KINDS = ("png", "svg")
_COLORS = {
    "Tensor": "#0072b2",
    "Vector": "#d55e00",
    "Scalar": "#009e73",
    "HBM": "#cc79a7",
    "GPSIMD": "#e69f00",
    "Link": "#5b4fa2",
}
_INK, _SOFT = "#222222", "#777777"
_GIGA, _TERA = 1e9, 1e12
#: Points nearer than this, in powers of ten, have one label.
_NEAR = 0.15
_NAMES = 3


class Point(NamedTuple):
    """A kind of layer.

    intensity   FLOPs a byte of its operands and results
    flops_per_s at its documented cost
    """

    name: str
    intensity: float
    flops_per_s: float
    bound: str


def points(rate: Rate) -> list[Point]:
    """Every kind of layer that multiplies."""
    return [_point(kind) for kind in kinds(rate.layers) if kind.rate.flops]


def _point(kind: Kind) -> Point:
    layer = kind.rate
    name = kind.name.rpartition("*.")[2] or kind.name
    return Point(name, layer.flops / layer.moved, layer.flops / layer.roofline_s, layer.bound)


def rooflines(rates: Sequence[Rate]) -> Figure:
    """One panel a chip: FLOPs a byte of operands and results, and FLOPs a second of one core."""
    figure = Figure(figsize=(6.4 * len(rates), 5.6), layout="constrained", dpi=150)
    panels = figure.subplots(1, len(rates), squeeze=False, sharey=True)[0]
    for panel, rate in zip(panels, rates, strict=True):
        _panel(panel, rate)
    panels[0].set_ylabel("TFLOP/s of one core")
    survey = rates[0].survey
    figure.suptitle(
        f"{survey.model}, batch {survey.batch}, {survey.tokens} tokens, {rates[0].policy}:"
        " each kind of layer at its documented cost",
        fontsize=11,
    )
    return figure


def _panel(panel: Axes, rate: Rate) -> None:
    found = points(rate)
    peak = rate.flops / rate.peak_s if rate.peak_s else 1.0
    ridge = peak / rate.bytes_per_s
    places = [point.intensity for point in found] + [ridge]
    x = np.geomspace(min(places) / 3, max(places) * 3, 200)
    panel.plot(x, np.minimum(peak, x * rate.bytes_per_s) / _TERA, color=_SOFT, lw=1.5, zorder=1)
    for bound, color in _COLORS.items():
        chosen = [point for point in found if point.bound == bound]
        if chosen:
            panel.scatter(
                [point.intensity for point in chosen],
                [point.flops_per_s / _TERA for point in chosen],
                s=34, color=color, label=f"bound: {bound}", zorder=3,
            )  # fmt: skip
    _label(panel, found)
    whole = rate.flops / sum(layer.moved for layer in rate.layers)
    panel.scatter(
        [whole], [rate.flops_per_s / _TERA], marker="*", s=110, color=_INK, zorder=4,
        label="the model, calibrated" if rate.calibrated else "the model, scheduled",
    )  # fmt: skip
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_xlabel("FLOP per byte of operands and results")
    panel.set_title(
        f"{rate.chip.name}: {peak / _TERA:.1f} TFLOP/s (data sheet),"
        f" {rate.bytes_per_s / _GIGA:.0f} GB/s of the device's memory",
        fontsize=9,
    )
    panel.legend(fontsize=7, loc="lower right")
    panel.grid(which="major", color="#e4e7ec", linewidth=0.6)


def _label(panel: Axes, found: Sequence[Point]) -> None:
    """One text for points that lie together."""
    together: dict[tuple[int, int], list[Point]] = defaultdict(list)
    for point in found:
        place = (math.log10(one) / _NEAR for one in (point.intensity, point.flops_per_s))
        first, second = map(round, place)
        together[first, second].append(point)
    for group in together.values():
        names = [point.name for point in group]
        more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
        panel.annotate(
            "\n".join(names[:_NAMES]) + more,
            (group[0].intensity, group[0].flops_per_s / _TERA),
            textcoords="offset points", xytext=(6, -4), va="top", fontsize=6.5, color=_SOFT,
        )  # fmt: skip


def save(figure: Figure, path: PurePath) -> bytes:
    """The picture as a file's bytes; PNG or SVG by the suffix.

    Raises ValueError for another suffix.
    """
    kind = path.suffix.lstrip(".").lower()
    if kind not in KINDS:
        raise ValueError(f"{path}: a picture is .png or .svg")
    out = io.BytesIO()
    figure.savefig(out, format=kind, metadata={"Date": None} if kind == "svg" else None)
    return out.getvalue()
