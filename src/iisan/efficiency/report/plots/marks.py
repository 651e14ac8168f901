"""Marks of methods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iisan.efficiency.report.plots.palette import PAPER, Look, stand_in

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# A star fills less of its square than the other marks do.
_SIZES = {"*": 11.0, "P": 7.5, "X": 7.5}
_SIZE = 6.5


def mark(axes: Axes, x: float, y: float, look: Look, size: float = 1.0) -> None:
    """Draws a method's mark; `size` is relative to the usual one."""
    axes.plot(
        [x],
        [y],
        marker=look.marker,
        color=stand_in(look.role),
        markersize=size * _SIZES.get(look.marker, _SIZE),
        markeredgecolor=stand_in(PAPER),
        markeredgewidth=0.6,
        linestyle="none",
        zorder=3,
    )
