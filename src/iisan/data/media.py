"""Bringing media into a dataset folder: check, copy or link, hash, count what was refused."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from iisan.data.checksum import sha256_of_file
from iisan.data.manifest import MEDIA_FOLDER
from iisan.data.media_paths import BadMediaError, locate_media
from iisan.data.pictures import PictureCheck, check_picture
from iisan.errors import UserError

logger = logging.getLogger(__name__)

Progress = Callable[[int, int | None, str], None]

# Read and hashed at once while a file is copied.
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class MediaPolicy:
    """What media are let in, and what happens to the others.

    Attributes:
        on_bad: ``error`` stops the import; ``skip`` leaves the item without that modality and counts it.
        check: ``header`` or ``full``, see :func:`iisan.data.pictures.check_picture`.
        transfer: ``copy``, or ``hardlink`` to share the bytes with the source (copied across file systems).
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


@dataclass
class MediaIntake:
    """Brings files of one source folder into one dataset folder, each file once.

    Attributes:
        root: Folder that references are relative to.
        folder: The dataset folder being built.
        policy: What is let in.
        files: What was brought in, by path relative to ``root``.
        refused: Items refused, by modality and reason (``"image:missing_file"``).
    """

    root: Path
    folder: Path
    policy: MediaPolicy
    files: dict[str, MediaFile] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)

    def take(
        self, modality: str, item_ids: Sequence[str], references: Sequence[str | None], progress: Progress | None = None
    ) -> list[str | None]:
        """Bring in the media of one modality.

        Args:
            modality: Its name, for messages.
            item_ids: Ids ``[N]``.
            references: Path of each item relative to ``root`` ``[N]``; None or blank where it has none.
            progress: Called as ``(done, total, label)``.

        Returns:
            Path of each item relative to the dataset folder ``[N]``, None where it has none.

        Raises:
            UserError: A file is bad and the policy is ``error``, or the target cannot be written.
        """
        root = _existing_root(self.root)
        taken: list[str | None] = []
        for done, (item_id, reference) in enumerate(zip(item_ids, references, strict=True), start=1):
            taken.append(self._take_one(root, modality, item_id, reference))
            if progress is not None and (done % 64 == 0 or done == len(item_ids)):
                progress(done, len(item_ids), f"{modality} files")
        left_out = {reason: count for reason, count in self.refused.items() if reason.startswith(f"{modality}:")}
        if left_out:
            logger.warning("pictures left out, by reason: %s", left_out)
        return taken

    def _take_one(self, root: Path, modality: str, item_id: str, reference: str | None) -> str | None:
        if reference is None or not reference.strip():
            return None
        try:
            return self._bring(root, reference).path
        except BadMediaError as bad:
            if self.policy.on_bad == "error":
                raise UserError(
                    bad.detail,
                    where=f"{modality} of item {item_id!r}",
                    how=f"{bad.how}, or skip with on_bad_media=skip",
                ) from bad
            self.refused[f"{modality}:{bad.reason}"] += 1
            logger.info("%s of item %r left out: %s", modality, item_id, bad.detail)
            return None

    def _bring(self, root: Path, reference: str) -> MediaFile:
        real = locate_media(root, reference)
        # Keyed by the real file: two spellings or links of one picture become one copy.
        relative = real.relative_to(root).as_posix()
        if relative not in self.files:
            self._check(real)
            target = self.folder / MEDIA_FOLDER / relative
            digest = self._transfer(real, target)
            path = f"{MEDIA_FOLDER}/{relative}"
            self.files[relative] = MediaFile(path, target.stat().st_size, digest)
        return self.files[relative]

    def _check(self, real: Path) -> None:
        size = real.stat().st_size
        if size > self.policy.max_bytes:
            raise BadMediaError(
                "too_large", f"{real} has {size:,} bytes, more than {self.policy.max_bytes:,}", "make it smaller"
            )
        check_picture(real, self.policy.check, self.policy.max_pixels)

    def _transfer(self, real: Path, target: Path) -> str:
        target.parent.mkdir(parents=True, exist_ok=True)
        if self.policy.transfer == "hardlink":
            try:
                os.link(real, target)
                return sha256_of_file(target)
            except OSError as error:
                if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES):
                    raise
                logger.info("%s copied: it cannot be hard-linked (%s)", real, error)
        return _copy(real, target)


def _existing_root(root: Path) -> Path:
    try:
        real = root.resolve(strict=True)
    except OSError:
        raise UserError("the media folder does not exist", where=str(root), how="name it with media_root") from None
    if not real.is_dir():
        raise UserError("the media folder is not a folder", where=str(root), how="name it with media_root")
    return real


def _copy(source: Path, target: Path) -> str:
    """Copy and hash in one pass."""
    digest = hashlib.sha256()
    try:
        reader = source.open("rb")
    except OSError as error:
        raise BadMediaError("unreadable", f"{source} cannot be read ({error.strerror})", "mend its rights") from error
    with reader, target.open("xb") as writer:
        while chunk := reader.read(CHUNK_BYTES):
            digest.update(chunk)
            writer.write(chunk)
    return digest.hexdigest()
