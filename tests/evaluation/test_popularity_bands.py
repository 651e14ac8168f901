"""Bands of popularity, and rankings among items that nobody was trained on, against lists."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from iisan.data import Split, global_time, leave_one_out
from iisan.data.evaluation_batches import EvaluationBatch
from iisan.errors import UserError
from iisan.evaluation.evaluate import evaluate, rank_users
from iisan.evaluation.popularity_bands import BANDS, band_of_items
from tests.data.timed_logs import N_ITEMS, TimedHistories, log_of, timed_histories

NAMES = list(BANDS)


@given(counts=st.lists(st.integers(0, 20), min_size=1, max_size=30))
def test_bands_against_lists(counts: list[int]) -> None:
    expected = {}
    held = 0
    for item in sorted(range(len(counts)), key=lambda item: (-counts[item], item)):
        if counts[item] == 0:
            expected[item] = "cold"
        elif 3 * held < sum(counts):
            expected[item] = "head"
        else:
            expected[item] = "middle" if 3 * held < 2 * sum(counts) else "tail"
        held += counts[item]
    found = band_of_items(np.array(counts, dtype=np.int64))
    assert [NAMES[band] for band in found] == [expected[item] for item in range(len(counts))]


def test_bands_hold_a_third_each() -> None:
    counts = np.random.default_rng(0).zipf(1.5, 5000).clip(max=400)
    bands = band_of_items(counts)
    shares = [counts[bands == band].sum() / counts.sum() for band in range(3)]
    assert shares == pytest.approx([1 / 3] * 3, abs=400 / counts.sum())


def a_split(histories: TimedHistories, by_time: bool) -> Split | None:
    try:
        if by_time:
            return global_time(log_of(histories), valid_share=0.25, test_share=0.25, min_interactions=2)
        return leave_one_out(log_of(histories), min_interactions=3)
    except UserError:
        return None


def place(scores: list[float], target: int, rivals: set[int]) -> float:
    """The target's place among rivals and itself, the mean over all ways to break ties."""
    better = sum(scores[item] > scores[target] for item in rivals - {target})
    return 1 + better + sum(scores[item] == scores[target] for item in rivals - {target}) / 2


def means(ranks: list[float], k: int) -> dict[str, float]:
    gains = [1 / math.log2(rank + 1) if rank <= k else 0.0 for rank in ranks]
    return {
        f"HR@{k}": sum(rank <= k for rank in ranks) / len(ranks),
        f"NDCG@{k}": sum(gains) / len(ranks),
        "MRR": sum(1 / rank for rank in ranks) / len(ranks),
    }


@settings(deadline=None)
@given(
    histories=timed_histories(),
    by_time=st.booleans(),
    scores=st.lists(st.integers(0, 4).map(float), min_size=N_ITEMS, max_size=N_ITEMS),
)
def test_metrics_by_band_and_among_cold_against_lists(
    histories: TimedHistories, by_time: bool, scores: list[float]
) -> None:
    split = a_split(histories, by_time)
    if split is None:
        return

    def score_users(batch: EvaluationBatch) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.ones(len(batch), 1), torch.tensor(scores).unsqueeze(1)

    found = evaluate(score_users, split, "test", max_length=3, ks=(2,))
    bands = [NAMES[band] for band in band_of_items(split.train_counts)]
    everything = set(range(N_ITEMS))
    cold = {item for item in everything if bands[item] == "cold"}
    ranks: dict[str, list[float]] = {name: [] for name in [*NAMES, "among"]}
    for user in range(len(split.test)):
        *before, target = split.test_history(user).tolist()
        ranks[bands[target]].append(place(scores, target, everything - set(before)))
        if target in cold:
            ranks["among"].append(place(scores, target, cold - set(before)))
    for name, band in found.bands.items():
        assert band.n_items == bands.count(name)
        assert band.n_users == len(ranks[name])
        counted = sum(int(split.train_counts[item]) for item in everything if bands[item] == name)
        assert band.train_share == pytest.approx(counted / split.n_train_interactions)
        assert bool(band.metrics) == bool(ranks[name])
        if ranks[name]:
            assert band.metrics["keep_target"] == pytest.approx(means(ranks[name], 2))
    assert (found.among_cold.n_candidates, found.among_cold.n_users) == (len(cold), len(ranks["among"]))
    assert bool(found.among_cold.metrics) == bool(ranks["among"])
    if ranks["among"]:
        assert found.among_cold.metrics["keep_target"] == pytest.approx(means(ranks["among"], 2))
    assert found.n_users == len(split.test)


def test_held_out_items_are_rivals_in_the_test_and_not_in_validation() -> None:
    histories: TimedHistories = [[(time, item) for time, item in enumerate([0, 1, 2, 3, 4])] for _ in range(3)]
    split = leave_one_out(log_of(histories), held_out=np.array([5, 6]))

    def score_users(batch: EvaluationBatch) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.ones(len(batch), 1), torch.arange(float(N_ITEMS)).unsqueeze(1)  # 5 and 6 score highest

    assert rank_users(score_users, split, "valid", max_length=3).tolist() == [2, 2, 2]  # after 4
    in_validation, in_test = (evaluate(score_users, split, part, 3, (1,)) for part in ("valid", "test"))  # type: ignore[arg-type]
    assert in_validation.ranks["paper"].tolist() == [2, 2, 2]
    assert in_test.ranks["paper"].tolist() == [3, 3, 3]  # after 6 and 5
    assert (in_validation.n_candidates, in_test.n_candidates) == (5, 7)
