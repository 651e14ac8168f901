"""The encoders that a model's items pass through, loaded once and kept, as they were when it was trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from iisan.encoders.config import ComputeDtype
from iisan.encoders.encoder import Encoder
from iisan.encoders.image import ImageEncoder
from iisan.encoders.rebuild import rebuild_encoder
from iisan.errors import UserError
from iisan.jobs.new_states import dtype_of_states, refuse_imported
from iisan.models.config import ItemIdConfig
from iisan.models.file_names import TUNED_ENCODERS
from iisan.models.recommender import Recommender
from iisan.states.absent_modalities import AbsentModalities
from iisan.states.content import Media
from iisan.states.encode_items import Progress
from iisan.states.live_source import LiveSource
from iisan.states.sources import ModalityShape, StateSource
from iisan.states.store_rounding import StoreRounding, store_roundings
from iisan.tuning.choose import is_tuned, tuning_method


class ModelEncoders:
    """The encoder of each modality of a model.

    Where training tuned the encoders, they are loaded with what it changed, and only their last tap is read.

    Args:
        recommender: The model.
        folder: Its folder.
        models: Where an encoder is, by modality, where it is not where its identity says.
        compute: Arithmetic of the encoders; tuned ones always compute in float32, as they did in training.
        batch_size: Items in one forward pass.
        device: Where encoders and states are.

    Raises:
        UserError: The model reads no content, its encoders are not of this program, or it has no such modality.
    """

    def __init__(
        self,
        recommender: Recommender,
        folder: Path,
        *,
        models: Mapping[str, str] | None = None,
        compute: ComputeDtype = "auto",
        batch_size: int = 64,
        device: torch.device,
    ) -> None:
        self.identities = recorded_encoders(recommender, folder)
        refuse_imported(self.identities)
        self._models = dict(models or {})
        unknown = sorted(set(self._models) - set(self.identities))
        if unknown:
            raise UserError(f"the model has no modality {unknown[0]!r}", how=f"it has: {', '.join(self.identities)}")
        self._tuned = has_tuned_encoders(recommender)
        self._training = recommender.details.get("training", {})
        self._dtypes = recommender.details.get("state_dtypes", {})
        self._folder = folder
        self._compute: ComputeDtype = "float32" if self._tuned else compute
        self._batch_size = batch_size
        self._device = device
        self._loaded: dict[str, Encoder] = {}
        self._roundings: dict[str, StoreRounding] = {}

    def load(self) -> None:
        """Loads those that are not loaded yet.

        Raises:
            UserError: One cannot be loaded, is another one, or its tuned weights are missing.
        """
        for name in self.identities:
            self._encoder(name)

    def at_least(self, name: str) -> int | None:
        """What pictures of a modality are to be decoded with (see :func:`~iisan.data.decode.decode_image`).

        Raises:
            UserError: As of :meth:`load`.
        """
        encoder = self._encoder(name)
        return encoder.at_least if isinstance(encoder, ImageEncoder) else None

    def states(self, contents: Mapping[str, Sequence[Media | None]], progress: Progress | None = None) -> StateSource:
        """States computed when they are asked for; an encoder that no item needs is not loaded.

        Args:
            contents: Content of the ``n`` items by modality.
            progress: Called as ``(done, total, label)``.

        Raises:
            UserError: As of :meth:`load`.
        """
        present = {name: sum(content is not None for content in contents[name]) for name in self.identities}
        done = dict.fromkeys(self.identities, 0)

        def advance(name: str, count: int) -> None:
            done[name] += count
            if progress is not None:
                progress(done[name], present[name], f"encode {name}")

        needed = {name: self._encoder(name) for name, count in present.items() if count}
        live = LiveSource(needed, {name: contents[name] for name in needed}, self._device, self._roundings, advance)
        absent = {name: self._shape(name) for name in self.identities if name not in needed}
        return AbsentModalities(live, absent, self._device) if absent else live

    def _encoder(self, name: str) -> Encoder:
        if name not in self._loaded:
            encoder = rebuild_encoder(
                self.identities[name],
                model=self._models.get(name),
                compute=self._compute,
                batch_size=self._batch_size,
                device=str(self._device),
            )
            if self._tuned:
                # Training ran them without a store, and so without its rounding.
                encoder = self._as_tuned(name, encoder)
            else:
                self._roundings |= store_roundings({name: encoder}, {name: dtype_of_states(name, self._dtypes)})
            self._loaded[name] = encoder
        return self._loaded[name]

    def _as_tuned(self, name: str, encoder: Encoder) -> Encoder:
        width, options = self._training.get("adapter_width", 64), self._training.get("peft_options", ())
        method = tuning_method(self._training["method"], adapter_width=width, peft_options=options)
        encoder.taps = encoder.taps[-1:]
        method.load(encoder, self._folder / TUNED_ENCODERS / name)
        encoder.module.eval().requires_grad_(False)
        return encoder

    def _shape(self, name: str) -> ModalityShape:
        identity = self.identities[name]
        return ModalityShape(1 if self._tuned else len(identity["taps"]), identity["width"])


def has_tuned_encoders(recommender: Recommender) -> bool:
    """Whether training changed the encoders, so that states of the pretrained ones mean nothing to the model."""
    method = recommender.details.get("training", {}).get("method")
    return isinstance(method, str) and is_tuned(method)


def refuse_stored_states(recommender: Recommender, states: Path | None) -> None:
    """Refuses a folder of stores, where one is named, for a model whose encoders were tuned.

    Raises:
        UserError: So it is.
    """
    if states is not None and has_tuned_encoders(recommender):
        raise UserError(
            "training tuned the model's encoders, so stored states, which are those of the untuned ones, mean nothing "
            "to it",
            where=str(states),
            how="leave --states out; the tuned encoders of the model folder compute them",
        )


def recorded_encoders(recommender: Recommender, folder: Path) -> dict[str, Mapping[str, Any]]:
    """Identity of the encoder of each modality that a model reads.

    Raises:
        UserError: The model reads no content, or does not say what encoders made the states that it was trained on.
    """
    if isinstance(recommender.config.item_encoder, ItemIdConfig):
        raise UserError(
            "the model knows items by their ids only", where=str(folder), how="train one with --method iisan or frozen"
        )
    encoders = recommender.details.get("encoders")
    shapes = recommender.config.item_encoder
    names = sorted(getattr(shapes, "modalities", None) or getattr(shapes, "widths", {}))
    if not isinstance(encoders, dict) or not set(names) <= set(encoders):
        raise UserError(
            "the model does not say what encoders it was trained with",
            where=str(folder),
            how="train it, or import its checkpoint with its dataset, with this version",
        )
    return {name: encoders[name] for name in names}
