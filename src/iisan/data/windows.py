"""Training windows: each training transition of each user is predicted exactly once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from iisan.data.interactions import Rows
from iisan.data.split import Split
from iisan.errors import UserError

# Windows gathered at once: bounds the index array to a few tens of megabytes at any size of log.
CHUNK = 1 << 16


def training_windows(split: Split, length: int) -> npt.NDArray[np.int32]:
    """Cut the training histories into windows of ``length`` inputs and their successors.

    A history longer than ``length + 1`` gives several windows, aligned to its end and overlapping by one item, so that
    no transition is lost or repeated. A history of one item gives none. Windows stand by user, oldest first.

    Args:
        split: The split.
        length: Inputs L of a window.

    Returns:
        Item rows plus one ``[W, L + 1]``, right-aligned, 0 where there is no item: inputs ``[:, :-1]``, successors
        ``[:, 1:]``.

    Raises:
        UserError: ``length`` is below 1.
    """
    check_length(length)
    starts, ends = split.train.starts, split.train.ends
    per_user = -(-(ends - starts - 1) // length)
    first_window = np.cumsum(per_user) - per_user
    user = np.repeat(np.arange(len(split.train)), per_user)
    from_end = per_user[user] - 1 - (np.arange(len(user)) - first_window[user])
    window_ends = ends[user] - from_end * length
    windows = np.empty((len(user), length + 1), dtype=np.int32)
    for at in range(0, len(user), CHUNK):
        part = slice(at, at + CHUNK)
        windows[part] = right_aligned(split.train.items, starts[user[part]], window_ends[part], length + 1)
    return windows


def right_aligned(items: Rows, starts: Rows, ends: Rows, width: int) -> Rows:
    """The last ``width`` items of each span of a flat array, plus one, right-aligned, 0 for padding.

    Args:
        items: Item rows ``[M]``.
        starts: Start of each span ``[B]``.
        ends: End of each span, exclusive, ``[B]``.
        width: Columns of the result.

    Returns:
        Item rows plus one ``[B, width]``, int64.
    """
    index = ends[:, None] - width + np.arange(width)  # [B, width]
    inside = index >= starts[:, None]
    return np.where(inside, items[np.where(inside, index, 0)] + 1, 0)


def check_length(length: int) -> None:
    """Check a number of inputs.

    Raises:
        UserError: It is below 1.
    """
    if length < 1:
        raise UserError(f"the length of histories is {length}", how="use 1 or more")
