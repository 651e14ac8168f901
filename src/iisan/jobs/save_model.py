"""Saving a model folder as a whole."""

from __future__ import annotations

import shutil
from pathlib import Path

from safetensors import SafetensorError

from iisan.errors import UserError
from iisan.models.recommender import Recommender


def save_whole(model: Recommender, folder: Path) -> None:
    """Saves a model folder so that it is there whole or not at all; an older one is replaced.

    Raises:
        UserError: It cannot be written.
    """
    draft, old = (folder.with_name(f".{folder.name}.{role}") for role in ("partial", "old"))
    try:
        if old.exists() and not folder.exists():  # A kill between the two renames below left it so.
            old.replace(folder)
        shutil.rmtree(draft, ignore_errors=True)
        model.save_pretrained(draft)
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            folder.replace(old)
        draft.replace(folder)
    except (OSError, SafetensorError) as error:
        raise UserError(f"the model cannot be written ({error})", where=str(folder), how="make room there") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
