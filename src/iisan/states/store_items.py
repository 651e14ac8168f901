"""The items of a store as it is read: columns, not one object an item, for there may be millions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from iisan.states.index import REMOVED, SCHEMA, read_index_table
from iisan.states.manifest import Manifest

Rows = npt.NDArray[np.int64]


class StoreItems:
    """The latest statement about each item that has states, in the order in which the items first came.

    Args:
        statements: All statements of a store, oldest first, as a table of :data:`iisan.states.index.SCHEMA`.
    """

    def __init__(self, statements: pa.Table) -> None:
        latest = _latest(statements)
        live = statements if latest is None else statements.take(pa.array(latest))
        self._ids: pa.Array = live.column("item_id").combine_chunks()
        self._hashes: pa.ChunkedArray = live.column("content_hash")
        self.rows: Rows = live.column("row").to_numpy()

    @classmethod
    def read(cls, folder: Path, manifest: Manifest) -> StoreItems:
        """Read the items of all shards.

        Raises:
            UserError: An index is absent or damaged.
        """
        tables = [read_index_table(folder / shard.index.file) for shard in manifest.shards]
        return cls(pa.concat_tables([SCHEMA.empty_table(), *tables]))

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def ids(self) -> list[str]:
        """Their ids ``[n]``."""
        ids: list[str] = self._ids.to_pylist()
        return ids

    def rows_of(self, item_ids: Sequence[str]) -> Rows:
        """Row of each item's states, -1 where it has none."""
        if not len(self):
            return np.full(len(item_ids), REMOVED, dtype=np.int64)
        position = self._positions(item_ids).fill_null(-1).to_numpy()
        return np.where(position < 0, REMOVED, self.rows[position])

    def hashes_of(self, item_ids: Sequence[str]) -> list[str | None]:
        """Content hash of each item, None where it has no states."""
        hashes: list[str | None] = self._hashes.take(self._positions(item_ids)).to_pylist()
        return hashes

    def at_row(self, row: int) -> list[str]:
        """The items whose states are in a row."""
        ids: list[str] = self._ids.take(pa.array(np.flatnonzero(self.rows == row))).to_pylist()
        return ids

    def _positions(self, item_ids: Sequence[str]) -> pa.Array:
        return pc.index_in(pa.array(item_ids, pa.string()), value_set=self._ids)


def _latest(statements: pa.Table) -> Rows | None:
    """Where each item's last statement stands, by the item's first one since its last removal; None for "all"."""
    ids = statements.column("item_id").combine_chunks().dictionary_encode()
    codes: npt.NDArray[np.int32] = ids.indices.to_numpy()
    removed = statements.column("row").to_numpy() == REMOVED
    if len(ids.dictionary) == len(codes) and not removed.any():
        return None
    # Of repeated indices numpy keeps the last value written.
    last_removed = np.full(len(ids.dictionary), -1, dtype=np.int64)
    last_removed[codes[removed]] = np.flatnonzero(removed)
    alive = np.flatnonzero(np.arange(len(codes)) > last_removed[codes])
    first, last = np.zeros((2, len(ids.dictionary)), dtype=np.int64)
    last[codes[alive]] = alive
    first[codes[alive[::-1]]] = alive[::-1]
    kept = np.unique(codes[alive])
    return last[kept[np.argsort(first[kept])]]
