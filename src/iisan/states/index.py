"""Which item's states are in which row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
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
        content_hash: Hex SHA-256 of the content that was encoded; empty for a removal.
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
    try:
        table = pq.read_table(path, schema=SCHEMA)
        columns = [table.column(name).to_pylist() for name in SCHEMA.names]
    except (OSError, pa.ArrowException) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        how = "restore the store or encode anew"
        raise UserError(f"the index of a shard cannot be read ({reason})", where=str(path), how=how) from error
    return [IndexEntry(*values) for values in zip(*columns, strict=True)]


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

    def rows_of(self, item_ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """Row of each item, -1 where it has none."""
        live = self.live
        rows = (entry.row if (entry := live.get(item)) else REMOVED for item in item_ids)
        return np.fromiter(rows, dtype=np.int64, count=len(item_ids))
