"""Full softmax: every item of the catalogue is a negative, in bounded memory."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from iisan.models.recommender import Recommender
from iisan.states.sources import StateSource

# Logits held at once, forward and backward: 16 Mi floats are 64 MiB, twice that with their gradient.
LOGITS_AT_ONCE = 1 << 24


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
    user_states: Tensor, targets: Tensor, items: Tensor, logits_at_once: int = LOGITS_AT_ONCE
) -> Tensor:
    """Cross-entropy of each target against all `items`.

    Args:
        user_states: ``[R, d]``, one row a prediction.
        targets: ``[R]`` int64, the row of each target in `items`.
        items: ``[N, d]``.
        logits_at_once: Rows are taken in groups of about ``logits_at_once / N``; each group's logits are computed
            again in the backward pass.

    Returns:
        The mean over the predictions, a scalar.
    """
    group = max(1, logits_at_once // len(items))
    if len(user_states) <= group:
        return functional.cross_entropy(user_states @ items.T, targets)

    def group_loss(states: Tensor, columns: Tensor) -> Tensor:
        return functional.cross_entropy(states @ items.T, columns, reduction="sum")

    parts = zip(torch.split(user_states, group), torch.split(targets, group), strict=True)
    sums = [checkpoint(group_loss, states, columns, use_reentrant=False) for states, columns in parts]
    return torch.stack(sums).sum() / len(targets)
