"""Evaluate: a saved recommender on the held-out interactions of a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from iisan.data.dataset import Dataset
from iisan.data.split import Catalogue, Split, leave_one_out
from iisan.errors import UserError
from iisan.evaluation.evaluate import Evaluation, Part, evaluate
from iisan.evaluation.scorers import PopularityScorer, RecommenderScorer
from iisan.jobs.output_file import output_file
from iisan.models.recommender import Recommender
from iisan.training.device import resolve_device


class EvaluateJob(BaseModel):
    """What to evaluate, on what, and how."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(description="Model folder, run folder or hub id")
    dataset: Path = Field(description="Dataset folder")
    part: Part = Field("test", description="Held-out target: test (last item) or valid (the one before it)")
    ks: list[Annotated[int, Field(ge=1)]] = Field([5, 10, 20], min_length=1, description="List lengths of the metrics")
    min_interactions: int | None = Field(None, ge=3, description="Users with fewer are left out; as trained by default")
    keep_last: int | None = Field(None, ge=3, description="Last interactions kept of a user; as trained by default")
    catalogue: Catalogue | None = Field(None, description="What is ranked; as trained by default")
    ranks: Path | None = Field(None, description="Parquet file for the rank of each user's target")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")


@dataclass(frozen=True)
class EvaluateOutcome:
    """An evaluation beside its floor.

    Attributes:
        model: How the recommender did.
        popularity: How a list of the most popular items did on the same users.
        split: What was evaluated on.
    """

    model: Evaluation
    popularity: Evaluation
    split: Split


def evaluate_model(job: EvaluateJob) -> EvaluateOutcome:
    """Ranks every user's target among all candidates, by the model and by popularity.

    Raises:
        UserError: The model does not fit the dataset, or either cannot be read.
    """
    recommender = load_recommender(job.model)
    dataset = Dataset.open(job.dataset)
    split = _split(job, recommender, dataset)
    items = embeddings_by_row(recommender, dataset, job.model)
    recommender = recommender.to(resolve_device(job.device))
    ks = tuple(sorted(set(job.ks)))
    evaluation = evaluate(RecommenderScorer(recommender, items), split, job.part, recommender.max_length, ks)
    popularity = evaluate(PopularityScorer(split), split, job.part, recommender.max_length, ks)
    if job.ranks is not None:
        write_ranks(job.ranks, evaluation, split, dataset)
    return EvaluateOutcome(evaluation, popularity, split)


def load_recommender(name: str) -> Recommender:
    """Loads a model folder, the ``model`` of a run folder, or a hub id.

    Raises:
        UserError: There is no model.
    """
    folder = Path(name)
    if (folder / "model" / "config.json").is_file():
        folder = folder / "model"
    return Recommender.from_pretrained(folder if folder.is_dir() else name)


def embeddings_by_row(recommender: Recommender, dataset: Dataset, name: str) -> Tensor:
    """The model's item embeddings ``[N, d]`` by the dataset's catalogue row.

    Raises:
        UserError: The dataset has items that the model does not know.
    """
    table = recommender.table
    rows = [table.row(item_id) for item_id in dataset.item_ids]
    unknown = sum(row is None for row in rows)
    if unknown:
        raise UserError(
            f"the model does not know {unknown} of the {len(rows)} items of {dataset.path}",
            where=name,
            how="evaluate it on the dataset that it was trained on",
        )
    return table.embeddings[torch.tensor(rows)]


def write_ranks(path: Path, evaluation: Evaluation, split: Split, dataset: Dataset) -> None:
    """Writes a row a user: ``user_id``, ``target`` and the rank under each protocol."""
    columns: dict[str, pa.Array] = {
        "user_id": pa.array([dataset.user_ids[user] for user in split.users]),
        "target": pa.array([dataset.item_ids[row] for row in split.targets(evaluation.part)]),
    }
    columns |= {f"rank_{protocol}": pa.array(ranks.numpy()) for protocol, ranks in evaluation.ranks.items()}
    with output_file(path) as draft:
        pq.write_table(pa.table(columns), draft)


def _split(job: EvaluateJob, recommender: Recommender, dataset: Dataset) -> Split:
    trained = recommender.details.get("training", {})
    return leave_one_out(
        dataset,
        min_interactions=job.min_interactions or trained.get("min_interactions", 5),
        keep_last=job.keep_last or trained.get("keep_last"),
        catalogue=job.catalogue or trained.get("catalogue", "all"),
    )
