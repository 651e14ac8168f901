"""Full ranking, by counting, against sorting one user at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from iisan.data.interactions import Interactions
from iisan.data.leave_one_out import leave_one_out
from iisan.evaluation import evaluate as evaluate_module
from iisan.evaluation import ranking as ranking_module
from iisan.evaluation.evaluate import evaluate
from iisan.evaluation.metrics import hit_rate, mean_reciprocal_rank, ndcg
from iisan.evaluation.ranking import Ranking, rank_targets
from iisan.models import score_blocks

NOBODY = (torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long))


def slow_rank(scores: list[float], target: int, candidates: set[int], excluded: set[int]) -> float:
    """Mean place of the target over all ways to break ties, in a sorted list; the last place where it is left out."""
    if target in excluded:
        return len(candidates)
    left = sorted((scores[item] for item in candidates - excluded), reverse=True)
    places = [place for place, score in enumerate(left, start=1) if score == scores[target]]
    return sum(places) / len(places)


def slow_top(scores: list[float], left: set[int], k: int) -> list[float]:
    return sorted((scores[item] for item in left), reverse=True)[:k]


def rank_in_blocks(block: int, *arguments: Any, k: int = 0) -> Ranking:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(score_blocks, "BLOCK", block)
        patch.setattr(ranking_module, "BLOCK", block)
        return rank_targets(*arguments, k=k)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_ranks_and_lists_equal_sorting_whatever_the_block(data: st.DataObject) -> None:
    n_items, n_users = data.draw(st.integers(2, 9)), data.draw(st.integers(1, 4))
    block, k = data.draw(st.integers(1, 10)), data.draw(st.integers(0, 10))
    score = st.integers(-2, 2).map(float)
    scores = data.draw(
        st.lists(st.lists(score, min_size=n_items, max_size=n_items), min_size=n_users, max_size=n_users)
    )
    candidates = data.draw(st.sets(st.integers(0, n_items - 1), min_size=1))
    targets = [data.draw(st.sampled_from(sorted(candidates))) for _ in range(n_users)]
    excluded = [data.draw(st.sets(st.integers(0, n_items - 1))) for _ in range(n_users)]
    mask = torch.zeros(n_items, dtype=torch.bool)
    mask[sorted(candidates)] = True
    pairs = [(user, item) for user, items in enumerate(excluded) for item in items]
    users = torch.tensor([user for user, _ in pairs], dtype=torch.long)
    rows = torch.tensor([item for _, item in pairs], dtype=torch.long)
    # With one-hot items the user states are the scores themselves.
    ranking = rank_in_blocks(
        block, torch.tensor(scores), torch.eye(n_items), torch.tensor(targets), mask, (users, rows), k=k
    )
    expected = [slow_rank(scores[u], targets[u], candidates, excluded[u]) for u in range(n_users)]
    assert ranking.paper.tolist() == expected
    kept = [slow_rank(scores[u], targets[u], candidates, excluded[u] - {targets[u]}) for u in range(n_users)]
    assert ranking.keep_target.tolist() == kept
    assert ranking.n_candidates == len(candidates)
    assert ranking.top.shape == (n_users, k)
    for user, places in enumerate(ranking.top.tolist()):
        left = candidates - excluded[user]
        real = [row for row in places if row >= 0]
        assert places == real + [-1] * (k - len(real))
        assert len(set(real)) == len(real)
        assert set(real) <= left
        assert [scores[user][row] for row in real] == slow_top(scores[user], left, k)


@pytest.mark.parametrize(("n_users", "dim"), [(1, 64), (5, 128), (33, 64), (200, 96)])
def test_items_with_equal_embeddings_tie_exactly_in_other_blocks(n_users: int, dim: int) -> None:
    generator = torch.Generator().manual_seed(n_users)
    distinct = torch.randn(37, dim, generator=generator)
    which = torch.randint(37, (1003,), generator=generator)  # ~27 copies each, in 16 blocks of 64
    items, states = distinct[which], torch.randn(n_users, dim, generator=generator)
    targets = torch.randint(1003, (n_users,), generator=generator)
    everything = torch.ones(1003, dtype=torch.bool)
    found = rank_in_blocks(64, states, items, targets, everything, NOBODY).keep_target
    order = (states.double() @ distinct.double().T)[:, which]  # [B, N]: no two distinct ones are near each other
    own = order.gather(1, targets.unsqueeze(1))
    expected = 1 + (order > own + 1e-9).sum(dim=1) + (which == which[targets].unsqueeze(1)).sum(dim=1).sub(1) / 2
    assert found.tolist() == expected.tolist()


def test_no_block_holds_more_than_its_share_of_the_scores() -> None:
    states, items = torch.randn(7, 4), torch.randn(score_blocks.BLOCK * 2 + 5, 4)
    everything = torch.ones(len(items), dtype=torch.bool)
    blocks = list(score_blocks.score_blocks(states, items, everything, NOBODY))
    assert [start for start, _ in blocks] == [0, score_blocks.BLOCK, 2 * score_blocks.BLOCK]
    assert {tuple(scores.shape) for _, scores in blocks} == {(7, score_blocks.BLOCK)}
    assert torch.equal(blocks[-1][1].isinf().sum(dim=1), torch.full((7,), score_blocks.BLOCK - 5))


def test_a_model_that_scores_everything_alike_is_in_the_middle() -> None:
    everything = torch.ones(101, dtype=torch.bool)
    ranking = rank_targets(torch.zeros(1, 2), torch.zeros(101, 2), torch.tensor([3]), everything, NOBODY)
    assert ranking.paper.item() == 51


def test_scores_that_are_not_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="diverged"):
        rank_targets(
            torch.full((1, 2), torch.nan), torch.ones(3, 2), torch.tensor([0]), torch.ones(3, dtype=torch.bool), NOBODY
        )


def test_metrics_by_hand() -> None:
    ranks = torch.tensor([1.0, 3.0, 11.0, 2.5])
    assert hit_rate(ranks, 10) == 0.75
    assert ndcg(ranks, 10) == pytest.approx((1 + 0.5 + 0 + 1 / math.log2(3.5)) / 4)
    assert mean_reciprocal_rank(ranks) == pytest.approx((1 + 1 / 3 + 1 / 11 + 1 / 2.5) / 4)


@pytest.mark.parametrize("users_at_once", [1, 2, 512])
def test_evaluation_of_a_small_log_by_hand(monkeypatch: pytest.MonkeyPatch, users_at_once: int) -> None:
    monkeypatch.setattr(evaluate_module, "USERS_AT_ONCE", users_at_once)
    histories = [[0, 1, 2, 3, 4], [0, 2, 0, 1, 0], [3, 3, 1, 5, 2]]
    users = np.repeat(np.arange(3), 5)
    log = Interactions(users, np.concatenate(histories), None, None, n_users=3, n_items=7)
    split = leave_one_out(log, catalogue="interacted")
    scores = torch.tensor([3.0, 5.0, 4.0, 1.0, 2.0, 0.0, 9.0])  # the same for everybody; item 6 is no candidate

    def score_users(batch: object) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.ones(len(batch), 1), scores.unsqueeze(1)

    found = evaluate(score_users, split, "test", max_length=3, ks=(1, 3))
    # User 0: candidates left 4, 5 → target 4 first. User 1: target 0 repeats → last of 6; left in, 3, 4, 5 are below.
    # User 2: history 3, 1, 5; left 0, 2, 4 → target 2 first.
    assert found.ranks["paper"].tolist() == [1, 6, 1]
    assert found.ranks["keep_target"].tolist() == [1, 1, 1]
    assert found.repeated_targets == pytest.approx(1 / 3)
    assert found.metrics["paper"]["HR@1"] == pytest.approx(2 / 3)
    assert found.n_candidates == 6
    # First three places after leaving out the history: {4, 5}, {4, 3, 5}, {2, 0, 4}: 0, 2, 3, 4, 5 of 6 candidates.
    assert found.coverage == pytest.approx(5 / 6)
    # The most popular 1 % is one item: the one with the most training interactions (0, three of nine), shown once.
    assert split.train_counts.argmax() == 0
    assert found.popular == pytest.approx(1 / 8)
