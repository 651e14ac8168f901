"""Import of two tables, items and interactions, as CSV, TSV, JSON Lines or Parquet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field

from iisan.data.contents import DatasetContents
from iisan.data.dataset import Dataset
from iisan.data.importers.catalogue import CatalogueColumns, named_parts, named_templates, read_catalogue
from iisan.data.importers.columns import coded_ids, numbers, timestamps
from iisan.data.importers.log import RawLog, order_log
from iisan.data.importers.options import ImportOptions
from iisan.data.importers.tables import Table, TableFormat, find_table
from iisan.data.manifest import DatasetSource
from iisan.data.media import Progress
from iisan.data.staging import check_output
from iisan.data.text_template import parse_template
from iisan.data.writer import write_dataset
from iisan.errors import UserError


class DelimitedImport(ImportOptions):
    """Options of :func:`import_delimited`."""

    items: Path = Field(description="Table of the items: CSV, TSV, JSON Lines or Parquet, plain or .gz.")
    interactions: Path = Field(description="Table of the interactions, one a row.")
    item_id_column: str = Field("item_id", description="Column of the item id in the items table.")
    user_id_column: str = Field("user_id", description="Column of the user id in the interactions table.")
    interaction_item_column: str | None = Field(
        None, description="Column of the item id in the interactions table; by default the same as in the items table."
    )
    timestamp_column: str | None = Field(
        "timestamp", description="Column of the time; empty: the order of the rows is the time."
    )
    rating_column: str | None = Field(None, description="Column of the rating, kept with the interactions.")
    min_rating: float | None = Field(None, description="Leave out interactions rated lower; needs rating_column.")
    text: str | None = Field(
        None,
        description="Column, or template such as '{title}. {genres}', of the modality 'text'; "
        "by default the column 'title' if there is one; empty: no text.",
    )
    extra_texts: tuple[str, ...] = Field((), description="Further text modalities, each NAME=COLUMN or NAME=TEMPLATE.")
    title_column: str | None = Field(
        None, description="Column shown to people as title; by default 'title' if there is one; empty: none."
    )
    image_column: str | None = Field(
        None, description="Column with the path of the picture, relative to media_root; makes the modality 'image'."
    )
    extra_images: tuple[str, ...] = Field((), description="Further image modalities, each NAME=COLUMN.")
    media_root: Path | None = Field(None, description="Folder of the pictures; by default that of the items table.")
    attributes: tuple[str, ...] = Field((), description="Further columns of the items to keep, as text.")
    unescape_html: bool = Field(False, description="Turn HTML entities such as &amp; in texts into characters.")
    items_format: TableFormat = Field("auto", description="Format of the items table; auto goes by the suffix.")
    interactions_format: TableFormat = Field("auto", description="Format of the interactions table.")
    items_delimiter: str | None = Field(
        None, description="Field delimiter of the items table; by default a comma for CSV and a tab for TSV."
    )
    interactions_delimiter: str | None = Field(None, description="Field delimiter of the interactions table.")
    encoding: str = Field("utf-8", description="Encoding of text tables.")
    items_header: tuple[str, ...] = Field((), description="Column names of an items table without a header line.")
    interactions_header: tuple[str, ...] = Field((), description="Column names of a log without a header line.")


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
    if config.min_rating is not None and not config.rating_column:
        raise UserError("min_rating needs ratings", how="name their column with rating_column")
    items = find_table(
        config.items,
        config.items_format,
        delimiter=config.items_delimiter,
        encoding=config.encoding,
        names=config.items_header,
    )
    catalogue = read_catalogue(items, _columns(config, items.columns()))
    _report(progress, 1)
    raw = _raw_log(config)
    log = order_log(raw, catalogue.item_ids, unknown_items=config.unknown_items, min_rating=config.min_rating)
    _report(progress, 2)
    contents = DatasetContents(
        name=config.name or output.absolute().name,
        item_ids=catalogue.item_ids,
        titles=catalogue.titles,
        texts=catalogue.texts,
        images=catalogue.images,
        attributes=catalogue.attributes,
        user_ids=log.user_ids,
        interactions=log.interactions,
        media_root=config.media_root or config.items.parent,
        source=DatasetSource(importer="delimited", options=config.recorded(), dropped=log.dropped),
    )
    return write_dataset(contents, output, policy=config.media_policy(), overwrite=config.overwrite, progress=progress)


def _report(progress: Progress | None, done: int) -> None:
    if progress is not None:
        progress(done, 2, "tables")


def _columns(config: DelimitedImport, available: list[str]) -> CatalogueColumns:
    fallback = "title" if "title" in available else ""
    text = fallback if config.text is None else config.text
    title = fallback if config.title_column is None else config.title_column
    texts = {"text": parse_template(text)} if text else {}
    images = {"image": config.image_column} if config.image_column else {}
    more_texts, more_images = named_templates(config.extra_texts), named_parts(config.extra_images)
    twice = (texts.keys() & more_texts.keys()) | (images.keys() & more_images.keys())
    if twice:
        raise UserError(f"two modalities are named {min(twice)!r}", how="name the further ones differently")
    return CatalogueColumns(
        item_id=config.item_id_column,
        title=title or None,
        texts={**texts, **more_texts},
        images={**images, **more_images},
        attributes=config.attributes,
        unescape_html=config.unescape_html,
    )


def _raw_log(config: DelimitedImport) -> RawLog:
    table = find_table(
        config.interactions,
        config.interactions_format,
        delimiter=config.interactions_delimiter,
        encoding=config.encoding,
        names=config.interactions_header,
    )
    user, item = config.user_id_column, config.interaction_item_column or config.item_id_column
    _check_timestamp_column(config, table)
    values = [name for name in (config.timestamp_column, config.rating_column) if name]
    raw = table.read(list(dict.fromkeys([user, item, *values])), ids=(user, item))
    time, rating = config.timestamp_column, config.rating_column
    return RawLog(
        user=coded_ids(raw.column(user), "user", table.where),
        item=coded_ids(raw.column(item), "item", table.where),
        timestamp=timestamps(raw.column(time), table.where) if time else None,
        rating=numbers(raw.column(rating), "rating", table.where).astype(np.float64) if rating else None,
        where=str(config.interactions),
    )


def _check_timestamp_column(config: DelimitedImport, table: Table) -> None:
    available = table.columns()
    if config.timestamp_column and config.timestamp_column not in available:
        raise UserError(
            f"no column {config.timestamp_column!r} for the time",
            where=str(table.path),
            how="name it with timestamp_column, or leave that empty if the rows are in order of time; "
            f"the columns are {', '.join(available)}",
        )
