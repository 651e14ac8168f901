"""Batches for ranking: the cut history of each user, its target, and all that the user has seen before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from iisan.data.interactions import Rows
from iisan.data.split import Split, TargetPart
from iisan.data.windows import check_length, right_aligned


@dataclass(frozen=True, eq=False)
class EvaluationBatch:
    """What a ranking of B users needs.

    Attributes:
        inputs: Item rows plus one ``[B, L]``, int64, right-aligned, 0 for padding.
        targets: Catalogue row of each target ``[B]``, int64.
        seen_offsets: Bounds of each user's part of ``seen_items``, ``[B + 1]``, int64.
        seen_items: Catalogue rows of the whole kept history before the target, oldest first, uncut.
    """

    inputs: Rows
    targets: Rows
    seen_offsets: Rows
    seen_items: Rows

    def __len__(self) -> int:
        return len(self.targets)


def evaluation_batch(
    split: Split,
    part: TargetPart,
    users: slice | Sequence[int] | npt.NDArray[np.int64],
    length: int,
) -> EvaluationBatch:
    """Gather the evaluation batch of some users.

    Args:
        split: The split.
        part: Which target.
        users: Positions ``0..U-1`` among the users of the part.
        length: Inputs L; longer histories lose their oldest items.

    Raises:
        UserError: ``length`` is below 1.
    """
    check_length(length)
    histories = split.histories(part)
    chosen = np.arange(len(histories))[users]
    starts, before_target = histories.starts[chosen], histories.ends[chosen] - 1
    lengths = before_target - starts
    seen_offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    positions = np.arange(seen_offsets[-1]) + np.repeat(starts - seen_offsets[:-1], lengths)
    return EvaluationBatch(
        inputs=right_aligned(histories.items, starts, before_target, length),
        targets=histories.items[before_target],
        seen_offsets=seen_offsets,
        seen_items=histories.items[positions],
    )
