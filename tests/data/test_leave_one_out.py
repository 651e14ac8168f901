from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iisan.data import Interactions, leave_one_out, popularity
from iisan.errors import UserError

N_ITEMS = 7
Histories = list[list[int]]
HISTORIES = st.lists(st.lists(st.integers(0, N_ITEMS - 1), min_size=1, max_size=20), min_size=1, max_size=8)


def log_of(histories: Histories) -> Interactions:
    return Interactions(
        np.repeat(np.arange(len(histories)), [len(history) for history in histories]),
        np.array([item for history in histories for item in history], dtype=np.int64),
        None,
        None,
        n_users=len(histories),
        n_items=N_ITEMS,
    )


@given(
    histories=HISTORIES,
    least=st.integers(3, 6),
    last=st.one_of(st.none(), st.integers(3, 8)),
    length=st.integers(1, 6),
    interacted=st.booleans(),
)
def test_against_lists(histories: Histories, least: int, last: int | None, length: int, interacted: bool) -> None:
    kept = {u: h if last is None else h[-last:] for u, h in enumerate(histories) if len(h) >= least}
    if not kept:
        with pytest.raises(UserError, match="no user has"):
            leave_one_out(log_of(histories), min_interactions=least, keep_last=last)
        return
    split = leave_one_out(
        log_of(histories),
        min_interactions=least,
        keep_last=last,
        catalogue="interacted" if interacted else "all",
    )
    assert split.users.tolist() == list(kept)
    for position, history in enumerate(kept.values()):
        assert split.train_history(position).tolist() == history[:-2]
        assert split.valid_history(position).tolist() == history[:-1]
        assert split.test_history(position).tolist() == history
        assert split.valid_history(position, length).tolist() == history[:-1][-length - 1 :]
        assert split.test_history(position, length).tolist() == history[-length - 1 :]
    assert split.targets("valid").tolist() == [history[-2] for history in kept.values()]
    assert split.targets("test").tolist() == [history[-1] for history in kept.values()]
    counts = Counter(item for history in kept.values() for item in history[:-2])
    assert split.train_counts.tolist() == [counts[item] for item in range(N_ITEMS)]
    everywhere = {item for history in kept.values() for item in history}
    assert split.candidates.tolist() == (sorted(everywhere) if interacted else list(range(N_ITEMS)))
    assert popularity(split) == pytest.approx([counts[item] / counts.total() for item in range(N_ITEMS)])
    assert split.n_interactions == sum(map(len, kept.values()))
    assert split.n_train_interactions == counts.total()


@pytest.mark.parametrize("wrong", [{"min_interactions": 2}, {"keep_last": 2}])
def test_a_history_needs_three_items(wrong: dict[str, int]) -> None:
    with pytest.raises(UserError, match="needs 3 items"):
        leave_one_out(log_of([[1, 2, 3, 4, 5]]), **wrong)
