"""Choosing how to read a table, by option or by the name of its file."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal, Protocol

import pyarrow as pa

from iisan.data.importers.delimited_table import DelimitedTable
from iisan.data.importers.json_lines_table import JsonLinesTable
from iisan.data.importers.parquet_table import ParquetTable
from iisan.errors import UserError

TableFormat = Literal["auto", "csv", "tsv", "jsonl", "parquet"]

SUFFIXES: dict[str, TableFormat] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}


class Table(Protocol):
    """A table file that can be read by column."""

    @property
    def path(self) -> Path:
        """The file."""
        ...

    def columns(self) -> list[str]:
        """Column names."""
        ...

    def read(self, names: Sequence[str], ids: Collection[str] = ()) -> pa.Table:
        """Read some columns; those in ``ids`` as dictionaries where they are text."""
        ...

    def where(self, row: int) -> str:
        """Name the line or row (from 0) for an error."""
        ...


def find_table(
    path: Path,
    format: TableFormat = "auto",
    *,
    delimiter: str | None = None,
    encoding: str = "utf-8",
    names: Sequence[str] = (),
) -> Table:
    """Choose the reader of a table file.

    Args:
        path: The file; ``.gz`` after another suffix means gzip.
        format: ``auto`` goes by the suffix.
        delimiter: Character between the fields of a text table; by default ``,`` for CSV and a tab for TSV.
        encoding: Encoding of a text table.
        names: Column names of a text table without a header line.

    Raises:
        UserError: The file does not exist, or its format cannot be told from its name.
    """
    if not path.is_file():
        what = "a folder, not a file" if path.is_dir() else "the file does not exist"
        raise UserError(what, where=str(path), how="name a table")
    suffix = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    chosen = SUFFIXES.get(suffix.lower()) if format == "auto" else format
    if chosen is None:
        known = ", ".join(SUFFIXES)
        raise UserError(f"unknown suffix {suffix!r}", where=str(path), how=f"name its format, or use one of {known}")
    if chosen == "parquet":
        return ParquetTable(path)
    if chosen == "jsonl":
        return JsonLinesTable(path)
    default = "," if chosen == "csv" else "\t"
    return DelimitedTable(path, delimiter or default, chosen == "csv", encoding, tuple(names))
