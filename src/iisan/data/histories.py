"""Histories: one stretch of the log a user, for one part of a split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from iisan.data.interactions import Rows


@dataclass(frozen=True, eq=False)
class Histories:
    """What the users of one part of a split interacted with, each a stretch of one flat array, none of them empty.

    Attributes:
        users: User rows ``[U]``, int64, ascending.
        items: Catalogue rows ``[M]``, int64, oldest first within a user; also holds what no history is made of.
        starts: Where each history starts in ``items``, ``[U]``, int64.
        ends: Where it ends, exclusive, ``[U]``; for validation and test its last item is the target.
        last: Position in the log of each history's last interaction ``[U]``, int64.
    """

    users: Rows
    items: Rows
    starts: Rows
    ends: Rows
    last: Rows

    @classmethod
    def of(cls, users: Rows, items: Rows, starts: Rows, ends: Rows) -> Histories:
        """Histories that are stretches of the log itself.

        Args:
            users: User rows ``[U]``.
            items: Items of the log ``[M]``.
            starts: Positions in the log ``[U]``.
            ends: Positions in the log, exclusive, ``[U]``.
        """
        return cls(users, items, starts, ends, ends - 1)

    def __len__(self) -> int:
        return len(self.users)

    @property
    def targets(self) -> Rows:
        """Catalogue row of each history's last item ``[U]``."""
        return self.items[self.ends - 1]

    def history(self, position: int, length: int | None = None) -> Rows:
        """A user's items, oldest first, by position ``0..U-1``; ``length`` cuts to that many and the last one."""
        start, end = int(self.starts[position]), int(self.ends[position])
        return self.items[start if length is None else max(start, end - length - 1) : end]

    def covered(self) -> npt.NDArray[np.bool_]:
        """Which positions of ``items`` stand in a history ``[M]``."""
        step = np.zeros(len(self.items) + 1, dtype=np.int8)
        step[self.starts] += 1
        step[self.ends] -= 1
        return np.cumsum(step[:-1], dtype=np.int8).astype(bool)

    def chosen(self, users: npt.NDArray[np.bool_]) -> Histories:
        """The histories of some users, by a mask ``[U]``."""
        if users.all():
            return self
        return Histories(self.users[users], self.items, self.starts[users], self.ends[users], self.last[users])

    def without(self, left_out: npt.NDArray[np.bool_], *, least: int = 1) -> Histories:
        """The histories without some interactions; those with fewer than ``least`` left go as a whole.

        Args:
            left_out: Which positions of ``items`` to leave out ``[M]``.
            least: Items that a history must keep, 1 or more.
        """
        positions = np.flatnonzero(~left_out)
        before = np.concatenate([[0], np.cumsum(~left_out)]).astype(np.int64)  # [M + 1]
        starts, ends = before[self.starts], before[self.ends]
        long_enough = ends - starts >= least
        starts, ends = starts[long_enough], ends[long_enough]
        return Histories(self.users[long_enough], self.items[positions], starts, ends, positions[ends - 1])
