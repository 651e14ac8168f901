"""Add items: to a trained model's item table, without training it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import Field

from iisan.data.importers.catalogue import named_parts
from iisan.data.media import Progress
from iisan.encoders.config import ComputeDtype, Kind
from iisan.errors import UserError
from iisan.jobs.addition_plan import AdditionPlan, OnEmpty, OnExisting, plan_additions
from iisan.jobs.append_items import append_items
from iisan.jobs.item_columns import ItemColumns
from iisan.jobs.model_encoders import ModelEncoders, recorded_encoders, refuse_stored_states
from iisan.jobs.new_items import ItemsTableOptions, NewItems, read_ids_and_titles, read_new_items
from iisan.jobs.new_states import is_imported, refuse_imported, stored_states, stores_of_encoders
from iisan.jobs.run_folder import MODEL
from iisan.jobs.shown_pictures import ShownPictures
from iisan.models.additions import Additions
from iisan.models.file_names import CONFIG
from iisan.models.picture_store import PictureStore
from iisan.models.recommender import Recommender
from iisan.states.sources import StateSource
from iisan.training.device import resolve_device


class AddItemsJob(ItemsTableOptions):
    """Which items to add to which model, and what to do with those that it knows."""

    model: Path = Field(description="Model folder or run folder")
    on_existing: OnExisting = Field(
        "error", description="An id that is known with other content: stop, leave it as it is, or replace it"
    )
    on_empty: OnEmpty = Field("error", description="An item without any content: stop, or leave it out and count")
    encoder: tuple[str, ...] = Field(
        (), description="Where an encoder is now, MODALITY=MODEL; by default where it was when the states were made"
    )
    states: Path | None = Field(
        None, description="Folder of stores that hold the new items' states already; nothing is encoded then"
    )
    compute: ComputeDtype = Field("auto", description="Arithmetic of the encoders; auto: bfloat16 on CUDA")
    batch_size: int = Field(64, ge=1, description="Items a pass through an encoder")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")


@dataclass(frozen=True)
class AddItemsOutcome:
    """What became of the items of the table; their numbers sum up to `total`.

    Attributes:
        added: Now in the item table, and not before.
        replaced: Known with other content before.
        unchanged: Known with the same content.
        skipped: Known with other content, and left as they are.
        empty: Without any content, or of imported states without any of these, and left out.
        refused: Pictures that were left out, by modality and reason; their items are counted above.
        folder: The model folder.
        n_items: Size of the catalogue now.
    """

    added: int
    replaced: int
    unchanged: int
    skipped: int
    empty: int
    refused: dict[str, int]
    folder: Path
    n_items: int

    @property
    def total(self) -> int:
        """Items of the table."""
        return self.added + self.replaced + self.unchanged + self.skipped + self.empty


def add_items(job: AddItemsJob, progress: Progress | None = None) -> AddItemsOutcome:
    """Embeds new items with the model's encoders and trained network, and appends them to the item table.

    A small copy of each item's picture is kept in the model folder, for people.

    They can be recommended as soon as this returns; a part of them may be earlier, as they are committed
    part by part. A run that was interrupted is continued by calling this again.

    Args:
        job: What to do.
        progress: Called as ``(done, total, label)``.

    Raises:
        UserError: The model, the table, an item or an encoder is at fault. Nothing is written where it shows before
            the first item is encoded.
    """
    folder = model_folder(job.model)
    journal = Additions(folder)
    with journal.held(), journal.scratch() as scratch:
        recommender = Recommender.from_pretrained(folder)
        encoders = recorded_encoders(recommender, folder)
        refuse_stored_states(recommender, job.states)
        new = _new_items(job, recommender, encoders, scratch, progress)
        plan = plan_additions(
            new, recommender.table, on_existing=job.on_existing, on_empty=job.on_empty, where=str(job.items)
        )
        n_items = len(recommender.table) + sum(row >= len(recommender.table) for row in plan.rows)
        if plan.chosen:
            source = _source(job, recommender, encoders, new, plan, progress)
            shown = PictureStore(folder)
            shown.sweep(recommender.table.shown)
            model = recommender.to(resolve_device(job.device))
            append_items(journal, model, source, new, plan, progress, ShownPictures(shown, new).keep)
    return AddItemsOutcome(
        plan.added, plan.replaced, plan.unchanged, plan.skipped, plan.empty, new.refused, folder, n_items
    )


def model_folder(path: Path) -> Path:
    """The model folder itself, or that of a run.

    Raises:
        UserError: There is none, as with the id of a model on the hub.
    """
    folder = path / MODEL if (path / MODEL / CONFIG).is_file() else path
    if not (folder / CONFIG).is_file():
        raise UserError(
            "no model folder",
            where=str(path),
            how="name a model or run folder; a model of the hub has to be saved to one first, with "
            "Recommender.from_pretrained(id).save_pretrained(folder)",
        )
    return folder


def _new_items(
    job: AddItemsJob,
    recommender: Recommender,
    encoders: Mapping[str, Mapping[str, Any]],
    scratch: Path,
    progress: Progress | None,
) -> NewItems:
    columns = ItemColumns.model_validate(recommender.details.get("columns", {}))
    imported = {name: identity for name, identity in encoders.items() if is_imported(identity)}
    if job.states is None:
        refuse_imported(encoders)
    kinds: dict[str, Kind] = {name: one.get("kind", "text") for name, one in encoders.items() if name not in imported}
    if kinds:
        new = read_new_items(job, columns, kinds, scratch, progress)
    else:
        new = NewItems(*read_ids_and_titles(job, columns), {})
    if job.states is None or not imported:
        return new
    stores = stores_of_encoders(imported, job.states)
    stored = {name: store.hashes_of(new.item_ids) for name, store in stores.items()}
    hashes = {name: stored[name] if name in stored else new.hashes[name] for name in encoders}
    return replace(new, hashes=hashes, by_states=frozenset(stored))


def _source(
    job: AddItemsJob,
    recommender: Recommender,
    encoders: Mapping[str, Mapping[str, Any]],
    new: NewItems,
    plan: AdditionPlan,
    progress: Progress | None,
) -> StateSource:
    device = resolve_device(job.device)
    if job.states is not None:
        ids = [new.item_ids[position] for position in plan.chosen]
        hashes = {name: [new.hashes[name][position] for position in plan.chosen] for name in encoders}
        return stored_states(encoders, job.states, ids, hashes, device)
    contents = {name: [new.contents[name][position] for position in plan.chosen] for name in encoders}
    live = ModelEncoders(
        recommender,
        model_folder(job.model),
        models=named_parts(job.encoder),
        compute=job.compute,
        batch_size=job.batch_size,
        device=device,
    )
    return live.states(contents, progress)
