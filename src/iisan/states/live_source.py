"""Hidden states from the encoders themselves, computed anew for every batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

from iisan.encoders.encoder import Encoder
from iisan.states.content import Media, is_missing
from iisan.states.phases import PhaseObserver, Unobserved
from iisan.states.sources import ItemStates, ModalityShape
from iisan.states.store_rounding import StoreRounding


class LiveSource:
    """A `StateSource` that runs frozen encoders; the same numbers as a `CachedSource` over stores, slower.

    Args:
        encoders: Encoder by modality; the order is kept.
        contents: For each modality the content of the catalogue's ``N`` items; ``None`` or a blank text: the item
            lacks it and gets zeros with ``available`` False.
        device: Where `gather` puts its results; the encoders stay where they are.
        roundings: For each modality what a store makes of the states, where the numbers should be those of a store; see
            :func:`~iisan.states.store_rounding.store_roundings`.
        on_encoded: Called after each forward pass with the modality and the number of contents done by it.
        observer: Is told when the encoders run.

    Raises:
        ValueError: `encoders` and `contents` name different modalities, or the contents differ in length.
    """

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        contents: Mapping[str, Sequence[Media | None]],
        device: torch.device | str = "cpu",
        roundings: Mapping[str, StoreRounding] | None = None,
        on_encoded: Callable[[str, int], None] | None = None,
        observer: PhaseObserver | None = None,
    ) -> None:
        if set(encoders) != set(contents):
            raise ValueError(f"encoders for {sorted(encoders)}, but contents for {sorted(contents)}")
        lengths = {len(column) for column in contents.values()}
        if len(lengths) > 1:
            raise ValueError(f"the modalities have different numbers of items: {sorted(lengths)}")
        self.device = torch.device(device)
        self._on_encoded = on_encoded
        self._observer = observer or Unobserved()
        self._n_items = lengths.pop() if lengths else 0
        self._encoders = dict(encoders)
        self._contents = {name: contents[name] for name in encoders}
        self._available = {
            name: torch.tensor([not is_missing(content) for content in column], dtype=torch.bool)  # [N]
            for name, column in self._contents.items()
        }
        self._roundings = dict(roundings or {})

    @property
    def modalities(self) -> dict[str, ModalityShape]:
        """Shape by modality."""
        return {name: ModalityShape(len(encoder.taps), encoder.width) for name, encoder in self._encoders.items()}

    @property
    def n_items(self) -> int:
        """``N``."""
        return self._n_items

    @property
    def n_parameters(self) -> int:
        """Weights of all encoders together."""
        return sum(
            parameter.numel() for encoder in self._encoders.values() for parameter in encoder.module.parameters()
        )

    def gather(self, rows: Tensor) -> dict[str, ItemStates]:
        """States of some items, each distinct one encoded once; see `StateSource.gather`."""
        return {name: self._gather(name, rows.cpu()) for name in self._encoders}

    def _gather(self, name: str, rows: Tensor) -> ItemStates:
        encoder, column = self._encoders[name], self._contents[name]
        distinct, position = torch.unique(rows, return_inverse=True)  # [m], [n]
        present = self._available[name][distinct]  # [m]
        states = torch.zeros(len(distinct), len(encoder.taps), encoder.width)
        found = [column[row] for row in distinct[present].tolist()]
        if found:
            told = self._on_encoded
            # Only training is observed; validation embeds the catalogue without gradients.
            with self._observer.phase("forward") if torch.is_grad_enabled() else nullcontext():
                encoded = encoder.encode(found, None if told is None else lambda count: told(name, count))
            states[present] = self._roundings[name](encoded) if name in self._roundings else encoded
        by_tap = states.transpose(0, 1)[:, position].to(self.device)  # [T, n, D]
        # By what is asked for, not by the catalogue: the same items give the same bits whatever else it holds.
        available = None if bool(present.all()) else present[position].to(self.device)
        return ItemStates(taps=list(by_tap.unbind(0)), available=available)
