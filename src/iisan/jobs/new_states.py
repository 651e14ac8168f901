"""The hidden states of new items, as those of the trained items were: from the same encoders, or from stores."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from iisan.encoders.config import ComputeDtype
from iisan.encoders.rebuild import differing_keys, rebuild_encoder
from iisan.errors import UserError
from iisan.states.absent_modalities import AbsentModalities
from iisan.states.cached_source import CachedSource
from iisan.states.content import Content
from iisan.states.encode_items import Progress
from iisan.states.live_source import LiveSource
from iisan.states.manifest import StoreDtype
from iisan.states.sources import ModalityShape, StateSource
from iisan.states.store import HiddenStateStore

logger = logging.getLogger(__name__)

# What `encode` writes unless told otherwise.
USUAL_DTYPE: StoreDtype = "float16"


def live_states(
    encoders: Mapping[str, Mapping[str, Any]],
    dtypes: Mapping[str, StoreDtype],
    contents: Mapping[str, Sequence[Content | None]],
    *,
    models: Mapping[str, str],
    compute: ComputeDtype = "auto",
    batch_size: int = 64,
    device: torch.device,
    progress: Progress | None = None,
) -> StateSource:
    """States computed when they are asked for; an encoder that no item needs is not loaded.

    Args:
        encoders: Identity of the encoder of each modality of a model.
        dtypes: Dtype of the states that it was trained on; float16 where it is not said.
        contents: Content of the ``n`` items by modality.
        models: Where an encoder is, by modality, where it is not where its identity says.
        compute: Arithmetic of the encoders.
        batch_size: Items in one forward pass.
        device: Where encoders and states are.
        progress: Called as ``(done, total, label)``.

    Raises:
        UserError: An encoder cannot be loaded, or is another one.
    """
    present = {name: sum(content is not None for content in contents[name]) for name in encoders}
    done = dict.fromkeys(encoders, 0)

    def advance(name: str, count: int) -> None:
        done[name] += count
        if progress is not None:
            progress(done[name], present[name], f"encode {name}")

    loaded = {}
    for name, identity in encoders.items():
        if present[name]:
            loaded[name] = rebuild_encoder(
                identity, model=models.get(name), compute=compute, batch_size=batch_size, device=str(device)
            )
    known = {name: _dtype(name, dtypes) for name in loaded}
    live = LiveSource(loaded, {name: contents[name] for name in loaded}, device, known, advance)
    absent = {
        name: ModalityShape(len(one["taps"]), one["width"]) for name, one in encoders.items() if name not in loaded
    }
    return AbsentModalities(live, absent, device) if absent else live


def refuse_imported(encoders: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuses modalities whose states no encoder of this program made.

    Raises:
        UserError: There is one.
    """
    for name, identity in encoders.items():
        if identity.get("imported"):
            raise UserError(
                f"the states of {name!r} were computed elsewhere and imported, so new ones cannot be computed here",
                how="compute them there too, import them with `iisan states import`, and name the folder of the stores "
                "with --states",
            )


def stored_states(
    encoders: Mapping[str, Mapping[str, Any]], folder: Path, item_ids: Sequence[str], device: torch.device
) -> tuple[StateSource, dict[str, list[str | None]]]:
    """States that stores hold already.

    Args:
        encoders: Identity of the encoder of each modality of a model.
        folder: Holds a store for each modality.
        item_ids: ``n`` ids.
        device: Where the states are wanted.

    Returns:
        The states of the items, and their content hashes by modality, None where a store lacks an item.

    Raises:
        UserError: A store is missing or unfinished, or was made by another encoder.
    """
    stores = stores_of_encoders(encoders, folder)
    hashes = {name: store.hashes_of(item_ids) for name, store in stores.items()}
    return CachedSource(stores, item_ids, device=device), hashes


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


def _dtype(name: str, dtypes: Mapping[str, StoreDtype]) -> StoreDtype:
    if name not in dtypes:
        logger.warning("the model does not say in what dtype the states of %s were kept; taking %s", name, USUAL_DTYPE)
    return dtypes.get(name, USUAL_DTYPE)
