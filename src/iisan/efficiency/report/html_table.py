"""A table as HTML."""

from __future__ import annotations

from html import escape

from iisan.efficiency.report.plain_table import Column, PlainTable


def html_table(table: PlainTable) -> str:
    """A table whose first column names its rows, in a box that scrolls sideways where it must."""
    head = "".join(f'<th scope="col"{_kind(column)}>{escape(column.heading)}</th>' for column in table.columns)
    body = "\n".join(f"<tr>{_cells(table, row)}</tr>" for row in table.rows)
    name = escape(table.title)
    return (
        f'<div class="scroll" role="region" aria-label="{name}" tabindex="0">\n<table aria-label="{name}">\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</div>"
    )


def _cells(table: PlainTable, row: tuple[str, ...]) -> str:
    cells = zip(table.columns[1:], row[1:], strict=True)
    rest = "".join(f"<td{_kind(column)}>{escape(cell)}</td>" for column, cell in cells)
    return f'<th scope="row">{escape(row[0])}</th>{rest}'


def _kind(column: Column) -> str:
    return ' class="number"' if column.numeric else ""
