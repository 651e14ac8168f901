"""The hidden-state stores of a dataset, opened and found complete."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from iisan.data.dataset import Dataset
from iisan.errors import UserError
from iisan.states.manifest import MANIFEST_NAME, read_manifest
from iisan.states.store import HiddenStateStore

logger = logging.getLogger(__name__)


def modality_names(dataset: Dataset, folder: Path) -> list[str]:
    """The modalities that a dataset has, and those that it has imported states of and nothing else.

    Args:
        dataset: The dataset.
        folder: Holds a store for each modality.

    Raises:
        UserError: The manifest of a store is damaged.
    """
    others = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return [*dataset.modalities, *(name for name in others if _exists_as_states(dataset, name, folder))]


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
        if name not in dataset.modalities and not _exists_as_states(dataset, name, folder):
            there = ", ".join(modality_names(dataset, folder)) or "none"
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


def _exists_as_states(dataset: Dataset, name: str, folder: Path) -> bool:
    """Whether a modality has no content in the dataset, but imported states."""
    if name in dataset.modalities or not (folder / name / MANIFEST_NAME).is_file():
        return False
    return read_manifest(folder / name).imported is not None


def _refuse_incomplete(store: HiddenStateStore, name: str, dataset: Dataset) -> None:
    """An item whose states are absent would pass for one without content, so an unfinished store is no store."""
    imported = store.manifest.imported is not None
    again = "run `iisan states import` again" if imported else f"run `iisan encode {dataset.path}` again"
    if store.manifest.unfinished:
        raise UserError("the run that wrote the store was interrupted", where=str(store.path), how=again)
    encoded = int((store.rows_of(dataset.item_ids) >= 0).sum())
    present = dataset.manifest.counts.present.get(name, encoded)
    if not imported and encoded != present:
        raise UserError(
            f"the store has states of {encoded:,} items, but {present:,} items of the dataset have {name!r}",
            where=str(store.path),
            how=again,
        )
    if imported and not encoded:
        raise UserError("the store has states of no item of the dataset", where=str(store.path), how=again)
    if encoded != present:  # The importer was told to let them lack it, or the dataset has changed since.
        logger.info("%s: imported states of %d items, the dataset has %d with it", name, encoded, present)
