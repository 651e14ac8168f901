"""Quality against what it costs, one point a method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from iisan.efficiency.report.comparison import ComparedMethod, Comparison
from iisan.efficiency.report.plots.inline_svg import inline_svg
from iisan.efficiency.report.plots.labels import Labelled, label_points
from iisan.efficiency.report.plots.marks import mark
from iisan.efficiency.report.plots.palette import looks
from iisan.efficiency.report.plots.plot import Plot
from iisan.efficiency.report.plots.scales import scale_x
from iisan.efficiency.report.plots.sheet import new_sheet
from iisan.efficiency.report.quantities import count_tick, memory_unit, tick

_HEIGHT = 3.0
_Words = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class _Cost:
    key: str
    title: str
    label: str
    words: _Words
    of: Callable[[ComparedMethod], float]


def quality_against_time(comparison: Comparison) -> Plot | None:
    """Test metric against seconds an epoch; None where there is no metric or one method."""
    cost = _Cost("time", "time", "seconds an epoch", tick, lambda method: method.seconds)
    return _scatter(comparison, cost)


def quality_against_memory(comparison: Comparison) -> Plot | None:
    """Test metric against peak memory; None where there is no metric or one method."""
    unit, size = memory_unit(max((method.measurement.peak_memory for method in comparison.methods), default=0))
    label = f"peak memory, {unit}"
    cost = _Cost("memory", "memory", label, tick, lambda method: method.measurement.peak_memory / size)
    return _scatter(comparison, cost)


def quality_against_parameters(comparison: Comparison) -> Plot | None:
    """Test metric against trainable parameters; None where there is no metric or one method."""
    cost = _Cost(
        "parameters",
        "trainable parameters",
        "trainable parameters",
        count_tick,
        lambda method: method.measurement.parameters.trainable,
    )
    return _scatter(comparison, cost)


def _scatter(comparison: Comparison, cost: _Cost) -> Plot | None:
    metric = comparison.metric
    if metric is None or len(comparison.methods) < 2:
        return None
    methods = comparison.methods
    found = looks(method.name for method in methods)
    points = [
        Labelled(cost.of(method), 100 * method.measurement.test_metrics[metric], method.name, found[method.name].role)
        for method in methods
    ]
    figure, axes = new_sheet(_HEIGHT)
    # Lowest TPME last, and so on top where marks meet.
    for point in reversed(points):
        mark(axes, point.x, point.y, found[point.text])
    scale_x(axes, [point.x for point in points], cost.label, cost.words)
    axes.margins(y=0.15)
    axes.set_ylabel(f"test {metric}, %")
    label_points(figure, axes, points)
    title = f"Quality against {cost.title}"
    caption = f"Test {metric} in percent. Up and to the left is better."
    return Plot(title, caption, inline_svg(figure, title, f"quality-{cost.key}"))
