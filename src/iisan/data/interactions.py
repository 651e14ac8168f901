"""The log of who interacted with what, in the one order that everything downstream relies on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from iisan.errors import UserError

Rows: TypeAlias = npt.NDArray[np.int64]
Timestamps: TypeAlias = npt.NDArray[np.int64] | npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Interactions:
    """Interactions sorted by user (first appearance in the log), then time, ties by row order of the log.

    Attributes:
        user: User rows ``[M]``, int64, non-decreasing.
        item: Catalogue rows ``[M]``, int64.
        timestamp: Times ``[M]`` in the unit of the log, or None where the log has none and its order is the time.
        rating: Ratings ``[M]``, float64, or None.
        n_users: Number of users.
        n_items: Size of the catalogue.
    """

    user: Rows
    item: Rows
    timestamp: Timestamps | None
    rating: npt.NDArray[np.float64] | None
    n_users: int
    n_items: int

    def __len__(self) -> int:
        return len(self.user)

    def check(self, where: str) -> None:
        """Check rows and order.

        Args:
            where: What to name in the error.

        Raises:
            UserError: Columns differ in length, rows are out of range, or the order is not the one promised.
        """
        for column in (self.item, self.timestamp, self.rating):
            if column is not None and column.shape != self.user.shape:
                raise UserError("columns of the log differ in length", where=where)
        if len(self) == 0:
            return
        if self.user.min() < 0 or self.user.max() >= self.n_users or self.item.min() < 0:
            raise UserError("the log names rows that do not exist", where=where)
        if self.item.max() >= self.n_items:
            raise UserError("the log names items that the catalogue lacks", where=where)
        step = np.diff(self.user)
        if (step < 0).any():
            raise UserError("the log is not sorted by user", where=where)
        if self.timestamp is not None and (np.diff(self.timestamp)[step == 0] < 0).any():
            raise UserError("the log is not sorted by time within its users", where=where)


def first_appearance(codes: Rows, n_codes: int) -> tuple[Rows, Rows]:
    """Renumber codes by where they appear first.

    Args:
        codes: Codes ``[M]`` in ``0..n_codes-1``; not every code need occur.
        n_codes: Number of codes.

    Returns:
        The new codes ``[M]``, and the old code of each new one ``[K]``, K being the number of codes that occur.
    """
    first = np.full(n_codes, len(codes), dtype=np.int64)
    # Of repeated indices numpy keeps the last value written, so writing backwards leaves the first position.
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1, dtype=np.int64)
    order = np.argsort(first)[: int((first < len(codes)).sum())]
    renumbered = np.full(n_codes, -1, dtype=np.int64)
    renumbered[order] = np.arange(len(order), dtype=np.int64)
    return renumbered[codes], order.astype(np.int64)


def log_order(user: Rows, timestamp: Timestamps | None) -> Rows:
    """Positions ``[M]`` that sort a log by user, then time, ties by row order.

    The item never takes part: catalogues are often numbered by release date, so an order by item id would leak.

    Args:
        user: User rows ``[M]``.
        timestamp: Times ``[M]``, or None: the row order is the time.
    """
    if timestamp is None:
        return np.argsort(user, kind="stable")
    return np.lexsort((timestamp, user))
