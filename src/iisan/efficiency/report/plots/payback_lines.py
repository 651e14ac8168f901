"""Time since the start, with encoding the catalogue once."""

from __future__ import annotations

import math

from iisan.efficiency.report.comparison import ComparedMethod, Comparison
from iisan.efficiency.report.method_kinds import runs_encoders
from iisan.efficiency.report.plots.inline_svg import inline_svg
from iisan.efficiency.report.plots.labels import Labelled, label_ends
from iisan.efficiency.report.plots.palette import INK, PAPER, looks, stand_in
from iisan.efficiency.report.plots.plot import Plot
from iisan.efficiency.report.plots.sheet import new_sheet

_HEIGHT = 3.0
_FEWEST, _MOST = 3, 200
_HOUR, _MINUTE = 3600.0, 60.0


def payback_lines(comparison: Comparison) -> Plot | None:
    """Hours, minutes or seconds by epochs; None where no method on stored states stands against one that has none."""
    if not comparison.paybacks:
        return None
    shown = [
        method
        for method in comparison.methods
        if method.measurement.encoding is not None or runs_encoders(method.measurement)
    ]
    epochs = _epochs(comparison)
    unit, seconds = _unit(max(_start(method) + epochs * method.seconds for method in shown))
    found = looks(method.name for method in comparison.methods)
    figure, axes = new_sheet(_HEIGHT)
    ends = []
    for method in shown:
        role = found[method.name].role
        times = [_start(method) / seconds, (_start(method) + epochs * method.seconds) / seconds]
        axes.plot([0, epochs], times, color=stand_in(role), linewidth=1.6, solid_capstyle="butt")
        ends.append(Labelled(epochs, times[1], method.name, role))
    by_name = {method.name: method for method in shown}
    for payback in comparison.paybacks:
        if payback.epochs is not None and payback.epochs <= epochs:
            axes.plot(
                [payback.epochs],
                [payback.epochs * by_name[payback.against].seconds / seconds],
                marker="o",
                markersize=4.5,
                markerfacecolor=stand_in(PAPER),
                markeredgecolor=stand_in(INK),
                zorder=3,
            )
    axes.set_xlim(0, epochs)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("epochs trained")
    axes.set_ylabel(f"{unit} since the start")
    label_ends(figure, axes, ends)
    title = "Time with encoding"
    caption = (
        "Time since the start, encoding the catalogue once included. Where a line that starts above 0 meets another "
        "one (circles), encoding is paid back."
    )
    return Plot(title, caption, inline_svg(figure, title, "payback"))


def _epochs(comparison: Comparison) -> int:
    """How many epochs to show: past the last payback, in sensible bounds."""
    last = max((payback.epochs for payback in comparison.paybacks if payback.epochs is not None), default=0.0)
    return min(_MOST, max(_FEWEST, math.ceil(1.5 * last)))


def _start(method: ComparedMethod) -> float:
    cost = method.measurement.encoding
    return 0.0 if cost is None else cost.seconds


def _unit(longest: float) -> tuple[str, float]:
    if longest >= 2 * _HOUR:
        return "hours", _HOUR
    return ("minutes", _MINUTE) if longest >= 5 * _MINUTE else ("seconds", 1.0)
