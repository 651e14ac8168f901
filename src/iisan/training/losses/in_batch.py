"""In-batch cross-entropy with popularity correction (paper equation 6, contract point 9)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def in_batch_loss(
    user_states: Tensor,
    targets: Tensor,
    owners: Tensor,
    items: Tensor,
    log_popularity: Tensor,
    counts: Tensor,
    own: Tensor,
) -> Tensor:
    """Cross-entropy of each target against the items of the whole batch.

    In the plain form the columns are the batch's item slots, repeats included. Here each distinct item is one column
    and ``log(count)`` is added to its logit, which is the same number. A user's own items are left out, except for the
    one slot of the target, which therefore counts once.

    Args:
        user_states: ``[R, d]``, one row a prediction (real positions only).
        targets: ``[R]`` int64, the column of each row's target.
        owners: ``[R]`` int64, the batch row (user) of each prediction.
        items: ``[n, d]``, embeddings of the batch's distinct items.
        log_popularity: ``[n]``, log of each item's share of the training interactions.
        counts: ``[n]``, in how many slots of the batch each item stands.
        own: ``[B, n]`` bool, True where the item stands in the user's row.

    Returns:
        The mean over the predictions, a scalar.
    """
    scores = user_states @ items.T  # [R, n]
    column = targets.unsqueeze(1)
    target_logit = scores.gather(1, column) - log_popularity[targets].unsqueeze(1)  # [R, 1]
    offset = (counts.log() - log_popularity).expand(own.shape).masked_fill(own, -torch.inf)  # [B, n]
    logits = (scores + offset[owners]).scatter(1, column, target_logit)
    return functional.cross_entropy(logits, targets)
