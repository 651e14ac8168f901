"""Add items: to a trained model's item table, without training it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from iisan.data.importers.catalogue import named_parts
from iisan.data.media import Progress
from iisan.encoders.config import ComputeDtype, Kind
from iisan.errors import UserError
from iisan.jobs.addition_plan import AdditionPlan, OnEmpty, OnExisting, plan_additions
from iisan.jobs.item_columns import ItemColumns
from iisan.jobs.new_items import ItemsTableOptions, NewItems, read_ids_and_titles, read_new_items
from iisan.jobs.new_states import is_imported, live_states, refuse_imported, stored_states, stores_of_encoders
from iisan.jobs.run_folder import MODEL
from iisan.models.added_items import AddedItems
from iisan.models.additions import Additions
from iisan.models.config import ItemIdConfig
from iisan.models.file_names import CONFIG
from iisan.models.recommender import Recommender
from iisan.states.sources import StateSource
from iisan.training.device import resolve_device

# Items committed at once: what a kill can cost.
ITEMS_AT_ONCE = 1024


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
    """Embeds new items with the frozen encoders and the trained side network, and appends them to the item table.

    They can be recommended as soon as this returns; a part of them may be earlier, as every `ITEMS_AT_ONCE` items are
    committed together. A run that was interrupted is continued by calling this again.

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
        new = _new_items(job, recommender, encoders, scratch, progress)
        plan = plan_additions(
            new, recommender.table, on_existing=job.on_existing, on_empty=job.on_empty, where=str(job.items)
        )
        n_items = len(recommender.table) + sum(row >= len(recommender.table) for row in plan.rows)
        if plan.chosen:
            source = _source(job, recommender, encoders, new, plan, progress)
            _append(journal, recommender.to(resolve_device(job.device)), source, new, plan, progress)
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


def recorded_encoders(recommender: Recommender, folder: Path) -> dict[str, Mapping[str, Any]]:
    """Identity of the encoder of each modality that a model reads.

    Raises:
        UserError: The model reads no content, or does not say what encoders made the states that it was trained on.
    """
    if isinstance(recommender.config.item_encoder, ItemIdConfig):
        raise UserError(
            "the model knows items by their ids only", where=str(folder), how="train one with --method iisan or frozen"
        )
    encoders = recommender.details.get("encoders")
    shapes = recommender.config.item_encoder
    names = sorted(getattr(shapes, "modalities", None) or getattr(shapes, "widths", {}))
    if not isinstance(encoders, dict) or not set(names) <= set(encoders):
        raise UserError(
            "the model does not say what encoders it was trained with",
            where=str(folder),
            how="train it, or import its checkpoint with its dataset, with this version",
        )
    return {name: encoders[name] for name in names}


def embed_new(recommender: Recommender, source: StateSource, rows: Tensor, catalogue_rows: Tensor) -> Tensor:
    """Embeddings of items as they come after training, ``[n, d]`` fp32 on the CPU.

    Args:
        recommender: The model.
        source: Hidden states.
        rows: ``[n]`` rows of the source.
        catalogue_rows: ``[n]`` rows of the item table; beyond its end for items that it lacks.
    """
    return recommender.embed_items(source, rows, catalogue_rows=catalogue_rows).cpu()


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
    models = named_parts(job.encoder)
    unknown = sorted(set(models) - set(encoders))
    if unknown:
        raise UserError(f"the model has no modality {unknown[0]!r}", how=f"it has: {', '.join(encoders)}")
    contents = {name: [new.contents[name][position] for position in plan.chosen] for name in encoders}
    return live_states(
        encoders,
        recommender.details.get("state_dtypes", {}),
        contents,
        models=models,
        compute=job.compute,
        batch_size=job.batch_size,
        device=device,
        progress=progress,
    )


def _append(
    journal: Additions,
    recommender: Recommender,
    source: StateSource,
    new: NewItems,
    plan: AdditionPlan,
    progress: Progress | None,
) -> None:
    """Embeds and commits the chosen items, which are the rows of the source, part by part."""
    table, rows, positions = recommender.table, torch.tensor(plan.rows), torch.arange(len(plan.rows))
    for start in range(0, len(rows), ITEMS_AT_ONCE):
        part = slice(start, start + ITEMS_AT_ONCE)
        embeddings = embed_new(recommender, source, positions[part], rows[part])
        chosen = plan.chosen[part]
        ids = [new.item_ids[position] for position in chosen]
        broken = (~embeddings.isfinite().all(dim=1)).nonzero().flatten().tolist()
        if broken:
            raise UserError(
                f"the embedding of item {ids[broken[0]]!r} is not finite", how="check its content; it was not added"
            )
        known = [table.titles[row] if row < len(table) else None for row in plan.rows[part]]
        titles = [new.titles[position] or before for position, before in zip(chosen, known, strict=True)]
        hashes = {name: [values[position] for position in chosen] for name, values in new.hashes.items()}
        journal.append(AddedItems.new(ids, titles, embeddings, hashes))
        if progress is not None:
            progress(min(start + ITEMS_AT_ONCE, len(rows)), len(rows), "add")
