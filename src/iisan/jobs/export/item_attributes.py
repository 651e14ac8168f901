"""Attributes of the items of an item table: of a dataset's items, and of those that were added with some."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from iisan.data.dataset import Dataset
from iisan.errors import UserError
from iisan.models.item_table import ItemTable


class ItemAttributes:
    """Columns of attributes by rows of an item table.

    What was said of an item when it was added replaces what a dataset says of it.

    Args:
        table: The items.
        dataset: Where attributes of its items are; None for those of added items alone.
        names: Which attributes; by default all.

    Raises:
        UserError: There is no such attribute.
    """

    def __init__(self, table: ItemTable, dataset: Dataset | None, names: Sequence[str] = ()) -> None:
        self._facts = table.facts
        added = {name for fact in self._facts.values() for name in fact.attributes}
        of_dataset = [] if dataset is None else list(dataset.manifest.attributes)
        known = [*of_dataset, *sorted(added - set(of_dataset))]
        for name in names:
            if name not in known:
                there = ", ".join(known) or "none"
                raise UserError(f"no attribute {name!r}", where="option --attributes", how=f"there are: {there}")
        self.names = list(names) or known
        self._columns: dict[str, pa.ChunkedArray] = {}
        self._rows = np.full(len(table), -1, dtype=np.int64)
        if dataset is not None:
            self._columns = {name: dataset.attribute_array(name) for name in self.names if name in of_dataset}
            self._rows = dataset.rows_of(table.item_ids)
        self._rows[list(self._facts)] = -1

    def columns(self, start: int, stop: int) -> dict[str, pa.Array]:
        """Values of the items from row `start` to `stop`, exclusive, by attribute; null where an item has none."""
        rows = self._rows[start:stop]
        places = pa.array(rows, mask=rows < 0)
        said = [row for row in range(start, stop) if row in self._facts] if self._facts else []
        return {name: self._column(name, places, said, start) for name in self.names}

    def _column(self, name: str, places: pa.Array, said: Sequence[int], start: int) -> pa.Array:
        if name in self._columns:
            column = self._columns[name].take(places).combine_chunks()
        else:
            column = pa.nulls(len(places), pa.string())
        if not said:
            return column
        mask = np.zeros(len(places), dtype=bool)
        mask[[row - start for row in said]] = True
        values = pa.array([self._facts[row].attributes.get(name) for row in said], pa.string())
        return pc.replace_with_mask(column, pa.array(mask), values)
