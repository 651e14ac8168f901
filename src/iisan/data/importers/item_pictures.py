"""Finding the picture of each item in a folder whose files are named after the items."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from iisan.errors import UserError

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


def item_pictures(
    folder: Path, item_ids: Sequence[str], suffixes: Sequence[str] = PICTURE_SUFFIXES
) -> list[str | None]:
    """File name of each item's picture ``[N]``: its id and a suffix; an item without a file has none.

    Args:
        folder: Where the pictures lie.
        item_ids: Ids ``[N]``.
        suffixes: What may follow the id; where several files are there, the first of these counts.

    Raises:
        UserError: There is no such folder, or no file in it is named after an item.
    """
    if not folder.is_dir():
        raise UserError("the folder of pictures does not exist", where=str(folder), how="name another, or none")
    there = {path.name for path in folder.iterdir()}
    found = [next((name for suffix in suffixes if (name := f"{one}{suffix}") in there), None) for one in item_ids]
    if item_ids and not any(found):
        raise UserError(
            "no file is named after an item",
            where=str(folder),
            how=f"name the pictures like {item_ids[0]}{suffixes[0]}, or leave the folder out",
        )
    return found
