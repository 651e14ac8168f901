"""What explanations of a model rest on: the hidden states that it reads, where they are at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from iisan.data.dataset import Dataset
from iisan.efficiency.gate_values import LayerValues, gate_values
from iisan.jobs.dataset_states import DatasetStates
from iisan.jobs.model_encoders import ModelEncoders, has_tuned_encoders, recorded_encoders
from iisan.jobs.new_states import stores_of_encoders
from iisan.models.config import ItemIdConfig
from iisan.models.explanation.explain import explain
from iisan.models.explanation.explanation import Explanation
from iisan.models.recommender import Recommender
from iisan.models.side_network import SideNetwork
from iisan.states.cached_source import CachedSource
from iisan.states.sources import ItemStates
from iisan.states.store import HiddenStateStore

# Ids named in a note.
SHOWN = 3


@dataclass(frozen=True)
class Explained:
    """An explanation with what is known around it.

    Attributes:
        explanation: The scores taken apart.
        gates: The model's gates by tower and layer (see :func:`~iisan.efficiency.gate_values.gate_values`), the same
            for every item; empty for a model without.
        notes: What could not be explained, a line each.
    """

    explanation: Explanation
    gates: dict[str, dict[str, LayerValues]]
    notes: list[str]


@dataclass(frozen=True, eq=False)
class ExplanationBasis:
    """The states and encoders of a model.

    Attributes:
        encoders: Identity of the encoder of each modality that may be left out; none where none may.
        stores: Hidden states by modality; none where none may be left out, or where encoders compute them.
        why_not: Why scores cannot be taken apart by modality; None where they can.
        computed: States that the model's encoders compute, in place of stores.
    """

    encoders: Mapping[str, Mapping[str, Any]]
    stores: dict[str, HiddenStateStore]
    why_not: str | None
    computed: DatasetStates | None = None

    @classmethod
    def open(cls, recommender: Recommender, model: Path, states: Path) -> ExplanationBasis:
        """Opens the stores that a model was trained on; no encoder is run.

        A model whose encoders were tuned, or which knows items by their ids only, is explained by the history alone.
        For the former there is :meth:`computing`.

        Args:
            recommender: The model.
            model: Its folder, for messages.
            states: Holds a store for each modality.

        Raises:
            UserError: A store is missing or unfinished, or was made by another encoder than the model says.
        """
        why_not = _why_not_apart(recommender)
        if why_not is not None:
            return cls.without(why_not)
        encoders = recorded_encoders(recommender, model)
        return cls(encoders, stores_of_encoders(encoders, states), None)

    @classmethod
    def computing(cls, encoders: ModelEncoders, dataset: Dataset) -> ExplanationBasis:
        """Has the states of the items at hand computed anew, as is needed where training tuned the encoders.

        Args:
            encoders: Of the model.
            dataset: That it was trained on.

        Raises:
            UserError: As of :class:`~iisan.jobs.dataset_states.DatasetStates`.
        """
        return cls(encoders.identities, {}, None, DatasetStates(encoders, dataset))

    @classmethod
    def without(cls, why_not: str) -> ExplanationBasis:
        """Explanations by the history alone."""
        return cls({}, {}, why_not)

    def states_of(self, item_ids: Sequence[str]) -> Mapping[str, ItemStates]:
        """The hidden states of some items; those that a store or the dataset lacks lack the modality."""
        if self.computed is not None:
            return self.computed.of(item_ids)
        # Not resident: that would read the whole stores to compare their checksums.
        return CachedSource(self.stores, item_ids, resident=False).gather(torch.arange(len(item_ids)))

    def explain(
        self, recommender: Recommender, history: Sequence[str], items: Sequence[str] | None = None, *, k: int = 5
    ) -> Explained:
        """Explains the top `k` items after a history, or those that are named.

        Raises:
            UserError: An id that the model does not know, or an empty history.
        """
        found = explain(recommender, history, items, k=k, states_of=None if self.why_not else self.states_of)
        notes = [self.why_not] if self.why_not else []
        lacking = "stores do not hold the states" if self.computed is None else "dataset does not hold the content"
        return Explained(found, self.gates(recommender), [*notes, *_notes(found, recommender, lacking)])

    def gates(self, recommender: Recommender) -> dict[str, dict[str, LayerValues]]:
        """The gates of a model; none for one that has none, or whose encoders are not known."""
        network = recommender.item_encoder
        if not isinstance(network, SideNetwork) or not set(network.names) <= set(self.encoders):
            return {}  # nor has any model whose encoders were tuned
        return gate_values(network, {name: self.encoders[name]["taps"] for name in network.names})


def _why_not_apart(recommender: Recommender) -> str | None:
    """Why scores cannot be taken apart by modality; None where they can."""
    if isinstance(recommender.config.item_encoder, ItemIdConfig):
        return "the model knows items by their ids only, so there are no modalities to leave out"
    if has_tuned_encoders(recommender):
        method = recommender.details["training"]["method"]
        return (
            f"the encoders were tuned (method {method}), so the stored states are not those that the model reads, and "
            "no modality is left out here; `iisan explain` runs the tuned encoders"
        )
    return None


def _notes(found: Explanation, recommender: Recommender, lacking: str) -> list[str]:
    notes = []
    if found.n_unread:
        notes.append(
            f"the model reads the last {recommender.max_length} items; {found.n_unread} older ones do not count"
        )
    unknown = found.unknown_content
    if unknown:
        shown = ", ".join(map(repr, unknown[:SHOWN])) + (", …" if len(unknown) > SHOWN else "")
        notes.append(
            f"the {lacking} that the model knows {shown} by ({len(unknown)} of the items at hand), so they are taken "
            "whole"
        )
    return notes
