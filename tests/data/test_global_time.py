"""The split by time against lists, one user and one interaction at a time."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iisan.data import Split, evaluation_batch, global_time, training_windows
from iisan.data.histories import Histories
from iisan.errors import UserError
from tests.data.timed_logs import N_ITEMS, TimedHistories, log_of, timed_histories

SHARES = st.sampled_from([0.05, 0.1, 0.2, 0.3, 0.45])
OPTIONS = st.fixed_dictionaries(
    {
        "valid_share": SHARES,
        "test_share": SHARES,
        "min_interactions": st.integers(1, 4),
        "keep_last": st.one_of(st.none(), st.integers(2, 5)),
    }
)
Part = dict[int, list[tuple[int, int]]]


class SlowSplit:
    """The definition, word for word. Parts hold each user's interactions, in validation and test the target last."""

    def __init__(
        self,
        histories: TimedHistories,
        held_out: set[int],
        *,
        valid_share: float,
        test_share: float,
        min_interactions: int,
        keep_last: int | None,
    ) -> None:
        kept = {user: history for user, history in enumerate(histories) if len(history) >= min_interactions}
        times = sorted(time for history in kept.values() for time, _ in history)
        self.test_from = times[-max(1, round(test_share * len(times)))]
        self.valid_from = times[-min(len(times), max(1, round((valid_share + test_share) * len(times))))]
        self.train: Part = {}
        self.valid: Part = {}
        self.test: Part = {}
        self.new = Counter[str]()
        self.lost = 0
        for user, history in kept.items():
            before = [one for one in history if one[0] < self.valid_from]
            middle = [one for one in history if self.valid_from <= one[0] < self.test_from]
            later = [one for one in history if one[0] >= self.test_from]
            self.new["valid"] += bool(middle and not before)
            self.new["test"] += bool(later and not before and not middle)
            learned = [one for one in self._last(before, keep_last) if one[1] not in held_out]
            if learned:
                self.train[user] = learned
            if before and middle:
                found = [one for one in self._last([*before, middle[0]], keep_last) if one[1] not in held_out]
                if middle[0][1] not in held_out and len(found) > 1:
                    self.valid[user] = found
                else:
                    self.lost += 1
            if later and (before or middle):
                self.test[user] = self._last([*before, *middle, later[0]], keep_last)

    @staticmethod
    def _last(history: list[tuple[int, int]], keep_last: int | None) -> list[tuple[int, int]]:
        return history if keep_last is None else history[-keep_last:]

    @property
    def possible(self) -> bool:
        return self.valid_from < self.test_from and all((self.train, self.valid, self.test))


def as_lists(histories: Histories) -> dict[int, list[int]]:
    return {int(user): histories.history(position).tolist() for position, user in enumerate(histories.users)}


def items_of(part: Part) -> dict[int, list[int]]:
    return {user: [item for _, item in history] for user, history in part.items()}


def split_or_none(histories: TimedHistories, held_out: set[int], options: dict[str, object]) -> Split | None:
    rows = np.array(sorted(held_out), dtype=np.int64)
    try:
        return global_time(log_of(histories), **options, held_out=rows)  # type: ignore[arg-type]
    except UserError:
        return None


@given(
    histories=timed_histories(),
    held_out=st.sets(st.integers(0, N_ITEMS - 1), max_size=2),
    options=OPTIONS,
    interacted=st.booleans(),
)
def test_against_lists(
    histories: TimedHistories, held_out: set[int], options: dict[str, object], interacted: bool
) -> None:
    if max(map(len, histories)) < options["min_interactions"]:  # type: ignore[operator]
        with pytest.raises(UserError, match="no user has"):
            global_time(log_of(histories), **options)  # type: ignore[arg-type]
        return
    slow = SlowSplit(histories, held_out, **options)  # type: ignore[arg-type]
    split = split_or_none(histories, held_out, {**options, "catalogue": "interacted" if interacted else "all"})
    assert (split is not None) == slow.possible
    if split is None:
        return
    assert split.cuts == (slow.valid_from, slow.test_from)
    assert as_lists(split.train) == items_of(slow.train)
    assert as_lists(split.valid) == items_of(slow.valid)
    assert as_lists(split.test) == items_of(slow.test)
    assert split.targets("test").tolist() == [history[-1][1] for history in slow.test.values()]
    assert split.unranked["valid"].new == slow.new["valid"]
    assert split.unranked["valid"].held_out == slow.lost
    assert split.unranked["test"].new == slow.new["test"]
    counts = Counter(item for history in slow.train.values() for _, item in history)
    assert split.train_counts.tolist() == [counts[item] for item in range(N_ITEMS)]
    whole = SlowSplit(histories, set(), **options)  # type: ignore[arg-type]
    everywhere = {item for part in (whole.train, whole.valid, whole.test) for h in part.values() for _, item in h}
    candidates = everywhere if interacted else set(range(N_ITEMS))
    assert split.candidates.tolist() == sorted(candidates)
    assert split.candidates_of("valid").tolist() == sorted(candidates - held_out)


