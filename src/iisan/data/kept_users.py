"""Which users a split keeps, and where their interactions stand in the log."""

from __future__ import annotations

import numpy as np

from iisan.data.interactions import Interactions, Rows
from iisan.errors import UserError


def kept_users(log: Interactions, min_interactions: int) -> tuple[Rows, Rows, Rows]:
    """Users with enough interactions.

    Args:
        log: The log.
        min_interactions: Users with fewer are left out.

    Returns:
        User rows ``[U]``, ascending, and where the interactions of each start and end in the log ``[U]``, int64.

    Raises:
        UserError: No user has enough.
    """
    counts = np.bincount(log.user, minlength=log.n_users)
    kept = counts >= min_interactions
    if not kept.any():
        raise UserError(
            f"no user has {min_interactions} interactions, the most is {counts.max(initial=0)}",
            how="lower min_interactions or bring a larger log",
        )
    ends = np.cumsum(counts)
    return np.flatnonzero(kept).astype(np.int64), (ends - counts)[kept], ends[kept]
