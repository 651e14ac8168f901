"""A plot as it stands in a report."""

from __future__ import annotations

from dataclasses import dataclass

from iisan.efficiency.report.plain_table import PlainTable


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawing with its words.

    Attributes:
        title: What it shows.
        caption: How to read it.
        svg: An ``<svg>`` element to stand inside an HTML page.
        numbers: What is drawn, where no other table of the report has it.
    """

    title: str
    caption: str
    svg: str
    numbers: PlainTable | None = None
