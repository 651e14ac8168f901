"""Import of the tables that the authors of IISAN publish."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from iisan.data.contents import DatasetContents
from iisan.data.dataset import Dataset
from iisan.data.importers.catalogue import CatalogueColumns, read_catalogue
from iisan.data.importers.columns import Coded, coded_ids
from iisan.data.importers.delimited_table import DelimitedTable
from iisan.data.importers.log import RawLog, order_log
from iisan.data.importers.options import ImportOptions
from iisan.data.manifest import DatasetSource
from iisan.data.media import Progress
from iisan.data.staging import check_output
from iisan.data.text_template import parse_template
from iisan.data.writer import write_dataset
from iisan.errors import UserError


class IisanImport(ImportOptions):
    """Options of :func:`import_iisan`."""

    items: Path = Field(description="Table `item<TAB>title`, without a header line.")
    users: Path = Field(description="Table `user<TAB>items separated by spaces, oldest first`, without a header line.")
    pictures: Path | None = Field(
        None, description="Folder with the picture of each item as ITEM followed by picture_suffix; may lack some."
    )
    picture_suffix: str = Field(".jpg", description="Suffix of the pictures.")
    unescape_html: bool = Field(True, description="Turn HTML entities such as &amp; in titles into characters.")


def import_iisan(config: IisanImport, output: Path, progress: Progress | None = None) -> Dataset:
    """Make a dataset from the published tables; each user's items are in order of time already.

    Args:
        config: The options.
        output: The folder to make; it appears whole at the end, or not at all.
        progress: Called as ``(done, total, label)``.

    Raises:
        UserError: A file, line, id or picture is bad; the message names it.
    """
    check_output(output, overwrite=config.overwrite)
    table = DelimitedTable(config.items, "\t", quoted=False, names=("item_id", "title"))
    columns = CatalogueColumns("item_id", "title", {"text": parse_template("title")}, {}, (), config.unescape_html)
    catalogue = read_catalogue(table, columns)
    log = order_log(_raw_log(config.users), catalogue.item_ids, unknown_items=config.unknown_items)
    images = {} if config.pictures is None else {"image": _pictures(config, config.pictures, catalogue.item_ids)}
    contents = DatasetContents(
        name=config.name or output.absolute().name,
        item_ids=catalogue.item_ids,
        titles=catalogue.titles,
        texts=catalogue.texts,
        images=images,
        user_ids=log.user_ids,
        interactions=log.interactions,
        media_root=config.pictures,
        source=DatasetSource(importer="iisan", options=config.recorded(), dropped=log.dropped),
    )
    return write_dataset(contents, output, policy=config.media_policy(), overwrite=config.overwrite, progress=progress)


def _raw_log(path: Path) -> RawLog:
    table = DelimitedTable(path, "\t", quoted=False, names=("user_id", "items"))
    raw = table.read(["user_id", "items"])
    users = coded_ids(raw.column("user_id"), "user", table.where)
    if len(users.ids) != len(users.codes):
        again = int(np.flatnonzero(users.codes != np.arange(len(users.codes)))[0])
        raise UserError(f"user {users.ids[users.codes[again]]!r} is there already", where=table.where(again))
    trimmed = pc.utf8_trim_whitespace(raw.column("items"))
    empty = np.flatnonzero(pc.equal(pc.utf8_length(trimmed), 0).to_numpy())
    if len(empty):
        raise UserError("the user has no items", where=table.where(int(empty[0])), how="leave the line out")
    histories = pc.utf8_split_whitespace(trimmed)
    lengths = pc.list_value_length(histories).to_numpy()
    items = pa.chunked_array([chunk.flatten() for chunk in histories.chunks])
    row_of_item = np.repeat(np.arange(len(lengths)), lengths)
    return RawLog(
        user=Coded(np.repeat(users.codes, lengths), users.ids),
        item=coded_ids(items, "item", lambda position: table.where(int(row_of_item[position]))),
        timestamp=None,
        rating=None,
        where=str(path),
    )


def _pictures(config: IisanImport, folder: Path, item_ids: list[str]) -> list[str | None]:
    """File name of each item's picture; an item without a file has none."""
    if not folder.is_dir():
        raise UserError("the folder of pictures does not exist", where=str(folder))
    there = {path.name for path in folder.iterdir()}
    names = [f"{item_id}{config.picture_suffix}" for item_id in item_ids]
    return [name if name in there else None for name in names]
