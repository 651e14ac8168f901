"""Full ranking: where the target stands among all candidates, by counting instead of sorting."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# fp32 counts ones exactly up to here.
LARGEST_CATALOGUE = 1 << 24


@dataclass(frozen=True, slots=True)
class Ranking:
    """The ranking of some users.

    Attributes:
        scores: ``[B, N]``, −∞ for what is no candidate or is excluded.
        keep_target: ``[B]`` float64, the target's rank where it is never excluded.
        repeated: ``[B]`` bool, True where the target is among the excluded.
        n_candidates: Number of items that are ranked.
    """

    scores: Tensor
    keep_target: Tensor
    repeated: Tensor
    n_candidates: int

    @property
    def paper(self) -> Tensor:
        """``[B]`` float64 ranks where an excluded target comes last, as a score of −∞ would."""
        return torch.where(self.repeated, float(self.n_candidates), self.keep_target)


def rank_targets(
    user_states: Tensor,
    items: Tensor,
    targets: Tensor,
    candidates: Tensor,
    excluded: tuple[Tensor, Tensor],
) -> Ranking:
    """Ranks each user's target among the candidates.

    The rank is one plus the number of candidates that score higher, plus half of those that tie, so that a model that
    scores everything alike gets the middle and not the top.

    Args:
        user_states: ``[B, d]``.
        items: ``[N, d]`` embeddings of the catalogue.
        targets: ``[B]`` int64 catalogue rows, each a candidate.
        candidates: ``[N]`` bool, True for items that are ranked.
        excluded: Pairs (user ``[P]``, catalogue row ``[P]``) that are scored −∞.

    Raises:
        ValueError: A target's score is not finite, or the catalogue is larger than can be counted.
    """
    if len(items) > LARGEST_CATALOGUE:
        raise ValueError(f"{len(items)} items are more than a float counts exactly ({LARGEST_CATALOGUE})")
    scores = user_states @ items.T  # [B, N]
    scores.masked_fill_(~candidates, -torch.inf)
    column = targets.unsqueeze(1)
    target_scores = scores.gather(1, column)  # [B, 1]
    if not torch.isfinite(target_scores).all():
        raise ValueError("a target's score is not finite: the model has diverged or a target is not a candidate")
    scores[excluded] = -torch.inf
    repeated = scores.gather(1, column).squeeze(1) == -torch.inf
    # Comparisons go to a float buffer: its sum is several times faster than one over booleans, and exact.
    found = torch.empty_like(scores)
    higher = torch.gt(scores, target_scores, out=found).sum(dim=1)
    ties = torch.eq(scores, target_scores, out=found).sum(dim=1) - (~repeated).float()
    return Ranking(scores, 1 + higher.double() + ties.double() / 2, repeated, int(candidates.sum()))
