"""Which loss a configuration means for a catalogue."""

from __future__ import annotations

import logging
from typing import Literal

from iisan.training.config import TrainConfig

logger = logging.getLogger(__name__)

Loss = Literal["in_batch", "full_softmax", "sampled_softmax"]

# With `loss: auto`, the full softmax is taken for up to this many items for each draw of the sampled one.
ITEMS_A_DRAW = 4


def chosen_loss(config: TrainConfig, n_items: int) -> Loss:
    """The loss to train by; with ``auto`` the choice goes by the size of the catalogue and is logged.

    Args:
        config: Names the loss.
        n_items: Items that training ranks.
    """
    if config.loss != "auto":
        return config.loss
    chosen: Loss = "full_softmax" if n_items <= ITEMS_A_DRAW * config.negatives else "sampled_softmax"
    logger.info("%s items to rank: %s (loss: auto)", f"{n_items:,}", chosen)
    return chosen
