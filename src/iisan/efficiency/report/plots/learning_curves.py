"""How quality grows with training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from iisan.efficiency.measurement import Measurement
from iisan.efficiency.report.comparison import USUAL_METRIC, Comparison
from iisan.efficiency.report.plain_table import Column, PlainTable
from iisan.efficiency.report.plots.inline_svg import inline_svg
from iisan.efficiency.report.plots.labels import Labelled, label_ends, label_points
from iisan.efficiency.report.plots.marks import mark
from iisan.efficiency.report.plots.palette import Look, looks, stand_in
from iisan.efficiency.report.plots.plot import Plot
from iisan.efficiency.report.plots.scales import scale_x
from iisan.efficiency.report.plots.sheet import new_sheet
from iisan.efficiency.report.quantities import percent, significant, tick

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HEIGHT = 3.0
# Marks at every epoch of a long curve would run into one another.
_MARKED_UP_TO = 12
_MOST_TICKS = 6


@dataclass(frozen=True, slots=True)
class _Curve:
    method: str
    look: Look
    epochs: list[int]
    seconds: list[float]
    values: list[float]


def curves_by_epoch(comparison: Comparison) -> Plot | None:
    """Validation metric after each epoch; None where it was not taken."""
    metric = validation_metric(comparison)
    if metric is None:
        return None
    from matplotlib.ticker import MaxNLocator

    curves = _curves(comparison, metric)
    figure, axes = new_sheet(_HEIGHT)
    for curve in curves:
        axes.plot(curve.epochs, curve.values, color=stand_in(curve.look.role), linewidth=1.4)
        _mark_epochs(axes, curve.epochs, curve)
    last = max(curve.epochs[-1] for curve in curves)
    axes.set_xlim(0.5 if last < _MARKED_UP_TO else 0, last + 0.02 * last)
    axes.xaxis.set_major_locator(MaxNLocator(_MOST_TICKS, integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel(f"validation {metric}, %")
    label_ends(figure, axes, [_end(curve, curve.epochs) for curve in curves])
    title = "Learning curves by epoch"
    caption = f"Validation {metric} in percent after each epoch."
    return Plot(title, caption, inline_svg(figure, title, "epochs"), _table(curves, metric))


def curves_by_time(comparison: Comparison) -> Plot | None:
    """Validation metric against the seconds of training up to it; None where it was not taken."""
    metric = validation_metric(comparison)
    if metric is None:
        return None
    curves = _curves(comparison, metric)
    figure, axes = new_sheet(_HEIGHT)
    for curve in curves:
        axes.plot(curve.seconds, curve.values, color=stand_in(curve.look.role), linewidth=1.4)
        _mark_epochs(axes, curve.seconds, curve)
    scale_x(axes, [second for curve in curves for second in curve.seconds], "seconds of training", tick, room=0.22)
    axes.margins(y=0.12)
    axes.set_ylabel(f"validation {metric}, %")
    label_points(
        figure,
        axes,
        [_end(curve, curve.seconds) for curve in curves],
        [(curve.seconds, curve.values) for curve in curves],
    )
    title = "Learning curves by time"
    caption = f"Validation {metric} in percent against seconds of training so far, without validation"
    stored = any(method.measurement.encoding is not None for method in comparison.methods)
    caption += " and without encoding the catalogue once." if stored else "."
    return Plot(title, caption, inline_svg(figure, title, "seconds"))


def validation_metric(comparison: Comparison) -> str | None:
    """The metric that curves show: the usual one, or the first that any method has."""
    names = dict.fromkeys(
        name for method in comparison.methods for record in method.measurement.epochs for name in record.metrics
    )
    return USUAL_METRIC if USUAL_METRIC in names else next(iter(names), None)


def _curves(comparison: Comparison, metric: str) -> list[_Curve]:
    found = looks(method.name for method in comparison.methods)
    curves = (_curve(method.measurement, found[method.name], metric) for method in comparison.methods)
    return [curve for curve in curves if curve.values]


def _curve(measurement: Measurement, look: Look, metric: str) -> _Curve:
    so_far = accumulate(record.seconds for record in measurement.epochs)
    taken = [
        (record.epoch + 1, seconds, 100 * record.metrics[metric])
        for record, seconds in zip(measurement.epochs, so_far, strict=True)
        if metric in record.metrics
    ]
    return _Curve(
        measurement.method, look, [one[0] for one in taken], [one[1] for one in taken], [one[2] for one in taken]
    )


def _mark_epochs(axes: Axes, xs: Sequence[float], curve: _Curve) -> None:
    """Marks every epoch of a short curve, and the last one of a long curve."""
    first = 0 if len(xs) <= _MARKED_UP_TO else len(xs) - 1
    for x, value in zip(xs[first:], curve.values[first:], strict=True):
        mark(axes, x, value, curve.look, size=0.7)


def _end(curve: _Curve, xs: Sequence[float]) -> Labelled:
    return Labelled(xs[-1], curve.values[-1], curve.method, curve.look.role)


def _table(curves: list[_Curve], metric: str) -> PlainTable:
    columns = (
        Column("method", numeric=False),
        Column("epoch"),
        Column("seconds of training"),
        Column(f"validation {metric}, %"),
    )
    rows = tuple(
        (curve.method, str(epoch), significant(seconds), percent(value / 100))
        for curve in curves
        for epoch, seconds, value in zip(curve.epochs, curve.seconds, curve.values, strict=True)
    )
    return PlainTable(f"Validation {metric}", columns, rows)
