"""Where the pictures of a modality come from: files in a folder, bytes in a table, members of tar archives."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from iisan.data.media import MediaFile
from iisan.data.media_folder import MediaFolder
from iisan.data.media_paths import URL, BadMediaError, locate_media


class Picture(Protocol):
    """One picture on its way into a dataset folder."""

    def bring(self, media: MediaFolder) -> MediaFile:
        """Check it and put it there.

        Raises:
            BadMediaError: It is missing, unsafe, too large or no picture.
        """
        ...


@runtime_checkable
class PictureSource(Protocol):
    """The pictures of one image modality of ``N`` items."""

    def __len__(self) -> int:
        """Number of items N, with or without a picture."""
        ...

    def pictures(self) -> Iterator[tuple[Sequence[int], Picture]]:
        """Each picture with the rows of the items that it belongs to, in whatever order is cheap to read.

        A row comes at most once. What is read is let go of before the next picture is.

        Raises:
            UserError: The source itself cannot be read.
        """
        ...


@dataclass(frozen=True)
class FilePicture:
    """A file of a folder, kept under its path relative to it.

    Attributes:
        root: The folder, resolved.
        reference: Path relative to it, as the data have it.
    """

    root: Path
    reference: str

    def bring(self, media: MediaFolder) -> MediaFile:
        """See :class:`Picture`."""
        real = locate_media(self.root, self.reference)
        return media.add_file(real, real.relative_to(self.root).as_posix())


@dataclass(frozen=True)
class BytesPicture:
    """Bytes without a file of their own, kept under a name made of their content.

    Attributes:
        origin: Where they are, for messages.
        size: Their number.
        read: Gives them; called once, and not where they are too many.
    """

    origin: str
    size: int
    read: Callable[[], bytes]

    def bring(self, media: MediaFolder) -> MediaFile:
        """See :class:`Picture`."""
        media.check_size(self.origin, self.size)
        return media.add_bytes(self.origin, self.read())


@dataclass(frozen=True)
class LocalPicture:
    """A file below one of some folders, kept under a name made of its content.

    Attributes:
        roots: The folders, resolved; a relative path is relative to the first.
        reference: Absolute or relative path, as the data have it.
    """

    roots: tuple[Path, ...]
    reference: str

    def bring(self, media: MediaFolder) -> MediaFile:
        """See :class:`Picture`."""
        real = self._located()
        media.check_size(str(real), real.stat().st_size)
        return media.add_bytes(str(real), real.read_bytes())

    def _located(self) -> Path:
        if not Path(self.reference).is_absolute() or URL.match(self.reference):
            return locate_media(self.roots[0], self.reference)
        real = Path(os.path.realpath(self.reference))
        if not any(real.is_relative_to(root) for root in self.roots):
            where = " or ".join(map(str, self.roots))
            raise BadMediaError(
                "unsafe_path", f"{self.reference!r} is not in {where}", "keep the pictures in the dataset"
            )
        if not real.is_file():
            raise BadMediaError("missing_file", f"there is no file {self.reference!r}", "add it")
        return real


@dataclass(frozen=True)
class BadPicture:
    """A picture that is known to be unusable before it is opened."""

    reason: BadMediaError

    def bring(self, media: MediaFolder) -> MediaFile:
        """Raises the reason."""
        raise self.reason
