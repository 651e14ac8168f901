"""Items held out of training: a choice that can be made again, and no trace of them in what is learned from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iisan.data import Split, held_out_rows, leave_one_out, training_windows
from iisan.data.histories import Histories
from iisan.errors import UserError
from tests.data.timed_logs import N_ITEMS, TimedHistories, log_of, timed_histories


@given(n_items=st.integers(20, 400), share=st.floats(0, 0.9), more=st.floats(0, 0.05), seed=st.integers(0, 1 << 40))
def test_the_choice(n_items: int, share: float, more: float, seed: int) -> None:
    rows = held_out_rows(n_items, share, seed)
    assert rows.dtype == np.int64
    assert len(rows) == (0 if share == 0 else max(1, round(share * n_items)))
    assert rows.tolist() == sorted(set(rows.tolist()))
    assert set(rows.tolist()) <= set(range(n_items))
    assert np.array_equal(rows, held_out_rows(n_items, share, seed))
    assert set(rows.tolist()) <= set(held_out_rows(n_items, share + more, seed).tolist())


def test_the_choice_is_the_same_for_good() -> None:
    # Written down: what was held out of a model must be found again by later versions.
    assert held_out_rows(20, 0.25, 0).tolist() == [2, 3, 11, 13, 15]
    assert held_out_rows(20, 0.25, 1).tolist() != held_out_rows(20, 0.25, 0).tolist()


def test_every_item_is_chosen_about_as_often() -> None:
    chosen = np.bincount(np.concatenate([held_out_rows(50, 0.2, seed) for seed in range(2000)]), minlength=50)
    # 400 each expected, standard deviation 17.9.
    assert abs(chosen - 400).max() < 5 * 17.9


@pytest.mark.parametrize("share", [-0.1, 1, float("nan")])
def test_a_share_out_of_range(share: float) -> None:
    with pytest.raises(UserError, match="share of held-out items is"):
        held_out_rows(10, share, 0)


def test_something_must_be_left() -> None:
    with pytest.raises(UserError, match="1 of 1 items would be held out"):
        held_out_rows(1, 0.5, 0)


def as_lists(histories: Histories) -> dict[int, list[int]]:
    return {int(user): histories.history(position).tolist() for position, user in enumerate(histories.users)}


def slow_leave_one_out(
    histories: TimedHistories, held_out: set[int], keep_last: int | None
) -> tuple[dict[int, list[int]], dict[int, list[int]], dict[int, list[int]]]:
    train, valid, test = {}, {}, {}
    for user, history in enumerate(histories):
        items = [item for _, item in history]
        if len(items) < 3:
            continue
        items = items if keep_last is None else items[-keep_last:]
        learned = [item for item in items[:-2] if item not in held_out]
        if learned:
            train[user] = learned
            if items[-2] not in held_out:
                valid[user] = [*learned, items[-2]]
        test[user] = items
    return train, valid, test


@given(
    histories=timed_histories(),
    held_out=st.sets(st.integers(0, N_ITEMS - 1), min_size=1, max_size=3),
    keep_last=st.one_of(st.none(), st.integers(3, 8)),
    interacted=st.booleans(),
)
def test_leave_one_out_without_items_against_lists(
    histories: TimedHistories, held_out: set[int], keep_last: int | None, interacted: bool
) -> None:
    train, valid, test = slow_leave_one_out(histories, held_out, keep_last)

    def split() -> Split:
        return leave_one_out(
            log_of(histories),
            min_interactions=3,
            keep_last=keep_last,
            catalogue="interacted" if interacted else "all",
            held_out=np.array(sorted(held_out)),
        )

    if not (train and valid):
        with pytest.raises(UserError, match=r"no user has|part of the split is empty"):
            split()
        return
    made = split()
    assert (as_lists(made.train), as_lists(made.valid), as_lists(made.test)) == (train, valid, test)
    assert made.unranked["valid"].held_out == len(test) - len(valid)
    assert made.train_counts[sorted(held_out)].sum() == 0
    assert made.n_train_interactions == sum(map(len, train.values()))
    everywhere = {item for items in test.values() for item in items} if interacted else set(range(N_ITEMS))
    assert made.candidates.tolist() == sorted(everywhere)
    assert made.train_candidates.tolist() == sorted(everywhere - held_out)
    assert not np.isin(training_windows(made, 3) - 1, sorted(held_out)).any()
    # The last interaction of a history is that of the log: what tells whether a target was trained on.
    log = log_of(histories)
    for part in (made.train, made.valid, made.test):
        assert log.item[part.last].tolist() == part.targets.tolist()
        assert log.user[part.last].tolist() == part.users.tolist()
