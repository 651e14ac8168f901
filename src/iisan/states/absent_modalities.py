"""A source with modalities that none of its items has."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from iisan.states.sources import ItemStates, ModalityShape, StateSource


class AbsentModalities:
    """What another source gives, and zeros with ``available`` False for further modalities.

    Args:
        source: The states that there are.
        shapes: The modalities that all items lack.
        device: Where the source puts its results.
    """

    def __init__(
        self, source: StateSource, shapes: Mapping[str, ModalityShape], device: torch.device | str = "cpu"
    ) -> None:
        self._source = source
        self._shapes = dict(shapes)
        self._device = torch.device(device)

    @property
    def modalities(self) -> dict[str, ModalityShape]:
        """Shape by modality."""
        return {**self._source.modalities, **self._shapes}

    @property
    def n_items(self) -> int:
        """``N``."""
        return self._source.n_items

    def gather(self, rows: Tensor) -> dict[str, ItemStates]:
        """States of some items; see `StateSource.gather`."""
        absent = {name: self._zeros(shape, len(rows)) for name, shape in self._shapes.items()}
        return {**self._source.gather(rows), **absent}

    def _zeros(self, shape: ModalityShape, n: int) -> ItemStates:
        taps = list(torch.zeros(shape.n_taps, n, shape.width, device=self._device).unbind(0))
        return ItemStates(taps, torch.zeros(n, dtype=torch.bool, device=self._device))
