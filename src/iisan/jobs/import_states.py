"""Import states: what a user computed elsewhere becomes the store of one modality of a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from iisan.data.dataset import Dataset
from iisan.data.modality_names import check_modality_names
from iisan.jobs.encode import states_folder
from iisan.states.encode_items import Progress
from iisan.states.import_states import ImportedStates, ImportReport, OnTrouble, import_states
from iisan.states.item_id_files import ids_of_states
from iisan.states.state_rows import open_states


class ImportStatesJob(BaseModel):
    """Which states to take, of what, and where to put them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: Path = Field(description="Dataset folder")
    modality: str = Field(description="Modality: one of the dataset, or a new one that exists as states only")
    states: list[Path] = Field(
        min_length=1,
        description="States: .npy or .safetensors of shape [items, taps, width] or [items, width], or a folder of such",
    )
    ids: list[Path] = Field(
        [],
        description="Item ids, one a row of states: .txt (one a line), .json (a list), .parquet, .csv, .tsv or .npy; "
        "a file for each file of states, or one for all; by default those beside them, of the same names",
    )
    ids_column: str | None = Field(None, description="Column of a table of ids; item_id or the only one by default")
    tensor: list[str] = Field(
        [], description="Tensor of a .safetensors file, or one for each tap; the only one by default"
    )
    encoder_name: str = Field(min_length=1, description="What made the states; a store takes those of one encoder only")
    taps: list[Annotated[int, Field(ge=0)]] | None = Field(
        None, description="Number of each tap's layer, such as 0,6,12; 0,1,2,… by default"
    )
    pooling: str | None = Field(None, description="How tokens became one vector, such as first, mean or last")
    dtype: Literal["float16", "bfloat16", "float32"] | None = Field(
        None, description="Numbers kept on disk; as in the files by default"
    )
    on_unknown: OnTrouble = Field(
        "error", description="States of items that the dataset lacks, or that have no such content there: error or skip"
    )
    on_missing: OnTrouble = Field(
        "error", description="Items of the dataset that have such content but no states: error or skip"
    )
    output: Path | None = Field(None, description="Folder of the stores; by default DATASET/states")
    wait: bool = Field(False, description="Wait for another process that writes the same store")


def import_dataset_states(job: ImportStatesJob, progress: Progress | None = None) -> ImportReport:
    """Takes states from files into the store of a modality; states that are there already are not written again.

    Args:
        job: What to do.
        progress: Called as ``(done, total, label)``.

    Raises:
        UserError: The dataset, a file, an id, a number or the store is at fault. Nothing is written unless all is well.
    """
    dataset = Dataset.open(job.dataset)
    check_modality_names([job.modality], where="MODALITY")
    having, without = _items(dataset, job.modality)
    states = open_states(job.states, job.tensor)
    item_ids = ids_of_states(states, job.ids, job.ids_column)
    about = ImportedStates(job.encoder_name, None if job.taps is None else tuple(job.taps), job.pooling, job.dtype)
    return import_states(
        states,
        item_ids,
        states_folder(job.dataset, job.output) / job.modality,
        about,
        catalogue=having,
        without=without,
        on_unknown=job.on_unknown,
        # Of a modality that exists only as states, an item without states is one that lacks it.
        on_missing=job.on_missing if job.modality in dataset.modalities else "skip",
        progress=progress,
        wait=job.wait,
    )


def _items(dataset: Dataset, modality: str) -> tuple[list[str], list[str]]:
    """Items that may have states, and items that must have none."""
    if modality not in dataset.modalities:
        return dataset.item_ids, []
    pairs = list(zip(dataset.item_ids, dataset.having(modality), strict=True))
    return [item for item, has in pairs if has], [item for item, has in pairs if not has]
