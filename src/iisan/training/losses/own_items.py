"""Which items a prediction is not compared with: those of its own user."""

from __future__ import annotations

import torch
from torch import Tensor


def own_items(slots: Tensor, owners: Tensor, targets: Tensor) -> Tensor:
    """The items in the window of each prediction's user.

    Args:
        slots: ``[B, K]`` item of each slot plus one, 0 at padding.
        owners: ``[R]`` int64, the window of each prediction.
        targets: ``[R]`` int64, the item of each prediction's target; it stands where the window is padding.

    Returns:
        ``[R, K]`` int64 items.
    """
    own = slots[owners] - 1
    return torch.where(own < 0, targets.unsqueeze(1), own)
