"""Evaluation by full ranking, user batch by user batch, so that memory does not grow with the log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from iisan.data.evaluation_batches import EvaluationBatch, evaluation_batch
from iisan.data.split import Split
from iisan.evaluation.metrics import ranking_metrics
from iisan.evaluation.protocol import Protocol
from iisan.evaluation.ranking import Ranking, rank_targets

Part = Literal["valid", "test"]
# Scores held at once: 4 Mi floats are 16 MiB, which stay in cache on their way through the comparisons.
SCORES_AT_ONCE = 1 << 22
# Fewer would read the whole item table from memory for next to nothing.
FEWEST_USERS = 64
POPULAR_SHARE = 0.01

ScoreUsers = Callable[[EvaluationBatch], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        part: ``"valid"`` or ``"test"``.
        n_users: Users that were ranked.
        n_candidates: Items that each target was ranked among.
        repeated_targets: Share of the users whose target stands in their own history.
        metrics: For each protocol, HR@k, NDCG@k and MRR as fractions of one.
        coverage: Share of the candidates that stand in at least one user's first `k` places, `k` the largest asked.
        popular: Share of all those places that go to the 1 % of items with the most training interactions.
        ranks: For each protocol ``[U]``, the rank of each user's target.
    """

    part: Part
    n_users: int
    n_candidates: int
    repeated_targets: float
    metrics: dict[Protocol, dict[str, float]]
    coverage: float
    popular: float
    ranks: dict[Protocol, Tensor] = field(repr=False)


def evaluate(
    score_users: ScoreUsers, split: Split, part: Part, max_length: int, ks: tuple[int, ...] = (5, 10, 20)
) -> Evaluation:
    """Ranks every user's target among all candidates.

    Args:
        score_users: Gives user states ``[B, d]`` and item embeddings ``[N, d]`` for a batch of users; their inner
            products are the scores.
        split: Histories and candidates.
        part: Which target.
        max_length: Inputs a history is cut to.
        ks: List lengths of the metrics.
    """
    shown = torch.zeros(split.n_items, dtype=torch.long)
    paper, kept, repeats = [], [], []
    for ranking in _rankings(score_users, split, part, max_length):
        paper.append(ranking.paper.cpu())
        kept.append(ranking.keep_target.cpu())
        repeats.append(ranking.repeated.cpu())
        shown += _times_shown(ranking.scores, max(ks))
    ranks: dict[Protocol, Tensor] = {"paper": torch.cat(paper), "keep_target": torch.cat(kept)}
    return Evaluation(
        part=part,
        n_users=split.n_users,
        n_candidates=split.n_candidates,
        repeated_targets=float(torch.cat(repeats).double().mean()),
        metrics={protocol: ranking_metrics(values, ks) for protocol, values in ranks.items()},
        coverage=float((shown > 0).sum()) / split.n_candidates,
        popular=_popular_share(shown, split),
        ranks=ranks,
    )


def rank_users(score_users: ScoreUsers, split: Split, part: Part, max_length: int) -> Tensor:
    """Ranks ``[U]`` under the paper's protocol alone, which is what training stops by."""
    return torch.cat([ranking.paper.cpu() for ranking in _rankings(score_users, split, part, max_length)])


def _rankings(score_users: ScoreUsers, split: Split, part: Part, max_length: int) -> Iterator[Ranking]:
    candidates = torch.zeros(split.n_items, dtype=torch.bool)
    candidates[torch.from_numpy(split.candidates)] = True
    for batch in user_batches(split, part, max_length):
        states, items = score_users(batch)
        device = items.device
        candidates = candidates.to(device)
        users = torch.from_numpy(np.repeat(np.arange(len(batch)), np.diff(batch.seen_offsets))).to(device)
        seen = (users, torch.from_numpy(batch.seen_items).to(device))
        yield rank_targets(states, items, torch.from_numpy(batch.targets).to(device), candidates, seen)


def user_batches(split: Split, part: Part, max_length: int) -> Iterator[EvaluationBatch]:
    """All users in batches whose scores fit in a bounded piece of memory."""
    size = max(FEWEST_USERS, min(1024, SCORES_AT_ONCE // split.n_items))
    for start in range(0, split.n_users, size):
        yield evaluation_batch(split, part, slice(start, start + size), max_length)


def _times_shown(scores: Tensor, k: int) -> Tensor:
    """How often each item stands in the first `k` places of ``[B, N]`` scores, ``[N]``."""
    best = scores.topk(min(k, scores.shape[1]), dim=1)
    rows = best.indices[best.values != -torch.inf]
    return torch.bincount(rows, minlength=scores.shape[1]).cpu()


def _popular_share(shown: Tensor, split: Split) -> float:
    n_popular = max(1, round(POPULAR_SHARE * split.n_candidates))
    counts = torch.from_numpy(split.train_counts)
    popular = counts.topk(min(n_popular, len(counts))).indices
    return float(shown[popular].sum()) / max(1, int(shown.sum()))
