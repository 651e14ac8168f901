"""Who scores users: a recommender, or the popularity of items as a floor."""

from __future__ import annotations

import torch
from torch import Tensor

from iisan.data.evaluation_batches import EvaluationBatch
from iisan.data.split import Split
from iisan.models.recommender import Recommender


class RecommenderScorer:
    """User states of a recommender over given item embeddings.

    Args:
        model: The recommender.
        items: ``[N, d]`` embeddings of the catalogue.
    """

    def __init__(self, model: Recommender, items: Tensor) -> None:
        self.model = model
        self.items = items.to(model.device)

    @torch.inference_mode()
    def __call__(self, batch: EvaluationBatch) -> tuple[Tensor, Tensor]:
        """User states ``[B, d]`` after the histories, and the items ``[N, d]``."""
        training = self.model.training
        self.model.eval()
        # Histories are right-aligned: columns that are padding for all of them cost time and change nothing.
        longest = int((batch.inputs > 0).sum(axis=1).max())
        slots = torch.from_numpy(batch.inputs[:, -longest:]).to(self.model.device)
        states = self.model.states_at_end(self.items, slots)
        self.model.train(training)
        return states, self.items


class PopularityScorer:
    """Every user gets the items with the most training interactions.

    Args:
        split: Gives the counts.
    """

    def __init__(self, split: Split) -> None:
        self.items = torch.from_numpy(split.train_counts).float().unsqueeze(1)  # [N, 1]

    def __call__(self, batch: EvaluationBatch) -> tuple[Tensor, Tensor]:
        """Ones ``[B, 1]`` and the counts ``[N, 1]``: their product is the popularity."""
        return torch.ones(len(batch), 1), self.items
