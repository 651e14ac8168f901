"""The model folder that is exported."""

from __future__ import annotations

from pathlib import Path

from iisan.encoders.hub_snapshot import hub_snapshot
from iisan.errors import UserError
from iisan.jobs.run_folder import MODEL
from iisan.models.file_names import CONFIG
from iisan.models.recommender import HUB_PATTERNS


def source_folder(name: str) -> Path:
    """The folder of a model: itself, the ``model`` of a run folder, or a copy of the one on the hub.

    Raises:
        UserError: There is no such model.
    """
    folder = Path(name)
    if (folder / MODEL / CONFIG).is_file():
        return folder / MODEL
    return folder if folder.is_dir() else hub_snapshot(name, revision=None, allow_patterns=HUB_PATTERNS)


def refuse_within(output: Path, folder: Path) -> None:
    """Refuses an output that is the exported model's own folder, or lies in it.

    Raises:
        UserError: It is.
    """
    if output.resolve().is_relative_to(folder.resolve()):
        raise UserError("this is the folder of the model itself", where=str(output), how="name a place outside it")
