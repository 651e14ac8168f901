"""A split of a Hugging Face dataset as a table."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from iisan.data.embedded_pictures import ROWS_AT_ONCE, EmbeddedPictures, FromPath
from iisan.data.importers.missing_columns import require_columns
from iisan.errors import UserError


@dataclass(frozen=True, eq=False)
class HuggingFaceTable:
    """A ``datasets.Dataset``, read as Arrow: nothing is decoded; see :class:`iisan.data.importers.tables.Table`.

    Attributes:
        path: The dataset and its split, for messages.
        data: The ``datasets.Dataset``.
    """

    path: Path
    data: Any

    def columns(self) -> list[str]:
        """Column names."""
        return list(self.data.column_names)

    def type_of(self, column: str) -> pa.DataType:
        """The Arrow type of a column."""
        return self.data.features.arrow_schema.field(column).type

    def read(self, names: Sequence[str], ids: Collection[str] = ()) -> pa.Table:
        """Some columns, in this order; labels of classes by their names.

        Args:
            names: The columns.
            ids: Those of them with few distinct values, given as dictionaries where they are text.

        Raises:
            UserError: A column is missing, or there are no rows.
        """
        require_columns(names, self.columns(), str(self.path))
        if len(self.data) == 0:
            raise UserError("the dataset has no rows", where=str(self.path))
        table: pa.Table = self.data.select_columns(list(names)).with_format("arrow")[:]
        columns = {}
        for name in names:
            column = self._labelled(name, table.column(name))
            text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
            columns[name] = column.dictionary_encode() if name in ids and text else column
        return pa.table(columns).unify_dictionaries()

    def pictures(self, column: str, from_path: FromPath) -> EmbeddedPictures:
        """The pictures of a column, read a few at a time."""
        return EmbeddedPictures(len(self.data), lambda: self._batches(column), self.where, from_path)

    def where(self, row: int) -> str:
        """Name a row (from 0) for an error."""
        return f"{self.path}, row {row + 1}"

    def _batches(self, column: str) -> Iterator[pa.Array]:
        for batch in self.data.select_columns([column]).with_format("arrow").iter(ROWS_AT_ONCE):
            yield from batch.column(column).chunks

    def _labelled(self, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
        labels = getattr(self.data.features[name], "names", None)
        if labels is None or not pa.types.is_integer(column.type):
            return column
        codes = pc.fill_null(column, -1).to_numpy()
        # -1 stands for no label.
        known = (codes >= 0) & (codes < len(labels))
        return pa.chunked_array([pa.array([*labels, None], pa.string()).take(np.where(known, codes, len(labels)))])
