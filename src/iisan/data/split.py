"""The leave-one-out split (contract point 10): last item for the test, the one before it for validation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from iisan.data.dataset import Dataset
from iisan.data.interactions import Interactions, Rows
from iisan.errors import UserError

Part = Literal["train", "valid", "test"]
Catalogue = Literal["all", "interacted"]

# A user needs one item to learn from, one validation and one test target.
SHORTEST = 3
HELD_OUT: dict[Part, int] = {"train": 2, "valid": 1, "test": 0}


@dataclass(frozen=True, eq=False)
class Split:
    """Histories of the users that are kept, as one flat array with offsets.

    Attributes:
        n_items: Size N of the catalogue.
        users: User rows ``[U]``, int64, by first appearance in the log.
        offsets: Bounds of each user's history in ``items``, ``[U + 1]``, int64.
        items: Catalogue rows ``[M]``, int64, oldest first, both targets included.
        candidates: Catalogue rows that are ranked ``[C]``, int64, ascending.
        train_counts: How often each item occurs in the training histories ``[N]``, int64.
    """

    n_items: int
    users: Rows
    offsets: Rows
    items: Rows
    candidates: Rows
    train_counts: Rows

    @property
    def n_users(self) -> int:
        """Users U that are kept."""
        return len(self.users)

    @property
    def n_interactions(self) -> int:
        """Interactions M that are kept."""
        return len(self.items)

    @property
    def n_train_interactions(self) -> int:
        """Interactions that may be trained on."""
        return int(self.train_counts.sum())

    @property
    def n_candidates(self) -> int:
        """Items C that are ranked."""
        return len(self.candidates)

    def bounds(self, part: Part) -> tuple[Rows, Rows]:
        """Start and end ``[U]`` of each user's history in ``items``; for valid and test the last item is the target."""
        return self.offsets[:-1], self.offsets[1:] - HELD_OUT[part]

    def targets(self, part: Literal["valid", "test"]) -> Rows:
        """Catalogue row of each user's target ``[U]``."""
        return self.items[self.bounds(part)[1] - 1]

    def train_history(self, user: int) -> Rows:
        """All but the last two items of a user, by position ``0..U-1``, oldest first."""
        return self._history(user, "train", None)

    def valid_history(self, user: int, length: int | None = None) -> Rows:
        """All but the last item; the last one returned is the target. ``length`` cuts to that many inputs."""
        return self._history(user, "valid", length)

    def test_history(self, user: int, length: int | None = None) -> Rows:
        """The whole history; the last one returned is the target. ``length`` cuts to that many inputs."""
        return self._history(user, "test", length)

    def _history(self, user: int, part: Part, length: int | None) -> Rows:
        start, end = int(self.offsets[user]), int(self.offsets[user + 1]) - HELD_OUT[part]
        return self.items[start if length is None else max(start, end - length - 1) : end]


def leave_one_out(
    data: Dataset | Interactions,
    *,
    min_interactions: int = 5,
    keep_last: int | None = None,
    catalogue: Catalogue = "all",
) -> Split:
    """Split each user's history into training items, validation target and test target.

    The protocol of the paper is ``keep_last=13, catalogue="interacted"`` with inputs cut to the last 10.

    Args:
        data: A dataset or its log.
        min_interactions: Users with fewer interactions are left out (before any cut), at least 3.
        keep_last: Keep only that many last interactions of a user, at least 3; None keeps all.
        catalogue: What is ranked: ``all`` items, or those that are ``interacted`` with in what is kept.

    Raises:
        UserError: A number is too small, or no user has enough interactions.
    """
    _check_numbers(min_interactions, keep_last)
    log = data.interactions if isinstance(data, Dataset) else data
    counts = np.bincount(log.user, minlength=log.n_users)
    kept = counts >= min_interactions
    if not kept.any():
        raise UserError(
            f"no user has {min_interactions} interactions, the most is {counts.max(initial=0)}",
            how="lower min_interactions or bring a larger log",
        )
    ends = np.cumsum(counts)
    from_end = ends[log.user] - np.arange(len(log))
    chosen = kept[log.user] if keep_last is None else kept[log.user] & (from_end <= keep_last)
    lengths = counts[kept] if keep_last is None else np.minimum(counts[kept], keep_last)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    items = log.item[chosen]
    return Split(
        n_items=log.n_items,
        users=np.flatnonzero(kept).astype(np.int64),
        offsets=offsets,
        items=items,
        candidates=_candidates(items, log.n_items, catalogue),
        train_counts=_train_counts(items, offsets, log.n_items),
    )


def popularity(split: Split) -> npt.NDArray[np.float64]:
    """Share of each item among the training interactions ``[N]``, summing to 1 (contract point 9)."""
    share: npt.NDArray[np.float64] = split.train_counts / split.train_counts.sum()
    return share


def _check_numbers(min_interactions: int, keep_last: int | None) -> None:
    for name, value in (("min_interactions", min_interactions), ("keep_last", keep_last)):
        if value is not None and value < SHORTEST:
            raise UserError(
                f"{name} is {value}, but a history needs {SHORTEST} items: one to learn from and two targets",
                how=f"use {SHORTEST} or more",
            )


def _candidates(items: Rows, n_items: int, catalogue: Catalogue) -> Rows:
    if catalogue == "all":
        return np.arange(n_items, dtype=np.int64)
    return np.flatnonzero(np.bincount(items, minlength=n_items)).astype(np.int64)


def _train_counts(items: Rows, offsets: Rows, n_items: int) -> Rows:
    training = np.ones(len(items), dtype=bool)
    training[offsets[1:] - 1] = False
    training[offsets[1:] - 2] = False
    return np.bincount(items[training], minlength=n_items).astype(np.int64)
