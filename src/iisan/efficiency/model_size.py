"""How many parameters a method trains, and how many a step computes with."""

from __future__ import annotations

from iisan.efficiency.measurement import TunedShare
from iisan.models.recommender import Recommender
from iisan.states.live_source import LiveSource
from iisan.states.sources import StateSource
from iisan.training.trained_state import trained_parameters


def model_size(model: Recommender, source: StateSource) -> TunedShare:
    """Trainable and total parameters of a model and the source that it is trained from.

    Encoders that are tuned belong to the model; those that only run belong to the source, and count in the total.
    """
    trainable = sum(parameter.numel() for parameter in trained_parameters(model))
    beside = source.n_parameters if isinstance(source, LiveSource) else 0
    return TunedShare(trainable=trainable, total=beside + sum(parameter.numel() for parameter in model.parameters()))
