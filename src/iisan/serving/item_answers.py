"""Items of a catalogue as they are answered."""

from __future__ import annotations

from typing import Any

from iisan.serving.item_paths import UNREACHABLE, picture_path
from iisan.serving.snapshot import Snapshot


def known_row(snapshot: Snapshot, item_id: str) -> int | None:
    """Row of an item; None where it is unknown or was taken back."""
    row = snapshot.table.row(item_id)
    return None if row is None or bool(snapshot.table.removed[row]) else row


def item_answer(snapshot: Snapshot, row: int) -> dict[str, Any]:
    """One item."""
    table = snapshot.table
    item_id = table.item_ids[row]
    return {
        "item_id": item_id,
        "title": table.titles[row],
        "recommendable": bool(table.recommendable[row]),
        "attributes": snapshot.facts.attributes_of(row),
        "picture": picture_of(snapshot, item_id),
    }


def picture_of(snapshot: Snapshot, item_id: str) -> str | None:
    """Path of an item's picture, None where it has none."""
    # The model may have changed since the item was found, and the item be gone.
    row = snapshot.table.row(item_id)
    if row is None or item_id in UNREACHABLE or not snapshot.facts.has_picture(row):
        return None
    return picture_path(item_id)
