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
from iisan.evaluation.ranking import rank_targets

Part = Literal["valid", "test"]
# Scores held at once: 4 Mi floats are 16 MiB, which stay in cache on their way through the comparisons.
SCORES_AT_ONCE = 1 << 22
# Fewer would read the whole item table from memory for next to nothing.
FEWEST_USERS = 16
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
    candidates = torch.zeros(split.n_items, dtype=torch.bool)
    candidates[torch.from_numpy(split.candidates)] = True
    shown = torch.zeros(split.n_items, dtype=torch.long)
    paper, kept, repeats = [], [], []
    for batch in user_batches(split, part, max_length):
        states, items = score_users(batch)
        ranking = _RankedBatch(batch, states, items, candidates.to(items.device))
        paper.append(ranking.paper())
        kept.append(ranking.keep_target())
        repeats.append(ranking.repeated.cpu())
        shown += ranking.shown(max(ks))
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
    candidates = torch.zeros(split.n_items, dtype=torch.bool)
    candidates[torch.from_numpy(split.candidates)] = True
    ranks = []
    for batch in user_batches(split, part, max_length):
        states, items = score_users(batch)
        ranks.append(_RankedBatch(batch, states, items, candidates.to(items.device)).paper())
    return torch.cat(ranks)


def user_batches(split: Split, part: Part, max_length: int) -> Iterator[EvaluationBatch]:
    """All users in batches whose scores fit in a bounded piece of memory."""
    size = max(FEWEST_USERS, min(1024, SCORES_AT_ONCE // split.n_items))
    for start in range(0, split.n_users, size):
        yield evaluation_batch(split, part, slice(start, start + size), max_length)


class _RankedBatch:
    """The rankings of one batch of users under each protocol."""

    def __init__(self, batch: EvaluationBatch, states: Tensor, items: Tensor, candidates: Tensor) -> None:
        self.states, self.items, self.candidates = states, items, candidates
        self.targets = torch.from_numpy(batch.targets).to(items.device)  # [B]
        lengths = np.diff(batch.seen_offsets)
        self.seen_users = torch.from_numpy(np.repeat(np.arange(len(batch)), lengths)).to(items.device)
        self.seen_items = torch.from_numpy(batch.seen_items).to(items.device)
        self.is_target = self.seen_items == self.targets[self.seen_users]
        self.repeated = torch.zeros(len(batch), dtype=torch.bool, device=items.device)
        self.repeated[self.seen_users[self.is_target]] = True

    def paper(self) -> Tensor:
        return self._ranks(self.seen_users, self.seen_items)

    def keep_target(self) -> Tensor:
        others = ~self.is_target
        return self._ranks(self.seen_users[others], self.seen_items[others])

    def shown(self, k: int) -> Tensor:
        """How often each item stands in the first `k` places, history left out, ``[N]``."""
        scores = (self.states @ self.items.T).masked_fill_(~self.candidates, -torch.inf)
        scores[self.seen_users, self.seen_items] = -torch.inf
        best = scores.topk(min(k, scores.shape[1]), dim=1)
        rows = best.indices[best.values != -torch.inf]
        return torch.bincount(rows, minlength=scores.shape[1]).cpu()

    def _ranks(self, users: Tensor, rows: Tensor) -> Tensor:
        return rank_targets(self.states, self.items, self.targets, self.candidates, (users, rows)).cpu()


def _popular_share(shown: Tensor, split: Split) -> float:
    n_popular = max(1, round(POPULAR_SHARE * split.n_candidates))
    counts = torch.from_numpy(split.train_counts)
    popular = counts.topk(min(n_popular, len(counts))).indices
    return float(shown[popular].sum()) / max(1, int(shown.sum()))