@given(histories=timed_histories(), held_out=st.sets(st.integers(0, N_ITEMS - 1), max_size=2), options=OPTIONS)
def test_nothing_learned_from_is_as_late_as_a_target(
    histories: TimedHistories, held_out: set[int], options: dict[str, object]
) -> None:
    split = split_or_none(histories, held_out, options)
    if split is None:
        return
    log = log_of(histories)
    assert log.timestamp is not None
    assert split.cuts is not None
    valid_from, test_from = split.cuts
    assert log.timestamp[split.trained].max() < valid_from
    assert not split.trained[split.valid.last].any()
    assert not split.trained[split.test.last].any()
    assert ((log.timestamp[split.valid.last] >= valid_from) & (log.timestamp[split.valid.last] < test_from)).all()
    assert (log.timestamp[split.test.last] >= test_from).all()
    assert split.trained.sum() == split.train_counts.sum() == sum(map(len, as_lists(split.train).values()))


@given(
    histories=timed_histories(),
    held_out=st.sets(st.integers(0, N_ITEMS - 1), max_size=2),
    options=OPTIONS,
    length=st.integers(1, 6),
)
def test_each_transition_is_predicted_once(
    histories: TimedHistories, held_out: set[int], options: dict[str, object], length: int
) -> None:
    split = split_or_none(histories, held_out, options)
    if split is None:
        return
    # Items are replaced by distinct numbers, so that each transition can be told from the others.
    numbered = replace(split, train=replace(split.train, items=np.arange(len(split.train.items))))
    windows = training_windows(numbered, length)
    predicted = [(int(a) - 1, int(b) - 1) for window in windows for a, b in pairwise(window) if a > 0]
    spans = zip(split.train.starts.tolist(), split.train.ends.tolist(), strict=True)
    assert sorted(predicted) == [(at, at + 1) for start, end in spans for at in range(start, end - 1)]


@given(histories=timed_histories(), options=OPTIONS, length=st.integers(1, 6), data=st.data())
def test_evaluation_batches_count_within_their_part(
    histories: TimedHistories, options: dict[str, object], length: int, data: st.DataObject
) -> None:
    split = split_or_none(histories, set(), options)
    if split is None:
        return
    slow = SlowSplit(histories, set(), **options)  # type: ignore[arg-type]
    for part, expected in (("valid", slow.valid), ("test", slow.test)):
        users = data.draw(st.lists(st.integers(0, len(expected) - 1), min_size=1, max_size=4))
        batch = evaluation_batch(split, part, users, length)  # type: ignore[arg-type]
        for position, user in enumerate(users):
            *before, target = list(items_of(expected).values())[user]
            cut = [item + 1 for item in before][-length:]
            assert batch.inputs[position].tolist() == [0] * (length - len(cut)) + cut
            assert batch.targets[position] == target
            seen = batch.seen_items[batch.seen_offsets[position] : batch.seen_offsets[position + 1]]
            assert seen.tolist() == before


# Users 0 and 1 have a past; 2 comes after the first cut, 3 after the second.
FOUR_USERS: TimedHistories = [
    [(0, 1), (1, 2), (5, 3), (6, 4), (9, 5)],
    [(0, 2), (2, 3), (9, 1)],
    [(6, 3), (7, 3), (9, 0)],
    [(9, 1), (9, 2)],
]


def test_moments_that_are_given_and_users_without_a_past() -> None:
    split = global_time(log_of(FOUR_USERS), valid_from=5, test_from=9, min_interactions=2)
    assert split.cuts == (5, 9)
    assert as_lists(split.train) == {0: [1, 2], 1: [2, 3]}
    assert as_lists(split.valid) == {0: [1, 2, 3]}
    assert as_lists(split.test) == {0: [1, 2, 3, 4, 5], 1: [2, 3, 1], 2: [3, 3, 0]}
    assert (split.unranked["valid"].new, split.unranked["test"].new) == (1, 1)
    assert split.n_users == 4
    assert split.n_interactions == 5 + 3 + 3  # user 3 stands in no history


def test_a_log_in_fractions_of_seconds() -> None:
    log = log_of(FOUR_USERS)
    assert log.timestamp is not None
    fractions = replace(log, timestamp=log.timestamp / 10)
    assert as_lists(global_time(fractions, valid_from=0.5, test_from=0.9, min_interactions=2).valid) == {0: [1, 2, 3]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_interactions": 0}, "min_interactions is 0"),
        ({"keep_last": 1}, "keep_last is 1"),
        ({"valid_share": 0}, "valid_share is 0"),
        ({"valid_share": 0.5, "test_share": 0.5}, "sum is below 1"),
        ({"valid_from": 9, "test_from": 9}, "would start at 9"),
        ({"valid_from": 0, "test_from": 9}, "training part of the split is empty"),
        ({"valid_from": 3, "test_from": 4}, "validation part of the split is empty"),
        ({"valid_from": 5, "test_from": 10}, "test part of the split is empty"),
        ({"held_out": np.array([3])}, "validation part of the split is empty"),
    ],
)
def test_what_cannot_be_split_is_said(options: dict[str, object], message: str) -> None:
    given_options = {"valid_from": 5, "test_from": 9, "min_interactions": 2, **options}
    with pytest.raises(UserError, match=message):
        global_time(log_of(FOUR_USERS), **given_options)  # type: ignore[arg-type]


def test_a_log_without_times() -> None:
    with pytest.raises(UserError, match=r"no times to split by.*leave_one_out"):
        global_time(log_of(FOUR_USERS, timed=False))
