from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from iisan.data.importers.columns import Coded
from iisan.data.importers.log import RawLog, order_log
from iisan.data.interactions import first_appearance

Row = tuple[str, str, int, int]
ROWS = st.lists(
    st.tuples(st.sampled_from("uvwxyz"), st.sampled_from("abcd"), st.integers(0, 3), st.integers(1, 5)), min_size=1
)


def coded(values: list[str], ids: list[str]) -> Coded:
    return Coded(np.array([ids.index(value) for value in values], dtype=np.int64), ids)


def raw_log(rows: list[Row], *, timed: bool) -> RawLog:
    return RawLog(
        coded([row[0] for row in rows], list("zyxwvu")),
        coded([row[1] for row in rows], list("dcba")),
        np.array([row[2] for row in rows], dtype=np.int64) if timed else None,
        np.array([row[3] for row in rows], dtype=np.float64),
        "log",
    )


def slow_order(rows: list[Row], *, timed: bool) -> list[Row]:
    users = list(dict.fromkeys(row[0] for row in rows))
    ordered = []
    for user in users:
        own = [row for row in rows if row[0] == user]
        ordered += sorted(own, key=lambda row: row[2]) if timed else own  # sorted() is stable
    return ordered


@given(rows=ROWS, timed=st.booleans())
def test_order_is_user_then_time_then_row(rows: list[Row], timed: bool) -> None:
    ordered = order_log(raw_log(rows, timed=timed), list("abcd"), unknown_items="error")
    log, expected = ordered.interactions, slow_order(rows, timed=timed)
    assert [ordered.user_ids[user] for user in log.user] == [row[0] for row in expected]
    assert ["abcd"[item] for item in log.item] == [row[1] for row in expected]
    assert log.rating is not None
    assert log.rating.tolist() == [row[3] for row in expected]
    assert (log.timestamp is None) == (not timed)
    log.check("log")


@given(rows=ROWS, low=st.integers(1, 5))
def test_filters_leave_the_order_of_the_rest(rows: list[Row], low: int) -> None:
    kept = [row for row in rows if row[3] >= low]
    known = [row for row in kept if row[1] in "abc"]
    if not known:
        return
    ordered = order_log(raw_log(rows, timed=True), list("abc"), unknown_items="drop", min_rating=low)
    expected = slow_order(known, timed=True)
    log = ordered.interactions
    assert [(ordered.user_ids[u], "abc"[i]) for u, i in zip(log.user, log.item, strict=True)] == [
        row[:2] for row in expected
    ]
    assert ordered.dropped["below_min_rating"] == len(rows) - len(kept)
    assert ordered.dropped.get("unknown_item", 0) == len(kept) - len(known)
    assert ordered.user_ids == list(dict.fromkeys(row[0] for row in known))


def test_ties_do_not_follow_the_item_id() -> None:
    rows = [("u", item, 0, 5) for item in "cadbacd"]
    log = order_log(raw_log(rows, timed=True), list("abcd"), unknown_items="error").interactions
    assert "".join("abcd"[item] for item in log.item) == "cadbacd"


@given(codes=st.lists(st.integers(0, 9)))
def test_first_appearance(codes: list[int]) -> None:
    renumbered, old = first_appearance(np.array(codes, dtype=np.int64), 10)
    order = list(dict.fromkeys(codes))
    assert old.tolist() == order
    assert renumbered.tolist() == [order.index(code) for code in codes]


@given(rows=ROWS)
def test_interactions_out_of_order_are_counted(rows: list[Row]) -> None:
    observed = order_log(raw_log(rows, timed=True), list("abcd"), unknown_items="error").observed
    expected = 0
    for user in {row[0] for row in rows}:
        places = [place for place, row in enumerate(rows) if row[0] == user]
        in_time = sorted(places, key=lambda place: rows[place][2])
        expected += sum(later < earlier for earlier, later in pairwise(in_time))
    assert observed == {"out_of_order": expected}
    assert order_log(raw_log(rows, timed=False), list("abcd"), unknown_items="error").observed == {}
