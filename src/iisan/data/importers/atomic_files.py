"""RecBole's atomic files: tables whose header line says the type of each field, `title:token_seq`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from iisan.data.importers.delimited_table import DelimitedTable
from iisan.data.importers.json_values import LIST_SEPARATOR
from iisan.data.importers.memory_table import MemoryTable
from iisan.data.importers.missing_columns import require_columns
from iisan.errors import UserError

TYPES = ("token", "token_seq", "float", "float_seq")


@dataclass(frozen=True)
class AtomicFile:
    """An atomic file; a quote character is a character like any other.

    Attributes:
        table: The file as a table whose columns are named `field:type`.
        types: Type of each field by its name.
    """

    table: DelimitedTable
    types: dict[str, str]

    @property
    def path(self) -> Path:
        """The file."""
        return self.table.path

    def columns(self, fields: Sequence[str]) -> list[str]:
        """Names of the columns of some fields.

        Raises:
            UserError: The file lacks one.
        """
        require_columns(fields, list(self.types), str(self.path))
        return [f"{name}:{self.types[name]}" for name in fields]


def open_atomic_file(path: Path, separator: str, encoding: str) -> AtomicFile:
    """Read the header line of an atomic file.

    Raises:
        UserError: The file is missing or empty, or a field has no name, no known type, or one name twice.
    """
    if not path.is_file():
        raise UserError("the file does not exist", where=str(path), how="add it, or name the dataset with dataset")
    table = DelimitedTable(path, separator, quoted=False, encoding=encoding)
    types: dict[str, str] = {}
    for column in table.columns():
        name, colon, kind = column.rpartition(":")
        where = f"{path}, line 1"
        if not colon or not name:
            how = "write the header like user_id:token, or name the separator of the fields"
            raise UserError(f"the field {column!r} is not name:type", where=where, how=how)
        if kind not in TYPES:
            raise UserError(f"field {name!r} is of unknown type {kind!r}", where=where, how=f"use {', '.join(TYPES)}")
        if name in types:
            raise UserError(f"two fields are named {name!r}", where=where, how="rename one")
        types[name] = kind
    return AtomicFile(table, types)


def atomic_items(file: AtomicFile, fields: Sequence[str], sequence_separator: str) -> MemoryTable:
    """Fields of an item file as texts, under their names without type.

    Sequences separated by a space stay as they are written, since titles are sequences too. Those with another
    separator are joined by a comma and a space.

    Raises:
        UserError: The file lacks a field, a line is malformed, or there are no rows.
    """
    raw = file.table.read(file.columns(fields))
    columns = {}
    for name, column in zip(fields, raw.columns, strict=True):
        is_sequence = file.types[name].endswith("_seq") and sequence_separator != " "
        columns[name] = _joined(column, sequence_separator) if is_sequence else column
    return MemoryTable(file.path, pa.table(columns), file.table.where)


def _joined(column: pa.ChunkedArray, separator: str) -> pa.Array:
    parts = pc.split_pattern(column, separator).to_pylist()
    return pa.array([LIST_SEPARATOR.join(one.strip() for one in row if one.strip()) for row in parts], pa.string())
