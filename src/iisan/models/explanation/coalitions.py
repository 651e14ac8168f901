"""Item embeddings with every subset of an item's parts left out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from iisan.errors import UserError
from iisan.models.explanation.explanation import PartKind
from iisan.models.item_id_embedding import ItemIdEmbedding
from iisan.models.recommender import Recommender
from iisan.states.sources import ItemStates

# All subsets of so many parts are a thousand passes.
MOST_PARTS = 10
OWN_VECTOR = "own vector"


@dataclass(frozen=True, slots=True)
class PartName:
    """A modality, or the item's own vector."""

    name: str
    kind: PartKind


def part_names(model: Recommender) -> list[PartName]:
    """The parts that the embeddings of a model are made of: modalities by name, then the own vector; none for ids.

    Raises:
        UserError: There are too many to leave out every subset.
    """
    encoder = model.item_encoder
    if isinstance(encoder, ItemIdEmbedding):
        return []
    names = [PartName(name, "modality") for name in encoder.names]
    if model.own is not None:
        names.append(PartName(OWN_VECTOR, "own"))
    if len(names) > MOST_PARTS:
        raise UserError(f"{len(names)} modalities are too many to leave out every subset (at most {MOST_PARTS})")
    return names


def coalition_embeddings(model: Recommender, states: Mapping[str, ItemStates], rows: Tensor) -> Tensor:
    """Embeddings of items under every subset of their parts, through the whole item encoder.

    A modality is left out as if the item lacked it (:attr:`ItemStates.available`), an own vector as if the item had
    come after training.

    Args:
        model: In evaluation mode.
        states: Hidden states of ``n`` items, not whitened or whitened.
        rows: ``[n]`` their catalogue rows.

    Returns:
        ``[2^P, n, d]`` fp32; bit ``p`` of the first index says whether part ``p`` is there.
    """
    names = part_names(model)
    subsets = [
        frozenset(part.name for place, part in enumerate(names) if subset >> place & 1)
        for subset in range(1 << len(names))
    ]
    return torch.stack([embeddings_of_parts(model, states, rows, kept) for kept in subsets])


def embeddings_of_parts(
    model: Recommender, states: Mapping[str, ItemStates], rows: Tensor, kept: Collection[str]
) -> Tensor:
    """Embeddings of items of which only some parts are there, ``[n, d]`` fp32.

    Args:
        model: In evaluation mode.
        states: Hidden states of ``n`` items, not whitened or whitened.
        rows: ``[n]`` their catalogue rows.
        kept: Names of the parts that stay.
    """
    modalities = [part.name for part in part_names(model) if part.kind == "modality"]
    masked = {name: _masked(states[name], name in kept, len(rows)) for name in modalities}
    # Rows beyond the table have no vector of their own.
    beyond = rows if model.own is None or OWN_VECTOR in kept else torch.full_like(rows, model.own.table.num_embeddings)
    return model.item_embeddings(masked, beyond).float()


def having(model: Recommender, states: Mapping[str, ItemStates], rows: Tensor) -> Tensor:
    """Which items have which part, ``[P, n]`` bool."""
    found = []
    for part in part_names(model):
        if part.kind == "modality":
            available = states[part.name].available
            found.append(torch.ones_like(rows, dtype=torch.bool) if available is None else available)
        elif model.own is not None:
            found.append(rows < model.own.table.num_embeddings)
    return torch.stack(found)


def _masked(states: ItemStates, keep: bool, n: int) -> ItemStates:
    if keep:
        return states
    return replace(states, available=torch.zeros(n, dtype=torch.bool, device=states.taps[0].device))
