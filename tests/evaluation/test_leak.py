"""The leak verdict against counting interaction by interaction."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iisan.data import Split, global_time, leave_one_out
from iisan.errors import UserError
from iisan.evaluation.leak import LeakVerdict, judge_leak
from tests.data.timed_logs import TimedHistories, log_of, timed_histories


def both_splits(histories: TimedHistories) -> dict[str, Split] | None:
    try:
        return {
            "leave_one_out": leave_one_out(log_of(histories), min_interactions=3),
            "global_time": global_time(log_of(histories), valid_share=0.2, test_share=0.2, min_interactions=3),
        }
    except UserError:
        return None


def positions(split: Split, part: str, histories: TimedHistories) -> list[tuple[int, int]]:
    """What a part holds as (user, place in the user's history): its last interaction and those before it."""
    starts = [0]
    for history in histories:
        starts.append(starts[-1] + len(history))
    whole = split.histories(part)  # type: ignore[arg-type]
    return [(int(user), int(last) - starts[int(user)]) for user, last in zip(whole.users, whole.last, strict=True)]


@given(histories=timed_histories(), part=st.sampled_from(["valid", "test"]), timed=st.booleans())
def test_against_counting(histories: TimedHistories, part: str, timed: bool) -> None:
    splits = both_splits(histories)
    if splits is None:
        return
    for trained in splits.values():
        learned = {(user, place) for user, end in positions(trained, "train", histories) for place in range(end + 1)}
        latest = max(histories[user][place][0] for user, place in learned)
        stopped_by = set(positions(trained, "valid", histories))
        for evaluated in splits.values():
            targets = positions(evaluated, part, histories)
            verdict = judge_leak(trained, evaluated, part, log_of(histories, timed=timed))  # type: ignore[arg-type]
            n_later = sum(histories[user][place][0] < latest for user, place in targets)
            assert verdict.trained_on == pytest.approx(sum(one in learned for one in targets) / len(targets))
            assert verdict.stopped_by == pytest.approx(sum(one in stopped_by for one in targets) / len(targets))
            if timed:
                assert verdict.later == pytest.approx(n_later / len(targets))
                assert verdict.leak_free == (n_later == 0 and not learned & set(targets))
            else:
                assert verdict.later is None
                assert verdict.leak_free is (False if learned & set(targets) else None)
                assert "the log has no times" in str(verdict)


@given(histories=timed_histories())
def test_a_model_is_leak_free_under_the_split_by_time_that_it_was_trained_under(histories: TimedHistories) -> None:
    splits = both_splits(histories)
    if splits is None:
        return
    by_time = splits["global_time"]
    for part in ("valid", "test"):
        assert judge_leak(by_time, by_time, part, log_of(histories)).leak_free


@pytest.mark.parametrize(
    ("verdict", "line"),
    [
        (
            LeakVerdict(0.0, 0.0, 0.0),
            "leak-free: no target was trained on, and no training interaction is later than one",
        ),
        (
            LeakVerdict(0.0, 0.0, 1.0),
            "leak-free: no target was trained on, and no training interaction is later than one; "
            "early stopping chose by 100.0 % of them",
        ),
        (
            LeakVerdict(0.8094, 0.00001, 0.25),
            "not leak-free: 80.9 % of the targets were trained on; training interactions, of any user, are later than "
            "under 0.1 % of the targets; early stopping chose by 25.0 % of them",
        ),
        (
            LeakVerdict(0.0, 0.9999, 0.0),
            "not leak-free: no target was trained on; training interactions, of any user, are later than over 99.9 % "
            "of the targets",
        ),
        (
            LeakVerdict(0.0, None, 0.0, "the log has no times"),
            "whether it leaks cannot be judged: the log has no times",
        ),
        (
            LeakVerdict(0.5, None, 0.0, "the log has no times"),
            "not leak-free: 50.0 % of the targets were trained on; the log has no times",
        ),
        (LeakVerdict(unknown="nobody knows"), "whether it leaks cannot be judged: nobody knows"),
    ],
)
def test_the_line(verdict: LeakVerdict, line: str) -> None:
    assert str(verdict) == line
