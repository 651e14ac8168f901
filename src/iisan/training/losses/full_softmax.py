"""Full softmax: every item of the catalogue is a negative, in bounded memory."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from iisan.models.recommender import Recommender
from iisan.states.sources import StateSource
from iisan.training.losses.target_softmax import target_softmax_loss


def embed_catalogue(model: Recommender, source: StateSource, rows: Tensor, chunk: int) -> Tensor:
    """Embeds many items with gradients, keeping the activations of one chunk at a time.

    States are gathered and activations computed again in the backward pass, so memory is that of ``[n, d]`` plus one
    chunk's activations, whatever the size of the catalogue.

    Args:
        model: Turns states into embeddings.
        source: Hidden states by catalogue row.
        rows: ``[n]`` catalogue rows.
        chunk: Items a pass.

    Returns:
        ``[n, d]``.
    """

    def embed(part: Tensor) -> Tensor:
        return model.item_embeddings(source.gather(part), part)

    return torch.cat([checkpoint(embed, part, use_reentrant=False) for part in torch.split(rows, chunk)])


def full_softmax_loss(
    user_states: Tensor, targets: Tensor, items: Tensor, left_out: Tensor | None = None, group: int | None = None
) -> Tensor:
    """Cross-entropy of each target against all `items`.

    Args:
        user_states: ``[R, d]``, one row a prediction.
        targets: ``[R]`` int64, the row of each target in `items`.
        items: ``[N, d]``.
        left_out: ``[R, K]`` int64, rows in `items` that a prediction is not compared with, its target excepted.
        group: Predictions whose logits are held at once; by default what suits the device.

    Returns:
        The mean over the predictions, a scalar.
    """
    return target_softmax_loss(user_states, targets, items, left_out=left_out, group=group)
