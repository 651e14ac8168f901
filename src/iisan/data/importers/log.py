"""From the raw log to rows of the catalogue in the order that a dataset promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from iisan.data.importers.columns import Coded
from iisan.data.interactions import Interactions, Rows, Timestamps, first_appearance, log_order
from iisan.errors import UserError

UnknownItems = Literal["error", "drop"]


@dataclass(frozen=True, eq=False)
class RawLog:
    """A log as its file has it, ``[M]`` rows.

    Attributes:
        user: Users.
        item: Items, in or out of the catalogue.
        timestamp: Times, or None.
        rating: Ratings, or None.
        where: The file, for messages.
    """

    user: Coded
    item: Coded
    timestamp: Timestamps | None
    rating: npt.NDArray[np.float64] | None
    where: str

    def keep(self, chosen: npt.NDArray[np.bool_]) -> RawLog:
        """The rows chosen by a mask ``[M]``."""
        if chosen.all():
            return self
        return RawLog(
            Coded(self.user.codes[chosen], self.user.ids),
            Coded(self.item.codes[chosen], self.item.ids),
            None if self.timestamp is None else self.timestamp[chosen],
            None if self.rating is None else self.rating[chosen],
            self.where,
        )


@dataclass(frozen=True, eq=False)
class OrderedLog:
    """The log of a dataset, and what came of the raw one.

    Attributes:
        user_ids: Ids of the users, by first appearance.
        interactions: The log in order.
        dropped: What was left out, by reason.
        observed: What the order no longer shows, for the manifest: ``out_of_order``, interactions that stood before
            the one of the same user that precedes them in time. Absent where the log has no times.
    """

    user_ids: list[str]
    interactions: Interactions
    dropped: dict[str, int]
    observed: dict[str, int]


def order_log(
    raw: RawLog, item_ids: Sequence[str], *, unknown_items: UnknownItems, min_rating: float | None = None
) -> OrderedLog:
    """Filter a raw log, turn ids into rows and sort it.

    Args:
        raw: The log.
        item_ids: The catalogue ``[N]``.
        unknown_items: ``error``, or ``drop`` and count interactions with items that the catalogue lacks.
        min_rating: Leave out and count interactions rated lower.

    Raises:
        UserError: Items are unknown, or nothing is left.
    """
    dropped = {}
    if min_rating is not None and raw.rating is not None:
        kept = raw.keep(raw.rating >= min_rating)
        dropped["below_min_rating"] = len(raw.user.codes) - len(kept.user.codes)
        raw = kept
    item = _catalogue_rows(raw, item_ids)
    known = item >= 0
    if not known.all():
        if unknown_items == "error":
            raise _unknown(raw, item)
        dropped["unknown_item"] = int((~known).sum())
        raw, item = raw.keep(known), item[known]
    if len(item) == 0:
        raise UserError("no interaction is left", where=raw.where, how=f"left out: {dropped or 'none'}")
    return _sorted(raw, item, len(item_ids), dropped)


def _catalogue_rows(raw: RawLog, item_ids: Sequence[str]) -> Rows:
    row_by_id = {item_id: row for row, item_id in enumerate(item_ids)}
    row_of_code = np.fromiter((row_by_id.get(one, -1) for one in raw.item.ids), dtype=np.int64)
    return row_of_code[raw.item.codes]


def _unknown(raw: RawLog, item: Rows) -> UserError:
    codes = raw.item.codes[item < 0]
    distinct = list(dict.fromkeys(codes.tolist()))
    examples = ", ".join(repr(raw.item.ids[code]) for code in distinct[:3])
    return UserError(
        f"{len(codes)} interactions are with {len(distinct)} items that the catalogue lacks, such as {examples}",
        where=raw.where,
        how="add the items, or leave the interactions out with unknown_items=drop",
    )


def _sorted(raw: RawLog, item: Rows, n_items: int, dropped: dict[str, int]) -> OrderedLog:
    user, old_codes = first_appearance(raw.user.codes, len(raw.user.ids))
    order = log_order(user, raw.timestamp)
    interactions = Interactions(
        user[order],
        item[order],
        None if raw.timestamp is None else raw.timestamp[order],
        None if raw.rating is None else raw.rating[order],
        n_users=len(old_codes),
        n_items=n_items,
    )
    observed = {} if raw.timestamp is None else {"out_of_order": _out_of_order(interactions.user, order)}
    return OrderedLog([raw.user.ids[code] for code in old_codes], interactions, dropped, observed)


def _out_of_order(user: Rows, order: Rows) -> int:
    """How many neighbours of a sorted log, of one user, stood the other way round before."""
    return int(((order[1:] < order[:-1]) & (user[1:] == user[:-1])).sum())
