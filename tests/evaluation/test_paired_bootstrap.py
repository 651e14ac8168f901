"""The paired bootstrap against every resample there is, against drawing users, and on data made to a known truth."""

from __future__ import annotations

import tracemalloc
from dataclasses import asdict
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from iisan.evaluation import paired_bootstrap as module
from iisan.evaluation.metrics import hit_rate, ndcg, user_metrics
from iisan.evaluation.paired_bootstrap import paired_bootstrap


def every_resample(differences: np.ndarray) -> np.ndarray:
    """The mean of each of the ``U ** U`` samples of users, all equally probable."""
    users = range(len(differences))
    return np.array([differences[list(sample)].mean() for sample in product(users, repeat=len(differences))])


def test_against_every_resample() -> None:
    first, other = np.array([0.0, 1, 0, 1, 0]), np.array([1.0, 0.5, 1, 1, 0])
    means = every_resample(other - first)  # 3,125 of them
    found = paired_bootstrap({"HR@1": first}, {"HR@1": other}, resamples=200_000, seed=3)["HR@1"]
    assert (found.first, found.other, found.difference) == pytest.approx((0.4, 0.7, 0.3))
    assert (found.low, found.high) == pytest.approx(np.quantile(means, [0.025, 0.975]))
    exact = 2 * min((means <= 1e-12).mean(), (means >= -1e-12).mean())
    assert found.p_value == pytest.approx(exact, abs=5 * 2 * np.sqrt(exact / 2 / 200_000))


def test_against_drawing_users() -> None:
    rng = np.random.default_rng(0)
    first = {name: rng.random(80) * (rng.random(80) < 0.5) for name in ("HR@5", "NDCG@5")}
    other = {name: values + rng.normal(0.05, 0.2, 80) for name, values in first.items()}
    found = paired_bootstrap(first, other, resamples=20_000)
    for name in first:
        differences = other[name] - first[name]
        means = differences[rng.integers(0, 80, (20_000, 80))].mean(axis=1)
        spread = means.std()
        assert (found[name].low, found[name].high) == pytest.approx(
            np.quantile(means, [0.025, 0.975]), abs=0.1 * spread
        )
        assert found[name].p_value == pytest.approx(2 * min((means <= 0).mean(), (means >= 0).mean()), abs=0.02)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    covered, significant, trials = 0, 0, 400
    for trial in range(trials):
        # Hits of two models that agree on most users: the other is 4 points better among all users there are.
        first = rng.random(300) < 0.2
        other = np.where(rng.random(300) < 0.1, rng.random(300) < 0.6, first)
        found = paired_bootstrap(
            {"HR@10": first.astype(float)}, {"HR@10": other.astype(float)}, resamples=1000, seed=trial
        )["HR@10"]
        covered += found.low <= 0.04 <= found.high
        significant += found.p_value < 0.05
        # One and the same resamples give both, so they agree but for what the counted sample adds.
        assert (found.low > 0 or found.high < 0) == (found.p_value < 0.05) or 0.03 < found.p_value < 0.07
    # Binomial of 400 trials at 0.95: standard deviation 1.1 points; the percentile interval falls short by a little.
    assert 0.91 < covered / trials < 0.985
    assert 0.3 < significant / trials < 0.9


def test_no_difference_is_rarely_found_where_there_is_none() -> None:
    rng = np.random.default_rng(2)
    found = []
    for trial in range(400):
        ranks = rng.integers(1, 40, (2, 200))
        values = [{"HR@10": (one <= 10).astype(float)} for one in ranks]
        found.append(paired_bootstrap(*values, resamples=500, seed=trial)["HR@10"].p_value < 0.05)
    assert 0.015 < np.mean(found) < 0.09  # 0.05 expected, standard deviation 0.011


def test_equal_models_differ_in_nothing() -> None:
    values = {"HR@10": np.array([0.0, 1.0, 1.0]), "NDCG@10": np.array([0.0, 0.5, 1.0])}
    for found in paired_bootstrap(values, values, resamples=100).values():
        assert (found.difference, found.low, found.high, found.p_value) == (0, 0, 0, 1)


@given(
    pairs=st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), min_size=1, max_size=40),
    seed=st.integers(0, 99),
)
def test_swapping_the_models_mirrors_the_answer_and_memory_changes_nothing(
    pairs: list[tuple[int, int]], seed: int
) -> None:
    one, other = (user_metrics(torch.tensor(ranks, dtype=torch.float64), (3, 5)) for ranks in zip(*pairs, strict=True))
    found = paired_bootstrap(one, other, resamples=200, seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "COUNTS_AT_ONCE", 7)
        again = paired_bootstrap(one, other, resamples=200, seed=seed)
    assert {name: asdict(value) for name, value in again.items()} == {
        name: pytest.approx(asdict(value)) for name, value in found.items()
    }
    for name, mirrored in paired_bootstrap(other, one, resamples=200, seed=seed).items():
        assert mirrored.difference == pytest.approx(-found[name].difference)
        assert (mirrored.first, mirrored.other) == (found[name].other, found[name].first)
        assert found[name].low - 1e-9 <= found[name].high
        assert 0 < found[name].p_value <= 1


@given(ranks=st.lists(st.integers(2, 60).map(lambda twice: twice / 2), min_size=1, max_size=20))
def test_values_of_users_have_the_metrics_as_their_means(ranks: list[float]) -> None:
    tensor = torch.tensor(ranks, dtype=torch.float64)
    for name, values in user_metrics(tensor, (1, 10)).items():
        k = int(name.split("@")[1])
        assert values.mean() == pytest.approx((hit_rate if name.startswith("HR") else ndcg)(tensor, k))


def test_what_cannot_be_paired_is_refused() -> None:
    values = {"HR@10": np.zeros(3)}
    with pytest.raises(ValueError, match="same users"):
        paired_bootstrap(values, {"HR@10": np.zeros(4)})
    with pytest.raises(ValueError, match="same metrics"):
        paired_bootstrap(values, {"HR@5": np.zeros(3)})


def test_memory_does_not_grow_with_users_times_resamples() -> None:
    rng = np.random.default_rng(0)  # drawing the users themselves would take 300,000 × 1,000 numbers
    ranks = [torch.from_numpy(rng.zipf(1.3, 300_000).clip(max=10**6).astype(float)) for _ in range(2)]
    values = [user_metrics(one, (10,)) for one in ranks]
    tracemalloc.start()
    try:
        found = paired_bootstrap(*values, resamples=1000)
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()
    assert found["HR@10"].high - found["HR@10"].low < 0.006
