"""From all hidden states of a forward pass to the tapped, pooled ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from iisan.encoders.config import Pooling
from iisan.encoders.pooling import pool
from iisan.errors import UserError


def pooled_taps(hidden: Sequence[Tensor], mask: Tensor | None, taps: Sequence[int], pooling: Pooling) -> Tensor:
    """Pool the tapped hidden states only.

    Args:
        hidden: One ``[n, L, D]`` a state.
        mask: ``[n, L]``, nonzero at real tokens; ``None``: all are.
        taps: Indices into `hidden`.
        pooling: How tokens become one vector.

    Returns:
        ``[n, T, D]``.
    """
    return torch.stack([pool(hidden[tap], mask, pooling) for tap in taps], dim=1)


def check_states(hidden: Sequence[Tensor] | None, name: str) -> tuple[int, int]:
    """Number and width of a model's hidden states.

    Raises:
        UserError: The states are not all ``[n, L, D]`` with one ``D``, as in a hierarchical or convolutional model.
    """
    if not hidden or any(state.dim() != 3 or state.shape[2] != hidden[0].shape[2] for state in hidden):
        raise UserError(
            "the model has no token states of one width through all of its layers",
            where=name,
            how="use a Transformer such as BERT, Llama, ViT, DINOv2, CLIP or SigLIP",
        )
    return len(hidden), int(hidden[0].shape[2])
