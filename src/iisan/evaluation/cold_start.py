"""Cold start: how a model ranks items that it never learned, for the people who later chose them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from iisan.data.choices import Choices, choice_batches, choices_of
from iisan.data.evaluation_batches import EvaluationBatch
from iisan.data.interactions import Interactions, Rows
from iisan.data.split import Split
from iisan.evaluation.metrics import ranking_metrics
from iisan.evaluation.protocol import Protocol
from iisan.evaluation.ranking import Ranking, rank_targets

# What of a history the model reads.
History = Literal["warm", "all"]
RankedBy = Literal["model", "popularity", "chance"]

PERCENTILE = "percentile"
CHOICES_AT_ONCE = 512

ScoreUsers = Callable[[EvaluationBatch], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class ChoiceRanks:
    """Where the targets of some choices stand.

    Attributes:
        n_choices: Choices E that were ranked.
        n_users: Users that they are of.
        n_items: Items that were chosen.
        n_candidates: Items that each target was ranked among, before those of its history were taken out.
        repeated: Share of the targets that stand in their own history.
        metrics: By what ranked and protocol: HR@k, NDCG@k and MRR as fractions of one, and ``percentile``, the mean of
            ``(rank − ½) / C`` in percent, C being the candidates left: 0 is the top, 50 is chance. What chance ranks is
            an expectation.
    """

    n_choices: int
    n_users: int
    n_items: int
    n_candidates: int
    repeated: float
    metrics: dict[RankedBy, dict[Protocol, dict[str, float]]]


@dataclass(frozen=True)
class ColdStart:
    """How new items are ranked.

    Attributes:
        n_new_items: Items that were held out.
        history: What of a history the model read.
        among_all: New items among all candidates.
        among_new: New items among the new ones alone.
        warm: For scale, the test targets of the same users that are items the model learned, among all candidates;
            None where there are none.
    """

    n_new_items: int
    history: History
    among_all: ChoiceRanks
    among_new: ChoiceRanks
    warm: ChoiceRanks | None


def cold_choices(log: Interactions, users: Rows, starts: Rows, held_out: Rows, history: History = "warm") -> Choices:
    """Every interaction with a held-out item whose user had one with another item before.

    Args:
        log: The log.
        users: User rows that are kept ``[U]``, ascending.
        starts: Where the history of each of them starts in the log ``[U]``.
        held_out: Catalogue rows of the new items ``[H]``.
        history: ``warm``: the model reads the items that it learned; ``all``: new ones too, as they came.
    """
    new = np.zeros(log.n_items, dtype=bool)
    new[held_out] = True
    cold = new[log.item]
    shown = ~cold if history == "warm" else np.ones(len(log), dtype=bool)
    choices = choices_of(log, users, starts, np.flatnonzero(cold), shown)
    return choices.chosen(choices.n_before(~cold) > 0)


def evaluate_cold_start(
    rankers: Mapping[RankedBy, ScoreUsers],
    split: Split,
    choices: Choices,
    history: History,
    max_length: int,
    ks: tuple[int, ...] = (5, 10, 20),
) -> ColdStart:
    """Ranks new items for those who chose them.

    Args:
        rankers: By name, what gives user states ``[B, d]`` and item embeddings ``[N, d]`` for a batch.
        split: The split that the model was trained under; its held-out items are the new ones.
        choices: See :func:`cold_choices`.
        history: What it was called with.
        max_length: Inputs a history is cut to.
        ks: List lengths of the metrics.
    """
    new = _mask(split.n_items, split.held_out)
    everything = _mask(split.n_items, split.candidates) | new
    among_all, among_new = _rank(rankers, choices, [everything, new], max_length, ks)
    targets = _warm_targets(split, choices)
    warm = _rank(rankers, targets, [everything], max_length, ks)[0] if len(targets) else None
    return ColdStart(len(split.held_out), history, among_all, among_new, warm)


def _warm_targets(split: Split, choices: Choices) -> Choices:
    """The test targets, of users who chose a new item, that are no new items themselves."""
    users, first = np.unique(choices.users, return_index=True)
    place = np.searchsorted(users, split.test.users)
    there = place < len(users)
    there[there] = users[place[there]] == split.test.users[there]
    there &= ~np.isin(split.test.targets, split.held_out)
    starts = choices.starts[first][place[there]]
    warm = Choices(choices.items, choices.shown, split.test.users[there], starts, split.test.last[there])
    return warm.chosen(warm.n_before(warm.shown) > 0)


def _rank(
    rankers: Mapping[RankedBy, ScoreUsers],
    choices: Choices,
    candidates: Sequence[Tensor],
    max_length: int,
    ks: tuple[int, ...],
) -> list[ChoiceRanks]:
    """Ranks the targets among each of some sets of candidates ``[N]`` bool; user states are computed once."""
    found = {name: _rankings(score_users, choices, candidates, max_length) for name, score_users in rankers.items()}
    repeated = next(iter(found.values()))[0].repeated
    results = []
    for at, ranked in enumerate(candidates):
        left = np.concatenate([_left(batch, ranked) for batch in choice_batches(choices, 1, CHOICES_AT_ONCE)])
        metrics: dict[RankedBy, dict[Protocol, dict[str, float]]] = {
            name: {
                "paper": _metrics(rankings[at].paper, left, ks),
                "keep_target": _metrics(rankings[at].keep_target, left, ks),
            }
            for name, rankings in found.items()
        }
        metrics["chance"] = {
            "paper": _by_chance(left[~repeated.numpy()], ks, n_misses=int(repeated.sum())),
            "keep_target": _by_chance(left, ks),
        }
        users, items = np.unique(choices.users), np.unique(choices.targets)
        share = float(repeated.double().mean())
        results.append(ChoiceRanks(len(choices), len(users), len(items), int(ranked.sum()), share, metrics))
    return results


@dataclass(frozen=True)
class _Ranks:
    """Ranks ``[E]`` under each protocol, and which targets stand in their own history ``[E]``."""

    paper: Tensor
    keep_target: Tensor
    repeated: Tensor


def _rankings(score_users: ScoreUsers, choices: Choices, candidates: Sequence[Tensor], max_length: int) -> list[_Ranks]:
    parts: list[list[Ranking]] = [[] for _ in candidates]
    for batch in choice_batches(choices, max_length, CHOICES_AT_ONCE):
        states, items = score_users(batch)
        owners = np.repeat(np.arange(len(batch)), np.diff(batch.seen_offsets))
        seen = (torch.from_numpy(owners).to(items.device), torch.from_numpy(batch.seen_items).to(items.device))
        targets = torch.from_numpy(batch.targets).to(items.device)
        for part, ranked in zip(parts, candidates, strict=True):
            part.append(rank_targets(states, items, targets, ranked.to(items.device), seen))
    return [
        _Ranks(
            *(torch.cat([getattr(one, name).cpu() for one in part]) for name in ("paper", "keep_target", "repeated"))
        )
        for part in parts
    ]


def _left(batch: EvaluationBatch, candidates: Tensor) -> Rows:
    """How many candidates each target is ranked among ``[B]``: those out of its history, and itself."""
    ranked = candidates.numpy()
    owners = np.repeat(np.arange(len(batch)), np.diff(batch.seen_offsets))
    taken = ranked[batch.seen_items] & (batch.seen_items != batch.targets[owners])
    pairs = np.unique(owners[taken] * len(ranked) + batch.seen_items[taken])
    left: Rows = int(ranked.sum()) - np.bincount(pairs // len(ranked), minlength=len(batch)).astype(np.int64)
    return left


def _metrics(ranks: Tensor, left: Rows, ks: tuple[int, ...]) -> dict[str, float]:
    share = (ranks.numpy() - 0.5) / left
    return {**ranking_metrics(ranks, ks), PERCENTILE: 100 * float(np.minimum(share, 1).mean())}


def _by_chance(left: Rows, ks: tuple[int, ...], n_misses: int = 0) -> dict[str, float]:
    """Expectation of the metrics where every order of the candidates is as likely as another.

    Args:
        left: How many candidates each target is ranked among.
        ks: List lengths.
        n_misses: Further targets that come last whatever the order.
    """
    ranks = np.arange(1, left.max(initial=1) + 1)
    gained = np.concatenate([[0], np.cumsum(1 / np.log2(ranks + 1))])
    reciprocal = np.concatenate([[0], np.cumsum(1 / ranks)])
    found: dict[str, npt.NDArray[np.float64]] = {f"HR@{k}": np.minimum(k, left) / left for k in ks}
    found |= {f"NDCG@{k}": gained[np.minimum(k, left)] / left for k in ks}
    found["MRR"] = reciprocal[left] / left
    n = len(left) + n_misses
    means = {name: float(values.sum()) / n for name, values in found.items()}
    return {**means, PERCENTILE: (50.0 * len(left) + 100.0 * n_misses) / n}


def _mask(n_items: int, rows: Rows) -> Tensor:
    mask = torch.zeros(n_items, dtype=torch.bool)
    mask[torch.from_numpy(rows)] = True
    return mask
