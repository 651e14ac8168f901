"""Options that say which columns of a table hold the log, and reading it by them."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from iisan.data.importers.history_lists import read_history_lists
from iisan.data.importers.log import RawLog
from iisan.data.importers.log_table import LogColumns, raw_log
from iisan.data.importers.options import ImportOptions
from iisan.data.importers.tables import Table, TableFormat, find_table
from iisan.errors import UserError


class LogOptions(ImportOptions):
    """Options of importers that take any log; :func:`log_of` reads by them."""

    user_id_column: str = Field("user_id", description="Column of the user id in the interactions table.")
    interaction_item_column: str | None = Field(
        None, description="Column of the item id in the interactions table; by default the same as in the items table."
    )
    timestamp_column: str | None = Field(
        "timestamp", description="Column of the time; empty: the order of the rows is the time."
    )
    rating_column: str | None = Field(None, description="Column of the rating, kept with the interactions.")
    min_rating: float | None = Field(None, description="Leave out interactions rated lower; needs rating_column.")
    history_column: str | None = Field(
        None,
        description="Column with the list of a user's items, oldest first, where a row is a user; "
        "for Parquet and Hugging Face datasets.",
    )


class LogTableOptions(LogOptions):
    """The same, where the log is a file, which is named by the importer's own options."""

    interactions_format: TableFormat = Field("auto", description="Format of the interactions table.")
    interactions_delimiter: str | None = Field(None, description="Field delimiter of the interactions table.")
    encoding: str = Field("utf-8", description="Encoding of text tables.")
    interactions_header: tuple[str, ...] = Field((), description="Column names of a log without a header line.")

    def log_table(self, path: Path) -> Table:
        """The table of the interactions.

        Args:
            path: The file.

        Raises:
            UserError: It does not exist, or its format is not known.
        """
        return find_table(
            path,
            self.interactions_format,
            delimiter=self.interactions_delimiter,
            encoding=self.encoding,
            names=self.interactions_header,
        )


def check_log_options(config: LogOptions) -> None:
    """Check that the options fit together.

    Raises:
        UserError: They do not.
    """
    if config.min_rating is not None and not config.rating_column:
        raise UserError("min_rating needs ratings", how="name their column with rating_column")
    others = ("timestamp_column", "rating_column", "interaction_item_column")
    if config.history_column and any(name in config.model_fields_set and getattr(config, name) for name in others):
        raise UserError(
            "history_column gives the items in order of time, without times or ratings",
            how="leave timestamp_column, rating_column and interaction_item_column out",
        )


def log_of(config: LogOptions, table: Table, item_column: str) -> RawLog:
    """Read a log by the options.

    Args:
        config: The options.
        table: Where the log is.
        item_column: Column of the item id where ``interaction_item_column`` names none.

    Raises:
        UserError: A column is missing, or a line, id or number is bad; the message names it.
    """
    if config.history_column:
        return read_history_lists(table, config.user_id_column, config.history_column)
    columns = LogColumns(
        config.user_id_column,
        config.interaction_item_column or item_column,
        config.timestamp_column or None,
        config.rating_column or None,
    )
    _check_timestamp_column(columns.timestamp, table)
    read = table.read(columns.names(), ids=(columns.user, columns.item))
    return raw_log(read, columns, table.where, str(table.path))


def _check_timestamp_column(name: str | None, table: Table) -> None:
    available = table.columns()
    if name and name not in available:
        raise UserError(
            f"no column {name!r} for the time",
            where=str(table.path),
            how="name it with timestamp_column, or leave that empty if the rows are in order of time; "
            f"the columns are {', '.join(available)}",
        )
