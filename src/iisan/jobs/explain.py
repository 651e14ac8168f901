"""Explain: why a model recommends what it does after a history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator

from iisan.data.dataset import Dataset
from iisan.efficiency.gate_values import LayerValues, gate_values
from iisan.errors import UserError
from iisan.jobs.add_items import recorded_encoders
from iisan.jobs.encode import states_folder
from iisan.jobs.evaluate import load_recommender
from iisan.jobs.histories import History
from iisan.jobs.new_states import stores_of_encoders
from iisan.jobs.recommend import known_histories
from iisan.jobs.recorded_dataset import recorded_dataset
from iisan.models.config import ItemIdConfig
from iisan.models.explanation.explain import StatesOf, explain
from iisan.models.explanation.explanation import Explanation
from iisan.models.recommender import Recommender
from iisan.models.side_network import SideNetwork
from iisan.states.cached_source import CachedSource
from iisan.states.sources import ItemStates
from iisan.training.device import resolve_device
from iisan.tuning.choose import is_tuned

Form = Literal["text", "json", "html"]

# Ids named in a note.
SHOWN = 3


class ExplainJob(BaseModel):
    """Which recommendations of which model, and in what form."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(description="Model folder, run folder or hub id")
    dataset: Path | None = Field(
        None, description="Dataset folder, for states and pictures; by default the one that the run wrote down"
    )
    history: str | None = Field(None, description="Item ids, oldest first, separated by spaces or commas")
    user: str | None = Field(None, description="Id of a user of the dataset, whose whole history is taken")
    k: int = Field(5, ge=1, description="Recommendations to explain")
    items: str | None = Field(None, description="Ids to explain instead, separated by spaces or commas")
    states: Path | None = Field(None, description="Folder of the stores; by default DATASET/states")
    format: Form = Field("text", description="Form of the answer")
    output: Path | None = Field(None, description="File for the answer")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")

    @model_validator(mode="after")
    def _one_history(self) -> ExplainJob:
        if (self.history is None) == (self.user is None):
            raise ValueError("give either history or user")
        return self


@dataclass(frozen=True)
class ExplainOutcome:
    """An explanation with what is known around it.

    Attributes:
        user_id: Whose history it is, None for one of the command line.
        explanation: The scores taken apart.
        gates: The model's gates by tower and layer (see :func:`~iisan.efficiency.gate_values.gate_values`), the same
            for every item; empty for a model without.
        notes: What could not be explained, a line each.
        dataset: For the pictures.
    """

    user_id: str | None
    explanation: Explanation
    gates: dict[str, dict[str, LayerValues]]
    notes: list[str]
    dataset: Dataset

    @property
    def titles(self) -> dict[str, str | None]:
        """Titles of the history and of the items explained, by id."""
        items = self.explanation.items
        read = {one.item_id: one.title for item in items for one in item.history}
        return {**read, **{item.item_id: item.title for item in items}}


def explain_recommendations(job: ExplainJob) -> ExplainOutcome:
    """Explains the top items after a history, or the items that are named.

    States are read of the items at hand only. A model whose encoders were tuned, or which knows items by their ids
    only, is explained by the history alone, and a note says so.

    Raises:
        UserError: The model, the dataset or a store cannot be read, an id is unknown, or the stores were made by other
            encoders.
    """
    recommender = load_recommender(job.model)
    dataset = Dataset.open(job.dataset or _recorded(job.model))
    served, notes = known_histories(recommender, [_history(job, dataset)])
    if not served:
        raise UserError("; ".join(notes[:SHOWN]), how="give at least one item id that the model knows")
    why_not = _why_not_apart(recommender)
    encoders = {} if why_not else recorded_encoders(recommender, Path(job.model))
    items = None if job.items is None else _ids(job.items)
    states_of = None if why_not else _states_of(encoders, states_folder(dataset.path, job.states))
    recommender.to(resolve_device(job.device))
    found = explain(recommender, served[0].items, items, k=job.k, states_of=states_of)
    notes += [why_not] if why_not else []
    notes += _notes(found, recommender)
    return ExplainOutcome(job.user, found, _gates(recommender, encoders), notes, dataset)


def _recorded(model: str) -> Path:
    try:
        return recorded_dataset(model)
    except UserError as error:
        how = f"name the dataset: iisan explain {model} DATASET"
        raise UserError(error.what, where=error.where, how=how) from error


def _history(job: ExplainJob, dataset: Dataset) -> History:
    if job.user is None:
        return History("1", _ids(job.history or ""))
    if job.user not in dataset.user_ids:
        raise UserError(f"no user {job.user!r}", where=str(dataset.path), how="name one of the log, or give --history")
    start, end = np.searchsorted(dataset.interactions.user, [row := dataset.user_ids.index(job.user), row + 1])
    return History(job.user, [dataset.item_ids[item] for item in dataset.interactions.item[start:end]])


def _ids(text: str) -> list[str]:
    return text.replace(",", " ").split()


def _why_not_apart(recommender: Recommender) -> str | None:
    """Why scores cannot be taken apart by modality; None where they can."""
    method = recommender.details.get("training", {}).get("method", "iisan")
    if isinstance(recommender.config.item_encoder, ItemIdConfig):
        return "the model knows items by their ids only, so there are no modalities to leave out"
    if is_tuned(method):
        return (
            f"the encoders were tuned (method {method}), so the stored states are not those that the model reads, "
            "and no modality is left out"
        )
    return None


def _states_of(encoders: Mapping[str, Mapping[str, Any]], folder: Path) -> StatesOf:
    stores = stores_of_encoders(encoders, folder)

    def states_of(item_ids: Sequence[str]) -> Mapping[str, ItemStates]:
        # Not resident: that would read the whole stores to compare their checksums.
        return CachedSource(stores, item_ids, resident=False).gather(torch.arange(len(item_ids)))

    return states_of


def _gates(recommender: Recommender, encoders: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, LayerValues]]:
    network = recommender.item_encoder
    if not isinstance(network, SideNetwork):
        return {}  # nor has any model whose encoders were tuned
    return gate_values(network, {name: encoders[name]["taps"] for name in network.names})


def _notes(found: Explanation, recommender: Recommender) -> list[str]:
    notes = []
    if found.n_unread:
        notes.append(
            f"the model reads the last {recommender.max_length} items; {found.n_unread} older ones do not count"
        )
    unknown = found.unknown_content
    if unknown:
        shown = ", ".join(map(repr, unknown[:SHOWN])) + (", …" if len(unknown) > SHOWN else "")
        notes.append(
            f"the stores do not hold the states that the model knows {shown} by ({len(unknown)} of the items at hand), "
            "so they are taken whole"
        )
    return notes
