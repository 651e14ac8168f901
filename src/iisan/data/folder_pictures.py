"""Pictures that are files in a folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from iisan.data.picture_source import FilePicture, Picture
from iisan.errors import UserError


@dataclass(frozen=True)
class FolderPictures:
    """A picture source of files; see :class:`iisan.data.picture_source.PictureSource`.

    Attributes:
        root: The folder.
        references: Path of each item's picture relative to it ``[N]``; None or blank where it has none.
    """

    root: Path
    references: Sequence[str | None]

    def __len__(self) -> int:
        """Number of items N."""
        return len(self.references)

    def pictures(self) -> Iterator[tuple[Sequence[int], Picture]]:
        """The pictures in the order of the items.

        Raises:
            UserError: The folder does not exist.
        """
        root = existing_root(self.root)
        for row, reference in enumerate(self.references):
            if reference is not None and reference.strip():
                yield [row], FilePicture(root, reference)


def existing_root(root: Path) -> Path:
    """A folder of pictures, without links.

    Raises:
        UserError: It does not exist or is no folder.
    """
    try:
        real = root.resolve(strict=True)
    except OSError:
        raise UserError("the media folder does not exist", where=str(root), how="name it with media_root") from None
    if not real.is_dir():
        raise UserError("the media folder is not a folder", where=str(root), how="name it with media_root")
    return real
