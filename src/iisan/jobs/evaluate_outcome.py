"""What evaluating a model found, split by split."""

from __future__ import annotations

from dataclasses import dataclass

from iisan.data.split import Split, SplitKind
from iisan.evaluation.evaluate import Evaluation
from iisan.evaluation.leak import LeakVerdict


@dataclass(frozen=True)
class SplitEvaluation:
    """An evaluation under one split, beside its floor.

    Attributes:
        model: How the recommender did.
        popularity: How a list of the most popular items of the split's training part did on the same users.
        split: What was evaluated on.
        leak: Whether what the model was trained on gives the targets away.
    """

    model: Evaluation
    popularity: Evaluation
    split: Split
    leak: LeakVerdict


@dataclass(frozen=True)
class EvaluateOutcome:
    """The evaluations of one model.

    Attributes:
        name: The model as it was named.
        splits: An evaluation for each split, first the one that the model was trained under.
        skipped: Splits that the data do not allow, and why.
    """

    name: str
    splits: dict[SplitKind, SplitEvaluation]
    skipped: dict[SplitKind, str]

    @property
    def first(self) -> SplitEvaluation:
        """The evaluation under the split that the model was trained under, or under the one that was asked for."""
        return next(iter(self.splits.values()))

    @property
    def model(self) -> Evaluation:
        """How the recommender did under the first split."""
        return self.first.model

    @property
    def popularity(self) -> Evaluation:
        """How popularity did under the first split."""
        return self.first.popularity

    @property
    def split(self) -> Split:
        """The first split."""
        return self.first.split
