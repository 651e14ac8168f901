"""Checks of what training gives away of the targets: counted for every split, assumed for none."""

from __future__ import annotations

import numpy as np

from iisan.data.doctor.finding import Finding, finding
from iisan.data.doctor.folder import Folder
from iisan.data.doctor.times import tie_groups
from iisan.data.interactions import Interactions, Rows
from iisan.data.split import Split, TargetPart


def examine_leakage(folder: Folder, log: Interactions, split: Split, part: TargetPart) -> list[Finding]:
    """Count targets that are trained on, and targets that training interactions are later than."""
    return [_trained_on(folder, log, split, part), _later(log, split, part)]


def _trained_on(folder: Folder, log: Interactions, split: Split, part: TargetPart) -> Finding:
    histories = split.histories(part)
    given_away = split.trained[histories.last]
    if log.timestamp is not None:
        doubles = _trained_doubles(log, tie_groups(log.user, log.timestamp), split, histories.last)
        given_away = given_away | np.isin(histories.users, doubles)
    found = np.flatnonzero(given_away)
    return finding(
        "targets_in_training",
        "error",
        len(found),
        len(histories),
        f"{part} targets",
        "are learned from: the interaction itself, or a double of it (same user, item and time), is in training",
        how="leave doubles out of the log and import again",
        about=part,
        examples=(f"user {user}" for user in folder.users_at(histories.users[found])),
    )


def _trained_doubles(log: Interactions, groups: Rows, split: Split, last: Rows) -> Rows:
    """Rows of users who have a training interaction with their target's item at their target's time."""
    group_of, item_of = np.full(log.n_users, -1, dtype=np.int64), np.full(log.n_users, -1, dtype=np.int64)
    group_of[log.user[last]], item_of[log.user[last]] = groups[last], log.item[last]
    trained = np.flatnonzero(split.trained)
    user = log.user[trained]
    same = (groups[trained] == group_of[user]) & (log.item[trained] == item_of[user])
    doubles: Rows = np.unique(user[same])
    return doubles


def _later(log: Interactions, split: Split, part: TargetPart) -> Finding:
    """Targets that some training interaction, of any user, is later than."""
    n = len(split.histories(part))
    if log.timestamp is None:
        what = "are older than training interactions: cannot be told without times"
        return finding("later_training", "warning", 0, 0, f"{part} targets", what, how="", about=part)
    trained = np.sort(log.timestamp[split.trained])
    times = log.timestamp[split.histories(part).last]
    n_later = len(trained) - np.searchsorted(trained, times, side="right")  # [U]
    count = int((n_later > 0).sum())
    middle = 100 * float(np.median(n_later)) / len(trained)
    extent = f"; the median one than {middle:.1f} % of training" if count else ""
    by_design = split.kind == "leave_one_out"
    return finding(
        "later_training",
        "warning" if by_design else "error",
        count,
        n,
        f"{part} targets",
        f"are older than training interactions{extent}: training looks into their future",
        how="it lies in leave-one-out, and helps whoever learns trends; for numbers without it use split=global_time"
        if by_design
        else "report this: a split by time must not do it",
        about=part,
    )
