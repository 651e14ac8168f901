"""Import of WebDataset shards, one sample an item, and a table of interactions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
from pydantic import Field

from iisan.data.contents import Images
from iisan.data.dataset import Dataset
from iisan.data.importers.catalogue import CatalogueColumns, read_catalogue
from iisan.data.importers.catalogue_options import CatalogueOptions, catalogue_columns
from iisan.data.importers.log_options import LogTableOptions, check_log_options, log_of
from iisan.data.importers.memory_table import MemoryTable
from iisan.data.importers.webdataset_samples import KEY_FIELD, Samples, read_samples
from iisan.data.importers.write_import import write_import
from iisan.data.media import Progress
from iisan.data.pictures import PICTURE_SUFFIXES
from iisan.data.staging import check_output
from iisan.data.tar_pictures import TarPictures
from iisan.data.tar_shards import find_shards
from iisan.errors import UserError

ANY_PICTURE = ";".join(suffix[1:] for suffix in PICTURE_SUFFIXES)
# Which of these is the text where no option names one: the first that there is.
TEXT_FIELDS = ("title", "txt")


class WebDatasetImport(LogTableOptions, CatalogueOptions):
    """Options of :func:`import_webdataset`; a column of the items is a field of a sample.

    Fields are the keys of its ``.json`` file, the extensions of its text files such as ``txt``, and ``__key__``.
    """

    shards: tuple[str, ...] = Field(
        description="Tar archives, plain or gzip: an archive, a folder of them, a pattern such as 'shards/*.tar', "
        "or 'shard-{000..012}.tar'."
    )
    interactions: Path = Field(description="Table of the interactions, one a row.")
    item_id_column: str = Field(KEY_FIELD, description="Field that is the item id.")
    interaction_item_column: str | None = Field(
        "item_id", description="Column of the item id in the interactions table."
    )
    text: str | None = Field(
        None,
        description="Field, or template such as '{title}. {genres}', of the modality 'text'; "
        "by default 'title', else 'txt' if there is one; empty: no text.",
    )
    extra_texts: tuple[str, ...] = Field((), description="Further text modalities, each NAME=FIELD or NAME=TEMPLATE.")
    title_column: str | None = Field(
        None, description="Field shown to people as title; by default 'title' if there is one; empty: none."
    )
    image_column: str | None = Field(
        ANY_PICTURE,
        description="Extensions of the picture, the first that a sample has; makes the modality 'image'; none: no "
        "pictures.",
    )
    extra_images: tuple[str, ...] = Field(
        (), description="Further image modalities, each NAME=EXTENSIONS, such as back=back.jpg;back.png."
    )
    attributes: tuple[str, ...] = Field((), description="Further fields of the items to keep, as text.")


def import_webdataset(config: WebDatasetImport, output: Path, progress: Progress | None = None) -> Dataset:
    """Make a dataset from WebDataset shards and a table of interactions.

    Args:
        config: The options.
        output: The folder to make; it appears whole at the end, or not at all.
        progress: Called as ``(done, total, label)``.

    Raises:
        UserError: An archive, sample, line, id, number or picture is bad; the message names it.
    """
    check_output(output, overwrite=config.overwrite)
    check_log_options(config)
    shards = find_shards(config.shards)
    # What the options may name, were every field there that they fall back on.
    asked = catalogue_columns(config, TEXT_FIELDS, TEXT_FIELDS)
    wanted = [*replace(asked, images={}).needed(), *TEXT_FIELDS]
    samples = read_samples(shards, wanted, _extensions(asked), progress)
    table = _table(samples, config.shards[0])
    columns = catalogue_columns(config, table.columns(), TEXT_FIELDS)
    catalogue = read_catalogue(table, replace(columns, images={}))
    raw = log_of(config, config.log_table(config.interactions), "item_id")
    return write_import(
        config,
        output,
        "webdataset",
        catalogue,
        raw,
        images=_images(config, samples),
        min_rating=config.min_rating,
        progress=progress,
    )


def _extensions(columns: CatalogueColumns) -> dict[str, list[str]]:
    return {name: [one.strip(" .").lower() for one in listed.split(";")] for name, listed in columns.images.items()}


def _table(samples: Samples, shards: str) -> MemoryTable:
    if not samples.shards:
        raise UserError("there are no samples", where=shards, how="name the files KEY.jpg, KEY.json and so on")
    there = {name: pa.array(values, pa.string()) for name, values in samples.fields.items() if name in samples.names}
    return MemoryTable(Path(shards), pa.table(there), samples.where)


def _images(config: WebDatasetImport, samples: Samples) -> Mapping[str, Images]:
    found: dict[str, Images] = {}
    for modality, members in samples.pictures.items():
        if any(member is not None for member in members):
            found[modality] = TarPictures(members)
        elif modality != "image" or "image_column" in config.model_fields_set:
            raise UserError(
                f"no sample has a picture for {modality!r}",
                where=config.shards[0],
                how="name its extensions as they follow the first dot of the file names",
            )
    return found
