"""Saving a model folder as a whole."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

from iisan.errors import unwritable
from iisan.models.additions import Additions
from iisan.models.recommender import Recommender

logger = logging.getLogger(__name__)


def save_whole(model: Recommender, folder: Path, beside: Callable[[Path], None] | None = None) -> None:
    """Saves a model folder so that it is there whole or not at all; an older one is replaced.

    One with the same weights and items that this model does not have stays, so that training that is called again when
    it is done takes no added items away.

    Args:
        model: What to save.
        folder: Where.
        beside: Writes what else belongs into the folder.

    Raises:
        UserError: It cannot be written.
    """
    draft, old = (folder.with_name(f".{folder.name}.{role}") for role in ("partial", "old"))
    try:
        _put_back(old, folder)
        shutil.rmtree(draft, ignore_errors=True)
        model.save_pretrained(draft)
        if beside is not None:
            beside(draft)
        if _has_grown(folder, draft):
            return
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            folder.replace(old)
        draft.replace(folder)
    except OSError as error:
        raise unwritable(folder, error, what="the model") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        _put_back(old, folder)
    shutil.rmtree(old, ignore_errors=True)


def _put_back(old: Path, folder: Path) -> None:
    """An interruption or a kill between the two renames leaves the place empty and the older model beside it."""
    if old.exists() and not folder.exists():
        old.replace(folder)


def _has_grown(folder: Path, draft: Path) -> bool:
    """Whether a folder holds the same model as a draft, with items that were added since."""
    there, new = Additions(folder), Additions(draft)
    if not folder.is_dir() or there.last() <= new.last():
        return False
    same = there.fingerprint() == new.fingerprint()
    if same:
        logger.info("%s is left as it is: it holds the same model, and items were added to it", folder)
    else:
        logger.warning("%s: items that were added to the model before are not in the new one", folder)
    return same
