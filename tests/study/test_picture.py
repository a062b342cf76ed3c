"""The picture holds every cell, and no two texts or points of it lie on each other."""

import dataclasses
import io
import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.text import Text

from halfulp.study.picture import bands, draw, to_png
from halfulp.study.result import Row
from tests.study.results import BROKEN, DETECTION, EXACT, ROW, sweep_of, whole


def upright(figure: Figure) -> list[Text]:
    """Every text that is seen but the slanted ones, which share no place by their step."""
    figure.set_canvas(FigureCanvasAgg(figure))
    figure.canvas.draw()
    unseen: set[Text] = set()
    for axes in figure.axes:
        low, high = axes.get_ylim()
        ticks = zip(axes.get_yticks(), axes.get_yticklabels(), strict=True)
        unseen.update(label for tick, label in ticks if not low <= tick <= high)
    texts = [part for part in figure.findobj(Text) if isinstance(part, Text) and part.get_text()]
    return [
        text
        for text in texts
        if text not in unseen
        and text.get_rotation() in (0.0, 90.0)
        and text.get_window_extent().width > 1
    ]


@pytest.mark.parametrize("rows", [whole().rows, [ROW], [BROKEN], [EXACT, DETECTION]])
def test_no_texts_overlap_and_all_lie_inside(rows: Sequence[Row]) -> None:
    figure = draw(sweep_of(rows))
    texts = upright(figure)
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts]
    assert len(boxes) > 10
    for (name, box), (other, second) in itertools.combinations(boxes, 2):
        assert not box.padded(-1).overlaps(second.padded(-1)), (name, other)
    for name, box in boxes:
        assert figure.bbox.padded(1).contains(box.x0, box.y0), name
        assert figure.bbox.padded(1).contains(box.x1, box.y1), name


def test_each_policy_of_each_chip_has_a_place_of_its_own_in_the_order_of_the_rates() -> None:
    along = bands(whole().rows)
    assert [(band.rate, band.chip) for band in along] == [
        ("47.5 TFLOPS", "inferentia2"),
        ("64 TFLOPS", "inferentia1"),
        ("190 TFLOPS", "inferentia2"),
        ("380 TOPS", "inferentia2"),
    ]
    places = [x for band in along for x in band.places.values()]
    assert len(places) == len({(row.chip, row.policy) for row in whole().rows})
    assert all(b - a >= 1 for a, b in itertools.pairwise(places))
    for band, following in itertools.pairwise(along):
        assert max(band.places.values()) < band.end == following.start


def test_a_rate_that_nobody_states_stands_last() -> None:
    odd = dataclasses.replace(ROW, policy="odd", peak_tops=None, peak_unit=None)
    assert [band.rate for band in bands([odd, ROW])] == ["190 TFLOPS", "no rate stated"]


def test_every_point_is_drawn_and_the_broken_one_is_marked_with_its_value() -> None:
    figure = draw(sweep_of([ROW, BROKEN, EXACT]))
    accuracy, error, latency = figure.axes
    assert accuracy.get_ylim()[0] > 100 * 0.0385
    assert "3.9 %" in [text.get_text() for text in accuracy.texts]
    markers = [line.get_marker() for line in error.lines]
    assert sorted(str(marker) for marker in markers) == ["*", "o", "x"]
    assert [np.asarray(line.get_ydata())[0] for line in latency.lines] == [0.92] * 3
    labels = [label.get_text() for label in latency.get_xticklabels()]
    assert labels == ["fp32", "bf16-matmult", "e3m4-matmult"]


def test_without_rates_there_is_no_panel_of_them() -> None:
    rows = [dataclasses.replace(row, latency_ms=None) for row in (ROW, EXACT)]
    assert len(draw(sweep_of(rows)).axes) == 2
    # a chip that has none stands among those that have
    assert len(draw(sweep_of([rows[0], EXACT])).axes) == 3


def test_the_file_is_a_png_of_the_figures_size() -> None:
    png = to_png(whole())
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    height, width = imread(io.BytesIO(png)).shape[:2]
    figure = draw(whole())
    assert abs(width - 130 * figure.get_figwidth()) <= 1
    assert abs(height - 130 * figure.get_figheight()) <= 1


def test_nothing_to_draw_is_an_error() -> None:
    with pytest.raises(ValueError, match="no finished cell"):
        to_png(sweep_of([]))
