"""What a split makes of a log: histories to train on, and histories whose last item is to be found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from iisan.data.histories import Histories
from iisan.data.interactions import Interactions, Rows
from iisan.errors import UserError

Part = Literal["train", "valid", "test"]
TargetPart = Literal["valid", "test"]
SplitKind = Literal["leave_one_out", "global_time"]
Catalogue = Literal["all", "interacted"]


@dataclass(frozen=True)
class Unranked:
    """Users that have a target in a part and are not in it all the same.

    Attributes:
        new: They have no history before the target.
        held_out: Their target is a held-out item, or nothing but held-out items stands before it.
    """

    new: int = 0
    held_out: int = 0


@dataclass(frozen=True, eq=False)
class Split:
    """Training histories, and validation and test histories whose last item is the target.

    The users of the parts may differ: a position ``0..U-1`` counts within its part.

    Attributes:
        kind: How the log was split.
        n_items: Size N of the catalogue.
        users: Rows of the users that are kept, whether or not every part has them, int64, ascending.
        train: Histories to learn from.
        valid: Histories of the validation part.
        test: Histories of the test part.
        trained: Which interactions of the log are learned from ``[M]``.
        n_interactions: Interactions of the log that stand in any of the histories.
        candidates: Catalogue rows that are ranked in the test part ``[C]``, int64, ascending.
        train_counts: How often each item occurs in the training histories ``[N]``, int64.
        held_out: Catalogue rows that neither training nor validation may see, int64, ascending.
        unranked: Users that had to be left out of a part.
        cuts: Where the log was cut by time: validation is at or after the first, test at or after the second.
    """

    kind: SplitKind
    n_items: int
    users: Rows
    train: Histories
    valid: Histories
    test: Histories
    trained: npt.NDArray[np.bool_]
    n_interactions: int
    candidates: Rows
    train_counts: Rows
    held_out: Rows
    unranked: dict[TargetPart, Unranked]
    cuts: tuple[float, float] | None = None

    @property
    def n_users(self) -> int:
        """Users that are kept."""
        return len(self.users)

    @property
    def n_train_interactions(self) -> int:
        """Interactions that may be trained on."""
        return int(self.train_counts.sum())

    @property
    def n_candidates(self) -> int:
        """Items C that are ranked in the test part."""
        return len(self.candidates)

    @property
    def train_candidates(self) -> Rows:
        """Candidates that are not held out, int64, ascending: what training and validation rank."""
        if not len(self.held_out):
            return self.candidates
        return np.setdiff1d(self.candidates, self.held_out, assume_unique=True)

    def histories(self, part: Part) -> Histories:
        """The histories of a part."""
        parts: dict[Part, Histories] = {"train": self.train, "valid": self.valid, "test": self.test}
        return parts[part]

    def candidates_of(self, part: TargetPart) -> Rows:
        """Catalogue rows that a part's targets are ranked among: in validation none that is held out."""
        return self.candidates if part == "test" else self.train_candidates

    def targets(self, part: TargetPart) -> Rows:
        """Catalogue row of the target of each user of a part."""
        return self.histories(part).targets

    def train_history(self, user: int) -> Rows:
        """What is learned from a user of the training part, by position, oldest first."""
        return self.train.history(user)

    def valid_history(self, user: int, length: int | None = None) -> Rows:
        """A validation history; the last item returned is the target. ``length`` cuts to that many inputs."""
        return self.valid.history(user, length)

    def test_history(self, user: int, length: int | None = None) -> Rows:
        """A test history; the last item returned is the target. ``length`` cuts to that many inputs."""
        return self.test.history(user, length)


def join_parts(
    kind: SplitKind,
    log: Interactions,
    users: Rows,
    parts: dict[Part, Histories],
    *,
    catalogue: Catalogue,
    held_out: Rows | None,
    new: dict[TargetPart, int] | None = None,
    cuts: tuple[float, float] | None = None,
) -> Split:
    """Make a split of its parts: leave held-out items out of training and validation, and count.

    Args:
        kind: How the log was split.
        log: The log.
        users: Rows of the users that are kept.
        parts: Each part's histories as stretches of the log, validation and test with their targets.
        catalogue: What is ranked: ``all`` items, or those that are ``interacted`` with in any of the histories.
        held_out: Catalogue rows that neither training nor validation may see.
        new: For each part, users with a target but no history.
        cuts: Where the log was cut by time.

    Raises:
        UserError: A part is empty.
    """
    train, valid, test = parts["train"], parts["valid"], parts["test"]
    trained = train.covered()
    kept = trained | valid.covered() | test.covered()
    n_valid = len(valid)
    rows = np.empty(0, dtype=np.int64) if held_out is None else np.unique(held_out).astype(np.int64)
    if len(rows):
        of_held_out = np.isin(np.arange(log.n_items), rows)[log.item]
        train = train.without(of_held_out)
        valid = valid.chosen(~of_held_out[valid.last]).without(of_held_out, least=2)
        trained &= ~of_held_out
    for name, part in (("training", train), ("validation", valid), ("test", test)):
        if not len(part):
            raise UserError(f"the {name} part of the split is empty", how="bring a larger log or split it otherwise")
    new = new or {}
    interacted = np.flatnonzero(np.bincount(log.item[kept], minlength=log.n_items))
    return Split(
        kind=kind,
        n_items=log.n_items,
        users=users,
        train=train,
        valid=valid,
        test=test,
        trained=trained,
        n_interactions=int(kept.sum()),
        candidates=np.arange(log.n_items, dtype=np.int64) if catalogue == "all" else interacted.astype(np.int64),
        train_counts=np.bincount(log.item[trained], minlength=log.n_items).astype(np.int64),
        held_out=rows,
        unranked={
            "valid": Unranked(new=new.get("valid", 0), held_out=n_valid - len(valid)),
            "test": Unranked(new=new.get("test", 0)),
        },
        cuts=cuts,
    )


def popularity(split: Split) -> npt.NDArray[np.float64]:
    """Share of each item among the training interactions ``[N]``, summing to 1 (contract point 9)."""
    share: npt.NDArray[np.float64] = split.train_counts / split.train_counts.sum()
    return share
