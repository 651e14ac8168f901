"""Reading a log from a text table at little more than its own size: ids as codes, times and ratings as numbers."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv

from iisan.data.importers import delimited_table
from iisan.data.importers.columns import Where, coded_ids, numbers, timestamps
from iisan.data.importers.delimited_table import READ_ERRORS, DelimitedTable
from iisan.data.importers.log import RawLog
from iisan.data.importers.missing_columns import require_columns
from iisan.errors import UserError

logger = logging.getLogger(__name__)

ID = pa.dictionary(pa.int32(), pa.string())


@dataclass(frozen=True)
class LogColumns:
    """Which columns of a table hold the log.

    Attributes:
        user: User ids.
        item: Item ids.
        timestamp: Times, or None where the order of the rows is the time.
        rating: Ratings, or None.
    """

    user: str
    item: str
    timestamp: str | None = None
    rating: str | None = None

    def names(self) -> list[str]:
        """The columns, each once."""
        return list(dict.fromkeys(name for name in (self.user, self.item, self.timestamp, self.rating) if name))


def read_log(table: DelimitedTable, columns: LogColumns) -> RawLog:
    """Read a log.

    Times and ratings are parsed as numbers while the file is read. Where that fails, the table is read again as text,
    which takes several times the memory, but understands dates and names the line at fault.

    Raises:
        UserError: The file or a column is missing, a line is malformed, an id is blank, or a time or rating is none.
    """
    require_columns(columns.names(), table.columns(), str(table.path))
    raw = _as_numbers(table, columns)
    if raw is None:
        logger.info("%s is read as text: its times or ratings are not plain numbers", table.path)
        raw = table.read(columns.names(), ids=(columns.user, columns.item))
    return raw_log(raw, columns, table.where, str(table.path))


def raw_log(table: pa.Table, columns: LogColumns, where: Where, name: str) -> RawLog:
    """Make a log of the columns of a table in memory.

    Args:
        table: The columns.
        columns: What they are.
        where: Names a row in an error.
        name: What the whole is called in an error.

    Raises:
        UserError: There are no rows, an id is missing or blank, or a time or rating is no number.
    """
    if table.num_rows == 0:
        raise UserError("the file has no rows", where=name, how="copy it again, whole")
    time, rating = columns.timestamp, columns.rating
    return RawLog(
        user=coded_ids(table.column(columns.user), "user", where),
        item=coded_ids(table.column(columns.item), "item", where),
        timestamp=timestamps(table.column(time), where) if time else None,
        rating=numbers(table.column(rating), "rating", where).astype(np.float64, copy=False) if rating else None,
        where=name,
    )


def read_typed(table: DelimitedTable, types: Mapping[str, pa.DataType]) -> pa.Table:
    """Read some columns of a text table as given types.

    Raises:
        Exception: One of ``delimited_table.READ_ERRORS``: a value is not of its type, or the file cannot be read.
    """
    return arrow_csv.read_csv(
        table.path,
        read_options=arrow_csv.ReadOptions(
            column_names=list(table.names) or None, block_size=delimited_table.BLOCK_BYTES, encoding=table.encoding
        ),
        parse_options=arrow_csv.ParseOptions(
            delimiter=table.delimiter,
            quote_char='"' if table.quoted else False,
            double_quote=table.quoted,
            newlines_in_values=table.quoted,
        ),
        convert_options=arrow_csv.ConvertOptions(
            column_types=dict(types), include_columns=list(types), strings_can_be_null=False
        ),
    )


def _as_numbers(table: DelimitedTable, columns: LogColumns) -> pa.Table | None:
    """The log with numbers as numbers, or None where some are none or the table cannot be read."""
    for time in (pa.int64(), pa.float64()):
        types = dict.fromkeys(columns.names(), pa.float64())
        if columns.timestamp:
            types[columns.timestamp] = time
        types |= {columns.user: ID, columns.item: ID}
        try:
            return read_typed(table, types)
        except READ_ERRORS:
            continue
    return None
