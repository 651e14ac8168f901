"""Random states of any shape on any device, without a store."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from iisan.states.sources import ItemStates, ModalityShape

# Items with states of their own; those beyond share them, so that a million items fit into memory.
DISTINCT = 20_480


class RandomStates:
    """Seeded float16 states that lie where they are wanted; tap 0 is the same for every item.

    Args:
        shapes: Taps and width by modality.
        n_items: ``N``.
        device: Where they lie.
    """

    resident = True

    def __init__(self, shapes: Mapping[str, ModalityShape], n_items: int, device: torch.device | str = "cpu") -> None:
        self.modalities = dict(shapes)
        self.n_items = n_items
        self._states: dict[str, Tensor] = {}  # [rows, T - 1, D]
        self._constant: dict[str, Tensor] = {}  # [1, D]
        for seed, (name, shape) in enumerate(self.modalities.items()):
            generator = torch.Generator(device).manual_seed(seed)
            size = (min(n_items, DISTINCT), shape.n_taps - 1, shape.width)
            self._states[name] = torch.empty(size, dtype=torch.float16, device=device).normal_(generator=generator)
            self._constant[name] = torch.randn(1, shape.width, generator=generator, device=device)

    def gather(self, rows: Tensor) -> dict[str, ItemStates]:
        """States of some items; see `StateSource.gather`."""
        found = {}
        for name, states in self._states.items():
            own = states.index_select(0, rows.to(states.device) % len(states)).transpose(0, 1).float().contiguous()
            found[name] = ItemStates([self._constant[name], *own.unbind()])
        return found
