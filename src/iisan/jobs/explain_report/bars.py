"""Rows of a label, a bar from a common zero, and a number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True, slots=True)
class Bar:
    """One row.

    Attributes:
        label: HTML of what it is.
        value: Its length; negative to the left.
        number: What stands at its end.
        note: A further word there.
        role: The colour's role in the page.
    """

    label: str
    value: float
    number: str
    note: str
    role: str


def bar_rows(bars: Sequence[Bar], scale: Sequence[Bar] = (), kind: str = "bars") -> str:
    """The rows as HTML.

    Args:
        bars: The rows.
        scale: Others on the same scale: one zero and one length that all of them fit in.
        kind: CSS classes of the list.
    """
    values = [0.0, *(bar.value for bar in (*bars, *scale))]
    low, high = min(values), max(values)
    whole = (high - low) or 1.0
    return f'<ul class="{kind}">{"".join(_row(bar, low, whole) for bar in bars)}</ul>'


def _row(bar: Bar, low: float, whole: float) -> str:
    left, width = 100 * (min(bar.value, 0.0) - low) / whole, 100 * abs(bar.value) / whole
    zero = 100 * -low / whole
    return (
        f'<li><span class="label">{bar.label}</span>'
        f'<span class="track" aria-hidden="true"><i class="zero" style="left:{zero:.2f}%"></i>'
        f'<b style="left:{left:.2f}%;width:{width:.2f}%;background:var(--{bar.role})"></b></span>'
        f'<span class="value">{escape(bar.number)} <small>{escape(bar.note)}</small></span></li>'
    )
