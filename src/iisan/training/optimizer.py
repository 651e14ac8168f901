"""The optimiser: one learning rate for the side network, one for the rest."""

from __future__ import annotations

import torch
from torch import nn

from iisan.models.recommender import Recommender
from iisan.models.side_network import SideNetwork
from iisan.training.config import TrainConfig


def build_optimizer(model: Recommender, config: TrainConfig) -> torch.optim.Optimizer:
    """Adam or AdamW over groups that share a learning rate and a weight decay.

    The side network's blocks, gates and dimension transformation have their own learning rate, as in the paper; heads,
    fusion and sequence encoder share the other. Weight decay applies to matrices only.
    """
    side = {id(parameter) for parameter in _side_parameters(model)}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        rate = config.side_learning_rate if id(parameter) in side else config.learning_rate
        decay = config.weight_decay if parameter.ndim > 1 and min(parameter.shape) > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    listed = [{"params": params, "lr": rate, "weight_decay": decay} for (rate, decay), params in groups.items()]
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return kind(listed, fused=True)


def _side_parameters(model: Recommender) -> list[nn.Parameter]:
    encoder = model.item_encoder
    if not isinstance(encoder, SideNetwork):
        return []
    towers = [encoder.intra] if encoder.inter is None else [encoder.intra, encoder.inter]
    return [parameter for tower in towers for parameter in tower.parameters()]
