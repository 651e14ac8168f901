"""Reading Parquet tables."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from iisan.data.embedded_pictures import ROWS_AT_ONCE, EmbeddedPictures, FromPath
from iisan.data.importers.missing_columns import require_columns
from iisan.errors import UserError

logger = logging.getLogger(__name__)

LARGE_ROW_GROUP = 1 << 30
# Read from the file at once while a column is read bit by bit.
BUFFER_BYTES = 1 << 20
MAX_TEXT_BYTES = 16 << 20
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
        return list(self._schema().names)

    def type_of(self, column: str) -> pa.DataType:
        """The type of a column.

        Raises:
            UserError: The file is missing or no Parquet.
        """
        return self._schema().field(column).type

    def pictures(self, column: str, from_path: FromPath) -> EmbeddedPictures:
        """The pictures of a column, read a few at a time.

        Raises:
            UserError: The file is missing or no Parquet.
        """
        try:
            n_rows = pq.read_metadata(self.path).num_rows
        except READ_ERRORS as error:
            raise self._unreadable(error) from error
        return EmbeddedPictures(n_rows, lambda: self._batches(column), self.where, from_path)

    def read(self, names: Sequence[str], ids: Collection[str] = ()) -> pa.Table:
        """Read some columns.

        Args:
            names: The columns, in this order.
            ids: Those of them with few distinct values, to be read as dictionaries where they are text.

        Raises:
            UserError: A column is missing, a text has more than 16 MiB, the file is damaged, or there are no rows.
        """
        require_columns(names, self.columns(), str(self.path))
        try:
            self._check_long_texts([name for name in names if name not in ids])
            table = pq.read_table(self.path, columns=list(names), read_dictionary=list(ids))
            table.validate(full=True)
            for name in names:
                self._check_lengths(name, table.column(name).chunks)
        except READ_ERRORS as error:
            raise self._unreadable(error) from error
        if table.num_rows == 0:
            raise UserError("the file has no rows", where=str(self.path), how="copy it again, whole")
        return table.select(list(names)).unify_dictionaries()

    def where(self, row: int) -> str:
        """Name a row (from 0) for an error."""
        return f"{self.path}, row {row + 1}"

    def _schema(self) -> pa.Schema:
        try:
            return pq.read_schema(self.path)
        except READ_ERRORS as error:
            raise self._unreadable(error) from error

    def _check_long_texts(self, names: Sequence[str]) -> None:
        """Refuse a long text before its column is in memory, where it may stand in every row."""
        with pq.ParquetFile(self.path, buffer_size=BUFFER_BYTES, pre_buffer=False) as file:
            texts = [one.name for one in file.schema_arrow if one.name in names and _is_text(one.type)]
            # Of row groups, for asking a damaged file for the size of a column ends the process (pyarrow 26).
            groups = range(file.metadata.num_row_groups)
            large = [group for group in groups if file.metadata.row_group(group).total_byte_size > MAX_TEXT_BYTES]
            for group, name in itertools.product(large, texts):
                for batch in file.iter_batches(ROWS_AT_ONCE, row_groups=[group], columns=[name], use_threads=False):
                    self._check_lengths(name, [batch.column(0)])

    def _check_lengths(self, name: str, chunks: Sequence[pa.Array]) -> None:
        for chunk in chunks:
            values = chunk.dictionary if pa.types.is_dictionary(chunk.type) else chunk
            if _is_text(values.type) and (pc.max(pc.binary_length(values)).as_py() or 0) > MAX_TEXT_BYTES:
                what = f"a text is over the limit of {MAX_TEXT_BYTES:,} bytes"
                raise UserError(what, where=f"{self.path}, column {name!r}", how="shorten it")

    def _batches(self, column: str) -> Iterator[pa.Array]:
        try:
            # Buffered: without it the whole column of a row group is in memory before the first value is.
            with pq.ParquetFile(self.path, buffer_size=BUFFER_BYTES, pre_buffer=False) as file:
                self._warn_of_size(file.metadata, column)
                for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, columns=[column], use_threads=False):
                    yield batch.column(0)
        except READ_ERRORS as error:
            raise self._unreadable(error) from error

    def _warn_of_size(self, metadata: pq.FileMetaData, column: str) -> None:
        """A page is the least that can be read, and many writers make one of a whole row group."""
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        chunks = [group.column(number) for group in groups for number in range(metadata.num_columns)]
        sizes = [one.total_uncompressed_size for one in chunks if one.path_in_schema.split(".")[0] == column]
        largest = max(sizes, default=0)
        if largest > LARGE_ROW_GROUP:
            what = "%s: a row group has %.1f GB of pictures, and up to twice that is held in memory; write smaller ones"
            logger.warning(what, self.path, largest / 1e9)

    def _unreadable(self, error: Exception) -> UserError:
        what = "the file does not exist" if isinstance(error, FileNotFoundError) else f"no readable Parquet ({error})"
        return UserError(what, where=str(self.path), how="name a table, and copy it whole")


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
