"""Hidden states from the encoders themselves, computed anew for every batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from iisan.encoders.encoder import Encoder
from iisan.states.content import Content, is_missing
from iisan.states.sources import ItemStates, ModalityShape


class LiveSource:
    """A `StateSource` that runs frozen encoders; the same numbers as a `CachedSource` over float32 stores, slower.

    Args:
        encoders: Encoder by modality; the order is kept.
        contents: For each modality the content of the catalogue's ``N`` items; ``None`` or a blank text: the item
            lacks it and gets zeros with ``available`` False.
        device: Where `gather` puts its results; the encoders stay where they are.

    Raises:
        ValueError: `encoders` and `contents` name different modalities, or the contents differ in length.
    """

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        contents: Mapping[str, Sequence[Content | None]],
        device: torch.device | str = "cpu",
    ) -> None:
        if set(encoders) != set(contents):
            raise ValueError(f"encoders for {sorted(encoders)}, but contents for {sorted(contents)}")
        lengths = {len(column) for column in contents.values()}
        if len(lengths) > 1:
            raise ValueError(f"the modalities have different numbers of items: {sorted(lengths)}")
        self.device = torch.device(device)
        self._n_items = lengths.pop() if lengths else 0
        self._encoders = dict(encoders)
        self._contents = {name: contents[name] for name in encoders}
        self._available = {
            name: torch.tensor([not is_missing(content) for content in column], dtype=torch.bool)  # [N]
            for name, column in self._contents.items()
        }

    @property
    def modalities(self) -> dict[str, ModalityShape]:
        """Shape by modality."""
        return {name: ModalityShape(len(encoder.taps), encoder.width) for name, encoder in self._encoders.items()}

    @property
    def n_items(self) -> int:
        """``N``."""
        return self._n_items

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
            states[present] = encoder.encode(found)
        by_tap = states.transpose(0, 1)[:, position].to(self.device)  # [T, n, D]
        available = None if bool(self._available[name].all()) else present[position].to(self.device)
        return ItemStates(taps=list(by_tap.unbind(0)), available=available)
