"""A comparison as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from importlib.resources import files

from iisan.efficiency.report.comparison import Comparison
from iisan.efficiency.report.html_page import bullets, html_page, section
from iisan.efficiency.report.html_table import html_table
from iisan.efficiency.report.notes import notes
from iisan.efficiency.report.plain_table import PlainTable
from iisan.efficiency.report.plots.draw import draw_plots
from iisan.efficiency.report.plots.plot import Plot
from iisan.efficiency.report.tables import encoding_table, failures_table, meanings_table, methods_table, payback_table
from iisan.efficiency.report.title import report_title

_STYLE = files("iisan.efficiency.report").joinpath("report.css")


def as_html(comparison: Comparison) -> str:
    """The text of the file: tables and plots, in light or dark as the reader's system is set.

    Raises:
        UserError: The package matplotlib is not installed.
    """
    return html_page(report_title(comparison), _STYLE.read_text(encoding="utf-8"), _sections(comparison))


def _sections(comparison: Comparison) -> Iterable[str]:
    if comparison.verdict:
        yield f'<p class="verdict">{escape(comparison.verdict)}</p>'
    yield from map(_table_section, _filled(methods_table(comparison), failures_table(comparison)))
    plots = draw_plots(comparison)
    if plots:
        yield section("Plots", f'<div class="plots">\n{"".join(map(_figure, plots))}</div>')
    yield _beside(map(_table_section, _filled(encoding_table(comparison), payback_table(comparison))))
    words = [section("How to read it", bullets(notes(comparison)))]
    if comparison.setting:
        words.append(section("How it was measured", _facts(comparison)))
    yield _beside([*words, *map(_table_section, _filled(meanings_table(comparison)))])


def _filled(*tables: PlainTable) -> list[PlainTable]:
    return [table for table in tables if table.rows]


def _table_section(table: PlainTable) -> str:
    return section(table.title, html_table(table))


def _beside(sections: Iterable[str]) -> str:
    return f'<div class="beside">\n{"".join(sections)}\n</div>'


def _figure(plot: Plot) -> str:
    numbers = "" if plot.numbers is None else f"<details><summary>Numbers</summary>{html_table(plot.numbers)}</details>"
    return (
        f"<figure><h3>{escape(plot.title)}</h3>\n{plot.svg}\n"
        f"<figcaption>{escape(plot.caption)}{numbers}</figcaption></figure>\n"
    )


def _facts(comparison: Comparison) -> str:
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in comparison.setting)
    return f"<dl>{facts}</dl>"
