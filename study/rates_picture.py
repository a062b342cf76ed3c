"""Rooflines as a picture: each layer a point under the roof of its chip."""

import io
from collections.abc import Sequence
from pathlib import PurePath

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from halfulp.study.rates import BOUNDS, LayerRate, Rate
from halfulp.study.rates_data import kinds

KINDS = ("png", "svg")
_COLORS = {
    "Tensor": "#0072b2",
    "Vector": "#d55e00",
    "Scalar": "#009e73",
    "HBM": "#cc79a7",
    "GPSIMD": "#e69f00",
    "Link": "#5b4fa2",
}
_SOFT = "#777777"
_GIGA, _TERA = 1e9, 1e12


def rooflines(rates: Sequence[Rate]) -> Figure:
    """One panel a chip: FLOPs a byte of the device's memory, and FLOPs a second."""
    figure = Figure(figsize=(6.2 * len(rates), 5.4), layout="constrained", dpi=150)
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
    layers = [kind.rate for kind in kinds(rate.layers) if kind.rate.flops and kind.rate.bytes]
    peak = rate.flops / rate.peak_s if rate.peak_s else 1.0
    places = [(layer.flops / layer.bytes, layer) for layer in layers]
    least = min([place for place, _ in places], default=1.0) / 4
    most = max([place for place, _ in places] + [peak / rate.bytes_per_s]) * 4
    x = np.geomspace(least, most, 200)
    roof = np.minimum(peak, x * rate.bytes_per_s)
    panel.plot(x, roof / _TERA, color=_SOFT, linewidth=1.5, zorder=1)
    for bound, color in _COLORS.items():
        chosen = [(place, layer) for place, layer in places if layer.bound == bound]
        if chosen:
            panel.scatter(
                [place for place, _ in chosen],
                [layer.flops / layer.roofline_s / _TERA for _, layer in chosen],
                s=34, color=color, label=f"bound: {bound}", zorder=3,
            )  # fmt: skip
    for place, layer in places:
        panel.annotate(
            _short(layer), (place, layer.flops / layer.roofline_s / _TERA),
            textcoords="offset points", xytext=(5, -9), fontsize=6.5, color=_SOFT,
        )  # fmt: skip
    _whole(panel, rate)
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_xlabel("FLOP per byte of the device's memory")
    panel.set_title(
        f"{rate.chip.name}: {peak / _TERA:.1f} TFLOP/s (data sheet),"
        f" {rate.bytes_per_s / _GIGA:.0f} GB/s",
        fontsize=9,
    )
    panel.legend(fontsize=7, loc="lower right")
    panel.grid(which="major", color="#e4e7ec", linewidth=0.6)


def _whole(panel: Axes, rate: Rate) -> None:
    """The model itself, at its estimate."""
    if rate.work.fetched:
        place = rate.flops / rate.work.fetched
        label = "model, calibrated" if rate.calibrated else "model, scheduled"
        panel.scatter(
            [place], [rate.flops_per_s / _TERA], marker="*", s=110, color="#222222", label=label,
            zorder=4,
        )  # fmt: skip


def _short(layer: LayerRate) -> str:
    return layer.layer.rpartition("*.")[2] or layer.layer


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


assert set(_COLORS) == set(BOUNDS.values())
