"""Bringing the pictures of a catalogue into a dataset folder, and counting what was refused."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from iisan.data.media import MediaFile, MediaPolicy, Progress
from iisan.data.media_folder import MediaFolder
from iisan.data.media_paths import BadMediaError
from iisan.data.picture_source import Picture, PictureSource
from iisan.errors import UserError

logger = logging.getLogger(__name__)


@dataclass
class MediaIntake:
    """Brings pictures into one dataset folder.

    Attributes:
        folder: The dataset folder being built.
        policy: What is let in.
        refused: Items refused, by modality and reason (``"image:missing_file"``).
    """

    folder: Path
    policy: MediaPolicy
    refused: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """Start with no media."""
        self._media = MediaFolder(self.folder, self.policy)

    @property
    def files(self) -> list[MediaFile]:
        """What was brought in."""
        return list(self._media.files.values())

    def take(
        self, modality: str, item_ids: Sequence[str], source: PictureSource, progress: Progress | None = None
    ) -> list[str | None]:
        """Bring in the pictures of one modality.

        Args:
            modality: Its name, for messages.
            item_ids: Ids ``[N]``.
            source: The pictures of the N items.
            progress: Called as ``(done, total, label)``, items without a picture counted at the end.

        Returns:
            Path of each item's picture relative to the dataset folder ``[N]``, None where it has none.

        Raises:
            UserError: A picture is bad and the policy is ``error``, or the source or the target cannot be used.
        """
        taken: list[str | None] = [None] * len(item_ids)
        for done, (rows, picture) in enumerate(source.pictures(), start=1):
            path = self._take_one(modality, [item_ids[row] for row in rows], picture)
            for row in rows:
                taken[row] = path
            if progress is not None and done % 64 == 0:
                progress(done, len(item_ids), f"{modality} files")
        if progress is not None:
            progress(len(item_ids), len(item_ids), f"{modality} files")
        left_out = {reason: count for reason, count in self.refused.items() if reason.startswith(f"{modality}:")}
        if left_out:
            logger.warning("pictures left out, by reason: %s", left_out)
        return taken

    def _take_one(self, modality: str, item_ids: Sequence[str], picture: Picture) -> str | None:
        try:
            return picture.bring(self._media).path
        except BadMediaError as bad:
            if self.policy.on_bad == "error":
                raise UserError(
                    bad.detail,
                    where=f"{modality} of item {item_ids[0]!r}",
                    how=f"{bad.how}, or skip with on_bad_media=skip",
                ) from bad
            self.refused[f"{modality}:{bad.reason}"] += len(item_ids)
            for item_id in item_ids:
                logger.info("%s of item %r left out: %s", modality, item_id, bad.detail)
            return None
