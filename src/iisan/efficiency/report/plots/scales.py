"""Axes over quantities that may span orders of magnitude."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Quantities that span less are as readable on an even axis.
_LOG_FROM = 8.0
_MOST_TICKS = 6
_MARGIN = 0.1


def spans_magnitudes(values: Sequence[float]) -> bool:
    """Whether a logarithmic axis shows these better than an even one."""
    return bool(values) and min(values) > 0 and max(values) / min(values) >= _LOG_FROM


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers between two positive ones, at most six or a few more: 1, 2, 5, 10, …, or powers of ten."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 2, 5), (1, 3), (1,)):
        ticks = [digit * 10.0**power for power in powers for digit in digits if low <= digit * 10.0**power <= high]
        if len(ticks) <= _MOST_TICKS:
            return ticks
    return ticks[:: math.ceil(len(ticks) / _MOST_TICKS)]


def scale_x(
    axes: Axes, values: Sequence[float], label: str, words: Callable[[float], str], room: float = _MARGIN
) -> None:
    """Sets the x axis up for some values, from 0 or logarithmic, with room at both ends.

    Args:
        axes: Whose axis.
        values: What is drawn along it.
        label: What they are.
        words: How one of them is written.
        room: Space right of the largest one, as a share of what the values span.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

    if spans_magnitudes(values):
        span = max(values) / min(values)
        low, high = min(values) / span**_MARGIN, max(values) * span**room
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(log_ticks(low, high)))
        axes.xaxis.set_minor_locator(NullLocator())
        label = f"{label}, logarithmic"
    else:
        low, high = 0.0, max([*values, 0.0]) * (1 + max(room, 2 * _MARGIN)) or 1.0
        axes.xaxis.set_major_locator(MaxNLocator(_MOST_TICKS, steps=[1, 2, 5, 10]))
    axes.set_xlim(low, high)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: words(value)))
    axes.set_xlabel(label)
