"""What a model must keep of the catalogue that it was trained on, so that items can be added to it later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from iisan.data.dataset import Dataset
from iisan.jobs.item_columns import imported_columns
from iisan.models.item_table import ItemTable
from iisan.states.store import HiddenStateStore


def catalogue_facts(dataset: Dataset, stores: Mapping[str, HiddenStateStore]) -> dict[str, Any]:
    """Plain data for a model's details: encoders, dtypes of the states, columns of the items table, the dataset."""
    return {
        "encoders": {name: store.manifest.encoder for name, store in stores.items()},
        "state_dtypes": {name: store.manifest.dtype for name, store in stores.items()},
        "columns": imported_columns(dataset.manifest).model_dump(mode="json"),
        "dataset": {"name": dataset.name, "sha256": dataset.manifest.sha256},
    }


def catalogue_table(
    dataset: Dataset, stores: Mapping[str, HiddenStateStore], embeddings: Tensor, recommendable: Tensor
) -> ItemTable:
    """The item table of a dataset's whole catalogue, with the content hashes that the stores know.

    Args:
        dataset: Whose items.
        stores: The states that were used, by modality.
        embeddings: ``[N, d]``.
        recommendable: ``[N]`` bool.
    """
    hashes = {name: store.hashes_of(dataset.item_ids) for name, store in stores.items()}
    return ItemTable(dataset.item_ids, dataset.titles, embeddings, recommendable, hashes)
