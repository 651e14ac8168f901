"""Import of the tables that the authors of IISAN publish."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pydantic import Field

from iisan.data.dataset import Dataset
from iisan.data.importers.catalogue import CatalogueColumns, read_catalogue
from iisan.data.importers.delimited_table import DelimitedTable
from iisan.data.importers.item_pictures import item_pictures
from iisan.data.importers.options import ImportOptions
from iisan.data.importers.user_histories import read_user_histories
from iisan.data.importers.write_import import write_import
from iisan.data.media import Progress
from iisan.data.staging import check_output
from iisan.data.text_template import parse_template


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
    if config.pictures is not None:
        found = item_pictures(config.pictures, catalogue.item_ids, (config.picture_suffix,))
        catalogue = replace(catalogue, images={"image": found})
    log = read_user_histories(config.users)
    return write_import(config, output, "iisan", catalogue, log, media_root=config.pictures, progress=progress)
