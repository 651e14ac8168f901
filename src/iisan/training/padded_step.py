"""The in-batch step in fixed shapes, for devices that the host should not wait for."""

from __future__ import annotations

import torch
from torch import Tensor

from iisan.training.device import full_precision
from iisan.training.losses.target_softmax import target_softmax_loss
from iisan.training.padded_batch import PaddedBatch
from iisan.training.step import InBatchStep

# Added to the target's logit of a position that predicts nothing: its loss and all its gradients are then exactly zero.
CERTAIN = 1e9


def padded_in_batch_loss(step: InBatchStep, windows: Tensor, n_items: int) -> Tensor:
    """The loss of an in-batch step, in shapes that depend on its arguments' shapes alone.

    Every position of every window takes part; those that predict nothing add nothing.

    Args:
        step: What is trained.
        windows: ``[B, L + 1]``, right-aligned catalogue row + 1, 0 at padding; whole windows may be padding.
        n_items: Items to encode, at least the distinct ones of the batch.

    Returns:
        The mean over the predictions, a scalar.
    """
    batch = PaddedBatch.of(windows, n_items)
    items, user_states = step.model(step.source.gather(batch.rows), batch.rows, batch.inputs)
    log_popularity, predicted = step.log_popularity[batch.rows], batch.predicted
    with full_precision(items.device):
        loss = target_softmax_loss(
            user_states.float().flatten(0, 1),
            batch.targets,
            items.float(),
            offsets=batch.counts.log() - log_popularity,
            target_offsets=torch.where(predicted, -log_popularity[batch.targets], CERTAIN),
            left_out=batch.own,
        )
        return loss * (predicted.numel() / predicted.sum())
