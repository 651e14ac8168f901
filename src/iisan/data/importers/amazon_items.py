"""The items of Amazon Reviews 2023: titles and texts, composed while the file passes by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from iisan.data.importers.catalogue import Catalogue, CatalogueColumns, composed, unescaped
from iisan.data.importers.columns import MEND
from iisan.data.importers.json_blocks import BytesRead, JsonBlocks
from iisan.data.importers.json_values import LIST_SEPARATOR
from iisan.data.importers.missing_columns import require_columns
from iisan.errors import UserError

RepeatedItems = Literal["first", "error"]
ImageSize = Literal["thumb", "large", "hi_res"]

ITEM_ID = "parent_asin"
IMAGES = "images"
MAIN_VARIANT = "MAIN"
IMAGE_TYPE = pa.list_(pa.struct([(name, pa.string()) for name in ("thumb", "large", "hi_res", "variant")]))
# What stands in for a size that a picture lacks, in this order.
SIZES: tuple[ImageSize, ...] = ("large", "hi_res", "thumb")
TEXT_FIELDS = ("title", "subtitle", "store", "main_category", "price")
LIST_FIELDS = ("features", "description", "categories")


@dataclass(eq=False)
class AmazonItems:
    """What is kept of the items, in the order of the file.

    Attributes:
        item_ids: Ids ``[N]``.
        titles: Titles ``[N]``.
        texts: Text modalities ``[N]`` by name.
        attributes: Further fields ``[N]`` by name.
        urls: Address of each item's picture ``[N]``, None where there is none or it was not asked for.
        repeated: Lines left out since their item was there already.
    """

    item_ids: list[str] = field(default_factory=list)
    titles: list[str | None] = field(default_factory=list)
    texts: dict[str, list[str | None]] = field(default_factory=dict)
    attributes: dict[str, list[str | None]] = field(default_factory=dict)
    urls: list[str | None] = field(default_factory=list)
    repeated: int = 0

    def catalogue(self) -> Catalogue:
        """The items without pictures."""
        return Catalogue(self.item_ids, self.titles, dict(self.texts), {}, dict(self.attributes))


def read_amazon_items(
    path: Path,
    columns: CatalogueColumns,
    *,
    repeated: RepeatedItems,
    image_size: ImageSize | None = None,
    bytes_read: BytesRead | None = None,
) -> AmazonItems:
    """Read a file of item metadata.

    Only what is kept stays in memory: of a field that stands in no template, nothing.

    Args:
        path: The file, JSON Lines, plain or gzip.
        columns: Which fields become what; ``images`` is not looked at.
        repeated: Keep the first line of an item that occurs again, or stop.
        image_size: Also find the address of each item's main picture in this size, or the next best.
        bytes_read: Called as the file is read.

    Raises:
        UserError: The file or a line is bad, there is no such field, an id is missing or blank, or there are no items.
    """
    wanted = [name for name in columns.needed() if name != ITEM_ID]
    require_columns(wanted, [*TEXT_FIELDS, *LIST_FIELDS], str(path))
    source = JsonBlocks(path, _schema(wanted, with_images=image_size is not None))
    items, known = AmazonItems(), set[str]()
    items.texts = {name: [] for name in columns.texts}
    items.attributes = {name: [] for name in columns.attributes}
    first_row = 0
    for table in source.tables(bytes_read):
        new = _new_rows(table.column(ITEM_ID).to_pylist(), known, source, first_row, repeated)
        first_row += table.num_rows
        items.repeated += table.num_rows - len(new)
        if new:
            _add(items, table if len(new) == table.num_rows else table.take(new), columns, image_size)
    if not items.item_ids:
        raise UserError("the file has no items", where=str(path), how="copy it again, whole")
    return items


def _schema(wanted: Sequence[str], *, with_images: bool) -> pa.Schema:
    fields = [(name, pa.list_(pa.string()) if name in LIST_FIELDS else pa.string()) for name in wanted]
    images = [(IMAGES, IMAGE_TYPE)] if with_images else []
    return pa.schema([(ITEM_ID, pa.string()), *fields, *images])


def _new_rows(
    ids: list[str | None], known: set[str], source: JsonBlocks, first_row: int, repeated: RepeatedItems
) -> list[int]:
    """Rows of a block whose item was not there before; their ids join those known."""
    rows = []
    for row, one in enumerate(ids):
        if one is None or not one.strip():
            where = source.where(first_row + row)
            raise UserError(f"{ITEM_ID} is missing or blank", where=where, how=MEND)
        if one not in known:
            known.add(one)
            rows.append(row)
        elif repeated == "error":
            how = "keep one line of each item, or the first with repeated_items=first"
            raise UserError(f"item {one!r} is there already", where=source.where(first_row + row), how=how)
    return rows


def _add(items: AmazonItems, table: pa.Table, columns: CatalogueColumns, image_size: ImageSize | None) -> None:
    shown = {
        name: _shown(table.column(name), unescape=columns.unescape_html)
        for name in table.column_names
        if name not in (ITEM_ID, IMAGES)
    }
    items.item_ids += table.column(ITEM_ID).to_pylist()
    items.titles += shown[columns.title] if columns.title else [None] * table.num_rows
    for name, template in columns.texts.items():
        items.texts[name] += composed(template, shown)
    for name in columns.attributes:
        items.attributes[name] += shown[name]
    if image_size is None:
        items.urls += [None] * table.num_rows
    else:
        items.urls += _main_pictures(table.column(IMAGES), image_size)


def _shown(column: pa.ChunkedArray, *, unescape: bool) -> list[str | None]:
    values = _joined(column) if pa.types.is_list(column.type) else column.to_pylist()
    return unescaped(values) if unescape else values


def _joined(column: pa.ChunkedArray) -> list[str | None]:
    """Lists of texts as one text each, nulls in them left out."""
    whole = pc.binary_join(column, LIST_SEPARATOR)
    joined: list[str | None] = whole.to_pylist()
    # A list with a null in it joins to null.
    with_null = pc.and_(pc.is_null(whole), pc.is_valid(column))
    for row in np.flatnonzero(with_null.to_numpy()):
        joined[row] = LIST_SEPARATOR.join(part for part in column[int(row)].as_py() if part)
    return joined


def _main_pictures(column: pa.ChunkedArray, size: ImageSize) -> list[str | None]:
    """Address of each item's main picture in the size asked for, or the next best; of the first where none is main."""
    lists = pa.concat_arrays(column.chunks)
    pictures = pc.list_flatten(lists)
    item, there = pc.list_parent_indices(lists).to_numpy(), pictures.is_valid().to_numpy(zero_copy_only=False)
    main = pc.equal(pc.struct_field(pictures, "variant"), MAIN_VARIANT).fill_null(False)
    chosen = np.full(len(lists), -1, dtype=np.int64)
    for candidates in (there, there & main.to_numpy(zero_copy_only=False)):
        # Written backwards, so that the first of an item stays; those that are main come last and win.
        rows = np.flatnonzero(candidates)[::-1]
        chosen[item[rows]] = rows
    addresses = pc.coalesce(*(pc.struct_field(pictures, one) for one in (size, *SIZES)))
    urls: list[str | None] = addresses.take(pa.array(chosen, mask=chosen < 0)).to_pylist()
    return urls
