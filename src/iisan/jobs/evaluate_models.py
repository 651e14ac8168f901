"""Evaluate several models on the same users, and compare each with the first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import Field

from iisan.data.dataset import Dataset
from iisan.data.split import Split, SplitKind, TargetPart
from iisan.errors import UserError
from iisan.evaluation.metrics import user_metrics
from iisan.evaluation.paired_bootstrap import PairedDifference, paired_bootstrap
from iisan.evaluation.protocol import Protocol
from iisan.jobs.evaluate import EvaluationOptions, Prepared, evaluate_prepared, prepare
from iisan.jobs.evaluate_outcome import EvaluateOutcome
from iisan.jobs.ranks_file import write_ranks
from iisan.jobs.recorded_dataset import recorded_dataset


class EvaluateModelsJob(EvaluationOptions):
    """Which models, on what to evaluate them, and how to compare them."""

    models: list[str] = Field(min_length=1, description="Model folders, run folders or hub ids; then the dataset")
    resamples: int = Field(10_000, ge=100, description="Resamples of the users, where models are compared")
    seed: int = Field(0, ge=0, description="Seed of the resamples")


@dataclass(frozen=True)
class ModelComparison:
    """A model against the first one, on the same users.

    Attributes:
        first: The first model.
        other: The other one.
        differences: For each split and protocol the difference of each metric, other minus first.
    """

    first: str
    other: str
    differences: dict[SplitKind, dict[Protocol, dict[str, PairedDifference]]]


@dataclass(frozen=True)
class EvaluateModelsOutcome:
    """The evaluations of some models, and how they differ.

    Attributes:
        evaluations: Those of each model, in the order in which they were named.
        comparisons: Each further model against the first.
    """

    evaluations: list[EvaluateOutcome]
    comparisons: list[ModelComparison]


def evaluate_models(job: EvaluateModelsJob) -> EvaluateModelsOutcome:
    """Evaluates models and, where there are several, compares each further one with the first by a paired bootstrap.

    Raises:
        UserError: A model does not fit the dataset, or models would be compared on different users, targets or
            candidates.
    """
    dataset = Dataset.open(job.dataset or recorded_dataset(job.models[0]))
    prepared = [prepare(name, dataset, job) for name in job.models]
    for other in prepared[1:]:
        _check_comparable(prepared[0], other, job.part)
    evaluations = [evaluate_prepared(one, job) for one in prepared]
    comparisons = [_compare(evaluations[0], other, job) for other in evaluations[1:]]
    if job.ranks is not None:
        write_ranks(job.ranks, evaluations, job.part, dataset)
    return EvaluateModelsOutcome(evaluations, comparisons)


def _check_comparable(first: Prepared, other: Prepared, part: TargetPart) -> None:
    """Refuses to compare what was not asked the same.

    Raises:
        UserError: The two have no split in common, or other users, targets, histories or candidates under one.
    """
    if set(first.splits) != set(other.splits):
        raise UserError(
            f"it is evaluated under {' and '.join(other.splits)}, {first.name} under {' and '.join(first.splits)}",
            where=other.name,
            how="name a split that both allow with --splits",
        )
    for kind, split in first.splits.items():
        differing = _differing(split, other.splits[kind], part)
        if differing:
            raise UserError(
                f"it would be compared with {first.name} on other {differing} under {kind}",
                where=other.name,
                how="give --min-interactions, --keep-last, --catalogue, --valid-share and --test-share to say which",
            )


def _differing(split: Split, other: Split, part: TargetPart) -> str:
    own, its = split.histories(part), other.histories(part)
    if not np.array_equal(own.users, its.users):
        return "users"
    if not np.array_equal(own.last, its.last):
        return "targets"
    if not np.array_equal(own.ends - own.starts, its.ends - its.starts):
        return "histories"
    return "" if np.array_equal(split.candidates_of(part), other.candidates_of(part)) else "candidates"


def _compare(first: EvaluateOutcome, other: EvaluateOutcome, job: EvaluateModelsJob) -> ModelComparison:
    ks = tuple(sorted(set(job.ks)))
    differences: dict[SplitKind, dict[Protocol, dict[str, PairedDifference]]] = {}
    for kind, one in first.splits.items():
        ranks, its = one.model.ranks, other.splits[kind].model.ranks
        differences[kind] = {
            protocol: paired_bootstrap(
                user_metrics(ranks[protocol], ks),
                user_metrics(its[protocol], ks),
                resamples=job.resamples,
                seed=job.seed,
            )
            for protocol in ranks
        }
    return ModelComparison(first.name, other.name, differences)
