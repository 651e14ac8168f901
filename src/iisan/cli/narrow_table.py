"""Tables of numbers that a terminal of 80 columns shows whole."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table


@dataclass(frozen=True)
class Heading:
    """The heading of a column.

    Attributes:
        text: Its words; they are broken into lines rather than widening the column.
        numeric: Whether the cells stand to the right.
    """

    text: str
    numeric: bool = True


def narrow_table(title: str, headings: Sequence[Heading], rows: Sequence[Sequence[str]]) -> Table:
    """A table whose columns are as wide as their cells, which are never cut or broken."""
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for place, heading in enumerate(headings):
        widest = max([*(len(row[place]) for row in rows), *map(len, heading.text.split())], default=1)
        lines = "\n".join(textwrap.wrap(heading.text, widest))
        table.add_column(lines, justify="right" if heading.numeric else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table
