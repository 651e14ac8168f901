"""Where the dataset of a run is, so that a run can be evaluated without naming it again."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from iisan.data.dataset import Dataset
from iisan.errors import UserError
from iisan.jobs.run_folder import MODEL, PLACES, RUN


def place_of(dataset: Path, run: Path) -> dict[str, str]:
    """A dataset's folder as a run writes it down: as it is, and as seen from the run, should both move together."""
    return {
        "absolute": str(dataset.absolute()),
        "relative": os.path.relpath(dataset.absolute(), run.absolute()),
    }


def recorded_dataset(model: str) -> Path:
    """The dataset that a run was trained on, where the run wrote it down; told by its checksums.

    Args:
        model: A run folder or its ``model`` folder.

    Raises:
        UserError: Nothing was written down, or the dataset is no longer there.
    """
    how = f"name the dataset: iisan evaluate {model} DATASET"
    run = _run_of(Path(model))
    if not run.is_dir():
        raise UserError("there is no such run or model here", where=model, how="check the path")
    try:
        facts: dict[str, Any] = json.loads((run / RUN).read_text(encoding="utf-8"))
        places, sha256 = facts[PLACES]["dataset"], facts["dataset"]["sha256"]
        folders = [run / places["relative"], Path(places["absolute"])]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError("it does not say what dataset it was trained on", where=model, how=how) from error
    for folder in folders:
        if _is_dataset(folder, sha256):
            return Path(os.path.normpath(folder))
    raise UserError(f"the dataset that it was trained on is not at {folders[-1]}", where=model, how=how)


def _run_of(folder: Path) -> Path:
    return folder.absolute().parent if folder.name == MODEL and not (folder / RUN).exists() else folder.absolute()


def _is_dataset(folder: Path, sha256: Any) -> bool:
    try:
        return bool(Dataset.open(folder).manifest.sha256 == sha256)
    except UserError:
        return False
