"""The paper that plots are drawn on."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from iisan.efficiency.report.plots.palette import FAINT, INK, RULE, stand_in
from iisan.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Narrow, so that a phone shows it without shrinking the letters; pages set several side by side.
WIDTH = 4.0
FONT_SIZE = 9.0
SMALL = 8.0
# One unit of the drawing is a point, in which fonts are measured too.
DPI = 72


def require_plotting() -> None:
    """Checks that plots can be drawn.

    Raises:
        UserError: The package matplotlib is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise UserError(
            "the package matplotlib is not installed, which draws the report's plots",
            how="run `pip install 'iisan[compare]'`",
        ) from error


@contextmanager
def plotting() -> Iterator[None]:
    """The settings in which plots are made and drawn.

    Raises:
        UserError: The package matplotlib is not installed.
    """
    require_plotting()
    import matplotlib as mpl

    settings: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "iisan",
        "text.parse_math": False,
        "font.size": FONT_SIZE,
        "text.color": stand_in(INK),
        "axes.labelcolor": stand_in(FAINT),
        "axes.labelsize": SMALL,
        "axes.edgecolor": stand_in(RULE),
        "axes.facecolor": "none",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.unicode_minus": True,
        "grid.color": stand_in(RULE),
        "grid.linewidth": 0.6,
        "figure.facecolor": "none",
        "xtick.color": stand_in(RULE),
        "xtick.labelcolor": stand_in(FAINT),
        "xtick.labelsize": SMALL,
        "ytick.color": stand_in(RULE),
        "ytick.labelcolor": stand_in(FAINT),
        "ytick.labelsize": SMALL,
        "legend.frameon": False,
        "legend.fontsize": SMALL,
    }
    with mpl.rc_context(settings), warnings.catch_warnings():
        # Letters that the measuring font lacks are still drawn, with the reader's fonts.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield


def new_sheet(height: float) -> tuple[Figure, Axes]:
    """An empty figure of the usual width with one set of axes. `height` in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots()


def settle(figure: Figure) -> None:
    """Lays the figure out for good, so that places in it can be read off."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
