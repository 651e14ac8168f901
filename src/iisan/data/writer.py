"""Writing a dataset folder: Parquet tables, media and the manifest, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from iisan.data.checksum import sha256_of_file
from iisan.data.contents import DatasetContents, Images, Texts
from iisan.data.dataset import Dataset
from iisan.data.folder_pictures import FolderPictures
from iisan.data.interactions import Interactions
from iisan.data.manifest import (
    INTERACTIONS_FILE,
    ITEMS_FILE,
    MANIFEST_FILE,
    MEDIA_FILE,
    TABLE_FILES,
    USERS_FILE,
    DatasetCounts,
    DatasetManifest,
)
from iisan.data.media import MediaFile, MediaPolicy, Progress
from iisan.data.media_intake import MediaIntake
from iisan.data.picture_source import PictureSource
from iisan.data.staging import staged_folder
from iisan.errors import UserError, unwritable

ROW_GROUP = 1 << 20


def write_dataset(
    contents: DatasetContents,
    output: Path,
    *,
    policy: MediaPolicy | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Dataset:
    """Write a dataset folder and open it.

    The same contents give the same bytes. The folder appears whole at the end; after an error nothing is left.

    Args:
        contents: Catalogue and log.
        output: The folder to make.
        policy: What media are let in; by default a bad one is an error.
        overwrite: Replace a dataset that is there; it stays until the new one is complete.
        progress: Called as ``(done, total, label)``.

    Raises:
        UserError: The contents do not fit together, a media file is bad, or the place is taken or not writable.
    """
    contents.check()
    sources = {name: _source(contents, images) for name, images in contents.images.items()}
    try:
        with staged_folder(output, overwrite=overwrite) as folder:
            _fill(folder, contents, sources, MediaIntake(folder, policy or MediaPolicy()), progress)
    except OSError as error:
        raise unwritable(output, error, what="the dataset") from error
    return Dataset.open(output)


def _source(contents: DatasetContents, images: Images) -> PictureSource:
    if isinstance(images, PictureSource):
        return images
    if contents.media_root is None:
        raise UserError("there are pictures but no media folder", where=contents.name, how="give media_root")
    return FolderPictures(contents.media_root, images)


def _fill(
    folder: Path,
    contents: DatasetContents,
    sources: Mapping[str, PictureSource],
    intake: MediaIntake,
    progress: Progress | None,
) -> None:
    images = {name: intake.take(name, contents.item_ids, source, progress) for name, source in sources.items()}
    _write_tables(folder, contents, images, intake.files)
    manifest = _manifest(folder, contents, images, intake)
    (folder / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    _flush(folder / MANIFEST_FILE)


def _write_tables(folder: Path, contents: DatasetContents, images: Mapping[str, Texts], media: list[MediaFile]) -> None:
    columns = {
        "item_id": contents.item_ids,
        "title": contents.titles,
        **contents.texts,
        **images,
        **contents.attributes,
    }
    items = {name: pa.array(_blank_to_null(values), pa.string()) for name, values in columns.items()}
    listing = sorted(media, key=lambda one: one.path)
    tables = {
        ITEMS_FILE: pa.table(items),
        USERS_FILE: pa.table({"user_id": pa.array(contents.user_ids, pa.string())}),
        INTERACTIONS_FILE: _interactions_table(contents.interactions),
        MEDIA_FILE: pa.table(
            {
                "path": pa.array([one.path for one in listing], pa.string()),
                "size": pa.array([one.size for one in listing], pa.int64()),
                "sha256": pa.array([one.sha256 for one in listing], pa.string()),
            }
        ),
    }
    for name, table in tables.items():
        pq.write_table(table, folder / name, compression="zstd", row_group_size=ROW_GROUP)
        _flush(folder / name)


def _blank_to_null(values: Texts) -> list[str | None]:
    return [None if value is None or not value.strip() else value for value in values]


def _interactions_table(log: Interactions) -> pa.Table:
    columns = {"user": pa.array(log.user, pa.int32()), "item": pa.array(log.item, pa.int32())}
    if log.timestamp is not None:
        columns["timestamp"] = pa.array(log.timestamp)
    if log.rating is not None:
        columns["rating"] = pa.array(log.rating)
    return pa.table(columns)


def _manifest(
    folder: Path, contents: DatasetContents, images: Mapping[str, Texts], intake: MediaIntake
) -> DatasetManifest:
    columns = {**contents.texts, **images}
    present = {name: sum(value is not None for value in _blank_to_null(values)) for name, values in columns.items()}
    dropped = {**contents.source.dropped, **dict(sorted(intake.refused.items()))}
    return DatasetManifest(
        name=contents.name,
        counts=DatasetCounts(
            items=len(contents.item_ids),
            users=len(contents.user_ids),
            interactions=len(contents.interactions),
            present=present,
        ),
        modalities={**dict.fromkeys(contents.texts, "text"), **dict.fromkeys(images, "image")},
        attributes=list(contents.attributes),
        source=contents.source.model_copy(update={"dropped": dropped}),
        sha256={name: sha256_of_file(folder / name) for name in TABLE_FILES},
    )


def _flush(path: Path) -> None:
    """Force a file to disk: the rename that follows must not overtake its bytes in a power cut."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
