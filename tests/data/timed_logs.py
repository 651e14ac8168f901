"""Small logs with times, as plain lists and as the package has them."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from iisan.data import Interactions

N_ITEMS = 7
# A user's interactions as (time, item), in order of time.
TimedHistories = list[list[tuple[int, int]]]


@st.composite
def timed_histories(draw: st.DrawFn) -> TimedHistories:
    """Some users; few times, so that many interactions share theirs, within users and across them."""
    step = st.tuples(st.integers(0, 12), st.integers(0, N_ITEMS - 1))
    histories = draw(st.lists(st.lists(step, min_size=1, max_size=15), min_size=1, max_size=8))
    return [sorted(history, key=lambda one: one[0]) for history in histories]


def log_of(histories: TimedHistories, *, timed: bool = True) -> Interactions:
    flat = [one for history in histories for one in history]
    return Interactions(
        np.repeat(np.arange(len(histories)), [len(history) for history in histories]),
        np.array([item for _, item in flat], dtype=np.int64),
        np.array([time for time, _ in flat], dtype=np.int64) if timed else None,
        None,
        n_users=len(histories),
        n_items=N_ITEMS,
    )
