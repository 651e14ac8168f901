"""Checks of the times in the log: there, plausible, of one unit, and telling one interaction from the next."""

from __future__ import annotations

import time

import numpy as np

from iisan.data.doctor.finding import Finding, finding
from iisan.data.doctor.folder import Folder
from iisan.data.interactions import Interactions, Rows, Timestamps

# Below, ties are too few to move a metric.
TIES_THAT_MATTER = 0.01
# Seconds since 1970 from March 1973 to the year 5138; each finer unit is a thousand times more, without overlap.
SECONDS = (10**8, 10**11)
UNITS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
DAY = 86_400


def examine_times(folder: Folder, log: Interactions) -> list[Finding]:
    """Check the times of a log."""
    absent = log.timestamp is None
    found = [
        finding(
            "no_times",
            "warning",
            len(log) if absent else 0,
            len(log),
            "interactions",
            "have no time: the order of the rows is taken for it, and nothing here can check that",
            how="import the column of the time if there is one",
        )
    ]
    if log.timestamp is None:
        return found
    return [
        *found,
        _equal(log.timestamp),
        _ties(folder, log, log.timestamp),
        _order_in_the_file(folder, len(log)),
        *_epoch(log.timestamp, time.time()),
    ]


def _equal(times: Timestamps) -> Finding:
    equal = len(times) > 1 and bool((times == times[0]).all())
    return finding(
        "equal_times",
        "error",
        len(times) if equal else 0,
        len(times),
        "interactions",
        "have one and the same time, which puts them in no order",
        how="name the right column, or leave the time out if the rows are in order",
    )


def tie_groups(user: Rows, times: Timestamps) -> Rows:
    """Number ``[M]`` the runs of interactions of one user at one time, in a sorted log."""
    new = (user[1:] != user[:-1]) | (times[1:] != times[:-1])
    return np.concatenate([[0], np.cumsum(new)]).astype(np.int64)


def _ties(folder: Folder, log: Interactions, times: Timestamps) -> Finding:
    groups = tie_groups(log.user, times)
    tied = (np.bincount(groups) > 1)[groups]
    count = int(tied.sum())
    users = np.unique(log.user[tied])
    last = np.flatnonzero(np.append(log.user[1:] != log.user[:-1], True))
    last_tied = int(tied[last].sum())
    return finding(
        "tied_times",
        "warning" if count >= TIES_THAT_MATTER * len(log) else "ok",
        count,
        len(log),
        "interactions",
        "share their time with another of the same user: the rows of the file decide what comes first"
        f" ({100 * last_tied / len(last):.1f} % of users have such a last one)",
        how="bring finer times if there are any; else read results on the order within a session with care",
        examples=(f"user {user}" for user in folder.users_at(users)),
    )


def _order_in_the_file(folder: Folder, n: int) -> Finding:
    observed = folder.manifest.source.observed
    recorded = "out_of_order" in observed
    return finding(
        "unsorted_import",
        "warning",
        observed.get("out_of_order", 0),
        n if recorded else 0,
        "interactions",
        "stood in the imported file before one that is earlier; they were sorted, but where times are tied the order "
        "of the file may mean nothing"
        if recorded
        else "stood in the imported file before one that is earlier: not recorded by this import",
        how="sort the file by time before the import if you know the true order of ties",
    )


def _epoch(times: Timestamps, now: float) -> list[Finding]:
    """Checks that hold for times since 1970 only; what the unit is, most of the times say."""
    n = len(times)
    in_unit = {name: (times >= SECONDS[0] * factor) & (times < SECONDS[1] * factor) for name, factor in UNITS.items()}
    unit = max(in_unit, key=lambda name: int(in_unit[name].sum()))
    known = 2 * int(in_unit[unit].sum()) > n
    others = (
        np.logical_or.reduce([mask for name, mask in in_unit.items() if name != unit]) if known else np.zeros(n, bool)
    )
    early = times < SECONDS[0] if known else np.zeros(n, bool)
    future = in_unit[unit] & (times > (now + DAY) * UNITS[unit]) if known else np.zeros(n, bool)
    said = f"while most are {unit} since 1970" if known else "(the times are not since 1970, or of no known unit)"
    return [
        finding(
            "mixed_units",
            "error",
            int(others.sum()),
            n,
            "interactions",
            f"have a time in another unit, {said}",
            how="bring all times to one unit and import again",
            examples=map(str, times[others]),
        ),
        finding(
            "early_times",
            "error",
            int(early.sum()),
            n,
            "interactions",
            f"have a time of zero or before March 1973, {said}: a missing time, or another unit; they sort first",
            how="mend or leave out these interactions and import again",
            examples=map(str, times[early]),
        ),
        finding(
            "future_times",
            "warning",
            int(future.sum()),
            n,
            "interactions",
            f"have a time in the future, {said}; they sort last and become targets",
            how="mend these times and import again",
            examples=map(str, times[future]),
        ),
    ]
