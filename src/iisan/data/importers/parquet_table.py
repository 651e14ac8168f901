"""Reading Parquet tables."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from iisan.data.importers.missing_columns import require_columns
from iisan.errors import UserError

READ_ERRORS = (OSError, UnicodeError, pa.ArrowException)


@dataclass(frozen=True)
class ParquetTable:
    """A Parquet file; values keep their types.

    Attributes:
        path: The file.
    """

    path: Path

    def columns(self) -> list[str]:
        """Column names.

        Raises:
            UserError: The file is missing or no Parquet.
        """
        try:
            return list(pq.read_schema(self.path).names)
        except READ_ERRORS as error:
            raise self._unreadable(error) from error

    def read(self, names: Sequence[str], ids: Collection[str] = ()) -> pa.Table:
        """Read some columns.

        Args:
            names: The columns, in this order.
            ids: Those of them with few distinct values, to be read as dictionaries where they are text.

        Raises:
            UserError: A column is missing, the file is damaged, or there are no rows.
        """
        require_columns(names, self.columns(), str(self.path))
        try:
            table = pq.read_table(self.path, columns=list(names), read_dictionary=list(ids))
            table.validate(full=True)
        except READ_ERRORS as error:
            raise self._unreadable(error) from error
        if table.num_rows == 0:
            raise UserError("the file has no rows", where=str(self.path))
        return table.select(list(names)).unify_dictionaries()

    def where(self, row: int) -> str:
        """Name a row (from 0) for an error."""
        return f"{self.path}, row {row + 1}"

    def _unreadable(self, error: Exception) -> UserError:
        what = "the file does not exist" if isinstance(error, FileNotFoundError) else f"no readable Parquet ({error})"
        return UserError(what, where=str(self.path))
