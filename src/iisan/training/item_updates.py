"""Which items' vectors a training step moves: all of them, or those of its batch."""

from __future__ import annotations

import logging

from torch import nn

from iisan.models.item_id_embedding import ItemIdEmbedding
from iisan.models.recommender import Recommender
from iisan.training.batch_adam import BatchAdam
from iisan.training.config import TrainConfig
from iisan.training.losses.choose import Loss

logger = logging.getLogger(__name__)

# With `item_updates: auto`. Here a step over the whole table begins to cost more than the rest of the step.
MOST_ITEMS = 100_000


def item_vectors(model: Recommender) -> nn.Embedding | None:
    """The table of one learned vector an item, where the model has one."""
    if isinstance(model.item_encoder, ItemIdEmbedding):
        return model.item_encoder.table
    return None if model.own is None else model.own.table


def batch_updates(model: Recommender, config: TrainConfig, loss: Loss) -> BatchAdam | None:
    """What moves the vectors of the batch's items, None where each step moves those of all items.

    With ``auto`` the choice goes by the size of the catalogue and is logged.

    Args:
        model: Its table of one learned vector an item, if any, is what is moved.
        config: Says which; also rates.
        loss: What the model is trained by; the full softmax has a gradient for every item.
    """
    table = item_vectors(model)
    if table is None or config.item_updates == "all":
        return None
    if config.item_updates == "auto":
        if loss == "full_softmax" or table.num_embeddings <= MOST_ITEMS:
            return None
        logger.info(
            "%s items are more than %s: a step moves the vectors of its batch's items only (item_updates: batch)",
            f"{table.num_embeddings:,}",
            f"{MOST_ITEMS:,}",
        )
    return BatchAdam(table, config.learning_rate, config.weight_decay)
