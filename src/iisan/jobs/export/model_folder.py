"""Export a model: as one folder that needs nothing beside it, wherever it is put."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from iisan.data.staging import FolderKind, check_output
from iisan.jobs.evaluate import load_recommender
from iisan.jobs.export.new_folder import new_folder
from iisan.jobs.export.portable_details import portable, portable_details
from iisan.jobs.export.source_model import refuse_within, source_folder
from iisan.models.file_names import CONFIG
from iisan.models.recommender import ENCODERS

# What a model folder may hold beside the model's own files.
ADAPTER_FILES = "*.safetensors"
ADAPTER_CONFIGS = "*.json"


class ExportModelJob(BaseModel):
    """Which model to export, and where to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(description="Model folder, run folder or hub id")
    output: Path = Field(description="Model folder to make")
    overwrite: bool = Field(False, description="Replace a model that is there")


@dataclass(frozen=True)
class ModelExport:
    """An exported model folder.

    Attributes:
        folder: Where it is.
        n_items: Items in its table.
        n_additions: Additions that became part of the table.
    """

    folder: Path
    n_items: int
    n_additions: int


def export_model(job: ExportModelJob) -> ModelExport:
    """Writes a model folder that :meth:`Recommender.from_pretrained` reads anywhere.

    Items that were added are part of its table, and nothing in it names a folder of this machine.

    Raises:
        UserError: There is no such model, something is at the output already, or it cannot be written.
    """
    folder = source_folder(job.model)
    refuse_within(job.output, folder)
    kind = FolderKind("model", "export", _is_model)
    check_output(job.output, overwrite=job.overwrite, kind=kind)
    recommender = load_recommender(str(folder))
    recommender.details = portable_details(recommender.details)
    with new_folder(job.output, kind, overwrite=job.overwrite) as draft:
        recommender.save_pretrained(draft)
        _copy_encoders(folder, draft)
    table = recommender.item_table
    return ModelExport(job.output, len(table or ()), 0 if table is None else table.last_addition)


def _copy_encoders(folder: Path, draft: Path) -> None:
    """Copies what a method trained of each encoder; of cards and logs beside it nothing."""
    for place in sorted(path for path in (folder / ENCODERS).glob("*") if path.is_dir()):
        copy = draft / ENCODERS / place.name
        copy.mkdir(parents=True)
        for path in sorted(place.glob(ADAPTER_FILES)):
            shutil.copyfile(path, copy / path.name)
        for path in sorted(place.glob(ADAPTER_CONFIGS)):
            # `peft` writes down the folder that the encoder was loaded from.
            data = portable(json.loads(path.read_text(encoding="utf-8")))
            (copy / path.name).write_text(json.dumps(data, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _is_model(folder: Path) -> bool:
    try:
        return bool(
            json.loads((folder / CONFIG).read_text(encoding="utf-8")).keys() >= {"format_version", "item_encoder"}
        )
    except (OSError, ValueError, AttributeError):
        return False
