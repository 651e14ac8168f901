"""Import of Amazon Reviews 2023 as the McAuley lab publishes it."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
from pydantic import Field

from iisan.data.dataset import Dataset
from iisan.data.importers.amazon_items import ITEM_ID, AmazonItems, ImageSize, RepeatedItems, read_amazon_items
from iisan.data.importers.catalogue import CatalogueColumns
from iisan.data.importers.delimited_table import DelimitedTable
from iisan.data.importers.image_urls import image_url_list, write_image_urls
from iisan.data.importers.item_pictures import item_pictures
from iisan.data.importers.joined_logs import joined
from iisan.data.importers.json_blocks import BytesRead, JsonBlocks
from iisan.data.importers.log import RawLog
from iisan.data.importers.log_table import ID, LogColumns, raw_log, read_log
from iisan.data.importers.options import ImportOptions
from iisan.data.importers.write_import import write_import
from iisan.data.media import Progress
from iisan.data.staging import check_output
from iisan.data.text_template import parse_template
from iisan.errors import UserError

REVIEW_COLUMNS = LogColumns("user_id", ITEM_ID, "timestamp", "rating")
REVIEW_SCHEMA = pa.schema(
    [("user_id", pa.string()), (ITEM_ID, pa.string()), ("timestamp", pa.int64()), ("rating", pa.float64())]
)


class Amazon2023Import(ImportOptions):
    """Options of :func:`import_amazon_2023`."""

    meta: Path = Field(description="Metadata of the items, meta_CATEGORY.jsonl, plain or .gz.")
    reviews: tuple[Path, ...] = Field(
        min_length=1,
        description="The log: CATEGORY.jsonl, or one of the pure-ID files with user_id, parent_asin, rating and "
        "timestamp as .csv, plain or .gz; parts of a split one after the other.",
    )
    text: str = Field(
        "{title}. {features}. {categories}. {description}",
        description="Template of the modality 'text'; its fields are title, subtitle, store, main_category, price, "
        "features, description and categories; empty: no text.",
    )
    unescape_html: bool = Field(True, description="Turn HTML entities such as &amp; in texts into characters.")
    attributes: tuple[str, ...] = Field((), description="Fields to keep as text, such as store.")
    min_rating: float | None = Field(None, description="Leave out interactions rated lower.")
    repeated_items: RepeatedItems = Field(
        "first", description="An item with several lines of metadata: take the first and count the others, or stop."
    )
    pictures: Path | None = Field(
        None, description="Folder with the picture of each item as ITEM.jpg, .jpeg, .png or .webp; may lack some."
    )
    image_urls: Path | None = Field(
        None,
        description="File to write with lines `item<TAB>address` of the main pictures, for a download tool; "
        "nothing is fetched.",
    )
    image_size: ImageSize = Field("large", description="Size of the pictures in image_urls; next best where it lacks.")


def import_amazon_2023(config: Amazon2023Import, output: Path, progress: Progress | None = None) -> Dataset:
    """Make a dataset from the files of a category.

    The items are the products of the metadata, by ``parent_asin``. Times stay milliseconds since 1970.

    Args:
        config: The options.
        output: The folder to make; it appears whole at the end, or not at all, and so does ``image_urls``.
        progress: Called as ``(done, total, label)``.

    Raises:
        UserError: A file, line, field, id, number or picture is bad; the message names it.
    """
    check_output(output, overwrite=config.overwrite)
    if not config.text and config.pictures is None:
        raise UserError("the items have neither text nor pictures", how="give a template with text, or pictures")
    with contextlib.ExitStack() as stack:
        urls_file = None
        if config.image_urls is not None:
            urls_file = stack.enter_context(image_url_list(config.image_urls, output, overwrite=config.overwrite))
        items = _items(config, progress)
        if urls_file is not None:
            write_image_urls(urls_file, items.item_ids, items.urls)
        catalogue = items.catalogue()
        if config.pictures is not None:
            catalogue = replace(catalogue, images={"image": item_pictures(config.pictures, items.item_ids)})
        return write_import(
            config,
            output,
            "amazon-2023",
            catalogue,
            joined([_log(path, progress) for path in config.reviews], "reviews"),
            media_root=config.pictures,
            min_rating=config.min_rating,
            dropped={"repeated_item": items.repeated},
            progress=progress,
        )


def _items(config: Amazon2023Import, progress: Progress | None) -> AmazonItems:
    texts = {"text": parse_template(config.text)} if config.text else {}
    columns = CatalogueColumns(ITEM_ID, "title", texts, {}, config.attributes, config.unescape_html)
    return read_amazon_items(
        config.meta,
        columns,
        repeated=config.repeated_items,
        image_size=None if config.image_urls is None else config.image_size,
        bytes_read=_mebibytes(progress, config.meta),
    )


def _log(path: Path, progress: Progress | None) -> RawLog:
    kind = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if kind == ".csv":
        return read_log(DelimitedTable(path, ",", quoted=True), REVIEW_COLUMNS)
    if kind == ".jsonl":
        return _reviews(path, progress)
    raise UserError(f"unknown suffix {kind!r}", where=str(path), how="give a .jsonl or .csv file, plain or .gz")


def _reviews(path: Path, progress: Progress | None) -> RawLog:
    source = JsonBlocks(path, REVIEW_SCHEMA)
    ids = [REVIEW_SCHEMA.get_field_index(name) for name in (REVIEW_COLUMNS.user, REVIEW_COLUMNS.item)]
    blocks = [_with_codes(table, ids) for table in source.tables(_mebibytes(progress, path))]
    if not blocks:
        raise UserError("the file is empty", where=str(path), how="copy it again, whole")
    return raw_log(pa.concat_tables(blocks), REVIEW_COLUMNS, source.where, str(path))


def _with_codes(table: pa.Table, ids: list[int]) -> pa.Table:
    """A table whose ids are dictionaries, which take less memory."""
    for index in ids:
        table = table.set_column(index, table.column_names[index], table.column(index).cast(ID))
    return table


def _mebibytes(progress: Progress | None, path: Path) -> BytesRead | None:
    if progress is None:
        return None
    return lambda done, total: progress(done >> 20, total >> 20, f"{path.name}, MiB")
