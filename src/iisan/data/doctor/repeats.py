"""Checks for interactions that are in the log more than once."""

from __future__ import annotations

import numpy as np

from iisan.data.doctor.finding import Finding, finding
from iisan.data.doctor.folder import Folder
from iisan.data.doctor.times import tie_groups
from iisan.data.interactions import Interactions, Rows


def examine_repeats(folder: Folder, log: Interactions) -> list[Finding]:
    """Count interactions of one user with one item, and those at one time too."""
    found = [
        _repeats(
            folder,
            log,
            log.user,
            "repeated_interactions",
            "repeat an earlier one of the same user with the same item; they are kept",
            "if one purchase or view is to count once, leave the later ones out before the import",
        )
    ]
    if log.timestamp is not None:
        groups = tie_groups(log.user, log.timestamp)
        what = "repeat another of the same user, item and time: most likely logged twice"
        found.append(_repeats(folder, log, groups, "double_rows", what, "keep one row of each and import again"))
    return found


def _repeats(folder: Folder, log: Interactions, group: Rows, check: str, what: str, how: str) -> Finding:
    """Count the rows beyond the first of each pair of group and item."""
    keys = group * log.n_items + log.item
    first = np.unique(keys, return_index=True)[1] if _has_repeats(keys) else np.arange(len(log))
    again = np.ones(len(log), dtype=bool)
    again[first] = False
    rows = np.flatnonzero(again)
    pairs = zip(folder.users_at(log.user[rows]), folder.items_at(log.item[rows]), strict=True)
    return finding(
        check,
        "warning",
        len(rows),
        len(log),
        "interactions",
        what,
        how=how,
        examples=(f"user {user}, item {item}" for user, item in pairs),
    )


def _has_repeats(keys: Rows) -> bool:
    """Sorting alone is several times cheaper than finding where each key came first."""
    ordered = np.sort(keys)
    return bool((ordered[1:] == ordered[:-1]).any())
