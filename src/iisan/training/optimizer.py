"""The optimiser: one learning rate for the side network, one for the rest."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from iisan.models.recommender import Recommender
from iisan.models.side_network import SideNetwork
from iisan.training.config import TrainConfig
from iisan.training.shared_step_adam import SharedStepAdam
from iisan.training.trained_state import trained_parameters


def build_optimizer(
    model: Recommender,
    config: TrainConfig,
    apart: nn.Parameter | None = None,
    encoder_rates: Mapping[str, float] | None = None,
) -> torch.optim.Optimizer:
    """Adam or AdamW over groups that share a learning rate and a weight decay.

    The side network's blocks, gates and dimension transformation have their own learning rate, as in the paper; heads,
    fusion and sequence encoder share the other. Weight decay applies to matrices only. Another takes care of `apart`.

    Args:
        model: Those of its parameters that want gradients are trained.
        config: Gives the rates.
        apart: A parameter to leave out.
        encoder_rates: Learning rate of each encoder that is tuned with the model, by modality.
    """
    rates = dict.fromkeys(map(id, _side_parameters(model)), config.side_learning_rate)
    for name, encoder in ({} if model.encoders is None else model.encoders).items():
        rates |= dict.fromkeys(map(id, encoder.parameters()), (encoder_rates or {}).get(name, config.learning_rate))
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in trained_parameters(model):
        if parameter is apart:
            continue
        rate = rates.get(id(parameter), config.learning_rate)
        decay = config.weight_decay if parameter.ndim > 1 and min(parameter.shape) > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    listed = [{"params": params, "lr": rate, "weight_decay": decay} for (rate, decay), params in groups.items()]
    return SharedStepAdam(listed, decoupled=config.optimizer == "adamw")


def _side_parameters(model: Recommender) -> list[nn.Parameter]:
    encoder = model.item_encoder
    if not isinstance(encoder, SideNetwork):
        return []
    towers = [encoder.intra] if encoder.inter is None else [encoder.intra, encoder.inter]
    return [parameter for tower in towers for parameter in tower.parameters()]
