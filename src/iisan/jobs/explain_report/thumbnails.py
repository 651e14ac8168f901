"""Small copies of items' pictures, as text that a page can hold."""

from __future__ import annotations

import base64
import io
import logging
from collections.abc import Sequence
from pathlib import Path

from iisan.data.dataset import Dataset
from iisan.data.decode import decode_image
from iisan.errors import UserError

logger = logging.getLogger(__name__)

# Longer side in pixels: twice what the page shows, for fine screens.
SIDE = 224
QUALITY = 82


def thumbnails(dataset: Dataset, item_ids: Sequence[str]) -> dict[str, str]:
    """Pictures as ``data:`` URLs, by item id; items without one are left out, and so, with a warning, damaged ones.

    Only files inside the dataset folder are read. The first image modality by name that an item has is taken.

    Args:
        dataset: Whose pictures.
        item_ids: Items; those that the dataset lacks have no picture.
    """
    found: dict[str, str] = {}
    rows = dict(zip(item_ids, dataset.rows_of(item_ids).tolist(), strict=True))
    for modality in sorted(name for name, kind in dataset.modalities.items() if kind == "image"):
        wanted = [item_id for item_id, row in rows.items() if row >= 0 and item_id not in found]
        for item_id, path in zip(wanted, _paths(dataset, modality, [rows[one] for one in wanted]), strict=True):
            if path is not None and (url := _url(path)) is not None:
                found[item_id] = url
    return found


def _paths(dataset: Dataset, modality: str, rows: Sequence[int]) -> list[Path | None]:
    try:
        return dataset.image_paths(modality, rows)
    except UserError:  # Of one item: the others keep theirs.
        return [_path(dataset, modality, row) for row in rows]


def _path(dataset: Dataset, modality: str, row: int) -> Path | None:
    try:
        return dataset.image_paths(modality, [row])[0]
    except UserError as error:
        logger.warning("no picture: %s", error)
        return None


def _url(path: Path) -> str | None:
    try:
        return as_url(path)
    except UserError as error:
        logger.warning("no picture: %s", error)
        return None


def as_url(path: Path) -> str:
    """A picture file, scaled down, as a ``data:`` URL of a JPEG.

    Raises:
        UserError: It cannot be decoded, or is too large.
    """
    picture = decode_image(path)
    picture.thumbnail((SIDE, SIDE))
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
