"""Learning rates of encoders that are tuned, where none is given: those of the paper's scripts."""

from __future__ import annotations

from typing import Any

from iisan.training.config import TrainConfig

# By kind of encoder; a kind that is not named has the first rate.
FULL = {"image": 1e-4, "text": 5e-5}
SMALL_PARTS = 4e-4


def encoder_rates(config: TrainConfig, encoders: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Learning rate of each encoder.

    Args:
        config: Gives the method, and the rate where one is set.
        encoders: Identity of each modality's encoder.
    """
    if config.encoder_learning_rate is not None:
        return dict.fromkeys(encoders, config.encoder_learning_rate)
    if config.method != "full":
        return dict.fromkeys(encoders, SMALL_PARTS)
    return {name: FULL.get(str(identity.get("kind")), FULL["image"]) for name, identity in encoders.items()}
