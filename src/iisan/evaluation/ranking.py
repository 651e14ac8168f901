"""Full ranking: where the target stands among all candidates, by counting instead of sorting, in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from iisan.models.score_blocks import BLOCK, BestItems, padded, score_blocks


@dataclass(frozen=True, slots=True)
class Ranking:
    """The ranking of some users.

    Attributes:
        keep_target: ``[B]`` float64, the target's rank where it is never excluded.
        repeated: ``[B]`` bool, True where the target is among the excluded.
        n_candidates: Number of items that are ranked.
        top: ``[B, k]`` int64, catalogue rows of the first candidates that are not excluded, best first; −1 where there
            are fewer. Which of several that tie come first is not defined.
    """

    keep_target: Tensor
    repeated: Tensor
    n_candidates: int
    top: Tensor

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
    k: int = 0,
) -> Ranking:
    """Ranks each user's target among the candidates.

    The rank is one plus the number of candidates that score higher, plus half of those that tie, so that a model that
    scores everything alike gets the middle and not the top. Scores are held for a few thousand items at a time.

    Args:
        user_states: ``[B, d]``.
        items: ``[N, d]`` embeddings of the catalogue.
        targets: ``[B]`` int64 catalogue rows, each a candidate.
        candidates: ``[N]`` bool, True for items that are ranked.
        excluded: Pairs (user ``[P]``, catalogue row ``[P]``) that are scored −∞.
        k: Places of each user's list to give.

    Raises:
        ValueError: A target's score is not finite, or a target is not a candidate.
    """
    target_scores = _target_scores(user_states, items, targets)
    if not (target_scores.isfinite().squeeze(1) & candidates[targets]).all():
        raise ValueError("a target's score is not finite: the model has diverged or a target is not a candidate")
    repeated = _repeated(targets, excluded)
    own_scores = target_scores.masked_fill(repeated.unsqueeze(1), -torch.inf)
    higher = torch.zeros(len(targets), dtype=torch.float64, device=items.device)
    ties = -(~repeated).double()  # the target does not tie with itself
    best = BestItems(len(targets), k, items.device)
    found = torch.empty(0, device=items.device)
    for start, scores in score_blocks(user_states, items, candidates, excluded):
        _put_own(scores, targets - start, own_scores)
        # Comparisons go to a float buffer: its sum is several times faster than one over booleans, and exact.
        found = found if found.shape == scores.shape else torch.empty_like(scores)
        higher += torch.gt(scores, target_scores, out=found).sum(dim=1)
        ties += torch.eq(scores, target_scores, out=found).sum(dim=1)
        best.take(start, scores)
    return Ranking(1 + higher + ties / 2, repeated, int(candidates.sum()), best.rows)


def _target_scores(user_states: Tensor, items: Tensor, targets: Tensor) -> Tensor:
    """Score of each user's target ``[B, 1]``, from products of the shape that the blocks have.

    That and nothing else rounds as the blocks do, so that an item with the target's embedding ties with it.
    """
    width = min(BLOCK, len(items))
    if len(items) == width:
        return (user_states @ items.T).gather(1, targets.unsqueeze(1))
    scores = []
    for start, part in zip(range(0, len(targets), width), torch.split(targets, width), strict=True):
        product = user_states @ padded(items[part], width).T  # [B, n]
        scores.append(product[start : start + width].diagonal())
    return torch.cat(scores).unsqueeze(1)


def _repeated(targets: Tensor, excluded: tuple[Tensor, Tensor]) -> Tensor:
    users, rows = excluded
    hits = torch.zeros(len(targets), device=targets.device)
    return hits.index_add_(0, users, (rows == targets[users]).float()) > 0


def _put_own(scores: Tensor, columns: Tensor, own_scores: Tensor) -> None:
    """Puts each user's `own_scores` ``[B, 1]`` into their target's column where that is among those of `scores`."""
    inside = (columns >= 0) & (columns < scores.shape[1])
    at = columns.clamp(0, scores.shape[1] - 1).unsqueeze(1)
    scores.scatter_(1, at, torch.where(inside.unsqueeze(1), own_scores, scores.gather(1, at)))
