"""Evaluate: a saved recommender on the held-out interactions of a dataset, under both splits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from iisan.data.dataset import Dataset
from iisan.data.manifest import INTERACTIONS_FILE, ITEMS_FILE, USERS_FILE
from iisan.data.split import Catalogue, Split, SplitKind, TargetPart
from iisan.data.split_options import SplitOptions
from iisan.errors import UserError
from iisan.evaluation.evaluate import evaluate
from iisan.evaluation.leak import LeakVerdict, judge_leak
from iisan.evaluation.scorers import PopularityScorer, RecommenderScorer
from iisan.jobs.evaluate_outcome import EvaluateOutcome, SplitEvaluation
from iisan.jobs.ranks_file import write_ranks
from iisan.jobs.recorded_dataset import recorded_dataset
from iisan.models.recommender import Recommender
from iisan.training.device import resolve_device

KINDS: tuple[SplitKind, ...] = ("leave_one_out", "global_time")
# What decides which interaction stands where in a log; pictures do not.
LOG_FILES = (ITEMS_FILE, USERS_FILE, INTERACTIONS_FILE)


class EvaluationOptions(BaseModel):
    """On what to evaluate, and how."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: Path | None = Field(None, description="Dataset folder; by default the one that the run wrote down")
    splits: Literal["both", "trained", "leave_one_out", "global_time"] = Field(
        "both", description="Which splits to evaluate under; trained: the one that the model was trained under"
    )
    part: TargetPart = Field("test", description="Which targets: test, or valid, which training stopped by")
    ks: list[Annotated[int, Field(ge=1)]] = Field([5, 10, 20], min_length=1, description="List lengths of the metrics")
    min_interactions: int | None = Field(None, ge=1, description="Users with fewer are left out; as trained by default")
    keep_last: int | None = Field(None, ge=2, description="Last interactions kept of a user; as trained by default")
    catalogue: Catalogue | None = Field(None, description="What is ranked; as trained by default")
    valid_share: float | None = Field(
        None, gt=0, lt=1, description="Share of the log for validation under global_time; as trained by default"
    )
    test_share: float | None = Field(
        None, gt=0, lt=1, description="Share of the log for the test under global_time; as trained by default"
    )
    ranks: Path | None = Field(None, description="Parquet file for the rank of each user's target")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")


class EvaluateJob(EvaluationOptions):
    """A model, on what to evaluate it, and how."""

    model: str = Field(description="Model folder, run folder or hub id")


def evaluate_model(job: EvaluateJob) -> EvaluateOutcome:
    """Ranks every user's target among all candidates, by the model and by popularity, under both splits.

    Raises:
        UserError: The model does not fit the dataset, or either cannot be read, or the log cannot be split.
    """
    dataset = Dataset.open(job.dataset or recorded_dataset(job.model))
    prepared = prepare(job.model, dataset, job)
    outcome = evaluate_prepared(prepared, job)
    if job.ranks is not None:
        write_ranks(job.ranks, [outcome], job.part, dataset)
    return outcome


@dataclass(frozen=True)
class Prepared:
    """A model with what it is to be evaluated on, before anything is ranked.

    Attributes:
        name: The model as it was named.
        recommender: The model.
        items: Its item embeddings ``[N, d]`` by the dataset's catalogue row.
        splits: The splits, first the one that it was trained under.
        verdicts: Whether each of them leaks.
        skipped: Splits that the data do not allow, and why.
    """

    name: str
    recommender: Recommender
    items: Tensor
    splits: dict[SplitKind, Split]
    verdicts: dict[SplitKind, LeakVerdict]
    skipped: dict[SplitKind, str]


def prepare(name: str, dataset: Dataset, options: EvaluationOptions) -> Prepared:
    """Loads a model and splits the log.

    Raises:
        UserError: The model does not fit the dataset, or cannot be read, or the log cannot be split as asked.
    """
    recommender = load_recommender(name)
    items = embeddings_by_row(recommender, dataset, name)
    trained = SplitOptions.of_training(recommender.details.get("training", {}))
    unknown = _why_unknown(recommender.details, dataset)
    if unknown:  # Which items of another dataset were held out does not carry over to this one.
        trained = trained.model_copy(update={"hold_out_items": 0.0})
    splits, skipped = _splits(trained, dataset, options)
    if unknown:
        verdicts = dict.fromkeys(splits, LeakVerdict(unknown=unknown))
    else:
        verdicts = _verdicts(trained.apply(dataset), splits, dataset, options.part)
    return Prepared(name, recommender, items, splits, verdicts, skipped)


def evaluate_prepared(prepared: Prepared, options: EvaluationOptions) -> EvaluateOutcome:
    """Ranks every user's target, by the model and by popularity, under each of the splits."""
    recommender = prepared.recommender.to(resolve_device(options.device))
    scorer = RecommenderScorer(recommender, prepared.items)
    ks, length = tuple(sorted(set(options.ks))), recommender.max_length
    found = {
        kind: SplitEvaluation(
            evaluate(scorer, split, options.part, length, ks),
            evaluate(PopularityScorer(split), split, options.part, length, ks),
            split,
            prepared.verdicts[kind],
        )
        for kind, split in prepared.splits.items()
    }
    return EvaluateOutcome(prepared.name, found, prepared.skipped)


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


def _splits(
    trained: SplitOptions, dataset: Dataset, options: EvaluationOptions
) -> tuple[dict[SplitKind, Split], dict[SplitKind, str]]:
    """The splits asked for, as trained where nothing else was said; of both, one that cannot be made is passed over."""
    changes = {
        name: value
        for name in ("min_interactions", "keep_last", "catalogue", "valid_share", "test_share")
        if (value := getattr(options, name)) is not None
    }
    first: SplitKind = trained.split if options.splits == "both" or options.splits == "trained" else options.splits
    splits = {first: trained.model_copy(update={**changes, "split": first}).apply(dataset)}
    skipped: dict[SplitKind, str] = {}
    others = [kind for kind in KINDS if kind != first] if options.splits == "both" else []
    for kind in others:
        try:
            splits[kind] = trained.model_copy(update={**changes, "split": kind}).apply(dataset)
        except UserError as error:
            if kind == "global_time" and changes.keys() & {"valid_share", "test_share"}:
                raise
            skipped[kind] = str(error)
    return splits, skipped


def _verdicts(
    trained: Split, splits: dict[SplitKind, Split], dataset: Dataset, part: TargetPart
) -> dict[SplitKind, LeakVerdict]:
    return {kind: judge_leak(trained, split, part, dataset.interactions) for kind, split in splits.items()}


def _why_unknown(details: dict[str, Any], dataset: Dataset) -> str:
    """Why the training part of a model cannot be told; empty where it can."""
    sha256 = details.get("dataset", {}).get("sha256")
    if not sha256 or "training" not in details:
        return "the model does not say what it was trained on"
    if any(sha256.get(name) != dataset.manifest.sha256.get(name) for name in LOG_FILES):
        return "the model was trained on another dataset, or another state of this one"
    return ""
