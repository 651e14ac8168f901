"""Cold start: how a model that some items were held out from ranks them, as new items."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from iisan.data.dataset import Dataset
from iisan.data.kept_users import kept_users
from iisan.data.manifest import INTERACTIONS_FILE, ITEMS_FILE, USERS_FILE
from iisan.data.split import Split
from iisan.data.split_options import SplitOptions
from iisan.errors import UserError
from iisan.evaluation.cold_start import ColdStart, History, RankedBy, ScoreUsers, cold_choices, evaluate_cold_start
from iisan.evaluation.scorers import PopularityScorer, RecommenderScorer
from iisan.jobs.append_items import embed_new
from iisan.jobs.encode import states_folder
from iisan.jobs.evaluate import embeddings_by_row, load_recommender
from iisan.jobs.model_encoders import recorded_encoders
from iisan.jobs.new_states import stores_of_encoders
from iisan.jobs.recorded_dataset import recorded_dataset
from iisan.models.recommender import Recommender
from iisan.states.prefetched_source import states_on
from iisan.training.device import resolve_device


class ColdStartJob(BaseModel):
    """Which model, and how to rank."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(description="Run or model folder, trained with --hold-out-items")
    dataset: Path | None = Field(None, description="Dataset folder; by default the one that the run wrote down")
    states: Path | None = Field(None, description="Folder of the stores; by default DATASET/states")
    history: History = Field(
        "warm", description="What the model reads of a history: warm, the items that it learned, or all, new ones too"
    )
    ks: list[Annotated[int, Field(ge=1)]] = Field([5, 10, 20], min_length=1, description="List lengths of the metrics")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")


def cold_start(job: ColdStartJob) -> ColdStart:
    """Ranks the held-out items for the users who chose them, embedded as `add-items` would embed them.

    Raises:
        UserError: No item was held out, the dataset is another one, or the model knows items by their ids only.
    """
    recommender = load_recommender(job.model)
    options = SplitOptions.of_training(recommender.details.get("training", {}))
    if not options.hold_out_items:
        raise UserError(
            "the model was trained on all items", where=job.model, how="train one with --hold-out-items 0.2, say"
        )
    dataset = Dataset.open(job.dataset or recorded_dataset(job.model))
    _refuse_other_dataset(recommender, dataset, job.model)
    split = options.apply(dataset)
    users, starts, ends = kept_users(dataset.interactions, options.min_interactions)
    if options.keep_last is not None:
        starts = np.maximum(starts, ends - options.keep_last)
    choices = cold_choices(dataset.interactions, users, starts, split.held_out, job.history)
    if not len(choices):
        raise UserError(
            "nobody chose a held-out item after another one", where=str(dataset.path), how="hold out more items"
        )
    recommender = recommender.to(resolve_device(job.device))
    items = _items(recommender, dataset, split, job)
    rankers: dict[RankedBy, ScoreUsers] = {
        "model": RecommenderScorer(recommender, items),
        "popularity": PopularityScorer(split),
    }
    ks = tuple(sorted(set(job.ks)))
    return evaluate_cold_start(rankers, split, choices, job.history, recommender.max_length, ks)


def _items(recommender: Recommender, dataset: Dataset, split: Split, job: ColdStartJob) -> Tensor:
    """Item embeddings ``[N, d]``: those of the item table, and the held-out ones as those of new items."""
    encoders = recorded_encoders(recommender, Path(job.model))
    held_out = torch.from_numpy(split.held_out)
    ids = [dataset.item_ids[row] for row in split.held_out]
    stores = stores_of_encoders(encoders, states_folder(dataset.path, job.states))
    source = states_on(stores, ids, resolve_device(job.device))
    beyond = len(recommender.table) + torch.arange(len(ids))
    items = embeddings_by_row(recommender, dataset, job.model).clone()
    items[held_out] = embed_new(recommender, source, torch.arange(len(ids)), beyond)
    return items


def _refuse_other_dataset(recommender: Recommender, dataset: Dataset, name: str) -> None:
    trained = recommender.details.get("dataset", {}).get("sha256", {})
    if any(trained.get(file) != dataset.manifest.sha256[file] for file in (ITEMS_FILE, USERS_FILE, INTERACTIONS_FILE)):
        raise UserError(
            f"the model was not trained on {dataset.path} as it is now, so which items were held out is not known",
            where=name,
            how="name the dataset that it was trained on",
        )
