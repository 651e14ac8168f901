"""Interactions to be foreseen: any of a log, each with what its user had touched before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from iisan.data.evaluation_batches import EvaluationBatch
from iisan.data.interactions import Interactions, Rows
from iisan.data.windows import check_length, right_aligned


@dataclass(frozen=True, eq=False)
class Choices:
    """Some interactions of a log; a user may have several.

    Attributes:
        items: Catalogue rows of the log ``[M]``, int64.
        shown: Which of them the model may read ``[M]``, bool; the others are only kept out of the ranking.
        users: User row of each choice ``[E]``, int64.
        starts: Where the history of its user starts in the log ``[E]``, int64.
        positions: Where it stands in the log ``[E]``, int64.
    """

    items: Rows
    shown: npt.NDArray[np.bool_]
    users: Rows
    starts: Rows
    positions: Rows

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def targets(self) -> Rows:
        """Catalogue row of each choice ``[E]``."""
        return self.items[self.positions]

    def chosen(self, which: npt.NDArray[np.bool_]) -> Choices:
        """Some of the choices, by a mask ``[E]``."""
        return Choices(self.items, self.shown, self.users[which], self.starts[which], self.positions[which])

    def n_before(self, which: npt.NDArray[np.bool_]) -> Rows:
        """How many earlier interactions of its user each choice has among some of the log, by a mask ``[M]``."""
        counted = np.concatenate([[0], np.cumsum(which)]).astype(np.int64)
        before: Rows = counted[self.positions] - counted[self.starts]
        return before


def choices_of(log: Interactions, users: Rows, starts: Rows, positions: Rows, shown: npt.NDArray[np.bool_]) -> Choices:
    """Choices at some positions of a log; those that no history contains are left out.

    Args:
        log: The log.
        users: User rows that are kept ``[U]``, ascending.
        starts: Where the history of each of them starts in the log ``[U]``.
        positions: Positions in the log ``[E]``.
        shown: See :class:`Choices`.
    """
    user = log.user[positions]
    place = np.searchsorted(users, user)
    kept = place < len(users)
    kept[kept] = users[place[kept]] == user[kept]
    place, positions, user = place[kept], positions[kept], user[kept]
    inside = positions >= starts[place]
    return Choices(log.item, shown, user[inside], starts[place][inside], positions[inside])


def choice_batches(choices: Choices, length: int, size: int) -> Iterator[EvaluationBatch]:
    """What a ranking of the choices needs, at most `size` of them at a time.

    Args:
        choices: The choices.
        length: Inputs L; longer histories lose their oldest items.
        size: Choices a batch.

    Raises:
        UserError: ``length`` is below 1.
    """
    check_length(length)
    readable = np.flatnonzero(choices.shown)
    items = choices.items[readable]
    for at in range(0, len(choices), size):
        starts, positions = choices.starts[at : at + size], choices.positions[at : at + size]
        lengths = positions - starts
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        seen = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        firsts, ends = np.searchsorted(readable, starts), np.searchsorted(readable, positions)
        yield EvaluationBatch(
            inputs=right_aligned(items, firsts, ends, length),
            targets=choices.items[positions],
            seen_offsets=offsets,
            seen_items=choices.items[seen],
        )
