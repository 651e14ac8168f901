"""Steps in fixed shapes, for devices that the host should not wait for.

Every position of every window takes part; those that predict nothing add nothing. What depends on the windows' numbers
(which items are distinct, how many there are) was found out by the host before.
"""

from __future__ import annotations

import torch
from torch import Tensor

from iisan.training.batch_items import BatchItems
from iisan.training.device import full_precision
from iisan.training.losses.full_softmax import embed_catalogue
from iisan.training.losses.target_softmax import target_softmax_loss
from iisan.training.sampled_step import SampledSoftmaxStep
from iisan.training.step import FullSoftmaxStep, InBatchStep

Step = InBatchStep | FullSoftmaxStep | SampledSoftmaxStep

# Added to the target's logit of a position that predicts nothing: its loss and all its gradients are then exactly zero.
CERTAIN = 1e9


def assembled(step: Step, windows: Tensor, seed: int) -> BatchItems:
    """What a step must know of a batch, found out by the host.

    Args:
        step: What is trained.
        windows: ``[B, L + 1]`` on the CPU, right-aligned catalogue row + 1, 0 at padding.
        seed: Of what is drawn for the batch.

    Returns:
        Its distinct items, and those drawn; none of them where a step encodes the whole catalogue, whose items its
        slots then number.
    """
    if isinstance(step, FullSoftmaxStep):
        none = torch.zeros(0, dtype=torch.long)
        return BatchItems(none, step.slots_of(windows), none.float())
    if isinstance(step, SampledSoftmaxStep):
        return BatchItems.drawn(windows, step.negatives.draw(torch.Generator().manual_seed(seed)))
    return BatchItems.of(windows)


def most_items(step: Step, slots: int) -> int:
    """How many items a batch of so many slots can have at most."""
    if isinstance(step, FullSoftmaxStep):
        return 0
    return slots + (step.negatives.n_draws if isinstance(step, SampledSoftmaxStep) else 0)


def padded_loss(step: Step, batch: BatchItems, asked: Tensor | None = None) -> Tensor:
    """The loss of a step, in shapes that depend on its arguments' shapes alone.

    Args:
        step: What is trained.
        batch: As :func:`assembled`, filled up, on the model's device.
        asked: ``[n]`` the batch's rows as the source wants them; by default those on the device.

    Returns:
        The mean over the predictions, a scalar.
    """
    if isinstance(step, FullSoftmaxStep):
        return _full_softmax(step, batch)
    states = step.source.gather(batch.rows if asked is None else asked)
    items, user_states = step.model(states, batch.rows, batch.inputs)
    targets, predicted = _targets(batch), batch.predicted.flatten()
    with full_precision(items.device):
        if isinstance(step, SampledSoftmaxStep):
            return _mean(
                user_states,
                items,
                batch,
                offsets=step.negatives.offsets(batch.rows, batch.counts),
                target_offsets=_certain(predicted),
            )
        log_popularity = step.log_popularity[batch.rows]
        return _mean(
            user_states,
            items,
            batch,
            offsets=batch.counts.log() - log_popularity,
            target_offsets=_certain(predicted, -log_popularity[targets]),
            left_out=_own(batch, targets),
        )


def _full_softmax(step: FullSoftmaxStep, batch: BatchItems) -> Tensor:
    items = embed_catalogue(step.model, step.source, step.rows, step.chunk, asked=step.asked)
    user_states = step.model.user_states(items, batch.inputs)
    with full_precision(items.device):
        return _mean(user_states, items, batch, offsets=None, target_offsets=_certain(batch.predicted.flatten()))


def _mean(
    user_states: Tensor,
    items: Tensor,
    batch: BatchItems,
    *,
    offsets: Tensor | None,
    target_offsets: Tensor,
    left_out: Tensor | None = None,
) -> Tensor:
    """The mean over the predictions, from that over all positions."""
    loss = target_softmax_loss(
        user_states.float().flatten(0, 1),
        _targets(batch),
        items.float(),
        offsets=offsets,
        target_offsets=target_offsets,
        left_out=left_out,
    )
    return loss * (batch.inputs.numel() / batch.predicted.sum())


def _targets(batch: BatchItems) -> Tensor:
    """``[B · L]`` index of each position's target into the rows; 0 where there is none."""
    return (batch.slots[:, 1:].flatten() - 1).clamp_min(0)


def _certain(predicted: Tensor, offsets: Tensor | None = None) -> Tensor:
    """``[B · L]`` what is added to the targets' logits; of predictions, `offsets` or nothing."""
    offsets = torch.zeros_like(predicted, dtype=torch.float32) if offsets is None else offsets
    return offsets.masked_fill(~predicted, CERTAIN)


def _own(batch: BatchItems, targets: Tensor) -> Tensor:
    """``[B · L, L + 1]`` the items of each position's window, its target where the window is padding."""
    windows, width = batch.slots.shape
    own = batch.slots.unsqueeze(1).expand(windows, width - 1, width).reshape(-1, width) - 1
    return torch.where(own < 0, targets.unsqueeze(1), own)
