"""The split by time: what comes before a moment is learned from, what comes after it is to be found."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from iisan.data.dataset import Dataset
from iisan.data.histories import Histories
from iisan.data.interactions import Interactions, Rows, Timestamps
from iisan.data.kept_users import kept_users
from iisan.data.split import Catalogue, Part, Split, TargetPart, join_parts
from iisan.errors import UserError

# Of a validation or test history: one item to go by, and the target.
SHORTEST = 2


def global_time(
    data: Dataset | Interactions,
    *,
    valid_share: float = 0.1,
    test_share: float = 0.1,
    valid_from: float | None = None,
    test_from: float | None = None,
    min_interactions: int = 5,
    keep_last: int | None = None,
    catalogue: Catalogue = "all",
    held_out: Rows | None = None,
) -> Split:
    """Cut the log of all users at two moments: training, then validation, then test.

    What is learned from comes before the first moment. A user's validation target is the first interaction from there
    on and before the second moment; the test target is the first interaction from the second moment on. Either's
    history is all that the user did before the moment. Interactions of one time stand on one side, the later one.

    Args:
        data: A dataset or its log.
        valid_share: Share of the kept users' interactions in the validation part; decides the first moment.
        test_share: Share of them in the test part; decides the second moment.
        valid_from: The first moment itself, in the unit of the log.
        test_from: The second moment itself.
        min_interactions: Users with fewer interactions in the whole log are left out, as in a leave-one-out split.
        keep_last: Keep only that many last items of each history, the target counted, at least 2; None keeps all.
        catalogue: What is ranked: ``all`` items, or those that are ``interacted`` with in any of the histories.
        held_out: Catalogue rows to keep from training and validation; test histories are whole.

    Raises:
        UserError: The log has no times, a number is out of range, or a part is empty.
    """
    log = data.interactions if isinstance(data, Dataset) else data
    if log.timestamp is None:
        where = str(data.path) if isinstance(data, Dataset) else ""
        raise UserError(
            "the log has no times to split by",
            where=where,
            how="import it with its time column, or split it by leave_one_out",
        )
    _check_numbers(min_interactions, keep_last)
    users, starts, ends = kept_users(log, min_interactions)
    shares = _checked_shares(valid_share, test_share)
    given = (valid_from, test_from)
    cuts = _cuts(_times_of(users, log.timestamp, log), shares, given)
    n_before = [_count_before(log, cut)[users] for cut in cuts]
    middles, lasts = starts + n_before[0], starts + n_before[1]
    parts: dict[Part, tuple[npt.NDArray[np.bool_], Rows]] = {
        "train": (middles > starts, middles),
        "valid": ((middles > starts) & (lasts > middles), middles + 1),
        "test": ((lasts > starts) & (ends > lasts), lasts + 1),
    }
    new: dict[TargetPart, int] = {
        "valid": int(((middles == starts) & (lasts > middles)).sum()),
        "test": int((lasts == starts).sum()),
    }
    return join_parts(
        "global_time",
        log,
        users,
        {part: _histories(log, users, starts, until, chosen, keep_last) for part, (chosen, until) in parts.items()},
        catalogue=catalogue,
        held_out=held_out,
        new=new,
        cuts=cuts,
    )


def _histories(
    log: Interactions, users: Rows, starts: Rows, ends: Rows, chosen: npt.NDArray[np.bool_], keep_last: int | None
) -> Histories:
    starts, ends = starts[chosen], ends[chosen]
    if keep_last is not None:
        starts = np.maximum(starts, ends - keep_last)
    return Histories.of(users[chosen], log.item, starts, ends)


def _times_of(users: Rows, times: Timestamps, log: Interactions) -> Timestamps:
    if len(users) == log.n_users:
        return times
    kept = np.zeros(log.n_users, dtype=bool)
    kept[users] = True
    return times[kept[log.user]]


def _cuts(
    times: Timestamps, shares: tuple[float, float], given: tuple[float | None, float | None]
) -> tuple[float, float]:
    """The two moments: those given, or the times from which on the later shares of the interactions stand."""
    n_later = (round(sum(shares) * len(times)), round(shares[1] * len(times)))
    at = [len(times) - min(max(1, count), len(times)) for count in n_later]
    found = np.partition(times, at)[at]
    valid_from, test_from = (cut.item() if one is None else one for one, cut in zip(given, found, strict=True))
    if not valid_from < test_from:
        raise UserError(
            f"validation would start at {valid_from} and the test at {test_from}",
            how="use larger shares, or moments one after the other",
        )
    return valid_from, test_from


def _count_before(log: Interactions, cut: float) -> Rows:
    """How many interactions of each user come before a moment, for every user of the log."""
    times: Any = log.timestamp
    return np.bincount(log.user[times < cut], minlength=log.n_users).astype(np.int64)


def _checked_shares(valid_share: float, test_share: float) -> tuple[float, float]:
    if not (0 < valid_share < 1 and 0 < test_share < 1 and valid_share + test_share < 1):
        raise UserError(
            f"valid_share is {valid_share} and test_share {test_share}",
            how="use shares above 0 whose sum is below 1",
        )
    return valid_share, test_share


def _check_numbers(min_interactions: int, keep_last: int | None) -> None:
    if min_interactions < 1:
        raise UserError(f"min_interactions is {min_interactions}", how="use 1 or more")
    if keep_last is not None and keep_last < SHORTEST:
        raise UserError(
            f"keep_last is {keep_last}, but a history needs {SHORTEST} items: one to go by and the target",
            how=f"use {SHORTEST} or more",
        )
