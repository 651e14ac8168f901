"""Items that come after training, read from a table and checked as an import checks them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from iisan.data.contents import Images
from iisan.data.folder_pictures import FolderPictures, existing_root
from iisan.data.importers.catalogue import CatalogueColumns, named_parts
from iisan.data.importers.columns import texts
from iisan.data.importers.item_ids import distinct_item_ids
from iisan.data.importers.missing_columns import require_columns
from iisan.data.importers.picture_columns import read_items
from iisan.data.importers.picture_place import PicturePlaceOptions, placed
from iisan.data.importers.tables import Table, TableFormat, find_table
from iisan.data.media import MediaPolicy, Progress
from iisan.data.media_intake import MediaIntake
from iisan.data.picture_source import FilePicture, PictureSource
from iisan.data.pictures import PictureCheck
from iisan.data.text_template import TextTemplate, parse_template
from iisan.encoders.config import Kind
from iisan.errors import UserError, unwritable
from iisan.jobs.item_columns import ItemColumns
from iisan.states.content import Content, content_hash, is_missing

logger = logging.getLogger(__name__)


class ItemsTableOptions(BaseModel):
    """How a table of new items is read; what is not given is as it was at the import of the catalogue."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    items: Path = Field(description="Table of the new items: CSV, TSV, JSON Lines or Parquet, plain or .gz")
    item_id_column: str | None = Field(None, description="Column of the item id; by default as at the import")
    title_column: str | None = Field(
        None, description="Column shown to people as title; by default as at the import; empty: none"
    )
    text: str | None = Field(
        None,
        description="Column, or template such as '{title}. {genres}', of the modality 'text'; "
        "by default as at the import",
    )
    extra_texts: tuple[str, ...] = Field((), description="The same for further text modalities, each NAME=TEMPLATE")
    image_column: str | None = Field(
        None,
        description="Column of the picture, its path relative to media_root or in Parquet its bytes, of the modality "
        "'image'; by default as at the import",
    )
    extra_images: tuple[str, ...] = Field((), description="The same for further image modalities, each NAME=COLUMN")
    media_root: Path | None = Field(
        None, description="Folder that paths of pictures are relative to; by default that of the items table"
    )
    media_tar: tuple[str, ...] = Field((), description="Tar archives with the pictures, in place of a folder")
    unescape_html: bool | None = Field(
        None, description="Turn HTML entities such as &amp; in texts into characters; by default as at the import"
    )
    items_format: TableFormat = Field("auto", description="Format of the items table; auto goes by the suffix")
    items_delimiter: str | None = Field(
        None, description="Field delimiter; by default a comma for CSV and a tab for TSV"
    )
    items_header: tuple[str, ...] = Field((), description="Column names of a table without a header line")
    encoding: str = Field("utf-8", description="Encoding of a text table")
    on_bad_media: Literal["error", "skip"] = Field(
        "error", description="A picture that is missing, unsafe, too large or damaged: stop, or skip and count"
    )
    check_media: PictureCheck = Field(
        "full", description="Decode pictures in full, which finds truncated files, or check their header only"
    )
    max_pixels: int = Field(64_000_000, gt=0, description="Most pixels (width times height) of a picture")
    max_media_bytes: int = Field(64 << 20, gt=0, description="Largest picture file, in bytes")

    def table(self) -> Table:
        """The table itself.

        Raises:
            UserError: There is no such file, or its format cannot be told.
        """
        return find_table(
            self.items,
            self.items_format,
            delimiter=self.items_delimiter,
            encoding=self.encoding,
            names=self.items_header,
        )

    def media_policy(self) -> MediaPolicy:
        """What pictures are let in; they are needed for a moment only, so files are not copied where it can be."""
        return MediaPolicy(
            on_bad=self.on_bad_media,
            check=self.check_media,
            transfer="hardlink",
            max_pixels=self.max_pixels,
            max_bytes=self.max_media_bytes,
        )


@dataclass(frozen=True)
class NewItems:
    """New items, each list ``[n]`` in the order of the table.

    Attributes:
        item_ids: Distinct ids.
        titles: Display titles, None where unknown.
        hashes: Content hash by modality of the model, None where the item lacks it.
        contents: The content itself by modality; empty where it was not read.
        refused: Pictures left out, by modality and reason.
        by_states: Modalities of which only stored states are known, and not the content that the table has.
    """

    item_ids: list[str]
    titles: list[str | None]
    hashes: dict[str, list[str | None]]
    contents: dict[str, list[Content | None]] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    by_states: frozenset[str] = frozenset()


