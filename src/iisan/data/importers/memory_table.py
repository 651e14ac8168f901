"""A table that an importer has read and put in order itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from iisan.data.importers.columns import texts
from iisan.data.importers.item_pictures import item_pictures
from iisan.data.importers.missing_columns import require_columns

# With a colon in it, which the columns of no layout have.
PICTURE = "picture:file"


@dataclass(frozen=True, eq=False)
class MemoryTable:
    """A table in memory; see :class:`iisan.data.importers.tables.Table`.

    Attributes:
        path: The file that it comes from.
        data: The columns.
        where: Names the line of a row (from 0) for an error.
    """

    path: Path
    data: pa.Table
    where: Callable[[int], str]

    def columns(self) -> list[str]:
        """Column names."""
        return list(self.data.column_names)

    def read(self, names: Sequence[str], ids: Collection[str] = ()) -> pa.Table:
        """Some columns as they are, in this order; ``ids`` changes nothing.

        Raises:
            UserError: A column is missing.
        """
        require_columns(names, self.columns(), str(self.path))
        return self.data.select(list(names))

    def with_pictures(self, folder: Path, item_ids: str) -> MemoryTable:
        """The table with a column ``PICTURE`` more: the file of each item in a folder of pictures, null where none is.

        Args:
            folder: Holds files named after the items.
            item_ids: Column of the ids.

        Raises:
            UserError: There is no such folder, or no file in it is named after an item.
        """
        ids = texts(self.data.column(item_ids), self.where)
        found = item_pictures(folder, [one or "" for one in ids])
        return replace(self, data=self.data.append_column(PICTURE, pa.array(found, pa.string())))


def lines_of(path: Path, numbers: Sequence[int]) -> Callable[[int], str]:
    """How to name rows that stand on the given lines (from 1) of a file."""
    return lambda row: f"{path}, line {numbers[row]}"
