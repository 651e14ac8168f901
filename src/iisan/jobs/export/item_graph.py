"""The item side of a recommender as a graph: hidden states in, item embeddings out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from iisan.jobs.export.graph import Graph, Port
from iisan.jobs.export.plain_towers import with_plain_towers
from iisan.models.config import FrozenConfig, ItemIdConfig, SideNetworkConfig
from iisan.models.recommender import Recommender
from iisan.states.sources import ItemStates
from iisan.tuning.choose import is_tuned

ITEMS = "items"
OWN = "own_vectors"
ROWS = "rows"


@dataclass(frozen=True)
class ModalityInput:
    """What a graph reads of one modality.

    Attributes:
        n_taps: ``T`` of the input.
        width: ``D``.
        taps: Numbers of the encoder's hidden states, in order; None where the model does not say.
        repeats: How many taps the model is given; the input's only one stands for all of them.
    """

    n_taps: int
    width: int
    taps: list[int] | None
    repeats: int = 1


def modality_inputs(model: Recommender) -> dict[str, ModalityInput]:
    """What the item graph reads, by modality in the order of the inputs; nothing of a model of item ids."""
    config = model.config.item_encoder
    recorded: Mapping[str, Any] = model.details.get("encoders") or {}
    taps = {name: identity.get("taps") for name, identity in recorded.items()}
    if isinstance(config, SideNetworkConfig):
        sides = sorted(config.modalities.items())
        return {
            name: ModalityInput(side.n_taps, side.width, _taps(taps.get(name), side.n_taps)) for name, side in sides
        }
    if isinstance(config, FrozenConfig):
        whitened = {name: shape.n_taps for name, shape in model.config.whitening.items()}
        # Only the last tap is read, so nobody should have to feed the others.
        return {
            name: ModalityInput(1, width, (taps.get(name) or [])[-1:] or None, whitened.get(name, 1))
            for name, width in sorted(config.widths.items())
        }
    return {}


def tuned_by(model: Recommender) -> str | None:
    """The method that tuned the encoders with the model, None where they are those that anybody can download."""
    method = (model.details.get("training") or {}).get("method")
    return method if isinstance(method, str) and is_tuned(method) else None


def item_graph(model: Recommender) -> Graph:
    """The graph of a model's item side, in evaluation mode."""
    dim = model.config.item_encoder.dim
    length = ", of length 1" if model.log_scale is not None else ""
    output = Port("item_embedding", "float32", (ITEMS, dim), f"item embeddings{length}")
    if isinstance(model.config.item_encoder, ItemIdConfig):
        n = model.config.item_encoder.n_items
        rows = Port(ROWS, "int64", (ITEMS,), "places of the items in items.parquet", below=n)
        return Graph(_ByRow(model).eval(), (rows,), output)
    modalities = modality_inputs(model)
    ports = []
    for name, one in modalities.items():
        shape = (ITEMS, one.n_taps, one.width)
        ports += [
            Port(f"{name}_states", "float32", shape, f"hidden states of {name}, one vector a tap"),
            Port(f"{name}_present", "bool", (ITEMS,), f"whether an item has {name}; its states are not read where not"),
        ]
    if model.own is not None:
        meaning = "own vectors of the items from items.parquet, zeros for an item that is not in there"
        ports.append(Port(OWN, "float32", (ITEMS, dim), meaning))
    recorded, reference = (_ByContent(one, modalities).eval() for one in (with_plain_towers(model), model))
    return Graph(recorded, tuple(ports), output, reference=reference)


class _ByRow(nn.Module):
    def __init__(self, model: Recommender) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.model.item_embeddings_with({}, inputs[0], None)


class _ByContent(nn.Module):
    def __init__(self, model: Recommender, modalities: Mapping[str, ModalityInput]) -> None:
        super().__init__()
        self.model = model
        self.modalities = dict(modalities)

    def forward(self, *inputs: Tensor) -> Tensor:
        given = iter(inputs)
        states = {name: _as_states(one, next(given), next(given)) for name, one in self.modalities.items()}
        return self.model.item_embeddings_with(states, None, next(given, None))


def _as_states(one: ModalityInput, states: Tensor, present: Tensor) -> ItemStates:
    # What a caller leaves in the rows of absent content may be anything, NaN included.
    taps = torch.where(present[:, None, None], states, 0.0).unbind(1)  # T of [n, D]
    return ItemStates(list(taps) * one.repeats, present)


def _taps(recorded: Any, n_taps: int) -> list[int] | None:
    return list(recorded) if isinstance(recorded, list | tuple) and len(recorded) == n_taps else None
