"""From the tokens of a layer to one vector."""

from __future__ import annotations

import torch
from torch import Tensor

from iisan.encoders.config import Pooling


def pool(hidden: Tensor, mask: Tensor | None, how: Pooling) -> Tensor:
    """Pool the tokens of one hidden state (contract point 1).

    Padding may stand on either side: "first" and "last" mean the first and last *real* token.

    Args:
        hidden: ``[n, L, D]`` hidden states.
        mask: ``[n, L]``, nonzero at real tokens, at least one a row; ``None``: all tokens are real.
        how: ``"first"``, ``"mean"`` or ``"last"``.

    Returns:
        ``[n, D]`` in the dtype of `hidden`; the mean is accumulated in fp32.
    """
    if how == "mean":
        return _mean(hidden, mask)
    if mask is None:
        return hidden[:, 0] if how == "first" else hidden[:, -1]
    real = mask.bool().to(torch.uint8)  # [n, L]
    # argmax returns the first of equal maxima
    position = real.argmax(dim=1) if how == "first" else real.shape[1] - 1 - real.flip(1).argmax(dim=1)  # [n]
    return hidden[torch.arange(hidden.shape[0], device=hidden.device), position]


def _mean(hidden: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return hidden.float().mean(dim=1).to(hidden.dtype)
    weight = mask.bool().float().unsqueeze(-1)  # [n, L, 1]
    # where, not multiplication: a padding position may hold inf or NaN
    total = torch.where(weight > 0, hidden.float(), 0.0).sum(dim=1)  # [n, D]
    return (total / weight.sum(dim=1)).to(hidden.dtype)
