"""Doctor: what is wrong with a dataset and its stores, or to be known of them, before hours are spent on training."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from iisan.data.doctor.examine import examine
from iisan.data.doctor.options import DoctorOptions
from iisan.data.doctor.report import DoctorReport
from iisan.data.media import Progress
from iisan.errors import UserError
from iisan.jobs.encode import states_folder
from iisan.jobs.store_findings import store_findings


class DoctorJob(BaseModel):
    """Which dataset, and where its hidden states are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: Path = Field(description="Dataset folder")
    states: Path | None = Field(None, description="Folder of the stores; by default DATASET/states")


def examine_dataset(
    job: DoctorJob, options: DoctorOptions | None = None, progress: Progress | None = None
) -> DoctorReport:
    """Examine a dataset folder, and its hidden-state stores where there are any; nothing is written.

    Args:
        job: What to examine.
        options: What to look for.
        progress: Called as ``(done, total, label)``.

    Raises:
        UserError: The folder is no dataset, or there is no folder of the stores although one is named.
    """
    if job.states is not None and not job.states.is_dir():
        raise UserError("there is no such folder", where=str(job.states), how="name the folder of the stores")
    report = examine(job.dataset, options, progress)
    return report.extended(store_findings(report, states_folder(job.dataset, job.states)))
