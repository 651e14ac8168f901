"""A dataset folder as it is, sound or not: the tables that can be read, and the columns that they have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from iisan.data.interactions import Rows
from iisan.data.manifest import ITEMS_FILE, USERS_FILE, DatasetManifest, ModalityKind


@dataclass(frozen=True, eq=False)
class Folder:
    """What could be read of a dataset folder.

    Attributes:
        path: The folder, resolved.
        manifest: Its manifest.
        tables: Tables by file name; one that is missing or damaged is not there.
    """

    path: Path
    manifest: DatasetManifest
    tables: dict[str, pa.Table]

    def column(self, table: str, name: str) -> pa.ChunkedArray | None:
        """A column as it is, or None where the table does not have it exactly once."""
        if table not in self.tables or self.tables[table].column_names.count(name) != 1:
            return None
        return self.tables[table].column(name)

    def text_column(self, table: str, name: str) -> pa.ChunkedArray | None:
        """A column as text, or None where it is absent or cannot be text."""
        column = self.column(table, name)
        if column is None or pa.types.is_string(column.type):
            return column
        try:
            if pa.types.is_dictionary(column.type):
                column = column.cast(column.type.value_type)
            return column.cast(pa.string())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return None

    @cached_property
    def modalities(self) -> dict[str, tuple[ModalityKind, pa.ChunkedArray]]:
        """Kind and texts ``[N]`` of the modalities whose column can be read; blank is null."""
        found: dict[str, tuple[ModalityKind, pa.ChunkedArray]] = {}
        for name, kind in self.manifest.modalities.items():
            column = self.text_column(ITEMS_FILE, name)
            if column is not None:
                found[name] = (kind, blank_to_null(column))
        return found

    @property
    def n_items(self) -> int:
        """Rows of the items table, or what the manifest says where it cannot be read."""
        return self.tables[ITEMS_FILE].num_rows if ITEMS_FILE in self.tables else self.manifest.counts.items

    @property
    def n_users(self) -> int:
        """Rows of the users table, or what the manifest says where it cannot be read."""
        return self.tables[USERS_FILE].num_rows if USERS_FILE in self.tables else self.manifest.counts.users

    def items_at(self, rows: Rows | Iterable[int]) -> Iterator[str]:
        """Ids of items by row; their row where the id cannot be read."""
        return _names(self.text_column(ITEMS_FILE, "item_id"), rows)

    def users_at(self, rows: Rows | Iterable[int]) -> Iterator[str]:
        """Ids of users by row; their row where the id cannot be read."""
        return _names(self.text_column(USERS_FILE, "user_id"), rows)


def blank_to_null(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts without the blank ones."""
    blank = pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(column)), 0)
    return pc.if_else(pc.fill_null(blank, False), pa.scalar(None, pa.string()), column)


def codes_of(column: pa.ChunkedArray) -> tuple[Rows, pa.Array]:
    """Number the distinct values of a column.

    Returns:
        A number ``[N]`` for each row, -1 for null, and the distinct values by number.
    """
    encoded = column.dictionary_encode().unify_dictionaries()
    if encoded.num_chunks == 0:
        return np.empty(0, dtype=np.int64), pa.array([], column.type)
    indices = [chunk.indices.fill_null(-1).to_numpy(zero_copy_only=False) for chunk in encoded.chunks]
    return np.concatenate(indices).astype(np.int64), encoded.chunk(0).dictionary


def present(column: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Which values ``[N]`` are not null."""
    mask: npt.NDArray[np.bool_] = column.is_valid().to_numpy()
    return mask


def _names(ids: pa.ChunkedArray | None, rows: Rows | Iterable[int]) -> Iterator[str]:
    for row in rows:
        value = ids[int(row)].as_py() if ids is not None and 0 <= row < len(ids) else None
        yield f"row {row}" if value is None else value
