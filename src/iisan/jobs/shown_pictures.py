"""What people are shown of new items: small copies of their pictures, in the model folder."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from iisan.data.decode import decode_image
from iisan.data.small_jpeg import AT_LEAST, small_jpeg
from iisan.errors import UserError
from iisan.jobs.new_items import NewItems
from iisan.models.added_facts import AddedFacts
from iisan.models.picture_store import PictureStore

logger = logging.getLogger(__name__)


class ShownPictures:
    """Keeps the picture of the first image modality, by name, that an item has.

    Args:
        store: Of the model folder.
        new: The items with their contents.
    """

    def __init__(self, store: PictureStore, new: NewItems) -> None:
        self._store = store
        self._new = new

    def keep(self, positions: Sequence[int]) -> dict[int, AddedFacts]:
        """Writes the pictures of items, on the disk when this returns, and says by position which they are.

        One that cannot be decoded is left out with a warning: that its item has states is all that a model needs.

        Raises:
            UserError: A picture cannot be written.
        """
        kept = {position: self._kept(position) for position in positions}
        return {position: AddedFacts(name) for position, name in kept.items() if name is not None}

    def _kept(self, position: int) -> str | None:
        for modality in sorted(self._new.contents):
            content, name = self._new.contents[modality][position], self._new.hashes[modality][position]
            if isinstance(content, Path) and name is not None:
                return name if self._store.find(name) is not None or self._made(name, content, position) else None
        return None

    def _made(self, name: str, file: Path, position: int) -> bool:
        try:
            picture = decode_image(file, AT_LEAST)
        except UserError as error:
            logger.warning("the picture of item %r will not be shown: %s", self._new.item_ids[position], error.what)
            return False
        self._store.keep(name, small_jpeg(picture))
        return True
