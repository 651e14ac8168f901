"""Where the hidden states of a training run come from: stores, frozen encoders, or encoders that are tuned."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from iisan.data.dataset import Dataset
from iisan.encoders.config import ComputeDtype
from iisan.encoders.encoder import Encoder
from iisan.encoders.rebuild import rebuild_encoder
from iisan.errors import UserError
from iisan.jobs.encode import modality_contents
from iisan.models.file_names import TUNED_ENCODERS
from iisan.models.recommender import Recommender
from iisan.states.live_source import LiveSource
from iisan.states.phases import PhaseObserver
from iisan.states.prefetched_source import states_on
from iisan.states.sources import StateSource
from iisan.states.store import HiddenStateStore
from iisan.states.store_rounding import store_roundings
from iisan.training.config import TrainConfig
from iisan.tuning.choose import is_tuned, tuning_method
from iisan.tuning.tuned_source import TunedSource

Stores = Mapping[str, HiddenStateStore]


def live_source(
    stores: Stores,
    dataset: Dataset,
    places: Mapping[str, str],
    device: torch.device,
    observer: PhaseObserver | None = None,
) -> LiveSource:
    """The encoders that made some stores, run anew for every batch; the numbers are those of the stores.

    Args:
        stores: By modality.
        dataset: Whose items.
        places: Where an encoder is, by modality, where it is not where the store says.
        device: Where encoders and states are.
        observer: Is told when the encoders run.

    Raises:
        UserError: An encoder cannot be loaded, or is another one.
    """
    encoders = _encoders(stores, dataset, places, device, "auto")
    contents = {name: modality_contents(dataset, name) for name in stores}
    dtypes = {name: store.manifest.dtype for name, store in stores.items()}
    return LiveSource(encoders, contents, device, store_roundings(encoders, dtypes), observer=observer)


def tuned_source(
    config: TrainConfig,
    stores: Stores,
    dataset: Dataset,
    places: Mapping[str, str],
    device: torch.device,
    observer: PhaseObserver | None = None,
) -> TunedSource:
    """The encoders that made some stores, to be tuned; only their last tap is used.

    Raises:
        UserError: An encoder cannot be loaded or tuned, or the loss would send the whole catalogue through it.
    """
    if config.loss != "in_batch":
        raise UserError(
            f"method {config.method!r} with loss {config.loss!r} would pass the whole catalogue through the encoders "
            "at every step, or thousands of its items",
            where="loss",
            how="use --loss in_batch",
        )
    method = tuning_method(config.method, adapter_width=config.adapter_width, peft_options=config.peft_options)
    # fp32 weights: training moves them by less than bfloat16 can tell; autocast makes the products fast.
    encoders = _encoders(stores, dataset, places, device, "float32")
    for encoder in encoders.values():
        encoder.taps = encoder.taps[-1:]
    torch.manual_seed(config.seed)
    contents = {name: modality_contents(dataset, name) for name in stores}
    checkpointing = config.gradient_checkpointing
    return TunedSource(encoders, contents, method, gradient_checkpointing=checkpointing, observer=observer)


def training_source(
    config: TrainConfig,
    stores: Stores,
    dataset: Dataset,
    places: Mapping[str, str],
    device: torch.device,
    observer: PhaseObserver | None = None,
) -> StateSource:
    """The source that a configuration asks for."""
    if is_tuned(config.method):
        return tuned_source(config, stores, dataset, places, device, observer)
    if config.source == "live" and stores:
        return live_source(stores, dataset, places, device, observer)
    return states_on(dict(stores), dataset.item_ids, device)


def save_tuned(model: Recommender, source: StateSource, folder: Path) -> None:
    """Writes what a method trained of each encoder to ``encoders/MODALITY`` of a model folder."""
    if not isinstance(source, TunedSource) or model.encoders is None:
        return
    for name, module in model.encoders.items():
        place = folder / TUNED_ENCODERS / name
        place.mkdir(parents=True)
        source.method.save(module, place)


def _encoders(
    stores: Stores, dataset: Dataset, places: Mapping[str, str], device: torch.device, compute: ComputeDtype
) -> dict[str, Encoder]:
    encoders: dict[str, Encoder] = {}
    for name, store in stores.items():
        identity = store.manifest.encoder
        if identity.get("imported") or name not in dataset.modalities:
            raise UserError(
                f"the states of {name!r} were computed elsewhere, so there is no encoder to run",
                where=str(store.path),
                how="choose other modalities, or train on the stored states",
            )
        encoders[name] = rebuild_encoder(identity, model=places.get(name), compute=compute, device=str(device))
    return encoders
