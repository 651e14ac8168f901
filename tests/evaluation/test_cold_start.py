"""Cold start against a slow reference: one choice at a time, ranked by sorting."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from iisan.data.evaluation_batches import EvaluationBatch
from iisan.data.interactions import Interactions
from iisan.data.kept_users import kept_users
from iisan.data.leave_one_out import leave_one_out
from iisan.errors import UserError
from iisan.evaluation.cold_start import PERCENTILE, ChoiceRanks, ColdStart, cold_choices, evaluate_cold_start

N = 9
KS = (1, 3)
LENGTH = 3


class LastItems:
    """Scores that depend on the inputs alone: a fixed random table, summed over what is read."""

    def __init__(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.table = torch.randn(N + 1, 4, generator=generator)
        self.items = torch.randn(N, 4, generator=generator)

    def __call__(self, batch: EvaluationBatch) -> tuple[Tensor, Tensor]:
        states = self.table[torch.from_numpy(batch.inputs)] * (torch.from_numpy(batch.inputs) > 0).unsqueeze(-1)
        return states.sum(dim=1), self.items

    def score(self, inputs: list[int]) -> list[float]:
        state = sum((self.table[row + 1] for row in inputs), torch.zeros(4))
        return (self.items @ state).tolist()  # type: ignore[no-any-return]


def reference(
    logs: list[list[int]],
    positions: list[tuple[int, int]],
    model: LastItems,
    new: set[int],
    candidates: set[int],
    history: str,
) -> dict[str, Any]:
    """Metrics of choices, given as (user, place in the user's history)."""
    paper, kept, places, chance = [], [], [], []
    for user, place in positions:
        before, target = logs[user][:place], logs[user][place]
        read = [row for row in before if history == "all" or row not in new][-LENGTH:]
        scores = model.score(read)
        left = sorted(candidates - (set(before) - {target}), key=lambda row: -scores[row])
        rank = left.index(target) + 1
        kept.append(rank)
        paper.append(len(candidates) if target in before else rank)
        places.append(100 * (rank - 0.5) / len(left))
        chance.append(len(left))
    n = len(kept)

    def mean(values: list[float]) -> float:
        return sum(values) / n

    return {
        "n": n,
        "users": len({user for user, _ in positions}),
        "paper HR@3": mean([float(rank <= 3) for rank in paper]),
        "HR@3": mean([float(rank <= 3) for rank in kept]),
        "NDCG@3": mean([1 / math.log2(rank + 1) if rank <= 3 else 0.0 for rank in kept]),
        "MRR": mean([1 / rank for rank in kept]),
        PERCENTILE: mean(places),
        "random HR@3": mean([min(3, left) / left for left in chance]),
        "random NDCG@3": mean(
            [sum(1 / math.log2(rank + 1) for rank in range(1, min(3, left) + 1)) / left for left in chance]
        ),
        "random MRR": mean([sum(1 / rank for rank in range(1, left + 1)) / left for left in chance]),
    }


def as_reference(ranks: ChoiceRanks) -> dict[str, Any]:
    model, chance = ranks.metrics["model"], ranks.metrics["chance"]["keep_target"]
    return {
        "n": ranks.n_choices,
        "users": ranks.n_users,
        "paper HR@3": model["paper"]["HR@3"],
        **{name: model["keep_target"][name] for name in ("HR@3", "NDCG@3", "MRR", PERCENTILE)},
        **{f"random {name}": chance[name] for name in ("HR@3", "NDCG@3", "MRR")},
    }


@pytest.mark.parametrize("history", ["warm", "all"])
@settings(max_examples=60, deadline=None)
@given(
    logs=st.lists(st.lists(st.integers(0, N - 1), min_size=1, max_size=9), min_size=2, max_size=8),
    new=st.sets(st.integers(0, N - 1), min_size=1, max_size=4),
    seed=st.integers(0, 3),
)
def test_every_choice_is_ranked_as_one_at_a_time(history: Any, logs: list[list[int]], new: set[int], seed: int) -> None:
    assume(any(len(log) >= 3 for log in logs))
    user = np.repeat(np.arange(len(logs)), [len(log) for log in logs])
    log = Interactions(user, np.array([row for one in logs for row in one]), None, None, n_users=len(logs), n_items=N)
    held_out = np.array(sorted(new))
    try:
        split = leave_one_out(log, min_interactions=3, held_out=held_out)
    except UserError:
        assume(False)
    users, starts, _ = kept_users(log, 3)
    choices = cold_choices(log, users, starts, held_out, history)
    positions = [
        (number, place)
        for number, one in enumerate(logs)
        if len(one) >= 3
        for place, row in enumerate(one)
        if row in new and any(before not in new for before in one[:place])
    ]
    assert len(choices) == len(positions)
    assume(positions)
    model = LastItems(seed)
    found = evaluate_cold_start({"model": model}, split, choices, history, LENGTH, KS)
    everything = set(range(N))
    assert as_reference(found.among_all) == pytest.approx(
        reference(logs, positions, model, new, everything, history), abs=1e-9
    )
    assert as_reference(found.among_new) == pytest.approx(
        reference(logs, positions, model, new, new, history), abs=1e-9
    )
    warm = [
        (number, len(logs[number]) - 1)
        for number in sorted({user for user, _ in positions})
        if logs[number][-1] not in new
        and any(row not in new or history == "all" for row in logs[number][:-1])
        and number in set(split.test.users.tolist())
    ]
    assert (found.warm is None) == (not warm)
    if found.warm is not None:
        expected = reference(logs, warm, model, new, everything, history)
        assert as_reference(found.warm) == pytest.approx(expected, abs=1e-9)


def test_chance_is_what_random_scores_come_to() -> None:
    rng = np.random.default_rng(0)
    n_users = 400
    user = np.repeat(np.arange(n_users), 5)
    item = np.concatenate([rng.permutation(N)[:5] for _ in range(n_users)])
    log = Interactions(user, item, None, None, n_users=n_users, n_items=N)
    held_out = np.array([1, 4, 7])
    split = leave_one_out(log, held_out=held_out)
    users, starts, _ = kept_users(log, 5)
    choices = cold_choices(log, users, starts, held_out)

    def by_chance(batch: EvaluationBatch) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(rng.normal(size=(len(batch), N))), torch.eye(N, dtype=torch.float64)

    found = evaluate_cold_start({"model": by_chance}, split, choices, "warm", 3, KS)
    for ranks in (found.among_all, found.among_new):
        model, chance = ranks.metrics["model"]["paper"], ranks.metrics["chance"]["paper"]
        assert model == pytest.approx(chance, abs=0.05, rel=0.1)


def test_what_reads_nothing_new_ranks_new_items_last_or_in_the_middle(
    cold: Callable[..., ColdStart],
) -> None:
    found = cold()
    popularity = found.among_all.metrics["popularity"]["paper"]
    assert popularity["HR@5"] == 0
    assert popularity[PERCENTILE] > 80
    assert found.among_new.metrics["popularity"]["keep_target"][PERCENTILE] == pytest.approx(50)


@pytest.fixture
def cold() -> Callable[..., ColdStart]:
    """A log of 30 items, 6 of them new, ranked by popularity."""
    from iisan.evaluation.scorers import PopularityScorer

    def run() -> ColdStart:
        rng = np.random.default_rng(1)
        user = np.repeat(np.arange(50), 8)
        item = np.concatenate([rng.permutation(30)[:8] for _ in range(50)])
        log = Interactions(user, item, None, None, n_users=50, n_items=30)
        held_out = np.arange(0, 30, 5)
        split = leave_one_out(log, held_out=held_out)
        users, starts, _ = kept_users(log, 5)
        rankers: Any = {"popularity": PopularityScorer(split)}
        return evaluate_cold_start(rankers, split, cold_choices(log, users, starts, held_out), "warm", 5)

    return run
