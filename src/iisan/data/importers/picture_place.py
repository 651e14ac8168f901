"""Options that say where the pictures are that the data name by path."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from iisan.data.contents import Images, Texts
from iisan.data.importers.options import ImportOptions
from iisan.data.media import Progress
from iisan.data.tar_pictures import find_in_shards
from iisan.data.tar_shards import find_shards
from iisan.errors import UserError


class PicturePlaceOptions(ImportOptions):
    """Options of importers that take paths of pictures."""

    media_root: Path | None = Field(
        None, description="Folder that paths of pictures are relative to; by default that of the items table."
    )
    media_tar: tuple[str, ...] = Field(
        (),
        description="Tar archives with the pictures, in place of a folder: an archive, a folder of them, a pattern "
        "such as 'shards/*.tar', or 'shard-{000..012}.tar'.",
    )


def placed(config: PicturePlaceOptions, images: Mapping[str, Texts], progress: Progress | None) -> dict[str, Images]:
    """Pictures named by path, looked up in the archives where there are any.

    Args:
        config: The options.
        images: References of each item ``[N]`` by modality.
        progress: Called as ``(done, total, label)``.

    Raises:
        UserError: Both a folder and archives are named, there is no archive, or one cannot be read.
    """
    if not config.media_tar:
        return dict(images)
    if config.media_root is not None:
        raise UserError("pictures are in a folder or in archives", how="give media_root or media_tar, not both")
    shards = find_shards(config.media_tar)
    return {name: find_in_shards(shards, references, progress) for name, references in images.items()}
