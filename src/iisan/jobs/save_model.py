"""Saving a model folder as a whole."""

from __future__ import annotations

import shutil
from pathlib import Path

from iisan.models.recommender import Recommender


def save_whole(model: Recommender, folder: Path) -> None:
    """Saves a model folder so that it is there whole or not at all."""
    draft = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(draft, ignore_errors=True)
    model.save_pretrained(draft)
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.replace(old)
    draft.replace(folder)
    shutil.rmtree(old, ignore_errors=True)
