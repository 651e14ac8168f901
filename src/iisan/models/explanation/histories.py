"""A history with each of its items left out."""

from __future__ import annotations

from torch import Tensor


def leave_each_out(history: Tensor) -> Tensor:
    """A history as it is, and without each of its items in turn; those before the gap move up.

    Args:
        history: ``[m]`` slots, oldest first, all above 0.

    Returns:
        ``[m + 1, m]``, right-aligned, 0 at padding; ``[1, 1]`` for a single item, since nothing would be left.
    """
    length = len(history)
    if length == 1:
        return history.unsqueeze(0)
    lines = history.repeat(length + 1, 1)  # [m + 1, m]
    for gap in range(length):
        lines[gap + 1, 1 : gap + 1] = history[:gap]
        lines[gap + 1, 0] = 0
    return lines
