"""The leave-one-out split (contract point 10): last item for the test, the one before it for validation."""

from __future__ import annotations

import numpy as np

from iisan.data.dataset import Dataset
from iisan.data.histories import Histories
from iisan.data.interactions import Interactions, Rows
from iisan.data.kept_users import kept_users
from iisan.data.split import Catalogue, Split, join_parts
from iisan.errors import UserError

# A user needs one item to learn from, one validation and one test target.
SHORTEST = 3


def leave_one_out(
    data: Dataset | Interactions,
    *,
    min_interactions: int = 5,
    keep_last: int | None = None,
    catalogue: Catalogue = "all",
    held_out: Rows | None = None,
) -> Split:
    """Split each user's history into training items, validation target and test target.

    The protocol of the paper is ``keep_last=13, catalogue="interacted"`` with inputs cut to the last 10.

    Args:
        data: A dataset or its log.
        min_interactions: Users with fewer interactions are left out (before any cut), at least 3.
        keep_last: Keep only that many last interactions of a user, at least 3; None keeps all.
        catalogue: What is ranked: ``all`` items, or those that are ``interacted`` with in what is kept.
        held_out: Catalogue rows to keep from training and validation; test histories are whole.

    Raises:
        UserError: A number is too small, no user has enough interactions, or held-out items leave a part empty.
    """
    _check_numbers(min_interactions, keep_last)
    log = data.interactions if isinstance(data, Dataset) else data
    users, starts, ends = kept_users(log, min_interactions)
    if keep_last is not None:
        starts = np.maximum(starts, ends - keep_last)
    return join_parts(
        "leave_one_out",
        log,
        users,
        {
            "train": Histories.of(users, log.item, starts, ends - 2),
            "valid": Histories.of(users, log.item, starts, ends - 1),
            "test": Histories.of(users, log.item, starts, ends),
        },
        catalogue=catalogue,
        held_out=held_out,
    )


def _check_numbers(min_interactions: int, keep_last: int | None) -> None:
    for name, value in (("min_interactions", min_interactions), ("keep_last", keep_last)):
        if value is not None and value < SHORTEST:
            raise UserError(
                f"{name} is {value}, but a history needs {SHORTEST} items: one to learn from and two targets",
                how=f"use {SHORTEST} or more",
            )
