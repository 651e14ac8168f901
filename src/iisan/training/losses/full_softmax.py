"""Full softmax: every item of the catalogue is a negative, in bounded memory."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from iisan.models.config import SideNetworkConfig
from iisan.models.recommender import Recommender
from iisan.states.sources import StateSource
from iisan.training.losses.target_softmax import target_softmax_loss

# Numbers that a hidden state of a chunk has on the CPU at most (1024 items of width 768): more leave its caches, with
# fewer the heads are folded too often.
CPU_NUMBERS = 1024 * 768


def embed_catalogue(
    model: Recommender, source: StateSource, rows: Tensor, chunk: int, *, asked: Tensor | None = None
) -> Tensor:
    """Embeds many items with gradients, keeping the activations of one chunk at a time.

    States are gathered and activations computed again in the backward pass, so memory is that of ``[n, d]`` plus one
    chunk's activations, whatever the size of the catalogue.

    Args:
        model: Turns states into embeddings.
        source: Hidden states by catalogue row.
        rows: ``[n]`` catalogue rows, on the model's device.
        chunk: Items a pass; on the CPU fewer where their hidden states would not stay in its caches.
        asked: The same rows where the source wants them; by default where they are.

    Returns:
        ``[n, d]``.
    """

    def embed(part: Tensor, asked_part: Tensor) -> Tensor:
        return model.item_embeddings(source.gather(asked_part), part)

    if rows.device.type == "cpu":
        width = max((shape.width for shape in source.modalities.values()), default=1)
        chunk = min(chunk, max(1, CPU_NUMBERS // width))
    parts = zip(torch.split(rows, chunk), torch.split(rows if asked is None else asked, chunk), strict=True)
    # What draws no numbers need not be given the same ones again; and a CUDA graph could not say where they stood.
    keep = draws_numbers(model)
    return torch.cat([checkpoint(embed, *part, use_reentrant=False, preserve_rng_state=keep) for part in parts])


def draws_numbers(model: Recommender) -> bool:
    """Whether embedding an item in training draws random numbers."""
    config, encoder = model.config, model.config.item_encoder
    own = config.own_items is not None and config.own_dropout > 0
    return own or (isinstance(encoder, SideNetworkConfig) and encoder.dropout > 0)


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
