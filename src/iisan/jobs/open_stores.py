"""The hidden-state stores of a dataset, opened and found complete."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from iisan.data.dataset import Dataset
from iisan.errors import UserError
from iisan.states.store import HiddenStateStore


def open_stores(dataset: Dataset, names: Sequence[str], folder: Path) -> dict[str, HiddenStateStore]:
    """Opens the store of each modality that is to be used, by name.

    Args:
        dataset: Whose items.
        names: Modalities.
        folder: Holds a store for each.

    Raises:
        UserError: A modality does not exist, was not encoded, or not to the end.
    """
    stores = {}
    for name in sorted(names):
        if name not in dataset.modalities:
            there = ", ".join(dataset.modalities) or "none"
            raise UserError(f"no modality {name!r}", where=str(dataset.path), how=f"there are: {there}")
        if not (folder / name).is_dir():
            raise UserError(
                f"modality {name!r} is not encoded",
                where=str(folder / name),
                how=f"run `iisan encode {dataset.path}` first, or choose others with --modalities",
            )
        stores[name] = HiddenStateStore.open(folder / name)
        _refuse_incomplete(stores[name], name, dataset)
    return stores


def with_content(stores: dict[str, HiddenStateStore], dataset: Dataset) -> Tensor:
    """Which items of the catalogue have states in at least one store, ``[N]`` bool."""
    has_content = [torch.from_numpy(store.rows_of(dataset.item_ids) >= 0) for store in stores.values()]
    return torch.stack(has_content).any(dim=0)


def _refuse_incomplete(store: HiddenStateStore, name: str, dataset: Dataset) -> None:
    """An item whose states are absent would pass for one without content, so an unfinished store is no store."""
    encoded = int((store.rows_of(dataset.item_ids) >= 0).sum())
    present = dataset.manifest.counts.present[name]
    if encoded != present:
        raise UserError(
            f"the store has states of {encoded:,} items, but {present:,} items of the dataset have {name!r}",
            where=str(store.path),
            how=f"run `iisan encode {dataset.path}` again",
        )
