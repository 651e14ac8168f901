"""Import of two tables, items and interactions, as CSV, TSV, JSON Lines or Parquet."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from iisan.data.dataset import Dataset
from iisan.data.folder_pictures import existing_root
from iisan.data.importers.catalogue_options import CatalogueOptions, catalogue_columns
from iisan.data.importers.log_options import LogTableOptions, check_log_options, log_of
from iisan.data.importers.picture_columns import read_items
from iisan.data.importers.picture_place import PicturePlaceOptions, placed
from iisan.data.importers.tables import TableFormat, find_table
from iisan.data.importers.write_import import write_import
from iisan.data.media import Progress
from iisan.data.picture_source import FilePicture
from iisan.data.staging import check_output


class DelimitedImport(PicturePlaceOptions, LogTableOptions, CatalogueOptions):
    """Options of :func:`import_delimited`."""

    items: Path = Field(description="Table of the items: CSV, TSV, JSON Lines or Parquet, plain or .gz.")
    interactions: Path = Field(description="Table of the interactions, one a row.")
    items_format: TableFormat = Field("auto", description="Format of the items table; auto goes by the suffix.")
    items_delimiter: str | None = Field(
        None, description="Field delimiter of the items table; by default a comma for CSV and a tab for TSV."
    )
    items_header: tuple[str, ...] = Field((), description="Column names of an items table without a header line.")


def import_delimited(config: DelimitedImport, output: Path, progress: Progress | None = None) -> Dataset:
    """Make a dataset from a table of items and a table of interactions.

    Args:
        config: The options.
        output: The folder to make; it appears whole at the end, or not at all.
        progress: Called as ``(done, total, label)``.

    Raises:
        UserError: A file, line, column, id, number or picture is bad; the message names it.
    """
    check_output(output, overwrite=config.overwrite)
    check_log_options(config)
    table = find_table(
        config.items,
        config.items_format,
        delimiter=config.items_delimiter,
        encoding=config.encoding,
        names=config.items_header,
    )
    root = config.media_root or config.items.parent
    columns = catalogue_columns(config, table.columns())
    items = read_items(table, columns, lambda path: FilePicture(existing_root(root), path))
    _report(progress, 1)
    raw = log_of(config, config.log_table(config.interactions), config.item_id_column)
    _report(progress, 2)
    return write_import(
        config,
        output,
        "delimited",
        items.catalogue,
        raw,
        images=items.images(placed(config, items.catalogue.images, progress)),
        media_root=root,
        min_rating=config.min_rating,
        progress=progress,
    )


def _report(progress: Progress | None, done: int) -> None:
    if progress is not None:
        progress(done, 2, "tables")
