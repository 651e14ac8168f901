"""Sampled softmax: the full softmax, estimated from items drawn at random."""

from __future__ import annotations

from torch import Tensor

from iisan.training.losses.target_softmax import target_softmax_loss


def sampled_softmax_loss(
    user_states: Tensor, targets: Tensor, items: Tensor, offsets: Tensor, group: int | None = None
) -> Tensor:
    """Cross-entropy of each target against the items drawn for the step.

    Each draw's logit is corrected by the logarithm of how often the item was to be expected among the draws, so that
    the softmax's denominator is that of the full softmax in expectation. The target is in every denominator whether
    it was drawn or not: its logit is not corrected, and draws of it do not count. (To correct the target like a draw,
    as is often done, biases the gradient: Khrylchenko et al. 2025, https://arxiv.org/abs/2507.09331.) The logarithm
    of an estimate is biased still, by the order of one over the number of draws.

    Args:
        user_states: ``[R, d]``, one row a prediction.
        targets: ``[R]`` int64, the row of each target in `items`.
        items: ``[n, d]``, the items drawn and the targets, each once.
        offsets: ``[n]``, see :meth:`~iisan.training.losses.negatives.Negatives.offsets`; ``-inf`` at items that were
            not drawn.
        group: Predictions whose logits are held at once; by default what suits the device.

    Returns:
        The mean over the predictions, a scalar.
    """
    return target_softmax_loss(user_states, targets, items, offsets=offsets, group=group)
