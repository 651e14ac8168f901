"""Dropout of one forward pass from one draw of random numbers."""

from __future__ import annotations

import torch
from torch import Tensor

# A number is dropped or not by 16 random bits, of which a draw has four times as many: one draw a number takes longer.
LEVELS = 1 << 16
BITS_A_DRAW = 64


class DropoutMasks:
    """Masks for all that a forward pass drops.

    Args:
        dropout: Probability with which a number is dropped, below 1, in steps of 2⁻¹⁶; 0 for none.
        size: How many numbers all masks together have.
        like: Gives device and dtype.
    """

    def __init__(self, dropout: float, size: int, like: Tensor) -> None:
        dropped = min(round(dropout * LEVELS), LEVELS - 1)
        self._kept = _kept(dropped, size, like) if dropped else None
        self._used = 0

    def next(self, *shape: int) -> Tensor | None:
        """The next mask: 0 where a number is dropped, else what keeps the expected value; None for no dropout."""
        if self._kept is None:
            return None
        start, self._used = self._used, self._used + torch.Size(shape).numel()
        return self._kept[start : self._used].view(shape)

    def drop(self, x: Tensor) -> Tensor:
        """`x` with numbers dropped."""
        mask = self.next(*x.shape)
        return x if mask is None else x * mask

    def add_dropped(self, total: Tensor, x: Tensor) -> Tensor:
        """`total` plus `x` with numbers dropped."""
        mask = self.next(*x.shape)
        return total + x if mask is None else torch.addcmul(total, x.to(total.dtype), mask)


def _kept(dropped: int, size: int, like: Tensor) -> Tensor:
    n_draws = -(-size * 16 // BITS_A_DRAW)
    draws = torch.empty(n_draws, dtype=torch.int64, device=like.device).random_(-(1 << 63), None)
    kept = draws.view(torch.int16)[:size] >= dropped - LEVELS // 2
    return kept.to(like.dtype).mul_(LEVELS / (LEVELS - dropped))
