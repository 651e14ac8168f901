"""The end of an import: put the log in order and write the dataset."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from iisan.data.contents import DatasetContents, Images
from iisan.data.dataset import Dataset
from iisan.data.importers.catalogue import Catalogue
from iisan.data.importers.log import RawLog, order_log
from iisan.data.importers.options import ImportOptions
from iisan.data.manifest import DatasetSource
from iisan.data.media import Progress
from iisan.data.writer import write_dataset


def write_import(
    config: ImportOptions,
    output: Path,
    importer: str,
    catalogue: Catalogue,
    raw: RawLog,
    *,
    images: Mapping[str, Images] | None = None,
    media_root: Path | None = None,
    min_rating: float | None = None,
    dropped: Mapping[str, int] | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Write what an importer has read.

    Args:
        config: The importer's options, recorded in the manifest.
        output: The folder to make.
        importer: The importer's name, for the manifest.
        catalogue: The items; pictures are relative to ``media_root``.
        raw: The log as its files have it.
        images: The pictures, where they are not simply those of the catalogue.
        media_root: Folder of the pictures; needed where the catalogue has any.
        min_rating: Leave out and count interactions rated lower.
        dropped: What the importer left out so far, by reason.
        progress: Called as ``(done, total, label)``.

    Raises:
        UserError: Items of the log are unknown, nothing is left of it, a picture is bad, or the place cannot be used.
    """
    log = order_log(raw, catalogue.item_ids, unknown_items=config.unknown_items, min_rating=min_rating)
    contents = DatasetContents(
        name=config.name or output.absolute().name,
        item_ids=catalogue.item_ids,
        titles=catalogue.titles,
        texts=catalogue.texts,
        images=catalogue.images if images is None else images,
        attributes=catalogue.attributes,
        user_ids=log.user_ids,
        interactions=log.interactions,
        media_root=media_root,
        source=DatasetSource(
            importer=importer,
            options=config.recorded(),
            dropped={**(dropped or {}), **log.dropped},
            observed=log.observed,
        ),
    )
    return write_dataset(contents, output, policy=config.media_policy(), overwrite=config.overwrite, progress=progress)
