"""A comparison as Markdown."""

from __future__ import annotations

import re

from iisan.efficiency.report.comparison import Comparison
from iisan.efficiency.report.notes import notes
from iisan.efficiency.report.plain_table import PlainTable
from iisan.efficiency.report.tables import comparison_tables
from iisan.efficiency.report.title import report_title

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~#&$])")


def as_markdown(comparison: Comparison) -> str:
    """The text of the file, with tables as GitHub reads them."""
    blocks = [f"# {escaped(report_title(comparison))}"]
    if comparison.verdict:
        blocks.append(escaped(comparison.verdict))
    for table in comparison_tables(comparison):
        blocks += [f"## {escaped(table.title)}", markdown_table(table)]
    blocks += ["## How to read it", _bullets(notes(comparison))]
    if comparison.setting:
        blocks += ["## How it was measured", _bullets([f"{name}: {value}" for name, value in comparison.setting])]
    return "\n\n".join(blocks) + "\n"


def markdown_table(table: PlainTable) -> str:
    """One table; numbers stand to the right."""
    lines = [
        [column.heading for column in table.columns],
        *([*row] for row in table.rows),
    ]
    text = [f"| {' | '.join(escaped(cell) for cell in line)} |" for line in lines]
    rule = f"| {' | '.join('---:' if column.numeric else ':---' for column in table.columns)} |"
    return "\n".join([text[0], rule, *text[1:]])


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _bullets(lines: list[str]) -> str:
    return "\n".join(f"- {escaped(line)}" for line in lines)
