"""All plots of a comparison."""

from __future__ import annotations

from iisan.efficiency.report.comparison import Comparison
from iisan.efficiency.report.plots.gate_plots import gate_plots
from iisan.efficiency.report.plots.learning_curves import curves_by_epoch, curves_by_time
from iisan.efficiency.report.plots.payback_lines import payback_lines
from iisan.efficiency.report.plots.plot import Plot
from iisan.efficiency.report.plots.quality_scatter import (
    quality_against_memory,
    quality_against_parameters,
    quality_against_time,
)
from iisan.efficiency.report.plots.sheet import plotting
from iisan.efficiency.report.plots.step_phases import step_phases
from iisan.efficiency.report.plots.tpme_bars import tpme_bars

_SINGLE = (
    tpme_bars,
    step_phases,
    payback_lines,
    quality_against_time,
    quality_against_memory,
    quality_against_parameters,
    curves_by_epoch,
    curves_by_time,
)


def draw_plots(comparison: Comparison) -> list[Plot]:
    """Those plots for which something was measured.

    Raises:
        UserError: The package matplotlib is not installed.
    """
    with plotting():
        drawn = [plot for draw in _SINGLE if (plot := draw(comparison)) is not None]
        return drawn + gate_plots(comparison)
