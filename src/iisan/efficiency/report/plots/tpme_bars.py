"""TPME of each method as a bar."""

from __future__ import annotations

from iisan.efficiency.report.comparison import Comparison
from iisan.efficiency.report.plots.inline_svg import inline_svg
from iisan.efficiency.report.plots.palette import INK, stand_in
from iisan.efficiency.report.plots.plot import Plot
from iisan.efficiency.report.plots.sheet import SMALL, new_sheet
from iisan.efficiency.report.plots.stacked_bars import bars_height, stack_bars

_ROOM = 1.22
_MOST_TICKS = 6


def tpme_bars(comparison: Comparison) -> Plot | None:
    """What time, parameters and memory add to each method's TPME, with intervals; None for fewer than two methods."""
    from matplotlib.ticker import MaxNLocator

    methods = comparison.methods
    if len(methods) < 2:
        return None
    figure, axes = new_sheet(bars_height(len(methods)))
    time, parameters, memory = zip(*(method.parts for method in methods), strict=True)
    stack_bars(
        figure, axes, [method.name for method in methods], {"time": time, "parameters": parameters, "memory": memory}
    )
    longest = max(method.tpme.high for method in methods) or 1.0
    for place, method in enumerate(methods):
        value = method.tpme
        if comparison.has_repeats and value.high > value.low:
            axes.plot(
                [value.low, value.high],
                [place] * 2,
                color=stand_in(INK),
                linewidth=1.4,
                marker="|",
                markersize=6,
                zorder=3,
            )
        end = max(value.value, value.high if comparison.has_repeats else 0.0)
        axes.text(end + 0.02 * longest, place, f"{value.value:.3f}", va="center", fontsize=SMALL)
    axes.set_xlim(0, longest * _ROOM)
    axes.set_xticks([one for one in MaxNLocator(_MOST_TICKS).tick_values(0, longest) if 0 <= one <= 1])
    axes.set_xlabel("TPME, lower is better")
    caption = "What time, trainable parameters and memory add, each by its weight."
    if comparison.has_repeats:
        caption += " The lines are 95 % intervals of the sum."
    return Plot("TPME", caption, inline_svg(figure, "TPME of each method", "tpme"))
