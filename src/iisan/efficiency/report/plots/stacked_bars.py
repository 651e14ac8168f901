"""Horizontal bars made of parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from iisan.efficiency.report.plots.labels import weight_of
from iisan.efficiency.report.plots.palette import INK, PAPER, PARTS, stand_in

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_THICKNESS = 0.62
_A_BAR, _AROUND = 0.27, 0.75


def bars_height(count: int) -> float:
    """Height in inches of a sheet with some bars."""
    return _AROUND + _A_BAR * count


def stack_bars(
    figure: Figure, axes: Axes, names: Sequence[str], parts: dict[str, Sequence[float]], roles: Sequence[str] = PARTS
) -> None:
    """Draws one bar a name, the first on top, and says above which colour is which part.

    Args:
        figure: The figure.
        axes: Where.
        names: Of the bars.
        parts: For each part its length in every bar.
        roles: Colours' roles of the parts.
    """
    from matplotlib.patches import Patch

    starts = [0.0] * len(names)
    for role, lengths in zip(roles, parts.values(), strict=False):
        axes.barh(
            range(len(names)),
            lengths,
            left=starts,
            height=_THICKNESS,
            color=stand_in(role),
            edgecolor=stand_in(PAPER),
            linewidth=0.6,
            zorder=2,
        )
        starts = [start + length for start, length in zip(starts, lengths, strict=True)]
    axes.set_yticks(range(len(names)), names)
    for label in axes.get_yticklabels():
        label.set_color(stand_in(INK))
        label.set_fontweight(weight_of(label.get_text()))
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_ylim(len(names) - 0.5, -0.5)
    figure.legend(
        handles=[Patch(color=stand_in(role), label=part) for role, part in zip(roles, parts, strict=False)],
        loc="outside upper left",
        ncols=len(parts),
        handlelength=0.9,
        handleheight=0.9,
        handletextpad=0.4,
        columnspacing=1.0,
        borderaxespad=0.0,
        borderpad=0.2,
    )
