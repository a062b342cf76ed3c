"""The pictures of docs/rounding.md, drawn by the library itself: `python docs/pictures.py`."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from halfulp.dtypes import (
    E2M1FN,
    E2M3FN,
    E3M2FN,
    E4M3,
    FORMATS,
    FloatFormat,
    Overflow,
    Philox,
    Subnormals,
    decode,
    parse_format,
    round_to,
)
from halfulp.dtypes.rounding import DETERMINISTIC

FOLDER = Path(__file__).parent
_BLUE, _ORANGE, _GREEN, _INK, _SOFT = "#0072b2", "#d55e00", "#009e73", "#222222", "#999999"
_DRAWS = 4000


def finite_values(fmt: FloatFormat) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Every finite value of a format of few bits, ascending."""
    values: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = decode(
        np.arange(1 << fmt.bits), fmt
    )
    return np.unique(values[np.isfinite(values)])


def grids() -> Figure:
    """Above: the values of small formats on a line. Below: the ranges of the named ones."""
    figure = Figure(figsize=(8.6, 7.4), layout="constrained")
    line, ranges = figure.subplots(2, 1, height_ratios=(1, 2.1))
    shown = (E2M1FN, E2M3FN, E3M2FN, parse_format("cfp8(3,4)"), parse_format("float(2,1)"))
    for row, fmt in enumerate(fmt for fmt in shown if isinstance(fmt, FloatFormat)):
        values = finite_values(fmt)
        values = values[abs(values) <= 8]
        small = abs(values) < fmt.tiny
        line.vlines(values[~small], row - 0.3, row + 0.3, color=_BLUE, linewidth=1)
        line.vlines(values[small], row - 0.3, row + 0.3, color=_ORANGE, linewidth=1)
    line.set_yticks(range(len(shown)), [str(fmt) for fmt in shown])
    line.set_xlim(-8.2, 8.2)
    line.invert_yaxis()
    line.set_xlabel("value")
    line.set_title(
        "Values from -8 to 8; orange: zero and the subnormal ones", loc="left", fontsize=10
    )
    floats = {name: fmt for name, fmt in FORMATS.items() if isinstance(fmt, FloatFormat)}
    for row, fmt in enumerate(floats.values()):
        smallest, tiny, top = (np.log2(x) for x in (fmt.smallest_subnormal, fmt.tiny, fmt.max))
        ranges.barh(row, top - tiny, left=tiny, height=0.55, color=_BLUE)
        ranges.barh(row, tiny - smallest, left=smallest, height=0.55, color=_ORANGE)
        ranges.annotate(
            f"{fmt.max:.4g}", (top, row), (4, 0), textcoords="offset points",
            va="center", fontsize=8, color=_INK,
        )  # fmt: skip
    ranges.set_yticks(range(len(floats)), list(floats))
    ranges.invert_yaxis()
    ranges.set_xlim(-155, 175)
    ticks = (-149, -126, -64, 0, 64, 127)
    ranges.set_xticks(ticks, [f"$2^{{{tick}}}$" for tick in ticks])
    ranges.set_xlabel("magnitude")
    ranges.axvline(0, color=_SOFT, linewidth=0.6, zorder=0)
    ranges.set_title(
        "Positive values, from the smallest to the largest; orange: subnormal",
        loc="left",
        fontsize=10,
    )
    return figure


def _steps(axes: Axes, x: np.ndarray[tuple[int, ...], np.dtype[np.float64]], y: object) -> None:
    """A function of steps as dots so dense that each step is a line, without its risers."""
    axes.plot(x, y, ".", color=_BLUE, markersize=1.4)  # type: ignore[arg-type]


def roundings() -> Figure:
    """What each deterministic mode makes of the numbers between -4 and 4 in e2m1fn."""
    figure = Figure(figsize=(8.6, 6.2), layout="constrained")
    x = np.linspace(-4, 4, 6401)
    values = finite_values(E2M1FN)
    values = values[abs(values) <= 4]
    ties = (values[1:] + values[:-1]) / 2
    panels = figure.subplots(2, 3, sharex=True, sharey=True).flat
    for axes, rounding in zip(panels, DETERMINISTIC, strict=True):
        axes.plot(x, x, color=_SOFT, linewidth=0.6)
        _steps(axes, x, round_to(x, E2M1FN, rounding=rounding))
        axes.plot(ties, round_to(ties, E2M1FN, rounding=rounding), "o", color=_ORANGE, markersize=3)
        axes.set_title(rounding.value, fontsize=10)
        axes.set_xticks(range(-4, 5, 2))
        axes.set_yticks(values, [f"{v:g}" if abs(v) != 0.5 else "" for v in values], fontsize=8)
        axes.grid(axis="y", color="#eeeeee", linewidth=0.6)
        axes.set_aspect("equal")
    figure.supxlabel("x", fontsize=10)
    figure.supylabel("round_to(x, e2m1fn)", fontsize=10)
    figure.suptitle("what each mode makes of x; orange: of a midpoint", fontsize=10)
    return figure


