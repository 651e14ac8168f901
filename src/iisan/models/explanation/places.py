"""Places that items would have with other scores, counted over the catalogue in blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

# Items whose scores are computed at once.
BLOCK = 1 << 16
# Products of other shapes round differently: items with the same embedding must not stand before each other. How much
# goes by the lengths of what is multiplied, however near to 0 the product is.
ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class Places:
    """Places of ``K`` items, int64, 1 for the best.

    Attributes:
        by_state: ``[S, K]``, with the score that each user state gives them.
        by_score: ``[P, K]``, with hypothetical scores, among those that the first user state gives to the others.
        n_candidates: Items that may be offered.
        mean_score: Their mean score by the first user state.
    """

    by_state: Tensor
    by_score: Tensor
    n_candidates: int
    mean_score: float


def places(
    states: Tensor, embeddings: Tensor, candidates: Tensor, rows: Tensor, scores: Tensor, hypothetical: Tensor
) -> Places:
    """Counts how many candidates are better.

    An item is not counted against itself, and need not be a candidate. Ties are no worse places.

    Args:
        states: ``[S, d]`` user states.
        embeddings: ``[N, d]`` of the catalogue.
        candidates: ``[N]`` bool.
        rows: ``[K]`` catalogue rows of the items.
        scores: ``[S, K]`` their scores.
        hypothetical: ``[P, K]`` further scores to find the places of.
    """
    by_state, by_score = torch.ones_like(scores, dtype=torch.long), torch.ones_like(hypothetical, dtype=torch.long)
    lengths = embeddings[rows.to(embeddings.device)].to(states).norm(dim=1)
    within = ROUNDING * states.norm(dim=1, keepdim=True) * lengths  # [S, K]
    bars = [scores + within, hypothetical + within[:1]]
    total = 0.0
    for start, block in _blocks(states, embeddings, candidates):
        total += float(block[0].masked_fill(block[0] == -torch.inf, 0).double().sum())
        for place, row in enumerate(rows.tolist()):
            others = block
            if start <= row < start + block.shape[1]:
                others = block.clone()
                others[:, row - start] = -torch.inf
            by_state[:, place] += (others > bars[0][:, place, None]).sum(dim=1)
            by_score[:, place] += (others[0] > bars[1][:, place, None]).sum(dim=1)
    count = int(candidates.sum())
    return Places(by_state, by_score, count, total / max(count, 1))


def _blocks(states: Tensor, embeddings: Tensor, candidates: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Scores ``[S, n]`` block by block, −∞ for what is no candidate."""
    for start in range(0, len(embeddings), BLOCK):
        part = slice(start, start + BLOCK)
        scores = states @ embeddings[part].to(states).T
        yield start, scores.masked_fill(~candidates[part].to(states.device), -torch.inf)
