from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iisan.data import Interactions, Split, evaluation_batch, leave_one_out, training_windows
from iisan.errors import UserError

N_ITEMS = 9
HISTORIES = st.lists(st.lists(st.integers(0, N_ITEMS - 1), min_size=3, max_size=25), min_size=1, max_size=6)


def split_of(histories: list[list[int]]) -> Split:
    log = Interactions(
        np.repeat(np.arange(len(histories)), [len(history) for history in histories]),
        np.array([item for history in histories for item in history], dtype=np.int64),
        None,
        None,
        n_users=len(histories),
        n_items=N_ITEMS,
    )
    return leave_one_out(log, min_interactions=3)


def slow_windows(histories: list[list[int]], length: int) -> list[list[int]]:
    """Cut off ``length`` transitions at a time from the end, then put the pieces in order."""
    windows = []
    for history in histories:
        rest, own = [item + 1 for item in history[:-2]], []
        while len(rest) > 1:
            piece = rest[-(length + 1) :]
            own.append([0] * (length + 1 - len(piece)) + piece)
            rest = rest[: max(0, len(rest) - length)]
        windows += reversed(own)
    return windows


@given(histories=HISTORIES, length=st.integers(1, 12))
def test_windows_against_lists(histories: list[list[int]], length: int) -> None:
    windows = training_windows(split_of(histories), length)
    assert windows.dtype == np.int32
    assert windows.shape[1] == length + 1
    assert windows.tolist() == slow_windows(histories, length)


@given(histories=HISTORIES, length=st.integers(1, 12))
def test_each_transition_is_predicted_once(histories: list[list[int]], length: int) -> None:
    # Items are replaced by distinct numbers, so that each transition can be told from the others.
    items = np.arange(sum(map(len, histories)))
    split = split_of(histories)
    numbered = replace(split, n_items=len(items), train=replace(split.train, items=items))
    windows = training_windows(numbered, length)
    predicted = [(int(a) - 1, int(b) - 1) for window in windows for a, b in pairwise(window) if a > 0]
    starts, ends = split.train.starts, split.train.ends
    expected = [(at, at + 1) for start, end in zip(starts, ends, strict=True) for at in range(start, end - 1)]
    assert sorted(predicted) == expected


def test_windows_in_several_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    split = split_of([[item % N_ITEMS for item in range(start, start + 17)] for start in range(11)])
    whole = training_windows(split, 2)
    monkeypatch.setattr("iisan.data.windows.CHUNK", 5)
    assert np.array_equal(training_windows(split, 2), whole)


@given(histories=HISTORIES, length=st.integers(1, 12), data=st.data())
def test_evaluation_batch_against_lists(histories: list[list[int]], length: int, data: st.DataObject) -> None:
    split = split_of(histories)
    users = data.draw(st.lists(st.integers(0, len(histories) - 1), min_size=1, max_size=4))
    for part, held_out in (("valid", 1), ("test", 0)):
        batch = evaluation_batch(split, part, users, length)  # type: ignore[arg-type]
        assert len(batch) == len(users)
        for position, user in enumerate(users):
            history = histories[user][: len(histories[user]) - held_out]
            cut = [item + 1 for item in history[:-1]][-length:]
            assert batch.inputs[position].tolist() == [0] * (length - len(cut)) + cut
            assert batch.targets[position] == history[-1]
            seen = batch.seen_items[batch.seen_offsets[position] : batch.seen_offsets[position + 1]]
            assert seen.tolist() == history[:-1]


def test_evaluation_batch_of_a_slice() -> None:
    histories = [[1, 2, 3, 4], [5, 6, 7], [0, 1, 2], [8, 7, 6]]
    batch = evaluation_batch(split_of(histories), "test", slice(1, 3), 2)
    assert batch.inputs.tolist() == [[6, 7], [1, 2]]
    assert batch.targets.tolist() == [7, 2]


def test_length_must_be_positive() -> None:
    split = split_of([[1, 2, 3]])
    with pytest.raises(UserError, match="length of histories is 0"):
        training_windows(split, 0)
    with pytest.raises(UserError, match="length of histories is 0"):
        evaluation_batch(split, "test", slice(None), 0)
