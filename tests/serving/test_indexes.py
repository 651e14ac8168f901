"""Both indexes against scoring every item by hand, with filters, removals and additions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from iisan.serving import approximate_index
from iisan.serving.approximate_index import ApproximateIndex
from iisan.serving.exact_index import GROUP, Best, ExactIndex, largest

DIM = 8


def by_hand(
    embeddings: torch.Tensor,
    offered: torch.Tensor,
    states: torch.Tensor,
    k: int,
    seen: list[list[int]],
    passing: np.ndarray | None,
) -> list[list[float]]:
    """The best scores of each user, item by item."""
    lists = []
    for state, line in zip(states, seen, strict=True):
        scores = [
            float(state @ embeddings[row])
            for row in range(len(embeddings))
            if offered[row] and row not in line and (passing is None or passing[row])
        ]
        lists.append(sorted(scores, reverse=True)[:k])
    return lists


def check(found: Best, embeddings: torch.Tensor, states: torch.Tensor, wanted: list[list[float]]) -> None:
    for state, line, best in zip(states, found.lists(), wanted, strict=True):
        assert [score for _, score in line] == pytest.approx(best, abs=1e-4)
        assert len({row for row, _ in line}) == len(line)
        for row, score in line:
            assert float(state @ embeddings[row]) == pytest.approx(score, abs=1e-4)


@st.composite
def problems(
    draw: st.DrawFn,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, int, list[list[int]], np.ndarray | None]:
    n, users = draw(st.integers(1, 300)), draw(st.integers(1, 4))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    embeddings = torch.from_numpy(random.standard_normal((n, DIM)).astype(np.float32))
    states = torch.from_numpy(random.standard_normal((users, DIM)).astype(np.float32))
    offered = torch.from_numpy(random.random(n) < draw(st.sampled_from([0.0, 0.3, 1.0])))
    seen = [random.integers(n, size=draw(st.integers(0, 20))).tolist() for _ in range(users)]
    share = draw(st.sampled_from([None, 0.0, 0.05, 0.5, 1.0]))
    passing = None if share is None else random.random(n) < share
    return embeddings, offered, states, draw(st.integers(1, 40)), seen, passing


@settings(max_examples=80, deadline=None)
@given(problem=problems())
def test_exact_ranking_is_that_of_scoring_every_item(
    problem: tuple[torch.Tensor, torch.Tensor, torch.Tensor, int, list[list[int]], np.ndarray | None],
) -> None:
    embeddings, offered, states, k, seen, passing = problem
    found = ExactIndex(embeddings, offered).best(states, k, seen, passing)
    check(found, embeddings, states, by_hand(embeddings, offered, states, k, seen, passing))


@settings(max_examples=30, deadline=None)
@given(problem=problems(), few=st.sampled_from([0, 50]))
def test_when_all_cells_are_searched_nothing_is_missed(
    problem: tuple[torch.Tensor, torch.Tensor, torch.Tensor, int, list[list[int]], np.ndarray | None], few: int
) -> None:
    embeddings, offered, states, k, seen, passing = problem
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(approximate_index, "FEW", few)
        index = ApproximateIndex(ExactIndex(embeddings, offered)) if bool(offered.any()) else None
        if index is None:
            return
        index.probes = 10_000
        found = index.best(states, k, seen, passing)
    check(found, embeddings, states, by_hand(embeddings, offered, states, k, seen, passing))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), most_later=st.sampled_from([0, 10, 10_000]), share=st.sampled_from([None, 0.4]))
def test_what_is_added_replaced_and_removed_is_ranked_as_if_it_had_always_been_so(
    seed: int, most_later: int, share: float | None
) -> None:
    random = np.random.default_rng(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(approximate_index, "FEW", 0)
        patch.setattr(approximate_index, "MOST_LATER", most_later)
        patch.setattr(approximate_index, "LATER_SHARE", 0.0)
        embeddings = torch.from_numpy(random.standard_normal((120, DIM)).astype(np.float32))
        offered = torch.ones(120, dtype=torch.bool)
        index = ApproximateIndex(ExactIndex(embeddings, offered))
        index.probes = 10_000
        first, first_embeddings = index, embeddings
        for _ in range(4):
            more = int(random.integers(0, 9))
            embeddings = torch.cat([embeddings, torch.randn(more, DIM)])
            offered = torch.cat([offered, torch.ones(more, dtype=torch.bool)])
            changed = np.union1d(
                random.integers(len(embeddings), size=5), np.arange(len(embeddings) - more, len(embeddings))
            )
            embeddings[changed] = torch.from_numpy(random.standard_normal((len(changed), DIM)).astype(np.float32))
            offered[changed] = torch.from_numpy(random.random(len(changed)) < 0.6)
            index = index.updated(embeddings, offered, changed)
            states = torch.from_numpy(random.standard_normal((3, DIM)).astype(np.float32))
            seen = [random.integers(len(embeddings), size=4).tolist() for _ in range(3)]
            passing = None if share is None else random.random(len(embeddings)) < share
            found = index.best(states, 7, seen, passing)
            check(found, embeddings, states, by_hand(embeddings, offered, states, 7, seen, passing))
        whole = torch.ones(120, dtype=torch.bool)
        found = first.best(states, 7, [[]] * 3)
        check(found, first_embeddings, states, by_hand(first_embeddings, whole, states, 7, [[]] * 3, None))


def test_few_cells_find_most_and_never_what_is_not_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approximate_index, "FEW", 0)
    random = np.random.default_rng(3)
    centres = random.standard_normal((40, DIM))
    embeddings = torch.from_numpy(
        centres[random.integers(40, size=4000)] + 0.3 * random.standard_normal((4000, DIM))
    ).float()
    offered = torch.from_numpy(random.random(4000) < 0.9)
    states = torch.from_numpy(centres[random.integers(40, size=100)]).float()
    index = ApproximateIndex(ExactIndex(embeddings, offered))
    index.tune(states, 10, 0.95)
    assert index.report.kind == "approximate"
    assert 0.95 <= index.report.recall <= 1
    assert 1 <= index.report.probes < index.report.cells
    passing = random.random(4000) < 0.2
    seen = [random.integers(4000, size=30).tolist() for _ in states]
    found, exact = index.best(states, 10, seen, passing), index.exact.best(states, 10, seen, passing)
    same = 0
    for line, wanted, left_out in zip(found.lists(), exact.lists(), seen, strict=True):
        rows = [row for row, _ in line]
        assert len(rows) == 10
        assert all(offered[row] and passing[row] and row not in left_out for row in rows)
        same += len(set(rows) & {row for row, _ in wanted})
    assert same >= 0.9 * 10 * len(states)


def test_an_index_that_cannot_reach_the_recall_searches_all_cells() -> None:
    embeddings = torch.randn(30_000, DIM, generator=torch.Generator().manual_seed(1))
    index = ApproximateIndex(ExactIndex(embeddings, torch.ones(30_000, dtype=torch.bool)))
    index.tune(torch.randn(20, DIM, generator=torch.Generator().manual_seed(2)), 10, 1.0)
    assert index.report.recall == 1.0
    assert index.report.queries == 20


@pytest.mark.parametrize("n", [8 * 3 * GROUP - 1, 8 * 3 * GROUP, 8 * 3 * GROUP + 7, 40 * GROUP + 1])
def test_the_largest_by_groups_are_the_largest(n: int) -> None:
    scores = torch.randn(5, n, generator=torch.Generator().manual_seed(n))
    scores[0] = -torch.inf
    scores[1, : n - 1] = -torch.inf
    found = largest(scores, 3)
    assert torch.equal(found.scores, scores.topk(3, dim=1).values)
    assert torch.equal(scores.gather(1, found.rows), found.scores)
    assert all(len(set(rows)) == 3 for rows in found.rows[2:].tolist())