def read_new_items(
    options: ItemsTableOptions,
    imported: ItemColumns,
    kinds: Mapping[str, Kind],
    scratch: Path,
    progress: Progress | None = None,
) -> NewItems:
    """Reads ids, titles and contents.

    Args:
        options: The table, and what is read otherwise than at the import.
        imported: How the catalogue was read.
        kinds: The model's modalities.
        scratch: Folder for the pictures, which must last as long as the contents are used.
        progress: Called as ``(done, total, label)``.

    Raises:
        UserError: A column, line, id or picture is bad, or the table has nothing for any modality.
    """
    table = options.table()
    templates, images = _texts_and_images(options, imported, kinds, table.columns())
    columns = CatalogueColumns(
        item_id=options.item_id_column or imported.item_id,
        title=_title(options, imported, table.columns()),
        texts=templates,
        images=images,
        attributes=(),
        unescape_html=imported.unescape_html if options.unescape_html is None else options.unescape_html,
    )
    root = options.media_root or options.items.parent
    items = read_items(table, columns, lambda path: FilePicture(existing_root(root), path))
    catalogue, ids = items.catalogue, items.catalogue.item_ids
    place = PicturePlaceOptions(media_root=options.media_root, media_tar=options.media_tar)
    sources = items.images(placed(place, catalogue.images, progress))
    contents: dict[str, list[Content | None]] = {name: [None] * len(ids) for name in kinds}
    contents |= {name: [None if is_missing(one) else one for one in column] for name, column in catalogue.texts.items()}
    intake = MediaIntake(scratch, options.media_policy())
    for name, pictures in sources.items():
        try:
            taken = intake.take(name, ids, _source(pictures, root), progress)
        except OSError as error:
            raise unwritable(scratch, error, what="the pictures") from error
        contents[name] = [None if path is None else scratch / path for path in taken]
    hashes = {name: _hashes(ids, column) for name, column in contents.items()}
    return NewItems(ids, _blank_to_none(catalogue.titles), hashes, contents, dict(intake.refused))


def read_ids_and_titles(options: ItemsTableOptions, imported: ItemColumns) -> tuple[list[str], list[str | None]]:
    """Reads ids and titles alone, of items whose states are there already.

    Raises:
        UserError: A column, line or id is bad.
    """
    table = options.table()
    id_column = options.item_id_column or imported.item_id
    title = _title(options, imported, table.columns())
    needed = list(dict.fromkeys([id_column, *([title] if title else [])]))
    require_columns(needed, table.columns(), str(table.path))
    raw = table.read(needed)
    ids = distinct_item_ids(raw.column(id_column), table.where)
    return ids, _blank_to_none(texts(raw.column(title), table.where)) if title else [None] * len(ids)


def _source(images: Images, root: Path) -> PictureSource:
    return images if isinstance(images, PictureSource) else FolderPictures(root, images)


def _texts_and_images(
    options: ItemsTableOptions, imported: ItemColumns, kinds: Mapping[str, Kind], available: Sequence[str]
) -> tuple[dict[str, TextTemplate], dict[str, str]]:
    asked_texts = {**({"text": options.text} if options.text else {}), **named_parts(options.extra_texts)}
    asked_images = {
        **({"image": options.image_column} if options.image_column else {}),
        **named_parts(options.extra_images),
    }
    _refuse_unknown(asked_texts, kinds, "text")
    _refuse_unknown(asked_images, kinds, "image")
    templates: dict[str, TextTemplate] = {}
    images: dict[str, str] = {}
    for name, kind in kinds.items():
        asked = (asked_texts if kind == "text" else asked_images).get(name)
        chosen = asked or _column(name, kind, imported, available)
        template = parse_template(chosen) if kind == "text" else TextTemplate("", (chosen,), ("",), ("",), ("",), "")
        if asked is None and not set(template.fields) & set(available):
            logger.warning("%s has no column %s: its items have no %s", options.items, ", ".join(template.fields), name)
        elif kind == "text":
            templates[name] = template
        else:
            images[name] = chosen
    return templates, images


def _refuse_unknown(asked: Mapping[str, str], kinds: Mapping[str, Kind], kind: Kind) -> None:
    for name in asked:
        if kinds.get(name) != kind:
            there = ", ".join(f"{one} ({its})" for one, its in kinds.items())
            raise UserError(f"the model has no {kind} modality {name!r}", how=f"it has: {there}")


def _column(name: str, kind: Kind, imported: ItemColumns, available: Sequence[str]) -> str:
    recorded = (imported.texts if kind == "text" else imported.images).get(name)
    if recorded is not None:
        return recorded
    guessed = name if name in available or kind == "image" else "title"
    logger.info("the model does not say from what column %s was read: trying %r", name, guessed)
    return guessed


def _title(options: ItemsTableOptions, imported: ItemColumns, available: Sequence[str]) -> str | None:
    if options.title_column is not None:
        return options.title_column or None
    return imported.title if imported.title in available else None


def _hashes(ids: Sequence[str], contents: Sequence[Content | None]) -> list[str | None]:
    hashes: list[str | None] = []
    for item, content in zip(ids, contents, strict=True):
        try:
            hashes.append(content_hash(content))
        except OSError as error:
            raise UserError(
                f"the content of item {item!r} cannot be read ({error.strerror or error})", where=str(content)
            ) from error
    return hashes


def _blank_to_none(titles: Sequence[str | None]) -> list[str | None]:
    return [None if is_missing(title) else title for title in titles]
