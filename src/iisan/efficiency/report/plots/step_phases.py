"""Where the time of a training step goes."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from iisan.efficiency.measurement import Measurement
from iisan.efficiency.report.comparison import Comparison
from iisan.efficiency.report.plain_table import Column, PlainTable
from iisan.efficiency.report.plots.inline_svg import inline_svg
from iisan.efficiency.report.plots.palette import PAPER, stand_in
from iisan.efficiency.report.plots.plot import Plot
from iisan.efficiency.report.plots.sheet import SMALL, new_sheet
from iisan.efficiency.report.plots.stacked_bars import bars_height, stack_bars
from iisan.efficiency.report.quantities import significant
from iisan.states.phases import PHASES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

REST = "rest"
# In percent; a part has room for its number from about there.
_WRITTEN_FROM = 9.0


def step_phases(comparison: Comparison) -> Plot | None:
    """Each phase's share of a step, and what the step takes; None where phases were not timed."""
    timed = [method.measurement for method in comparison.methods if _phases(method.measurement)]
    if not timed:
        return None
    phases = {one.method: _phases(one) for one in timed}
    names = list(phases)
    shown = [part for part in (*PHASES, REST) if any(phases[name].get(part, 0.0) > 0 for name in names)]
    totals = {name: sum(phases[name].values()) for name in names}
    shares = {part: [100 * phases[name].get(part, 0.0) / totals[name] for name in names] for part in shown}
    figure, axes = new_sheet(bars_height(len(names)))
    stack_bars(figure, axes, names, dict(shares))
    _write_shares(axes, list(shares.values()))
    for place, name in enumerate(names):
        axes.text(102, place, f"{significant(1000 * totals[name])} ms", va="center", fontsize=SMALL)
    axes.set_xlim(0, 100)
    axes.set_xlabel("share of a step, %")
    title = "Where the time of a step goes"
    caption = "Shares of the phases; at the right what one step takes."
    batches = {one.batch_size for one in timed}
    if len(batches) > 1:
        caption += " Steps are of unequal batches."
    return Plot(title, caption, inline_svg(figure, title, "phases"), _table(phases, shown))


def _write_shares(axes: Axes, shares: list[list[float]]) -> None:
    for place, bar in enumerate(zip(*shares, strict=True)):
        for share, end in zip(bar, accumulate(bar), strict=True):
            if share >= _WRITTEN_FROM:
                axes.text(
                    end - share / 2,
                    place,
                    f"{share:.0f}",
                    ha="center",
                    va="center",
                    fontsize=SMALL - 1,
                    color=stand_in(PAPER),
                )


def _phases(measurement: Measurement) -> dict[str, float]:
    """Mean seconds a step by phase, with what lies between the phases; empty where none was timed."""
    steps = sum(record.steps for record in measurement.epochs)
    seconds = sum(record.seconds for record in measurement.epochs)
    found: dict[str, float] = {
        phase: sum(record.phases.get(phase, 0.0) for record in measurement.epochs) / steps for phase in PHASES
    }
    timed = sum(found.values())
    return {**found, REST: max(0.0, seconds / steps - timed)} if timed > 0 else {}


def _table(phases: dict[str, dict[str, float]], shown: list[str]) -> PlainTable:
    columns = (Column("method", numeric=False), *(Column(f"{part}, ms") for part in shown))
    rows = tuple(
        (name, *(significant(1000 * parts.get(part, 0.0)) for part in shown)) for name, parts in phases.items()
    )
    return PlainTable("Milliseconds of a step", columns, rows)
