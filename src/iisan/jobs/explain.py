"""Explain: why a model recommends what it does after a history."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from iisan.data.dataset import Dataset
from iisan.data.importers.catalogue import named_parts
from iisan.errors import UserError
from iisan.jobs.encode import states_folder
from iisan.jobs.evaluate import load_recommender
from iisan.jobs.explanation_basis import Explained, ExplanationBasis
from iisan.jobs.export.source_model import source_folder
from iisan.jobs.histories import History
from iisan.jobs.model_encoders import ModelEncoders, has_tuned_encoders, refuse_stored_states
from iisan.jobs.recommend import known_histories
from iisan.jobs.recorded_dataset import recorded_dataset
from iisan.models.recommender import Recommender
from iisan.training.device import resolve_device

Form = Literal["text", "json", "html"]

# Problems named in an error.
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
    encoder: tuple[str, ...] = Field(
        (),
        description="Where an encoder is now, MODALITY=MODEL, for a model whose encoders were tuned; by default where "
        "it was at training",
    )
    format: Form = Field("text", description="Form of the answer")
    output: Path | None = Field(None, description="File for the answer")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")

    @model_validator(mode="after")
    def _one_history(self) -> ExplainJob:
        if (self.history is None) == (self.user is None):
            raise ValueError("give either history or user")
        return self


@dataclass(frozen=True)
class ExplainOutcome(Explained):
    """An explanation of a model on a dataset.

    Attributes:
        user_id: Whose history it is, None for one of the command line.
        dataset: For the pictures.
    """

    user_id: str | None
    dataset: Dataset

    @property
    def titles(self) -> dict[str, str | None]:
        """Titles of the history and of the items explained, by id."""
        items = self.explanation.items
        read = {one.item_id: one.title for item in items for one in item.history}
        return {**read, **{item.item_id: item.title for item in items}}


def explain_recommendations(job: ExplainJob) -> ExplainOutcome:
    """Explains the top items after a history, or the items that are named.

    States are read of the items at hand only, or computed by the encoders of the model folder where these were tuned. A
    model which knows items by their ids only is explained by the history alone, and a note says so.

    Raises:
        UserError: The model, the dataset, a store or a tuned encoder cannot be read, an id is unknown, or the stores
            were made by other encoders.
    """
    recommender = load_recommender(job.model)
    dataset = Dataset.open(job.dataset or _recorded(job.model))
    served, notes = known_histories(recommender, [_history(job, dataset)])
    if not served:
        raise UserError("; ".join(notes[:SHOWN]), how="give at least one item id that the model knows")
    basis = _basis(job, recommender, dataset)
    items = None if job.items is None else _ids(job.items)
    recommender.to(resolve_device(job.device))
    found = basis.explain(recommender, served[0].items, items, k=job.k)
    return ExplainOutcome(found.explanation, found.gates, [*notes, *found.notes], job.user, dataset)


def _basis(job: ExplainJob, recommender: Recommender, dataset: Dataset) -> ExplanationBasis:
    if not has_tuned_encoders(recommender):
        if job.encoder:
            raise UserError("the states that this model reads are stored", where="encoder", how="leave --encoder out")
        return ExplanationBasis.open(recommender, Path(job.model), states_folder(dataset.path, job.states))
    refuse_stored_states(recommender, job.states)
    encoders = ModelEncoders(
        recommender, source_folder(job.model), models=named_parts(job.encoder), device=resolve_device(job.device)
    )
    return ExplanationBasis.computing(encoders, dataset)


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
