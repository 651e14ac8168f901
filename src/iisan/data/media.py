"""What media are let into a dataset folder, and what is known of those that were."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from iisan.data.pictures import PictureCheck

Progress = Callable[[int, int | None, str], None]


@dataclass(frozen=True)
class MediaPolicy:
    """What media are let in, and what happens to the others.

    Attributes:
        on_bad: ``error`` stops the import; ``skip`` leaves the item without that modality and counts it.
        check: ``header`` or ``full``, see :func:`iisan.data.pictures.check_picture`.
        transfer: ``copy``, or ``hardlink`` to share the bytes of files with the source (copied across file systems).
        max_pixels: Most pixels of a picture.
        max_bytes: Largest file.
    """

    on_bad: Literal["error", "skip"] = "error"
    check: PictureCheck = "header"
    transfer: Literal["copy", "hardlink"] = "copy"
    max_pixels: int = 64_000_000
    max_bytes: int = 64 << 20


@dataclass(frozen=True)
class MediaFile:
    """One file under ``media/``: its path relative to the dataset folder, size in bytes and SHA-256."""

    path: str
    size: int
    sha256: str
