"""Items held out of training, to see how a model ranks what it has never learned."""

from __future__ import annotations

import numpy as np

from iisan.data.interactions import Rows
from iisan.errors import UserError


def held_out_rows(n_items: int, share: float, seed: int) -> Rows:
    """Choose items at random; the same arguments choose the same items anywhere.

    With one seed, a smaller share chooses among the items of a larger one.

    Args:
        n_items: Size N of the catalogue.
        share: How much of it, from 0 up to but not including 1; above 0 at least one item is chosen.
        seed: Seed of the choice.

    Returns:
        Catalogue rows ``[H]``, int64, ascending.

    Raises:
        UserError: The share is out of range, or nothing would be left to train on.
    """
    if not 0 <= share < 1:
        raise UserError(f"the share of held-out items is {share}", how="use 0 or more and less than 1")
    if share == 0:
        return np.empty(0, dtype=np.int64)
    n_chosen = max(1, round(share * n_items))
    if n_chosen >= n_items:
        raise UserError(f"{n_chosen} of {n_items} items would be held out", how="lower the share of held-out items")
    # numpy keeps the raw stream of a bit generator the same for good; of its shuffles it says no such thing.
    keys = np.random.PCG64(seed).random_raw(n_items)
    return np.sort(np.argsort(keys, kind="stable")[:n_chosen]).astype(np.int64)
