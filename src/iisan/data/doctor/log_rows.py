"""Checks of the log's rows and their order; what is sound goes on to the other checks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from iisan.data.doctor.finding import Finding, finding
from iisan.data.doctor.folder import Folder
from iisan.data.interactions import Interactions, Rows, Timestamps, log_order
from iisan.data.manifest import INTERACTIONS_FILE

NOBODY = -1


@dataclass(frozen=True, eq=False)
class _Raw:
    """The table's columns ``[M]``; `NOBODY` stands for a missing user or item, NaN or `sound_time` for a bad time."""

    user: Rows
    item: Rows
    time: Timestamps | None
    sound_time: npt.NDArray[np.bool_]


def examine_log(folder: Folder) -> tuple[list[Finding], Interactions | None]:
    """Check rows and order of the log.

    Returns:
        Findings, and the sound rows in the order that a log should have; None where there are none.
    """
    raw = _read(folder)
    if raw is None:
        return [], None
    no_user = (raw.user < 0) | (raw.user >= folder.n_users)
    no_item = (raw.item < 0) | (raw.item >= folder.n_items)
    sound = ~(no_user | no_item) & raw.sound_time
    user, item = raw.user[sound], raw.item[sound]
    time = None if raw.time is None else raw.time[sound]
    early = _out_of_place(user, time)
    found = [
        _bad("users_that_do_not_exist", no_user, "name a user that the table of users lacks"),
        _bad("items_that_do_not_exist", no_item, "name an item that the catalogue lacks"),
        _bad("missing_times", ~raw.sound_time, "have no time, or one that is no number"),
        finding(
            "order_of_log",
            "error",
            len(early),
            len(user),
            "interactions",
            "stand after a later one of the same user, or apart from the user's others",
            how="import the data again, which sorts the log",
            examples=(f"row {row}" for row in np.flatnonzero(sound)[early]),
        ),
    ]
    if len(user) == 0:
        return [*found, _empty(raw)], None
    if len(early):
        order = log_order(user, time)
        user, item, time = user[order], item[order], None if time is None else time[order]
    return [*found, _empty(raw)], Interactions(user, item, time, None, folder.n_users, folder.n_items)


def _read(folder: Folder) -> _Raw | None:
    user, item = (_rows(folder, name) for name in ("user", "item"))
    if user is None or item is None:
        return None
    column = folder.column(INTERACTIONS_FILE, "timestamp")
    time = None if column is None else _numbers(column)
    if column is None or time is None:
        return _Raw(user, item, None, np.ones(len(user), dtype=bool))
    sound = column.is_valid().to_numpy() & np.isfinite(time)
    return _Raw(user, item, time, sound)


def _rows(folder: Folder, name: str) -> Rows | None:
    column = folder.column(INTERACTIONS_FILE, name)
    values = None if column is None else _numbers(column)
    if column is None or values is None:
        return None
    # Whole numbers only: 1.5 is nobody's row.
    whole = column.is_valid().to_numpy() & np.isfinite(values) & (np.floor(values) == values)
    return np.where(whole, values, NOBODY).astype(np.int64)


def _numbers(column: pa.ChunkedArray) -> Timestamps | None:
    """A column as int64 or float64, missing values 0; None where it holds no numbers."""
    if pa.types.is_integer(column.type):
        kind = pa.int64()
    elif pa.types.is_floating(column.type):
        kind = pa.float64()
    else:
        return None
    values: Timestamps = column.cast(kind, safe=False).fill_null(0).to_numpy()
    return values


def _out_of_place(user: Rows, time: Timestamps | None) -> Rows:
    """Positions that break the order by user and time."""
    step = np.diff(user)
    wrong = step < 0
    if time is not None:
        wrong |= (step == 0) & (time[1:] < time[:-1])
    return np.flatnonzero(wrong) + 1


def _bad(check: str, mask: npt.NDArray[np.bool_], what: str) -> Finding:
    rows = np.flatnonzero(mask)
    return finding(
        check,
        "error",
        len(rows),
        len(mask),
        "interactions",
        what,
        how="import the data again; the checks below leave these rows out",
        examples=(f"row {row}" for row in rows),
    )


def _empty(raw: _Raw) -> Finding:
    return finding(
        "empty_log",
        "error",
        int(len(raw.user) == 0),
        1,
        "logs",
        "has no interaction",
        how="bring interactions: there is nothing to learn from",
    )
