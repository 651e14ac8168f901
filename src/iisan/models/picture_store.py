"""The pictures of items that were added: small copies in the model folder, named by the content they were made of."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection
from pathlib import Path

from iisan.errors import unwritable
from iisan.models.file_names import PICTURES
from iisan.states.atomic import TEMPORARY_SUFFIX, flush, replacing

logger = logging.getLogger(__name__)

_NAME = re.compile(r"[0-9a-f]{64}")
_SUFFIX = ".jpg"


class PictureStore:
    """JPEG files ``pictures/SHA256.jpg`` of one model folder.

    A picture is there before the journal names it, so one that the journal does not name is a leftover.

    Args:
        model: The model folder.
    """

    def __init__(self, model: Path) -> None:
        self.folder = model / PICTURES

    def find(self, name: str | None) -> Path | None:
        """The file of a picture, None where there is none; a name that is no SHA-256 is never looked for."""
        if name is None or not _NAME.fullmatch(name):
            return None
        path = self.folder / f"{name}{_SUFFIX}"
        return path if path.is_file() else None

    def keep(self, name: str, jpeg: bytes) -> None:
        """Writes a picture, on the disk when this returns.

        Raises:
            UserError: It cannot be written.
        """
        path = self.folder / f"{name}{_SUFFIX}"
        try:
            if not self.folder.is_dir():
                self.folder.mkdir()
                flush(self.folder.parent)
            with replacing(path) as temporary:
                temporary.write_bytes(jpeg)
        except OSError as error:
            raise unwritable(self.folder, error, what="the picture") from error

    def copy_to(self, model: Path, names: Collection[str]) -> None:
        """Copies some pictures into another model folder; those that are gone are left out with a warning.

        Raises:
            UserError: One cannot be written.
        """
        other = PictureStore(model)
        if other.folder.resolve() == self.folder.resolve():
            return
        missing = 0
        for name in sorted(names):
            path = self.find(name)
            if path is None:
                missing += 1
            elif other.find(name) is None:
                other.keep(name, path.read_bytes())
        if missing:
            logger.warning("%s: %d pictures of added items are missing, and are not copied", self.folder, missing)

    def sweep(self, named: Collection[str]) -> int:
        """Removes pictures that nothing names, and what a kill left of one; only while the journal is held.

        Returns:
            How many files went.
        """
        leftovers = [*self.folder.glob(f"*{_SUFFIX}"), *self.folder.glob(f".*{TEMPORARY_SUFFIX}")]
        leftovers = [path for path in leftovers if path.name.removesuffix(_SUFFIX) not in named]
        for path in leftovers:
            path.unlink(missing_ok=True)
        return len(leftovers)
