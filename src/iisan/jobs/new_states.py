"""The hidden states of new items from stores, as those of the trained items were."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from iisan.data.few_ids import few
from iisan.encoders.rebuild import differing_keys
from iisan.errors import UserError
from iisan.states.absent_modalities import AbsentModalities
from iisan.states.cached_source import CachedSource
from iisan.states.manifest import StoreDtype
from iisan.states.sources import ModalityShape, StateSource
from iisan.states.store import HiddenStateStore
from iisan.states.withheld_states import WithheldStates

logger = logging.getLogger(__name__)

# What `encode` writes unless told otherwise.
USUAL_DTYPE: StoreDtype = "float16"


def refuse_imported(encoders: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuses modalities whose states no encoder of this program made.

    Raises:
        UserError: There is one.
    """
    for name, identity in encoders.items():
        if is_imported(identity):
            raise UserError(
                f"the states of {name!r} were computed elsewhere and imported, so new ones cannot be computed here",
                how="compute them there too, import them with `iisan states import`, and name the folder of the stores "
                "with --states",
            )


def stored_states(
    encoders: Mapping[str, Mapping[str, Any]],
    folder: Path,
    item_ids: Sequence[str],
    hashes: Mapping[str, Sequence[str | None]],
    device: torch.device,
) -> StateSource:
    """States that stores hold of just the content that items have; the store of what no item has need not be there.

    Args:
        encoders: Identity of the encoder of each modality of a model.
        folder: Holds a store for each modality.
        item_ids: ``n`` ids.
        hashes: Content hash of the items by modality, None where an item lacks it.
        device: Where the states are wanted.

    Raises:
        UserError: A store is missing or unfinished, was made by another encoder, or lacks an item's content.
    """
    needed = {name: identity for name, identity in encoders.items() if any(hashes[name])}
    stores = stores_of_encoders(needed, folder)
    for name, store in stores.items():
        if is_imported(encoders[name]):
            logger.warning(
                "the states of %s were imported: whether they are of the table's content cannot be compared", name
            )
        else:
            _require_same_content(name, store, item_ids, hashes[name])
    lacking = {name: torch.tensor([one is None for one in hashes[name]]) for name in stores}  # [n] each
    source = WithheldStates(CachedSource(stores, item_ids, device=device), lacking)
    absent = _shapes({name: identity for name, identity in encoders.items() if name not in stores})
    return AbsentModalities(source, absent, device) if absent else source


def is_imported(identity: Mapping[str, Any]) -> bool:
    """Whether no encoder of this program made the states, so that nothing is known of their content."""
    return bool(identity.get("imported"))


def stores_of_encoders(encoders: Mapping[str, Mapping[str, Any]], folder: Path) -> dict[str, HiddenStateStore]:
    """Opens the store of each modality of a model.

    Args:
        encoders: Identity of the encoder of each modality.
        folder: Holds a store for each.

    Raises:
        UserError: A store is missing or unfinished, or was made by another encoder.
    """
    stores = {}
    for name, identity in encoders.items():
        stores[name] = HiddenStateStore.open(folder / name)
        if stores[name].manifest.unfinished:
            raise UserError(
                "the run that wrote the store was interrupted", where=str(folder / name), how="run it again first"
            )
        differing = differing_keys(identity, stores[name].manifest.encoder)
        if differing:
            raise UserError(
                f"the store was made by another encoder than the model was trained with: {', '.join(differing)} differ",
                where=str(folder / name),
                how="name the folder of stores that this encoder made",
            )
    return stores


def _require_same_content(
    name: str, store: HiddenStateStore, item_ids: Sequence[str], hashes: Sequence[str | None]
) -> None:
    pairs = list(zip(item_ids, hashes, store.hashes_of(item_ids), strict=True))
    how = "encode the table's content into this store, or leave --states out"
    missing = [item_id for item_id, wanted, found in pairs if wanted is not None and found is None]
    if missing:
        raise UserError(
            f"the store holds no states of the {name} of {len(missing)} items, such as {few(missing)}",
            where=str(store.path),
            how=how,
        )
    differing = [item_id for item_id, wanted, found in pairs if wanted is not None and found != wanted]
    if differing:
        raise UserError(
            f"the states of {len(differing)} items were made of another {name} than the table's, such as "
            f"{few(differing)}",
            where=str(store.path),
            how=how,
        )


def _shapes(encoders: Mapping[str, Mapping[str, Any]]) -> dict[str, ModalityShape]:
    return {name: ModalityShape(len(identity["taps"]), identity["width"]) for name, identity in encoders.items()}


def dtype_of_states(name: str, dtypes: Mapping[str, StoreDtype]) -> StoreDtype:
    """Dtype of the states of one modality that a model was trained on; float16 where it does not say."""
    if name not in dtypes:
        logger.warning("the model does not say in what dtype the states of %s were kept; taking %s", name, USUAL_DTYPE)
    return dtypes.get(name, USUAL_DTYPE)
