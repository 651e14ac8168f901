"""Labels beside points and at the ends of lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from iisan.efficiency.report.method_kinds import CACHED
from iisan.efficiency.report.plots.label_places import Box, place_labels, spread
from iisan.efficiency.report.plots.palette import INK, stand_in
from iisan.efficiency.report.plots.sheet import SMALL, settle

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.text import Text

# Half the size of a mark, and of a line's neighbourhood, in points.
REACH, LINE_REACH = 4.0, 2.0
_LINE_STEP = 4.0


@dataclass(frozen=True, slots=True)
class Labelled:
    """A point to label: where it is in the data, what it is called, and its colour's role."""

    x: float
    y: float
    text: str
    role: str


def weight_of(method: str) -> str:
    """IISAN cached stands out."""
    return "bold" if method == CACHED else "normal"


def label_points(
    figure: Figure,
    axes: Axes,
    points: Sequence[Labelled],
    lines: Sequence[tuple[Sequence[float], Sequence[float]]] = (),
) -> None:
    """Writes each point's name near it, with a thin line to those that had to go further away.

    Args:
        figure: The figure; it is laid out for good.
        axes: Where the points are drawn.
        points: What to label.
        lines: Drawn lines ``(x, y)`` that labels should keep off.
    """
    settle(figure)
    at = [_pixel(axes, point.x, point.y) for point in points]
    marks = [Box.around(x, y, REACH) for x, y in at]
    marks += [Box.around(x, y, LINE_REACH) for line in lines for x, y in _along(axes, *line)]
    box = axes.get_window_extent()
    texts = [_text(axes, point) for point in points]
    sizes = [_size(figure, text) for text in texts]
    places = place_labels(at, sizes, Box(box.x0, box.y0, box.x1, box.y1), marks, REACH)
    for point, text, place, (x, y) in zip(points, texts, places, at, strict=True):
        middle = ((place.box.left + place.box.right) / 2, (place.box.bottom + place.box.top) / 2)
        text.set_position(_data(axes, *middle))
        if place.distance > REACH + REACH:
            edge = (min(max(x, place.box.left), place.box.right), min(max(y, place.box.bottom), place.box.top))
            _leader(axes, (x, y), edge, point.role)


def label_ends(figure: Figure, axes: Axes, ends: Sequence[Labelled]) -> None:
    """Writes the names of lines right of the axes, each at the height of its line's end or as near as the others allow.

    Args:
        figure: The figure; it is laid out for good.
        axes: Where the lines are drawn.
        ends: The last point of each.
    """
    from matplotlib.transforms import blended_transform_factory

    beside = blended_transform_factory(axes.transAxes, axes.transData)
    texts = [
        axes.text(1.04, end.y, end.text, transform=beside, va="center", fontsize=SMALL, fontweight=weight_of(end.text))
        for end in ends
    ]
    settle(figure)
    box = axes.get_window_extent()
    line = SMALL * 1.2
    wanted = [_pixel(axes, end.x, end.y)[1] for end in ends]
    heights = spread(wanted, line, box.y0 + line / 2, box.y1 - line / 2)
    for end, text, height in zip(ends, texts, heights, strict=True):
        text.set_y(_data(axes, box.x1, height)[1])
        _leader(axes, _pixel(axes, end.x, end.y), (box.x1 + 0.03 * box.width, height), end.role)


def _text(axes: Axes, point: Labelled) -> Text:
    return axes.text(
        point.x,
        point.y,
        point.text,
        ha="center",
        va="center",
        fontsize=SMALL,
        fontweight=weight_of(point.text),
        color=stand_in(INK),
    )


def _leader(axes: Axes, start: tuple[float, float], end: tuple[float, float], role: str) -> None:
    (x0, y0), (x1, y1) = _data(axes, *start), _data(axes, *end)
    axes.plot(
        [x0, x1], [y0, y1], color=stand_in(role), linewidth=0.7, alpha=0.7, clip_on=False, scalex=False, scaley=False
    )


def _size(figure: Figure, text: Text) -> tuple[float, float]:
    canvas: FigureCanvasAgg = figure.canvas  # type: ignore[assignment]
    extent = text.get_window_extent(canvas.get_renderer())  # type: ignore[no-untyped-call]
    return extent.width, extent.height


def _along(axes: Axes, xs: Sequence[float], ys: Sequence[float]) -> list[tuple[float, float]]:
    """Points every few units along a drawn line."""
    corners = [_pixel(axes, x, y) for x, y in zip(xs, ys, strict=True)]
    found = corners[:1]
    for (x0, y0), (x1, y1) in pairwise(corners):
        pieces = max(1, round(max(abs(x1 - x0), abs(y1 - y0)) / _LINE_STEP))
        found += [(x0 + (x1 - x0) * i / pieces, y0 + (y1 - y0) * i / pieces) for i in range(1, pieces + 1)]
    return found


def _pixel(axes: Axes, x: float, y: float) -> tuple[float, float]:
    found = axes.transData.transform((x, y))
    return float(found[0]), float(found[1])


def _data(axes: Axes, x: float, y: float) -> tuple[float, float]:
    found = axes.transData.inverted().transform((x, y))
    return float(found[0]), float(found[1])
