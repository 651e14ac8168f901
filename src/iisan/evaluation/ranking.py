"""Full ranking: where the target stands among all candidates, by counting instead of sorting."""

from __future__ import annotations

import torch
from torch import Tensor

# fp32 counts ones exactly up to here.
LARGEST_CATALOGUE = 1 << 24


def rank_targets(
    user_states: Tensor,
    items: Tensor,
    targets: Tensor,
    candidates: Tensor,
    excluded: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Rank of each user's target among the candidates.

    The rank is one plus the number of candidates that score higher, plus half of those that tie, so that a model that
    scores everything alike gets the middle and not the top. A target that is itself excluded ranks last, as a score of
    −∞ would.

    Args:
        user_states: ``[B, d]``.
        items: ``[N, d]`` embeddings of the catalogue.
        targets: ``[B]`` int64 catalogue rows, each a candidate.
        candidates: ``[N]`` bool, True for items that are ranked.
        excluded: Pairs (user ``[P]``, catalogue row ``[P]``) that are scored −∞, or None.

    Returns:
        ``[B]`` float64 ranks, from 1 to the number of candidates.
    """
    if len(items) > LARGEST_CATALOGUE:
        raise ValueError(f"{len(items)} items are more than a float counts exactly ({LARGEST_CATALOGUE})")
    scores = user_states @ items.T  # [B, N]
    scores.masked_fill_(~candidates, -torch.inf)
    target_scores = scores.gather(1, targets.unsqueeze(1))  # [B, 1]
    if not torch.isfinite(target_scores).all():
        raise ValueError("a target's score is not finite: the model has diverged or a target is not a candidate")
    if excluded is not None:
        scores[excluded] = -torch.inf
    still_in = torch.isfinite(scores.gather(1, targets.unsqueeze(1))).squeeze(1)
    # Comparisons go to a float buffer: its sum is several times faster than one over booleans, and exact.
    found = torch.empty_like(scores)
    higher = torch.gt(scores, target_scores, out=found).sum(dim=1)
    ties = torch.eq(scores, target_scores, out=found).sum(dim=1) - 1
    ranks = 1 + higher.double() + ties.double() / 2
    return torch.where(still_in, ranks, candidates.sum().double())