def policies() -> Figure:
    """Past the largest value of e4m3, and around its smallest ones."""
    figure = Figure(figsize=(8.6, 3.9), layout="constrained")
    over, under = figure.subplots(1, 2)
    x = np.linspace(190, 300, 4401)
    rows = {"inf": 264.0, "nan": 276.0}
    for shift, (overflow, color) in enumerate(
        zip((Overflow.INF, Overflow.SATURATE, Overflow.NAN), (_BLUE, _GREEN, _ORANGE), strict=True)
    ):
        y = round_to(x, E4M3, overflow=overflow).astype(np.float64) - 1.6 * shift
        y[np.isinf(y)], y[np.isnan(y)] = rows["inf"], rows["nan"]
        over.plot(x, y, ".", color=color, markersize=1.6, label=overflow.value)
    over.axvline(248, color=_SOFT, linewidth=0.6)
    over.text(247, 191, "midpoint of 240 and 256", fontsize=8, color=_INK, rotation=90, ha="right")
    over.set_yticks([192, 208, 224, 240, *rows.values()], ["192", "208", "224", "240", *rows])
    over.set_xlabel("x")
    over.set_ylabel("round_to(x, e4m3)")
    over.legend(title="overflow=", fontsize=8, markerscale=6, loc="lower right")
    over.set_title("e4m3 past 240; lines one below the other to be seen", loc="left", fontsize=10)
    y_unit = E4M3.smallest_subnormal
    x = np.linspace(0, 11.4, 4561)
    kept = round_to(x * y_unit, E4M3) / y_unit
    flushed = round_to(x * y_unit, E4M3, subnormals=Subnormals.FLUSH_OUTPUTS) / y_unit
    under.plot(x, x, color=_SOFT, linewidth=0.6)
    under.plot(x, kept, ".", color=_BLUE, markersize=1.6, label="keep")
    under.plot(x, flushed - 0.12, ".", color=_ORANGE, markersize=1.6, label="flush_outputs")
    under.legend(title="subnormals=", fontsize=8, markerscale=6, loc="upper left")
    under.set_xlabel("x, in units of $2^{-9}$")
    under.set_ylabel("round_to(x, e4m3), in the same units")
    under.set_title("e4m3 below its smallest normal value, 8", loc="left", fontsize=10)
    return figure


def stochastic() -> Figure:
    """The mean of many draws beside x, and the share that went up beside the exact probability."""
    figure = Figure(figsize=(8.6, 3.9), layout="constrained")
    means, shares = figure.subplots(1, 2)
    x = np.linspace(1, 1.25, 65)
    all_x = np.repeat(x, _DRAWS)
    drawn = round_to(all_x, E4M3, rounding="stochastic", random=Philox(1)).reshape(-1, _DRAWS)
    means.plot(x, x, color=_SOFT, linewidth=0.8, label="x itself")
    means.plot(x, round_to(x, E4M3), "_", color=_ORANGE, markersize=5, label="nearest_even")
    means.plot(x, drawn.mean(axis=1), ".", color=_BLUE, label=f"mean of {_DRAWS} draws")
    means.set_xticks([1, 1.125, 1.25])
    means.set_yticks([1, 1.125, 1.25])
    means.set_xlabel("x")
    means.set_ylabel("result")
    means.legend(fontsize=8)
    means.set_title("round_to(x, e4m3, rounding='stochastic')", loc="left", fontsize=10)
    x = 1 + 0.125 * np.linspace(0, 1, 65)[:-1]
    for bits, color in ((2, _ORANGE), (32, _BLUE)):
        random = Philox(2, random_bits=bits)
        drawn = round_to(np.repeat(x, _DRAWS), E4M3, rounding="stochastic", random=random)
        up = (drawn.reshape(-1, _DRAWS) > 1).mean(axis=1)
        exact = np.floor((x - 1) / 0.125 * 2**bits) / 2**bits
        style = "steps-post" if bits == 2 else "default"  # 2^32 steps are a straight line
        shares.plot(x, exact, color=color, linewidth=0.8, drawstyle=style)
        shares.plot(x, up, ".", color=color, markersize=4, label=f"random_bits={bits}")
    shares.set_xticks([1, 1.0625, 1.125])
    shares.set_xlabel("x")
    shares.set_ylabel("share")
    shares.legend(fontsize=8, title="dots measured, lines exact", title_fontsize=8)
    shares.set_title("share of the draws that become 1.125", loc="left", fontsize=10)
    return figure


PICTURES: dict[str, Callable[[], Figure]] = {
    "grids.png": grids,
    "roundings.png": roundings,
    "policies.png": policies,
    "stochastic.png": stochastic,
}


def main() -> None:
    """Write every picture beside this file."""
    for name, draw in PICTURES.items():
        figure = draw()
        for axes in figure.axes:
            axes.spines[["top", "right"]].set_visible(False)
        buffer = io.BytesIO()
        figure.savefig(buffer, dpi=110, metadata={"Software": None})
        (FOLDER / name).write_bytes(buffer.getvalue())


if __name__ == "__main__":
    main()
