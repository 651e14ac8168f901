"""Evaluation by full ranking, user batch by user batch, so that memory does not grow with the log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from iisan.data.evaluation_batches import EvaluationBatch, evaluation_batch
from iisan.data.interactions import Rows
from iisan.data.split import Split, TargetPart
from iisan.evaluation.metrics import ranking_metrics
from iisan.evaluation.popularity_bands import Band, BandResult, metrics_by_band
from iisan.evaluation.protocol import Protocol
from iisan.evaluation.ranking import Ranking, rank_targets

USERS_AT_ONCE = 512
POPULAR_SHARE = 0.01

ScoreUsers = Callable[[EvaluationBatch], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class ColdRanking:
    """Targets without a training interaction, ranked among the candidates without one.

    Attributes:
        n_users: Users with such a target.
        n_candidates: Candidates without a training interaction.
        metrics: For each protocol the metrics of these users; nothing where there are none.
    """

    n_users: int
    n_candidates: int
    metrics: dict[Protocol, dict[str, float]]


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
        bands: The metrics by how popular the target is among the training interactions of the split.
        among_cold: Targets that nobody had a training interaction with, ranked among their like.
        ranks: For each protocol ``[U]``, the rank of each user's target.
    """

    part: TargetPart
    n_users: int
    n_candidates: int
    repeated_targets: float
    metrics: dict[Protocol, dict[str, float]]
    coverage: float
    popular: float
    bands: dict[Band, BandResult]
    among_cold: ColdRanking
    ranks: dict[Protocol, Tensor] = field(repr=False)


def evaluate(
    score_users: ScoreUsers, split: Split, part: TargetPart, max_length: int, ks: tuple[int, ...] = (5, 10, 20)
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
    for ranking in _rankings(score_users, split, part, max_length, k=max(ks)):
        paper.append(ranking.paper.cpu())
        kept.append(ranking.keep_target.cpu())
        repeats.append(ranking.repeated.cpu())
        shown += torch.bincount(ranking.top[ranking.top >= 0], minlength=split.n_items).cpu()
    ranks: dict[Protocol, Tensor] = {"paper": torch.cat(paper), "keep_target": torch.cat(kept)}
    candidates = split.candidates_of(part)
    return Evaluation(
        part=part,
        n_users=len(split.histories(part)),
        n_candidates=len(candidates),
        repeated_targets=float(torch.cat(repeats).double().mean()),
        metrics={protocol: ranking_metrics(values, ks) for protocol, values in ranks.items()},
        coverage=float((shown > 0).sum()) / len(candidates),
        popular=_popular_share(shown, split),
        bands=metrics_by_band(ranks, split, part, ks),
        among_cold=_rank_among_cold(score_users, split, part, max_length, ks),
        ranks=ranks,
    )


def rank_users(
    score_users: ScoreUsers, split: Split, part: TargetPart, max_length: int, users: Rows | None = None
) -> Tensor:
    """Ranks ``[U]`` under the paper's protocol alone, which training stops by, of all users or those at positions."""
    return torch.cat([one.paper.cpu() for one in _rankings(score_users, split, part, max_length, users=users)])


def _rank_among_cold(
    score_users: ScoreUsers, split: Split, part: TargetPart, max_length: int, ks: tuple[int, ...]
) -> ColdRanking:
    candidates = split.candidates_of(part)
    cold = candidates[split.train_counts[candidates] == 0]
    users = np.flatnonzero(split.train_counts[split.targets(part)] == 0)
    found = list(_rankings(score_users, split, part, max_length, candidates=cold, users=users))
    if not found:
        return ColdRanking(0, len(cold), {})
    ranks: dict[Protocol, Tensor] = {
        "paper": torch.cat([ranking.paper.cpu() for ranking in found]),
        "keep_target": torch.cat([ranking.keep_target.cpu() for ranking in found]),
    }
    return ColdRanking(len(users), len(cold), {name: ranking_metrics(one, ks) for name, one in ranks.items()})


def _rankings(
    score_users: ScoreUsers,
    split: Split,
    part: TargetPart,
    max_length: int,
    *,
    k: int = 0,
    candidates: Rows | None = None,
    users: Rows | None = None,
) -> Iterator[Ranking]:
    """Rankings of the users at some positions of the part, by default of all, among the part's or given candidates."""
    rows = split.candidates_of(part) if candidates is None else candidates
    ranked = torch.zeros(split.n_items, dtype=torch.bool)
    ranked[torch.from_numpy(rows)] = True
    for batch in user_batches(split, part, max_length, users):
        states, items = score_users(batch)
        device = items.device
        ranked = ranked.to(device)
        owners = torch.from_numpy(np.repeat(np.arange(len(batch)), np.diff(batch.seen_offsets))).to(device)
        seen = (owners, torch.from_numpy(batch.seen_items).to(device))
        yield rank_targets(states, items, torch.from_numpy(batch.targets).to(device), ranked, seen, k)


def user_batches(
    split: Split, part: TargetPart, max_length: int, users: Rows | None = None
) -> Iterator[EvaluationBatch]:
    """The users at some positions of a part, by default all of them, in batches."""
    positions = np.arange(len(split.histories(part))) if users is None else users
    for start in range(0, len(positions), USERS_AT_ONCE):
        yield evaluation_batch(split, part, positions[start : start + USERS_AT_ONCE], max_length)


def _popular_share(shown: Tensor, split: Split) -> float:
    n_popular = max(1, round(POPULAR_SHARE * split.n_candidates))
    counts = torch.from_numpy(split.train_counts)
    popular = counts.topk(min(n_popular, len(counts))).indices
    return float(shown[popular].sum()) / max(1, int(shown.sum()))
