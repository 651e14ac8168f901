"""Which item's states are in which row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from iisan.errors import UserError

REMOVED = -1
SCHEMA = pa.schema([("item_id", pa.string()), ("content_hash", pa.string()), ("row", pa.int64())])


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One statement about an item; a later one replaces it.

    Attributes:
        item_id: The item.
        content_hash: Hex SHA-256 of the content that was encoded, or of the states where they were imported;
            empty for a removal.
        row: Row of the states in the store, counted over all shards; `REMOVED` when the item has no content any more.
    """

    item_id: str
    content_hash: str
    row: int


def write_index(path: Path, entries: Sequence[IndexEntry]) -> None:
    """Write entries as Parquet."""
    columns = [
        [entry.item_id for entry in entries],
        [entry.content_hash for entry in entries],
        [entry.row for entry in entries],
    ]
    arrays = [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)]
    pq.write_table(pa.Table.from_arrays(arrays, schema=SCHEMA), path)


def read_index(path: Path) -> list[IndexEntry]:
    """Read the entries of one shard.

    Raises:
        UserError: The file is absent or damaged.
    """
    table = read_index_table(path)
    columns = [table.column(name).to_pylist() for name in SCHEMA.names]
    return [IndexEntry(*values) for values in zip(*columns, strict=True)]


def read_index_table(path: Path) -> pa.Table:
    """Read the entries of one shard as a table of `SCHEMA`, without nulls.

    Raises:
        UserError: The file is absent or damaged.
    """
    try:
        with pq.ParquetFile(path) as file:
            table = file.read(SCHEMA.names).select(SCHEMA.names).cast(SCHEMA)
        table.validate(full=True)
        if any(column.null_count for column in table.columns):
            raise pa.ArrowInvalid("a value is missing")
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        how = "restore the store or encode anew"
        raise UserError(f"the index of a shard cannot be read ({reason})", where=str(path), how=how) from error
    return table


@dataclass(slots=True)
class StoreIndex:
    """The latest statement about each item.

    Attributes:
        live: Entry by item, in the order in which the items first came.
        row_of_hash: A row that holds the states of a content, by hash; rows of replaced contents included.
    """

    live: dict[str, IndexEntry] = field(default_factory=dict)
    row_of_hash: dict[str, int] = field(default_factory=dict)

    def add(self, entries: Iterable[IndexEntry]) -> None:
        """Let later entries replace earlier ones."""
        for entry in entries:
            if entry.row == REMOVED:
                self.live.pop(entry.item_id, None)
                continue
            self.live[entry.item_id] = entry
            self.row_of_hash[entry.content_hash] = entry.row
