"""In-batch cross-entropy with popularity correction (paper equation 6, contract point 9)."""

from __future__ import annotations

from torch import Tensor

from iisan.training.losses.target_softmax import target_softmax_loss


def in_batch_loss(
    user_states: Tensor,
    targets: Tensor,
    items: Tensor,
    log_popularity: Tensor,
    counts: Tensor,
    left_out: Tensor,
) -> Tensor:
    """Cross-entropy of each target against the items of the whole batch.

    In the plain form the columns are the batch's item slots, repeats included. Here each distinct item is one column
    and ``log(count)`` is added to its logit, which is the same number. A user's own items are left out, except for the
    one slot of the target, which therefore counts once.

    Args:
        user_states: ``[R, d]``, one row a prediction (real positions only).
        targets: ``[R]`` int64, the column of each row's target.
        items: ``[n, d]``, embeddings of the batch's distinct items.
        log_popularity: ``[n]``, log of each item's share of the training interactions.
        counts: ``[n]``, in how many slots of the batch each item stands.
        left_out: ``[R, K]`` int64, the columns of each user's own items (see
            :func:`~iisan.training.losses.own_items.own_items`).

    Returns:
        The mean over the predictions, a scalar.
    """
    return target_softmax_loss(
        user_states,
        targets,
        items,
        offsets=counts.log() - log_popularity,
        target_offsets=-log_popularity[targets],
        left_out=left_out,
    )
