"""A table as text, before it has a form."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    """A column's heading and whether it holds numbers."""

    heading: str
    numeric: bool = True


@dataclass(frozen=True, slots=True)
class PlainTable:
    """Cells as text; each row has one cell for every column, and the first one names the row."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
